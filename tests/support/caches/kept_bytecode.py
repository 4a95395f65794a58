# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the bytecode of what Python compiles from anything but a file of its own, from one process to the next.

Python writes ``__pycache__`` for files, never for archives, and Ansible sends each module as an archive of source:
without this, four fifths of the CPU time of a short module go into compiling the same ``basic.py`` again.
The laboratory installs it on its hosts, ``sitecustomize.py`` on the controller.
"""

from __future__ import annotations

import _imp
import marshal
import os
import sys
import zipimport

TYPE_CHECKING = False  # each Python on the host would pay for the module that has it
if TYPE_CHECKING:
    import types
    import typing as t


def install(folder: str) -> None:
    """Keep what is imported from archives."""
    zipimport._compile_source = keep(zipimport._compile_source, folder)  # type: ignore[attr-defined]


def keep(compile_source: t.Callable[..., types.CodeType], folder: str) -> t.Callable[..., types.CodeType]:
    """The function ``compile_source``, which takes a path and its source, with a cache in ``folder``."""
    # Importing importlib.util for it would take longer than all the rest.
    magic: bytes = sys.modules["_frozen_importlib_external"].MAGIC_NUMBER
    version = f"{int.from_bytes(magic, 'little')}-{sys.flags.optimize}"

    def compile_or_load(path: str, source: bytes, *rest: t.Any) -> types.CodeType:
        name = os.path.basename(path).partition(".")[0]
        digest = _imp.source_hash(len(source), source).hex()
        kept = os.path.join(folder, f"{name}-{digest}-{len(source)}-{version}.pyc")
        code: types.CodeType | None = None
        is_missing = False
        try:
            with open(kept, "rb") as stream:
                code = marshal.loads(stream.read())
        except OSError as exc:  # else: a host whose files cannot be read now
            is_missing = isinstance(exc, FileNotFoundError)
        if code is not None:
            _imp._fix_co_filename(code, path)  # type: ignore[attr-defined]  # the archive has another name in each run
            return code
        code = compile_source(
            path, source, *rest
        )  # not in the handler, whose error would be shown as the cause of its own
        if is_missing:
            _write(kept, code)
        return code

    return compile_or_load


def _write(path: str, code: types.CodeType) -> None:
    aside = f"{path}.{os.getpid()}.{os.uname().nodename}"
    try:
        with open(aside, "wb") as stream:
            stream.write(marshal.dumps(code))
        os.replace(aside, path)
    except OSError:  # a unit whose sandbox leaves nothing to write, or a disk that a test has filled
        return
