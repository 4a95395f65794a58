# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the unit tests that depend on the version of ansible-core: those whose imports, or theirs in turn, reach it.

The others run the same code on every version, so that one run of them is enough.
"""

from __future__ import annotations

import ast
from pathlib import Path

from tools.tree import ROOT

COLLECTION = "ansible_collections.chainops.lifecycle."


def imported(text: str, package: tuple[str, ...] = ()) -> set[str]:
    """The modules, and names that can be modules, that a file of the collection's ``package`` imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] if node.level else ()
            above = [COLLECTION + ".".join(parts)] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def reached(path: Path, root: Path = ROOT) -> set[str]:
    """Every module that the file imports, directly or through files of the collection."""
    found: set[str] = set()
    files, seen = [path], {path}
    while files:
        file = files.pop()
        names = imported(file.read_text(), file.relative_to(root).parts[:-1])
        found |= names
        for name in names:
            if name.startswith(COLLECTION):
                other = root / (name.removeprefix(COLLECTION).replace(".", "/") + ".py")
                if other.is_file() and other not in seen:
                    seen.add(other)
                    files.append(other)
    return found


def needs_ansible(path: Path, root: Path = ROOT) -> bool:
    return any(name == "ansible" or name.startswith("ansible.") for name in reached(path, root))


def found() -> list[str]:
    tests = sorted((ROOT / "tests/unit").rglob("test_*.py"))
    return [str(path.relative_to(ROOT)) for path in tests if needs_ansible(path)]
