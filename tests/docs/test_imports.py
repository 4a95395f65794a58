# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The import rule of plugins/module_utils: a folder imports from folders below it, and siblings stay apart."""

from __future__ import annotations

import ast
import configparser
import functools
from pathlib import Path

import pytest

from .common import FILES, ROOT

COLLECTION = "ansible_collections.chainops.lifecycle"
PLUGINS = f"{COLLECTION}.plugins."
PREFIX = f"{PLUGINS}module_utils."
# Files in the longest chain of imports. It may become smaller.
LONGEST = 16
# As import-linter reads them: from the top down; the folders of one row never import each other.
CONTRACTS = configparser.ConfigParser()
CONTRACTS.read(ROOT / ".importlinter")
LAYERS = [
    {folder.strip() for folder in row.split("|")}
    for row in reversed(CONTRACTS["importlinter:contract:layers"]["layers"].strip().splitlines())
]
LEVEL = {folder: level for level, row in enumerate(LAYERS) for folder in row}
SOURCES = [path for path in FILES if path.parts[:2] == ("plugins", "module_utils") and path.suffix == ".py"]

MODULES = {
    f"{COLLECTION}.{'.'.join(path.with_suffix('').parts)}": path
    for path in FILES
    if path.parts[0] == "plugins" and path.suffix == ".py"
}


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


def imported_modules(path: Path) -> set[str]:
    """The files of plugins/ that a file imports from, by their dotted names."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PLUGINS):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module or "" for name in names}
    return {name for name in found if MODULES.get(name, path) != path}


def longest_chain(imports: dict[str, set[str]]) -> list[str]:
    """The longest way from one that nobody imports down to one that imports nothing."""

    @functools.cache
    def below(name: str) -> list[str]:
        return [name, *max((below(one) for one in imports[name]), key=len, default=[])]

    return max(map(below, imports), key=len)


def test_no_chain_of_imports_gets_longer() -> None:
    """What a reader opens one after the other, from a plugin down to what imports nothing of the collection."""
    chain = longest_chain({name: imported_modules(path) for name, path in MODULES.items()})
    assert len(chain) <= LONGEST, "\n".join(chain)


def test_a_chain_is_followed_to_its_end() -> None:
    assert longest_chain({"a": {"b", "d"}, "b": {"c"}, "c": {"d"}, "d": set(), "e": {"c"}}) == ["a", "b", "c", "d"]
