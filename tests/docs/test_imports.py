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
# Files in the longest chain of imports, and in that of those at the top of a file. They may become smaller.
LONGEST, LONGEST_AT_THE_TOP = 13, 11
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
    f"{COLLECTION}.{'.'.join(path.with_suffix('').parts)}".removesuffix(".__init__"): path
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


def imports_of(text: str, *, top: bool = False, types: bool = False) -> set[str]:
    """The files of plugins/ that a file imports from, by their dotted names.

    ``top``: not those in functions. ``types``: those for type hints, too, which no run follows.
    """
    found = set()
    waiting: list[ast.AST] = [ast.parse(text)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PLUGINS):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module or "" for name in names}
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "t.TYPE_CHECKING" and not types:
            waiting += node.orelse
        elif not (isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and top):
            waiting += ast.iter_child_nodes(node)
    return found & set(MODULES)


def imports_of_all(*, top: bool = False, types: bool = False) -> dict[str, set[str]]:
    """What each file imports, as ``imports_of`` has it."""
    return {
        name: imports_of((ROOT / path).read_text(), top=top, types=types) - {name} for name, path in MODULES.items()
    }


def longest_chain(imports: dict[str, set[str]]) -> list[str]:
    """The longest way from one that nobody imports down to one that imports nothing."""

    @functools.cache
    def below(name: str) -> list[str]:
        return [name, *max((below(one) for one in imports[name]), key=len, default=[])]

    return max(map(below, imports), key=len)


@pytest.mark.parametrize(("top", "longest"), [(False, LONGEST), (True, LONGEST_AT_THE_TOP)])
def test_no_chain_of_imports_gets_longer(top: bool, longest: int) -> None:
    """What a reader opens one after the other, from a plugin down to what imports nothing of the collection."""
    chain = longest_chain(imports_of_all(top=top))
    assert len(chain) <= longest, "\n".join(chain)


def test_a_chain_is_followed_to_its_end() -> None:
    assert longest_chain({"a": {"b", "d"}, "b": {"c"}, "c": {"d"}, "d": set(), "e": {"c"}}) == ["a", "b", "c", "d"]


def test_which_imports_are_followed() -> None:
    redact, runtime, journal = (f"{PREFIX}_host.{name}" for name in ("redact", "runtime", "journal"))
    text = (
        f"from {redact} import sanitize\n"
        f"def f():\n from {PREFIX}_host import runtime\n"
        f"if t.TYPE_CHECKING:\n from {journal} import Entry\n"
    )
    assert imports_of(text) == {redact, runtime}
    assert imports_of(text, top=True) == {redact}
    assert imports_of(text, types=True) == {redact, runtime, journal}


def shipped(module: str) -> set[str]:
    """The folders of module_utils of which Ansible sends a part with a module: it follows every import."""
    imports = imports_of_all(types=True)
    found: set[str] = set()
    waiting = [f"{PLUGINS}modules.{module}"]
    while waiting:
        new = imports[waiting.pop()] - found
        found |= new
        waiting += new
    return {name.removeprefix(PREFIX).partition(".")[0] for name in found}


@pytest.mark.parametrize(
    ("module", "other"),
    [
        ("besu_network_info", "_cloudflared"),
        ("besu_reservation", "_cloudflared"),
        ("cloudflare_tunnel_connector", "_besu"),
        ("cloudflare_tunnel_info", "_besu"),
        ("cloudflared_reservation", "_besu"),
    ],
)
def test_what_concerns_one_kind_is_sent_without_the_other(module: str, other: str) -> None:
    """To pack each file takes time, for each host."""
    assert "_entry" in shipped(module) and other not in shipped(module)
