# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recipes of CONTRIBUTING.md, followed in a copy of the collection; the files that architecture.md names."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from .common import ROOT

FIRST_LINE = re.compile(r"# (?P<path>plugins/\S+\.py)(?:: (?P<name>\w+))?\n")


def blocks(heading: str) -> list[str]:
    """The Python blocks of one section of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL)]


def follow(heading: str, folder: Path) -> Path:
    """A copy of the collection's plugins and tools, with what the recipe adds; the folder to import it from."""
    tree = folder / "ansible_collections/chainops/lifecycle"
    for part in ("plugins", "tools"):
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    found = blocks(heading)
    assert found, f"CONTRIBUTING.md has no recipe {heading!r}"
    for block in found:
        match = FIRST_LINE.match(block)
        assert match is not None, f"the block does not say where it belongs:\n{block}"
        path, code = tree / match["path"], block[match.end() :]
        text = path.read_text(encoding="utf-8")
        path.write_text(_into(text, match["name"], code) if match["name"] else _before_tables(text, code))
    return folder


def _into(text: str, name: str, code: str) -> str:
    """Add an element to the tuple that is assigned to ``name``."""
    for node in ast.parse(text).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            lines = text.splitlines()
            lines.insert((node.end_lineno or 0) - 1, f"    {code.strip()},")
            return "\n".join(lines) + "\n"
    raise AssertionError(f"there is no {name} to add to")


def _before_tables(text: str, code: str) -> str:
    """Add a definition before GUARDS, the table that will name it."""
    before, found, after = text.partition("\nGUARDS: ")
    assert found
    return f"{before}\n{code}\n{found}{after}"


def run(folder: Path, script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder / "ansible_collections/chainops/lifecycle",
        env={**os.environ, "PYTHONPATH": f"{folder}:{folder / 'ansible_collections/chainops/lifecycle'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


UTILS = "ansible_collections.chainops.lifecycle.plugins.module_utils"


def test_a_new_cause_is_found_and_documented(tmp_path: Path) -> None:
    script = f"""
from {UTILS}._diagnosis.diagnose import diagnose
from {UTILS}._host.journal import parse
import json
failed = {{"Id": "x.service", "LoadState": "loaded", "ActiveState": "failed", "SubState": "failed",
           "Result": "exit-code", "ExecMainCode": "1", "ExecMainStatus": "1", "InvocationID": "a" * 32}}
line = {{"MESSAGE": "FATAL: license has expired", "_SYSTEMD_INVOCATION_ID": "a" * 32, "__REALTIME_TIMESTAMP": "1000000",
         "_SYSTEMD_UNIT": "x.service", "_TRANSPORT": "stdout", "PRIORITY": "6"}}
print(diagnose(failed, parse(json.dumps(line))).primary.id)
from tools.generate_docs import causes
print(causes())
"""
    said = run(follow("Add a cause", tmp_path), script)
    assert said.startswith("license_expired\n") and "``license_expired``" in said


def test_a_new_guard_refuses_and_is_documented(tmp_path: Path) -> None:
    script = f"""
from {UTILS}._lifecycle import guards, state_machine as m
from {UTILS}._lifecycle.observation import Observation
seen = Observation("x", "x.service", "generic", "running", "running")
for day in (2 * 86400.0, 4 * 86400.0):  # 1970-01-03 was a Saturday
    context = guards.GuardContext(m.Step("running", "stop", "stopping"), seen, target="stopped", wall=day)
    print([refusal.guard for refusal in guards.check(context)])
from tools.generate_docs import guards as table
print(table())
"""
    said = run(follow("Add a guard", tmp_path), script).splitlines()
    assert said[:2] == ["['weekend']", "[]"]
    assert any("The service is not stopped during a weekend." in line for line in said)


@pytest.mark.parametrize("page", ["docs/architecture.md", "STYLE.md", "CONTRIBUTING.md"])
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:plugins|tests|tools|docs|changelogs|requirements|playbooks)/[\w./-]+)`", text))
    named |= {f"plugins/module_utils/{path}" for path in re.findall(r"`(_\w+/[\w/]+\.py)`", text)}
    assert named or page == "STYLE.md"
    assert sorted(path for path in named if not (ROOT / path).exists()) == []
