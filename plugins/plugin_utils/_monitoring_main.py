# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The beginning of the metrics program, in its archive: ``__main__``.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

Python compiles what it imports from an archive at every start. Here the code
objects are kept in one file in the cache folder (``$CACHE_DIRECTORY``, which
systemd makes for this unit alone), named for the archive and for the Python
that made it. Without the folder, or where the file is damaged, it compiles.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import marshal
import os
import sys
import types
import typing as t
import zipfile

ENTRY = "ansible_collections.chainops.lifecycle.plugins.module_utils._entry.exporter"
Codes = dict[str, tuple[bool, types.CodeType]]


class CodeFinder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports modules of the archive from their code objects."""

    def __init__(self, archive: str, codes: Codes) -> None:
        self._archive = archive
        self._codes = codes

    def find_spec(
        self, fullname: str, path: t.Any = None, target: t.Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._codes:
            return None
        return importlib.util.spec_from_loader(fullname, self, is_package=self.is_package(fullname))

    def is_package(self, fullname: str) -> bool:
        return self._codes[fullname][0]

    def get_code(self, fullname: str) -> types.CodeType:
        return self._codes[fullname][1]

    def get_source(self, fullname: str) -> str | None:
        """None: the code objects name the place of their lines in the archive."""
        return None


def compiled(archive: str) -> Codes:
    """The code objects of the archive, by the names of the modules: whether each is a package, and its code."""
    codes: Codes = {}
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            if name == "__main__.py":
                continue
            parts = name[: -len(".py")].split("/")
            package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if package else parts)
            codes[module] = (package, compile(opened.read(name), f"{archive}/{name}", "exec", dont_inherit=True))
    return codes


def load(archive: str, folder: str) -> Codes:
    """The code objects from the cache folder; where they are not there yet, compiled and put there."""
    found = os.stat(archive)
    key = f"{sys.implementation.cache_tag} {sys.version} {found.st_size} {found.st_mtime_ns} {found.st_ino}"
    path = os.path.join(folder, "code")
    try:
        with open(path, "rb") as stream:
            kept, codes = marshal.load(stream)
        if kept == key:
            return t.cast(Codes, codes)
    except (OSError, ValueError, EOFError, TypeError):
        pass  # there is none, or it was cut short: it is made anew
    codes = compiled(archive)
    fresh = f"{path}.{os.getpid()}"
    try:
        with open(fresh, "wb") as stream:
            marshal.dump((key, codes), stream)
        os.replace(fresh, path)
    except OSError as exc:
        sys.stderr.write(f"cache: {path}: {exc.strerror}; the next run compiles again\n")
    return codes


def main() -> int:
    archive = os.path.dirname(os.path.abspath(__file__))
    folder = os.environ.get("CACHE_DIRECTORY", "")
    if folder:
        sys.meta_path.insert(0, CodeFinder(archive, load(archive, folder)))
    module: t.Any = importlib.import_module(ENTRY)
    return int(module.main(sys.argv))


if __name__ == "__main__":
    sys.exit(main())
