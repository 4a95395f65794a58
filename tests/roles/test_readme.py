# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The README: its example prints what it shows, and its ways to install the collection work as they are written.

The results come from the engine and the diagnosis themselves, over a service manager in virtual time; the playbook gets
them from modules that answer as they are told.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import typing as t
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis import resolved
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import HostFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import diagnose
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import UNIT_PROCESS_EXIT
from ansible_collections.chainops.lifecycle.plugins.module_utils._probes.run import ServiceHealth, parse_probes
from tests.docs import common
from tests.roles import test_recover_playbook as playbook

TEXT = (common.ROOT / "README.md").read_text(encoding="utf-8")
TAKEN = "ERROR: OSError: [Errno 98] Address already in use ('127.0.0.1', 8081)"
folder = playbook.folder
UNIT = "ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils"
# By name, as these are parts of the collection and this is a part of the repository.
engine: t.Any = importlib.import_module(f"{UNIT}.lifecycle.test_engine")
journal: t.Any = importlib.import_module(f"{UNIT}.diagnosis.test_diagnose")


def blocks(language: str) -> list[str]:
    """The code blocks of a language, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", TEXT, re.DOTALL | re.MULTILINE)
    return ["\n".join(line.removeprefix(indent) for line in body.splitlines()) for indent, body in found]


class Service:
    """A service of the example that has failed; its causes are found as on a host."""

    def __init__(
        self, path: Path, name: str, probes: list[dict[str, t.Any]], said: list[str], **failure: t.Any
    ) -> None:
        path.mkdir()
        fields = {"active": "failed", "sub": "failed", "invocation": 1, **failure}
        self.bench = engine.Bench(path, engine.Unit(f"{name}.service", **fields))
        self.bench._why = self._why
        self.name, self.said = name, said
        http: t.Any = SimpleNamespace(
            request=lambda *_args, **_options: SimpleNamespace(status=200, body=b"", elapsed=0.01)
        )
        if probes:
            bench = self.bench
            bench.health = ServiceHealth(parse_probes(probes), http=http, runner=bench.world, clock=bench.clock)

    def _why(self, observation: t.Any) -> t.Any:
        properties = {**observation.facts.properties, "InvocationID": journal.RUN}
        host = HostFacts(ports=(8081,), listeners={8081: "python3 (pid 812)"}) if self.said else HostFacts()
        entries = [journal.entry(line) for line in self.said]
        killed = {"COMMAND": "ExecStart", "EXIT_CODE": "killed", "EXIT_STATUS": "9"}
        if not entries:
            entries = [journal.manager("Main process exited, code=killed, status=9/KILL", UNIT_PROCESS_EXIT, **killed)]
        return diagnose(properties, entries, host=host)

    def result(self, **options: t.Any) -> dict[str, t.Any]:
        made: dict[str, t.Any] = self.bench.run(
            name=f"{self.name}.service", recovery="reset_start", **options
        ).as_dict()
        for seen in (made["before"], made["after"]):
            seen["name"] = self.name
        return made


def printed(folder: Path, tmp_path: Path) -> str:
    """What the example's last command prints under RECOVERY."""
    (inventory,) = [yaml.safe_load(one) for one in blocks("yaml") if "lifecycle_services" in one]
    api, worker = inventory["all"]["vars"]["lifecycle_services"]
    killed = Service(tmp_path / "api", api["name"], api["probes"], [], result="signal", code=2, status=9)
    taken = Service(tmp_path / "worker", worker["name"], [], [TAKEN], result="exit-code", code=1, status=3)
    answers: dict[str, t.Any] = {}
    for one in (killed, taken):
        planned = one.result(check_mode=True)
        made = one.result()
        cause = made.get("diagnosis") or planned["diagnosis"]
        seen = {key: value for key, value in made["before"].items() if key != "name"}
        answers[f"seen {one.name}"] = {**seen, "hold": None, "diagnosis": cause}
        answers[f"service check {one.name}"], answers[f"service {one.name}"] = planned, made
    (folder / "answers.json").write_text(json.dumps(answers))
    info = common.STUB + f"ROW = {playbook.seen('x')!r}\n" + playbook.INFO
    common.write_module(folder, "service_info", info)
    host = {**playbook.HERE, "lifecycle_services": inventory["all"]["vars"]["lifecycle_services"]}
    others = {name: {**host, "lifecycle_services": []} for name in inventory["all"]["hosts"] if name != "host1"}
    paths = {"ANSIBLE_COLLECTIONS_PATH": str(folder), "ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "COLUMNS": "100"}
    done = common.play(folder, "chainops.lifecycle.recover", {"host1": host, **others}, **paths)
    assert "\nRECOVERY\n" in done.stdout, done.stdout + done.stderr
    return done.stdout.partition("\nRECOVERY\n")[2]


def lines(text: str) -> list[str]:
    """Without what differs from run to run, and without the colours of a terminal."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return [re.sub(r"\b[0-9a-f]{8}\b", "INVOCATION", line).rstrip() for line in plain.splitlines()]


def test_the_example_prints_what_the_readme_shows(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolved, "resolution_of", lambda *_args: None)  # the port is still taken
    (shown,) = blocks("text")
    found = lines(printed(folder, tmp_path))
    assert "\n".join(lines(shown)) in "\n".join(found), "\n".join(found)


def installed(tmp_path: Path, commands: t.Sequence[str], clone: Path) -> None:
    """Run commands of the README with an empty folder for collections, and use what they have put there."""
    empty = tmp_path / "collections"
    empty.mkdir()
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(empty), "ANSIBLE_NOCOLOR": "1"}
    for command in commands:
        done = subprocess.run(
            ["sh", "-ec", command], cwd=clone, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    (inventory,) = [one for one in blocks("yaml") if "lifecycle_services" in one]
    (tmp_path / "inventory.yml").write_text(inventory)
    uses = re.findall(r"^ *(ansible-playbook -i inventory.yml \S+)", TEXT, re.MULTILINE)
    assert len(uses) == 3
    for use in ["ansible-doc -t module chainops.lifecycle.service", *(f"{one} --syntax-check" for one in uses)]:
        done = subprocess.run(
            use.split(), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, f"{use}: {done.stdout}{done.stderr}"
    assert not (empty / "ansible_collections/chainops/lifecycle/tests").exists()


def cloned(tmp_path: Path) -> Path:
    """The files of the repository as git knows them."""
    clone = tmp_path / "clone"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=common.ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        if (common.ROOT / name).exists():
            shutil.copy2(common.ROOT / name, clone / name, follow_symlinks=False)
    return clone


def commands_of(title: str) -> list[str]:
    """The commands of the README's block that has ``title`` in its first line, a comment."""
    (block,) = [one for one in blocks("sh") if one.startswith(f"# {title}")]
    return [line.partition("  #")[0].strip() for line in block.splitlines() if line and not line.startswith("#")]


def test_it_is_installed_from_a_clone(tmp_path: Path) -> None:
    commands = commands_of("in a clone")
    assert commands == ["ansible-galaxy collection install ."]
    installed(tmp_path, commands, cloned(tmp_path))


def test_it_is_installed_from_an_artefact(tmp_path: Path) -> None:
    """make build makes an environment for itself first; the rest of its recipe is run as it is."""
    build, install = commands_of("from a tarball")
    assert build == "make build" and "tools/build-artefact" in (common.ROOT / "Makefile").read_text()
    installed(tmp_path, ["tools/build-artefact", install], cloned(tmp_path))
