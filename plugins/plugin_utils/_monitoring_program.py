# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics program as one file for a host, made of the collection's own code.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

The same code gives the same bytes: an upgrade is a change of the file, and a
second run of the role changes nothing. Python reads an archive without storing
what it compiled, and to compile it all takes several times as long as a run:
so the program keeps the code objects in its cache folder.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import typing as t
import zipfile
from pathlib import Path

PREFIX = "ansible_collections.chainops.lifecycle.plugins.module_utils"
ENTRY = f"{PREFIX}._entry.exporter"
ROOT = Path(__file__).resolve().parent.parent / "module_utils"
# The earliest that an archive can name.
_THEN = (1980, 1, 1, 0, 0, 0)
_MAIN = "__main__.py"
_LOADER = Path(__file__).resolve().parent / "_monitoring_main.py"


class Program(t.NamedTuple):
    """The bytes of the archive, and ``build``, which names them."""

    content: bytes
    build: str


@functools.lru_cache(maxsize=1)
def build_program() -> Program:
    """The program. It imports the standard library only."""
    sources = _sources()
    build = hashlib.sha256(b"".join(name.encode() + b"\0" + text for name, text in sorted(sources.items())))
    return Program(_archive(sources), build.hexdigest()[:16])


def _sources() -> dict[str, bytes]:
    """What the program imports, directly or not, by its name in the archive."""
    found: dict[str, bytes] = {_MAIN: _LOADER.read_bytes()}
    waiting = [ENTRY]
    visited = set(waiting)
    while waiting:
        name = waiting.pop()
        path = _path_of(name)
        if path is None:
            continue  # a name within a module
        text = path.read_bytes()
        found[f"{PREFIX.replace('.', '/')}/{path.relative_to(ROOT).as_posix()}"] = text
        new = {one for one in (*_imported(text), *_packages(name)) if one.startswith(f"{PREFIX}.")} - visited
        visited |= new
        waiting += sorted(new)
    parts = PREFIX.split(".")
    return {**found, **{"/".join([*parts[: i + 1], "__init__.py"]): b"" for i in range(len(parts))}}


def _path_of(name: str) -> Path | None:
    relative = name.removeprefix(f"{PREFIX}.").replace(".", "/")
    return next((path for path in (ROOT / f"{relative}.py", ROOT / relative / "__init__.py") if path.is_file()), None)


def _packages(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(len(PREFIX.split(".")) + 1, len(parts))]


def _imported(text: bytes) -> t.Iterator[str]:
    """Every module that may be meant by an import anywhere in the text."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _archive(sources: t.Mapping[str, bytes]) -> bytes:
    """Not compressed: the bytes would follow from the version of zlib, too, and reading them takes longer."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(sources):
            entry = zipfile.ZipInfo(name, _THEN)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, sources[name])
    return stream.getvalue()
