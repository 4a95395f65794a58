# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server of forked_ansible.py: imports Ansible once."""

from __future__ import annotations

import atexit
import functools
import importlib
import inspect
import os
import pkgutil
import runpy
import sys
import types
import typing as t

import fork_server  # type: ignore[import-not-found]  # in this folder, which is on the path

IDLE = 600  # seconds without a run after which a server ends, whoever forgot it


def _import_ansible() -> None:
    """Import Ansible with what it comes with, and read what that declares."""
    for name in ("cli.playbook", "cli.adhoc", "plugins.connection.local", "plugins.connection.ssh"):
        importlib.import_module(f"ansible.{name}")
    from ansible.plugins import loader
    from ansible.utils.collection_loader import _collection_finder as finder

    finder._meta_yml_to_dict = functools.cache(finder._meta_yml_to_dict)  # type: ignore[attr-defined]
    loader.init_plugin_loader()
    for kind in ("action", "become", "cache", "callback", "inventory", "shell", "strategy"):
        plugins = getattr(loader, f"{kind}_loader")
        list(plugins.all(class_only=True))
        plugins._paths = None  # each run finds more
    for kind in ("filter", "test"):
        for module in pkgutil.iter_modules(importlib.import_module(f"ansible.plugins.{kind}").__path__):
            importlib.import_module(f"ansible.plugins.{kind}.{module.name}")
    _make_ready()
    # Each run has collections of its own.
    finder._AnsibleCollectionFinder._remove()
    for name in [name for name in sys.modules if name.partition(".")[0] == "ansible_collections"]:
        del sys.modules[name]


def _make_ready() -> None:
    """Make once what each worker would make for its task."""
    import kept_templates  # type: ignore[import-not-found]  # which imports Ansible
    from ansible._internal._task import UnifiedTaskResult
    from ansible.module_utils._internal import _stack

    stack: t.Any = _stack
    kept_templates.install(os.environ["CHAINOPS_BYTECODE"])
    for source_is_module in (False, True):
        UnifiedTaskResult.get_result_key_to_resolved_field_mapping(source_is_module)
    # Ansible looks for its caller in the stack for each task that it skips, and never at the lines of source in it.
    stack._inspect = types.SimpleNamespace(stack=_stack_without_source, FrameInfo=inspect.FrameInfo)


def _stack_without_source() -> t.Iterator[inspect.FrameInfo]:
    """What inspect.stack returns, without what it reads from files and looks for in all modules."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame:
        yield inspect.FrameInfo(frame, frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name, None, None)
        frame = frame.f_back


def _become(argv: list[str]) -> None:
    """Make this fork what a Python would be that has been started for the run and has imported Ansible."""
    sys.argv, sys.path[0] = argv, os.path.dirname(argv[0])

    from ansible import constants
    from ansible.config import manager

    config = constants.config
    config._config_file = manager.find_ini_config_file()
    config._parsers.clear()
    config._get_ini_config_value.cache_clear()  # type: ignore[attr-defined]
    if config._config_file:
        config._parse_config_file()
    atexit.unregister(manager.cleanup_tmp_file)  # type: ignore[attr-defined]  # the folder of the server
    for name in ("CONFIG_FILE", "COLLECTIONS_PATHS", "DEFAULT_LOCAL_TMP"):
        constants.set_constant(name, config.get_config_value(name, variables=vars(constants)))


def _serve(path: str) -> list[str]:
    used = f"{path}{fork_server.USED}"
    return fork_server.serve(path, IDLE, lambda: fork_server.account(used)).argv  # type: ignore[no-any-return]


if __name__ == "__main__":
    _import_ansible()
    _become(_serve(sys.argv[2]))
    runpy.run_path(sys.argv[0], run_name="__main__")
