# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python imports this as it starts: spares the many runs of Ansible on the controller what each of them makes anew.

CHAINOPS_BYTECODE names the folder for the bytecode of modules that run here, and of the collection, which Ansible's
loader compiles itself. CHAINOPS_PAYLOADS names the one for the archives in which Ansible sends modules: to find out what
belongs to one, it parses about a hundred files, which is half of the CPU time of a short playbook. Ansible knows such an
archive by the name of its module alone, so that the folder holds for one state of the tree. For CHAINOPS_FORKS see
forked_ansible.py.
"""

from __future__ import annotations

import builtins
import os
import sys

import kept_bytecode  # type: ignore[import-not-found]  # in this folder, which is on the path then

TYPE_CHECKING = False
if TYPE_CHECKING:
    import typing as t

_COLLECTIONS = f"{os.sep}ansible_collections{os.sep}"


def _is_ansible() -> bool:
    return any(os.path.basename(word) in {"ansible", "ansible-playbook"} for word in sys.orig_argv[:3])


def _keep_bytecode(folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    kept_bytecode.install(folder)
    if not _is_ansible():
        return
    compile_it = builtins.compile
    compile_or_load = kept_bytecode.keep(lambda path, text: compile_it(text, path, "exec", dont_inherit=True), folder)

    def compile_collections(source: t.Any, filename: t.Any, mode: str, *rest: t.Any, **options: t.Any) -> t.Any:
        as_loader = mode == "exec" and not rest and options == {"flags": 0, "dont_inherit": True}
        if as_loader and isinstance(source, bytes) and isinstance(filename, str) and _COLLECTIONS in filename:
            return compile_or_load(filename, source)
        return compile_it(source, filename, mode, *rest, **options)

    builtins.compile = compile_collections


def _keep_payloads(folder: str) -> None:
    import tempfile

    folder = os.path.join(folder, os.path.basename(sys.prefix))  # each environment has an ansible-core of its own
    os.makedirs(folder, exist_ok=True)
    make_folder = tempfile.mkdtemp

    def with_payloads(*given: t.Any, **options: t.Any) -> str:
        made: str = make_folder(*given, **options)
        if os.path.basename(made).startswith("ansible-local-"):
            os.symlink(folder, os.path.join(made, "ansiballz_cache"))
        return made

    tempfile.mkdtemp = with_payloads  # type: ignore[assignment]


if os.environ.get("CHAINOPS_FORKS") and _is_ansible():
    import forked_ansible  # type: ignore[import-not-found]

    forked_ansible.run(os.environ["CHAINOPS_FORKS"])
if os.environ.get("CHAINOPS_BYTECODE"):
    _keep_bytecode(os.environ["CHAINOPS_BYTECODE"])
if os.environ.get("CHAINOPS_PAYLOADS") and _is_ansible():
    _keep_payloads(os.environ["CHAINOPS_PAYLOADS"])
