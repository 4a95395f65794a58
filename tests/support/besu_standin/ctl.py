# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command the faults of a node: ``ctl [--file FILE] show|clear|set NAME=VALUE...``; values are JSON or words."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from .faults import DEFAULT_FILE, write

_USAGE = "usage: ctl [--file FILE] show | clear | set NAME=VALUE ... | unset NAME ...\n"


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def main(arguments: list[str]) -> int:
    """The exit code: 2 for a command that is none."""
    path = Path(os.environ.get("BESU_STANDIN_FAULTS", DEFAULT_FILE))
    if arguments[:1] == ["--file"]:
        path, arguments = Path(arguments[1]), arguments[2:]
    command, rest = arguments[:1], arguments[1:]
    current = json.loads(path.read_text(encoding="utf-8") or "{}") if path.exists() else {}
    if command == ["set"] and rest:
        current.update({name: _value(value) for name, _equals, value in (part.partition("=") for part in rest)})
    elif command == ["unset"] and rest:
        current = {name: value for name, value in current.items() if name not in rest}
    elif command == ["clear"]:
        current = {}
    elif command != ["show"]:
        sys.stderr.write(_USAGE)
        return 2
    try:
        if command != ["show"]:
            write(path, current)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(current) + "\n")
    return 0
