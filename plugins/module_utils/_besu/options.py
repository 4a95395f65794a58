# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a Besu, and what each may be.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError

Spec = dict[str, dict[str, t.Any]]

# How an endpoint is reached.
ACCESS_OPTIONS: Spec = {
    "rpc_username": {"type": "str"},
    "rpc_password": {"type": "str", "no_log": True},
    "rpc_token": {"type": "str", "no_log": True},
    "rpc_timeout": {"type": "float", "default": 5.0},
    "rpc_connect_timeout": {"type": "float", "default": 2.0},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "fingerprint_sha256": {"type": "str"},
    "server_hostname": {"type": "str"},
}
# When a node counts as level, and when as in trouble.
JUDGE_OPTIONS: Spec = {
    "lag_blocks": {"type": "int", "default": 2},
    "min_peers": {"type": "int", "default": 1},
    "block_period": {"type": "float"},
    "empty_block_period": {"type": "float"},
    "request_timeout": {"type": "float"},
    "max_head_age": {"type": "float"},
    "single_node": {"type": "bool", "default": False},
    "chain_id": {"type": "int"},
    "genesis_hash": {"type": "str"},
}
# What belongs to one node on its own host.
NODE_OPTIONS: Spec = {
    "rpc_url": {"type": "str", "default": "http://127.0.0.1:8545"},
    "metrics_url": {"type": "str", "default": "http://127.0.0.1:9545/metrics"},
    "p2p_port": {"type": "int", "default": 30303},
    "reference_urls": {"type": "list", "elements": "str", "default": []},
    "validator": {"type": "bool"},
    "address": {"type": "str"},
    "stall_timeout": {"type": "float", "default": 60.0},
    "peers_timeout": {"type": "float", "default": 20.0},
    "hang_timeout": {"type": "float", "default": 20.0},
    "quorum_guard": {"type": "str", "choices": ["enforce", "off"], "default": "enforce"},
    "quorum_lost": {"type": "str", "choices": ["refuse", "restart_all"], "default": "refuse"},
    "reservation": {"type": "str"},
    **ACCESS_OPTIONS,
    **JUDGE_OPTIONS,
}

_ABOVE_ZERO = ("rpc_timeout", "rpc_connect_timeout", "block_period", "request_timeout", "max_head_age")
_NOT_NEGATIVE = ("lag_blocks", "min_peers", "empty_block_period", "stall_timeout", "peers_timeout", "hang_timeout")
_LONGEST = 3600.0  # seconds that one answer may take: the system's timers have an end


def check_options(params: t.Mapping[str, t.Any]) -> None:
    """Refuse invalid values. Raises LifecycleError naming the option."""
    _check_numbers(params)
    for option, digits in (("address", 40), ("genesis_hash", 64)):
        value = params.get(option)
        if value and not (value.startswith("0x") and len(value) == digits + 2 and _is_hex(value[2:])):
            raise LifecycleError(f"{option}: {value!r} is not 0x and {digits} hexadecimal digits")
    if params.get("rpc_username") and params.get("rpc_token"):
        raise LifecycleError("rpc_username, rpc_token: give one of the two, a log-in or a token")
    if params.get("rpc_password") and not params.get("rpc_username"):
        raise LifecycleError("rpc_password: given without rpc_username")


def _check_numbers(params: t.Mapping[str, t.Any]) -> None:
    given = {option: params[option] for option in (*_ABOVE_ZERO, *_NOT_NEGATIVE) if params.get(option) is not None}
    for option, value in given.items():
        if option in _ABOVE_ZERO and not value > 0:
            raise LifecycleError(f"{option}: {value} is not above 0")
        if option in _NOT_NEGATIVE and not value >= 0:
            raise LifecycleError(f"{option}: {value} is negative; give 0 or more")
        if option in ("rpc_timeout", "rpc_connect_timeout") and value > _LONGEST:
            raise LifecycleError(f"{option}: {value} is too long; give {_LONGEST:.0f} seconds at most")


def _is_hex(text: str) -> bool:
    return all(char in "0123456789abcdefABCDEF" for char in text)
