# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The argument specification of the ``probes`` option. Data only: every module that drives a service loads it.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

METHODS = ("GET", "HEAD", "POST")

COMMON: dict[str, dict[str, t.Any]] = {
    "kind": {"type": "str", "choices": ["http", "tcp", "command"], "required": True},
    "name": {"type": "str"},
    "timeout": {"type": "float", "default": 5.0},
    "interval": {"type": "float", "default": 1.0},
    "failure_threshold": {"type": "int", "default": 3},
    "success_threshold": {"type": "int", "default": 1},
    "start_grace": {"type": "float", "default": 30.0},
}
# No defaults here: an option that is set is then known to be the user's, and of the right kind of probe.
OF_KIND: dict[str, dict[str, dict[str, t.Any]]] = {
    "http": {
        "url": {"type": "str"},
        "method": {"type": "str", "choices": list(METHODS)},
        "headers": {"type": "dict", "no_log": True},
        "body": {"type": "str"},
        "status": {"type": "list", "elements": "int"},
        "body_regex": {"type": "str"},
        "json_path": {"type": "str"},
        "json_value": {"type": "raw"},
        "validate_certs": {"type": "bool"},
        "ca_path": {"type": "path"},
        "client_cert": {"type": "path"},
        "client_key": {"type": "path", "no_log": False},
        "fingerprint_sha256": {"type": "str"},
        "server_hostname": {"type": "str"},
    },
    "tcp": {
        "host": {"type": "str"},
        "port": {"type": "int"},
    },
    "command": {
        "argv": {"type": "list", "elements": "str"},
        "rc": {"type": "list", "elements": "int"},
        "output_regex": {"type": "str"},
    },
}
REQUIRED = {"http": "url", "tcp": "port", "command": "argv"}
REQUIRED_BY = {"json_value": "json_path", "client_key": "client_cert"}
ALL_OPTIONS = {**COMMON, **OF_KIND["http"], **OF_KIND["tcp"], **OF_KIND["command"]}

# What an argument_spec takes as its "probes".
PROBE_OPTIONS: dict[str, t.Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": ALL_OPTIONS,
    "required_if": [("kind", kind, [option]) for kind, option in REQUIRED.items()],
    "required_by": dict(REQUIRED_BY),
    "mutually_exclusive": [("url", "port", "argv")],
}
