# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The description of services as the inventory has it (``lifecycle_services``), and the kinds that there are.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.options import (
    DRIVE_OPTIONS,
    WATCH_OPTIONS,
    Spec,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import secret_options
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import ServiceKind


def entry_options(kinds: t.Mapping[str, ServiceKind]) -> Spec:
    """The options of an inventory entry, those of each kind nested under its name."""
    return {
        **WATCH_OPTIONS,
        **DRIVE_OPTIONS,
        "kind": {"type": "str", "choices": list(kinds), "default": "generic"},
        "state": {"type": "str", "default": "running"},
        "known_good": {"type": "dict", "default": {}},
        "depends_on": {"type": "list", "elements": "str", "default": []},
        "drill": {"type": "bool", "default": False},
        **{kind: {"type": "dict", "default": {}} for kind in kinds if kind != "generic"},
    }


def entry_secrets(kinds: t.Mapping[str, ServiceKind]) -> frozenset[str]:
    """The options of an inventory entry that must not be shown, however deep they are nested."""
    return secret_options(entry_options(kinds)).union(*(secret_options(kind.options) for kind in kinds.values()))


def describe(given: t.Sequence[t.Any], kinds: t.Mapping[str, ServiceKind]) -> list[dict[str, t.Any]]:
    """The services that a list of names or descriptions means: the options of each, with those of its kind.

    ``kinds`` are those that there may be.

    Raises LifecycleError naming the entry and the option.
    """
    spec = entry_options(kinds)
    found = [_one(f"services[{index}]", entry, spec, kinds) for index, entry in enumerate(given)]
    names = [(service["scope"], service["name"]) for service in found]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise LifecycleError(f"services[{index}].name: {name[1]} is described twice; give each service once")
    return found


def _one(where: str, entry: t.Any, spec: Spec, kinds: t.Mapping[str, ServiceKind]) -> dict[str, t.Any]:
    given = {"name": entry} if isinstance(entry, str) else entry
    if not isinstance(given, dict):
        raise LifecycleError(f"{where}: {type(entry).__name__} found; give a name or a dictionary with name, kind, ...")
    params = _validated(where, spec, given)
    kind = params["kind"]
    for other in kinds:
        if other not in ("generic", kind) and params[other]:
            raise LifecycleError(
                f"{where}.{other}: given for a service of kind {kind}; set kind: {other} or leave it out"
            )
    targets = kinds[kind].machine.targets
    if params["state"] not in targets:
        raise LifecycleError(
            f"{where}.state: {params['state']} is none of kind {kind}; give one of {', '.join(sorted(targets))}"
        )
    own = kinds[kind].options
    if own:
        nested = _validated(f"{where}.{kind}", own, params[kind])
        params.update({name: value for name, value in nested.items() if name not in params})
    return params


def _plain(value: t.Any) -> t.Any:
    """A copy of plain dictionaries and lists.

    The validator copies deeply, and those that ansible-core 2.19 and newer templates lazily would copy its plugin
    loaders with them: slow, and with warnings.
    """
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _validated(where: str, spec: Spec, given: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    # Only what reads descriptions needs Ansible: the rest also runs in programs of its own on a host.
    from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

    # The validator fills in the suboptions of a default itself: each call gets a copy.
    defaults = {name: rule["default"] for name, rule in spec.items() if name not in given and "default" in rule}
    fresh = {name: default.copy() for name, default in defaults.items() if isinstance(default, (dict, list))}
    result = ArgumentSpecValidator(spec).validate({**fresh, **_plain(given)})
    if result.error_messages:
        raise LifecycleError(f"{where}: {'; '.join(result.error_messages)}")
    return dict(result.validated_parameters)
