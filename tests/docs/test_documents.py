# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What README, guides and role documents name exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.common import FILES, MODULES, PLAYBOOKS, ROLES, ROOT, load, names

DOCUMENTS = [path for path in FILES if path.suffix in (".md", ".rst") and not path.name.startswith("CHANGELOG")]
COMMAND = re.compile(r"(?:^|`)\s*(?:sudo )?make ([a-z][a-z ]*?)(?=\s*(?:$|`|#|\\|;|&))", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")
OURS = re.compile(r"\bchainops\.lifecycle\.([a-z][a-z0-9_]*)\b(?!\.)")


def make_targets() -> set[str]:
    """All targets that make itself knows."""
    done = subprocess.run(["make", "-pRrq", "help"], cwd=ROOT, check=False, capture_output=True, text=True)
    return set(re.findall(r"^([a-z]+):", done.stdout, re.MULTILINE))


def test_the_documents_were_found() -> None:
    assert Path("README.md") in DOCUMENTS


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_make_command_exists(path: Path) -> None:
    commands = COMMAND.findall((ROOT / path).read_text())
    assert {word for command in commands for word in command.split()} - make_targets() == set()


def test_readme_names_the_commands_that_a_reader_needs_first() -> None:
    commands = COMMAND.findall((ROOT / "README.md").read_text())
    assert {"demo", "test"} <= set(commands)


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    links = LINK.findall((ROOT / path).read_text())
    assert [link for link in links if not (ROOT / path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_name_of_ours_exists(path: Path) -> None:
    plugins = [name for kind in ("action", "lookup", "callback") for name in names(f"plugins/{kind}", ".py")]
    filters = names("plugins/filter", ".yml")
    rulebooks = [path.stem for path in (ROOT / "extensions/eda/rulebooks").glob("*.yml")]
    known = {*rulebooks, *MODULES, *PLAYBOOKS, *ROLES, *plugins, *filters, *load("meta/runtime.yml")["action_groups"]}
    assert set(OURS.findall((ROOT / path).read_text())) - known == set()


def test_readme_names_everything_that_a_user_can_call() -> None:
    text = (ROOT / "README.md").read_text()
    assert [name for name in (*MODULES, *PLAYBOOKS, *ROLES) if name not in text] == []


def test_every_guide_is_in_the_index() -> None:
    listed = {name for section in load("docs/docsite/extra-docs.yml")["sections"] for name in section["toctree"]}
    assert listed == set(names("docs/docsite/rst", ".rst"))


def test_readme_names_the_versions_that_are_tested_with() -> None:
    table = (ROOT / "README.md").read_text().partition("## Tested with")[2].partition("\n## ")[0]
    told = dict(re.findall(r"^\| (\S+) \| (.*) \|$", table, re.MULTILINE))
    pinned = {
        pin
        for file in (ROOT / "requirements").glob("*.txt")
        for pin in re.findall(r"^ansible-core==(\S+)", file.read_text(), re.MULTILINE)
    }
    assert set(re.findall(r"\d+\.\d+\.\d+", told["ansible-core"])) == pinned
    support = ROOT / "tests/support"
    suites = re.search(r"^SUITES: .* = \{(.*)\}$", (support / "lab/settings.py").read_text(), re.MULTILINE)
    assert suites and re.findall(r"\b2\d\d\b", told["systemd"]) == re.findall(r"\d+", suites[1])
    for program, file in (
        ("cloudflared", "cloudflare_edge/cloudflared_binary.py"),
        ("AWX", "awx_controller/server.py"),
    ):
        version = re.search(r'^VERSION = "(.+)"$', (support / file).read_text(), re.MULTILINE)
        assert version and version[1] in re.findall(r"[\d.]+\d", told[program])
    assert (ROOT / ".github/workflows/test.yml").exists()
