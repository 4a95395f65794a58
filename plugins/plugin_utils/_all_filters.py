# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads every filter of the collection, once for all tasks.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import importlib

from ansible.plugins.loader import filter_loader, test_loader

from ansible_collections.chainops.lifecycle.plugins import filter as ours


def load_filters() -> None:
    """Load them into this process; called as Ansible loads an action plugin, which it does in its main process.

    It compiles a collection's code each time it loads it, and runs each task of each host in a process forked from the
    main one. Without this, such a process loads all filters and tests with the first one that it needs: 0.5 s of CPU
    time for each host.
    """
    # With one of its own, Ansible loads all of them.
    filter_loader.get("bool")
    test_loader.get("failed")
    importlib.import_module(f"{ours.__name__}.filters")
