# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The import rule of plugins/module_utils: a folder imports from folders below it, and siblings stay apart."""

from __future__ import annotations

import ast
import configparser
from pathlib import Path

import pytest

from .common import FILES, ROOT

PREFIX = "ansible_collections.chainops.lifecycle.plugins.module_utils."
# As import-linter reads them: from the top down; the folders of one row never import each other.
CONTRACTS = configparser.ConfigParser()
CONTRACTS.read(ROOT / ".importlinter")
LAYERS = [
    {folder.strip() for folder in row.split("|")}
    for row in reversed(CONTRACTS["importlinter:contract:layers"]["layers"].strip().splitlines())
]
LEVEL = {folder: level for level, row in enumerate(LAYERS) for folder in row}
SOURCES = [path for path in FILES if path.parts[:2] == ("plugins", "module_utils") and path.suffix == ".py"]


def imported_folders(text: str) -> set[str]:
    """The folders of module_utils that a file imports from."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(PREFIX):
            rest = (node.module or "").removeprefix(PREFIX.rstrip(".")).strip(".")
            found |= {rest.partition(".")[0]} if rest else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_file_imports_only_from_its_own_folder_and_those_below(path: Path) -> None:
    own = path.parts[2].removesuffix(".py")
    allowed = {own, *(folder for folder, level in LEVEL.items() if level < LEVEL[own])}
    assert imported_folders((ROOT / path).read_text()) <= allowed


def test_every_folder_has_its_place() -> None:
    assert {path.parts[2].removesuffix(".py") for path in SOURCES} == set(LEVEL)


def test_the_rule_finds_an_import_that_climbs() -> None:
    assert imported_folders(f"from {PREFIX}_entry.drive import x\nfrom {PREFIX.rstrip('.')} import _kinds") == {
        "_entry",
        "_kinds",
    }
