# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory entry as the options of the module that drives its kind. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import difflib
import json
import re
import typing as t

from ansible.module_utils.common.parameters import remove_values

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.ansible_module import secrets
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.options import DRIVE_OPTIONS, WATCH_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import describe, entry_secrets
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import unit_name
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS

COLLECTION = "chainops.lifecycle"
ITSELF = "service_drive"
# Entries that were found valid, as JSON, with their scopes and units.
_UNITS: dict[str, tuple[str, str]] = {}
_MOST_UNITS = 4096
_SHARED = frozenset(("state", *WATCH_OPTIONS, *DRIVE_OPTIONS))


class EntryError(ValueError):
    """An inventory entry is invalid. Its message may quote values of the entry."""


def module_call(
    entry: t.Any, override: t.Mapping[str, t.Any], defaults: t.Mapping[str, t.Any]
) -> tuple[str, dict[str, t.Any]]:
    """The module that drives ``entry``, and its options.

    ``override`` goes before what the entry says, ``defaults`` behind it; both name options of the module.
    Raises EntryError naming the option of the entry that is wrong.
    """
    try:
        describe([entry], KINDS)
    except LifecycleError as exc:
        raise EntryError(exc.msg.replace("services[0]", "service")) from exc
    given: t.Mapping[str, t.Any] = {"name": entry} if isinstance(entry, str) else entry
    kind = given.get("kind") or "generic"
    own = {option: value for option, value in given.items() if option in _SHARED}
    options = {**defaults, **(given.get(kind) or {}), **own, **override}
    module = KINDS[kind].module
    return f"{COLLECTION}.{module}", {"service": _as_entry(kind, options)} if module == ITSELF else options


def driven_entry(entry: t.Any, override: t.Mapping[str, t.Any], defaults: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The entry that means the same as ``entry`` with ``override`` before it and ``defaults`` behind it.

    Raises EntryError naming the option of the entry that is wrong.
    """
    _module, options = module_call(entry, override, defaults)
    given: t.Mapping[str, t.Any] = entry if isinstance(entry, t.Mapping) else {}
    kind = given.get("kind") or "generic"
    found = _as_entry(kind, options) if KINDS[kind].module != ITSELF else dict(options["service"])
    if not found[kind]:
        del found[kind]  # a service of no kind has no options beyond those that all have
    return {**found, **({"depends_on": given["depends_on"]} if given.get("depends_on") else {})}


def _as_entry(kind: str, options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """An entry with these options, for the module that knows every kind."""
    own = {option: value for option, value in options.items() if option not in _SHARED}
    return {**{option: value for option, value in options.items() if option in _SHARED}, "kind": kind, kind: own}


def without_secrets(text: str, given: t.Any) -> str:
    """A message without the secrets of the inventory entries in ``given``."""
    return str(remove_values(text, set(filter(None, secrets(given, entry_secrets(KINDS))))))


def split_entries(described: t.Any) -> tuple[list[t.Any], list[tuple[str, str]]]:
    """The entries of a host that can be used, and the others with the reason: a wrong one costs itself only."""
    given = described if isinstance(described, (list, tuple)) else [described] if described else []
    usable: list[t.Any] = []
    refused: list[tuple[str, str]] = []
    taken: set[tuple[str, str]] = set()
    for number, entry in enumerate(given):
        name, problem = _problem(number, entry, taken)
        if problem:
            refused.append((name, problem))
        else:
            usable.append(entry)
    return usable, refused


def _plain(problem: str) -> str:
    """What Ansible says of an entry, with the nearest right name in place of all of them."""
    message = re.sub(r"^services\[0\][:.] ?", "", problem)
    wrong, _cut, known = message.partition(". Supported parameters include: ")
    if not known:
        return message
    where, _colon, names = wrong.rpartition(": ")
    near = difflib.get_close_matches(names.split(", ")[0], re.findall(r"\w+", known), 1)
    return f"{where + ': ' if where else ''}{names} is no option{f'; did you mean {near[0]}?' if near else ''}"


def _problem(number: int, entry: t.Any, taken: set[tuple[str, str]]) -> tuple[str, str]:
    """The name of an entry, and what is wrong with it."""
    name = str(entry.get("name") or f"entry {number}") if isinstance(entry, t.Mapping) else str(entry)
    try:
        key = _unit(entry)
    except LifecycleError as exc:
        shown = without_secrets(exc.msg, entry)
        return name, f"lifecycle_services[{number}]: {_plain(shown)}"
    if key in taken:
        return name, f"lifecycle_services[{number}].name: {name} is described twice; give each service once"
    taken.add(key)
    return name, ""


def _unit(entry: t.Any) -> tuple[str, str]:
    """The scope and the unit of an entry. Raises LifecycleError for one that is wrong.

    Most hosts of a fleet have the same entries, and Ansible takes a millisecond to validate one.
    """
    try:
        text = json.dumps(entry)
    except (TypeError, ValueError):
        return _validated_unit(entry)  # a date, say: the validation reports it
    if text not in _UNITS:
        if len(_UNITS) >= _MOST_UNITS:
            _UNITS.clear()
        _UNITS[text] = _validated_unit(entry)
    return _UNITS[text]


def _validated_unit(entry: t.Any) -> tuple[str, str]:
    (params,) = describe([entry], KINDS)
    return params["scope"], unit_name(params["name"])
