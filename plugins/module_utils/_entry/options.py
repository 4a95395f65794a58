# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that several modules share.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Limits
from ansible_collections.chainops.lifecycle.plugins.module_utils._probes.options import PROBE_OPTIONS

Spec = dict[str, dict[str, t.Any]]

# How a service is found and observed.
WATCH_OPTIONS: Spec = {
    "name": {"type": "str", "required": True},
    "scope": {"type": "str", "choices": ["system", "user"], "default": "system"},
    "probes": PROBE_OPTIONS,
    "has_process": {"type": "bool", "default": True},
    "start_timeout": {"type": "float", "default": 600.0},
    "stop_timeout": {"type": "float", "default": 120.0},
    "thrash_restarts": {"type": "int", "default": 5},
    "thrash_window": {"type": "float", "default": 600.0},
    # Those of the table in _monitoring/alerts.py, which only a module that observes needs on a host.
    "alert_after": {
        "type": "dict",
        "default": {},
        "options": {name: {"type": "float"} for name in ("error", "unknown", "left_out", "disconnected", "degraded")},
    },
}

# How it is driven.
DRIVE_OPTIONS: Spec = {
    "recovery": {"type": "str", "choices": ["never", "restart", "reset_start"], "default": "restart"},
    "force_stop": {"type": "bool", "default": False},
    "stop_conflicting": {"type": "bool", "default": False},
    "daemon_reload": {"type": "bool", "default": False},
    "wait_timeout": {"type": "float", "default": 120.0},
    "wait_interval": {"type": "float", "default": 1.0},
    "stable_for": {"type": "float"},
    "max_attempts": {"type": "int", "default": 3},
    "attempt_window": {"type": "float", "default": 3600.0},
    "attempt_backoff": {"type": "float", "default": 10.0},
    "reset_attempts_after": {"type": "float", "default": 600.0},
    "expected_state": {"type": "list", "elements": "str", "default": []},
    "expected_invocation": {"type": "str"},
    "config_check": {"type": "list", "elements": "str", "default": []},
    "accept_causes": {"type": "list", "elements": "str", "default": []},
    "disk_paths": {"type": "list", "elements": "path", "default": []},
    "min_free_mb": {"type": "int", "default": 10},
    "diagnose": {"type": "bool", "default": False},
    "neighbours": {"type": "list", "elements": "raw", "default": []},
    "owner": {"type": "str"},
}

# As users of ansible.builtin.systemd_service write them; a description in the inventory has none of these.
AS_SYSTEMD_SERVICE: Spec = {"enabled": {"type": "bool"}}
# Its word for running.
STARTED = "started"

_NOT_NEGATIVE = (
    "start_timeout",
    "stop_timeout",
    "thrash_window",
    "wait_timeout",
    "stable_for",
    "attempt_window",
    "attempt_backoff",
    "reset_attempts_after",
    "min_free_mb",
)
_AT_LEAST_ONE = ("thrash_restarts", "max_attempts")


def check_numbers(params: t.Mapping[str, t.Any], where: str = "") -> None:
    """Refuse invalid numbers. Raises LifecycleError naming the option."""
    for option in _NOT_NEGATIVE:
        value = params.get(option)
        if value is not None and not value >= 0:
            raise LifecycleError(f"{where}{option}: {value} is negative; give 0 or more")
    for option, value in (params.get("alert_after") or {}).items():
        if value is not None and not value > 0:
            raise LifecycleError(f"{where}alert_after.{option}: {value} is not above 0; give seconds, such as 300")
    for option in _AT_LEAST_ONE:
        value = params.get(option)
        if value is not None and value < 1:
            raise LifecycleError(f"{where}{option}: {value} is less than 1; give 1 or more")
    for option in ("wait_interval", "progress_interval"):
        interval = params.get(option)
        if interval is not None and not interval > 0:
            raise LifecycleError(f"{where}{option}: {interval} is not above 0; give seconds, such as 1")


def limits(params: t.Mapping[str, t.Any]) -> Limits:
    """The limits that the watch options set."""
    return Limits(
        start=params["start_timeout"],
        stop=params["stop_timeout"],
        thrash_restarts=params["thrash_restarts"],
        thrash_window=params["thrash_window"],
    )
