# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kind of service is one folder and its entry in ``_kinds``: shown with a toy kind in a copy of the collection.

The modules and playbooks are those of the collection; a script stands for systemctl.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.docs import common

SECRET = "canary-of-a-toy"
KIND = """
from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import (
    FleetTraits,
    Kind,
    ServiceKind,
)

SHINING = "shining"
TOY = m.make_machine(
    "toy",
    (m.State(SHINING, 90, m.RUNNING, "has been polished", "-", "its shine"),),
    (
        m.Edge(m.STARTING, "initialized", m.RUNNING, m.SERVICE, progress=True),
        m.Edge(m.RUNNING, "polished", SHINING, m.SERVICE, progress=True),
        *m.process_edges(SHINING),
    ),
    {m.RUNNING: {m.RUNNING, SHINING}, "restarted": {SHINING}, SHINING: {SHINING}},
)


class ToyKind(Kind):
    machine = TOY

    def __init__(self, params):
        self._params = params

    def classify(self, observation):
        if observation.state != m.RUNNING:
            return observation
        details = {"shine": self._params["shine"]}
        return replace(observation, state=SHINING, base_state=m.RUNNING, reasons=("it shines",), details=details)

    def guards(self, step, observation):
        return [Refusal("glued", "it is glued", "warm it up")] if step.action == "stop" and self._params["glued"] else []


class Loose(t.NamedTuple):
    category: str = "toys"
    severity: str = "soft"
    summary: str = "a wheel came off"
    next_step: str = "put it on"


KIND = ServiceKind(
    machine=TOY,
    options={
        "shine": {"type": "int", "required": True},
        "glued": {"type": "bool", "default": False},
        "password": {"type": "str", "no_log": True},
    },
    make=lambda environment, params: ToyKind(params),
    guards={"glued": "It is not glued."},
    causes=lambda: [("wheel", Loose())],
    traits=FleetTraits(may_vote=lambda details, options: bool(options.get("votes"))),
)
"""
SYSTEMCTL = """
import json, os, sys, time, uuid
path = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "unit.json")
with open(path) as stream:
    unit = json.load(stream)
verb = next(word for word in sys.argv[1:] if not word.startswith("-"))
now = str(int(time.monotonic() * 1e6))
if verb == "show":
    asked = sys.argv[sys.argv.index("-p") + 1].split(",")
    print("\\n".join(f"{key}={unit.get(key, '')}" for key in asked))
elif verb == "is-system-running":
    print("running")
elif verb in ("start", "restart"):
    unit.update(ActiveState="active", SubState="running", Result="success", InvocationID=uuid.uuid4().hex)
    unit.update({f"{key}TimestampMonotonic": now for key in ("StateChange", "ActiveEnter", "InactiveExit")})
    unit.update(MainPID=str(os.getppid()), ExecMainPID=str(os.getppid()), ExecMainCode="0", ExecMainStatus="0")
elif verb == "reset-failed":
    unit.update(ActiveState="inactive", SubState="dead", Result="success", StateChangeTimestampMonotonic=now)
elif verb != "list-jobs":
    sys.exit(f"{verb}: not expected")
with open(path, "w") as stream:
    json.dump(unit, stream)
"""
FAILED = {
    "Id": "toy.service", "Names": "toy.service", "LoadState": "loaded", "ActiveState": "failed", "SubState": "failed",
    "Result": "exit-code", "Type": "simple", "NRestarts": "0", "InvocationID": "a" * 32, "MainPID": "0",
    "ExecMainCode": "1", "ExecMainStatus": "1", "UnitFileState": "enabled",
    "StateChangeTimestampMonotonic": "5", "InactiveEnterTimestampMonotonic": "5", "Restart": "no",
}  # fmt: skip
ENTRY = {
    "name": "toy", "kind": "toy", "scope": "user", "state": "shining", "stable_for": 0, "wait_timeout": 20,
    "toy": {"shine": 7, "password": SECRET},
}  # fmt: skip
HERE = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the collection with the kind, and a host whose one unit has failed."""
    folder = tmp_path_factory.mktemp("toy")
    tree = folder / "ansible_collections/chainops/lifecycle"
    for path in common.FILES:
        if path.parts[0] in ("galaxy.yml", "meta", "plugins", "roles", "playbooks", "tools", "docs"):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(common.ROOT / path, tree / path)
    utils = tree / "plugins/module_utils"
    (utils / "_toy").mkdir()
    (utils / "_toy/__init__.py").touch()
    (utils / "_toy/kind.py").write_text(KIND)
    table = (utils / "_kinds.py").read_text()
    line = "from ansible_collections.chainops.lifecycle.plugins.module_utils._toy.kind import KIND"
    table, listed = re.subn(r"CLOUDFLARED\)", "CLOUDFLARED, TOY)", table)
    table, imported = re.subn(r"\nimport typing as t\n", f"\nimport typing as t\n{line} as TOY\n", table)
    assert (listed, imported) == (1, 1)
    (utils / "_kinds.py").write_text(table)
    # The records of the user's services would be kept in the home of the user who runs this test.
    runtime = (utils / "_host/runtime.py").read_text()
    runtime, moved = re.subn(r'f"\{home\(\)\}/.local/state/chainops-lifecycle"', repr(str(folder / "state")), runtime)
    assert moved == 1
    (utils / "_host/runtime.py").write_text(runtime)
    (folder / "toy.service").write_text("[Service]\nExecStart=/bin/toy\n")
    for name, text in (("systemctl", SYSTEMCTL), ("journalctl", "")):
        (folder / name).write_text(f"#!{sys.executable}\n{text}")
        (folder / name).chmod(0o755)
    fail(folder)
    return folder


def fail(folder: Path) -> None:
    (folder / "unit.json").write_text(json.dumps({**FAILED, "FragmentPath": str(folder / "toy.service")}))


def play(folder: Path, book: str, code: int = 0) -> str:
    environment = {
        "ANSIBLE_COLLECTIONS_PATH": str(folder),
        "ANSIBLE_LOCAL_TEMP": str(folder / "temporary"),
        "PATH": f"{folder}:{os.environ['PATH']}",
    }
    done = common.play(folder, book, {"here": {**HERE, "lifecycle_services": [ENTRY]}}, **environment)
    output = done.stdout + done.stderr
    assert done.returncode == code, output
    assert SECRET not in output
    return output


def test_it_is_observed_driven_recovered_and_shown(folder: Path) -> None:
    fail(folder)
    before = play(folder, "chainops.lifecycle.status")
    assert re.search(r"here +toy of the user +error ", before), before
    recovered = play(folder, "chainops.lifecycle.recover")
    assert "here toy: RECOVERED from error (exit_code)" in recovered and ": shining, invocation" in " ".join(
        recovered.split()
    )
    after = play(folder, "chainops.lifecycle.status")
    assert re.search(r"here +toy of the user +shining ", after) and "1 ok" in after, after


@pytest.mark.parametrize(("glued", "code", "said"), [(True, 2, "it is glued"), (False, 2, "stop: not expected")])
def test_its_own_guard_is_asked_before_a_step(folder: Path, glued: bool, code: int, said: str) -> None:
    """Without the guard the step reaches systemctl, which knows of no stop here."""
    fail(folder)
    entry: dict[str, t.Any] = {**ENTRY, "toy": {"shine": 7, "glued": glued}}
    steps = [
        {"chainops.lifecycle.service_drive": {"service": entry}},
        {"chainops.lifecycle.service_drive": {"service": entry, "override": {"state": "stopped"}}},
    ]
    (folder / "book.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": steps}]))
    assert said in play(folder, "book.yml", code)


def test_it_is_in_the_generated_documentation(folder: Path) -> None:
    script = folder / "ansible_collections/chainops/lifecycle/tools/generate_docs.py"
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    subprocess.run([sys.executable, str(script)], env=environment, check=True, cwd=folder)
    guides = script.parents[1] / "docs/docsite/rst"
    states, recovery = ((guides / f"guide_{name}.rst").read_text() for name in ("states", "recovery"))
    assert "``shining``\n    - toy\n    - ``running``\n    - 90\n    - has been polished" in states
    assert "The kind toy\n------------\n" in states and "..polished..>" in states
    assert "``glued``\n    - toy: It is not glued." in recovery
