# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of ``besu_network_info`` to its result.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import access
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import network_info as network
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.options import ACCESS_OPTIONS, check_options
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import HttpClient
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError, SystemClock

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_MAX_ENDPOINTS = 10000
# One connection each, and what a Python process needs itself.
_SPARE_FILES = 64


def run_info(module: AnsibleModule) -> None:
    """Run the module with its options, and return what was observed."""
    try:
        endpoints = describe(module.params)
        check_options(module.params)
        if not module.params["interval"] >= 0:
            raise LifecycleError(f"interval: {module.params['interval']} is negative; give seconds, such as 2")
        allow_files(len(endpoints))
        options = access.verdict_options(module.params)
        observed = network.survey(endpoints, options, SystemClock(), module.params["interval"])
    except LifecycleError as exc:
        module.fail_json(msg=exc.msg, **exc.details)
    module.exit_json(changed=False, **observed)


def describe(params: t.Mapping[str, t.Any]) -> list[network.Endpoint]:
    """The endpoints that a list of URLs or descriptions means. Raises LifecycleError naming the entry."""
    given = params["endpoints"]
    if len(given) > _MAX_ENDPOINTS:
        raise LifecycleError(f"endpoints: {len(given)} found; give at most {_MAX_ENDPOINTS} in one task")
    http = HttpClient()
    return [_endpoint(http, f"endpoints[{index}]", entry, params) for index, entry in enumerate(given)]


def _endpoint(http: HttpClient, where: str, entry: t.Any, params: t.Mapping[str, t.Any]) -> network.Endpoint:
    if isinstance(entry, str):
        entry = {"url": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
        raise LifecycleError(f"{where}: give a URL, or a dictionary with url and name")
    unknown = sorted(set(entry) - {"url", "name", *ACCESS_OPTIONS})
    if unknown:
        known = ", ".join(["url", "name", *ACCESS_OPTIONS])
        raise LifecycleError(f"{where}: unknown keys {', '.join(map(str, unknown))}; known are {known}")
    own = _own_options(where, entry)
    merged = {**params, **own}
    check_options(merged)
    one = access.client(http, entry["url"], merged, f"{where}.url")
    return network.Endpoint(str(entry.get("name") or one.url.safe), one)


def _own_options(where: str, entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The access options of one entry, of the types that the module's own have."""
    from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

    given = {name: value for name, value in entry.items() if name in ACCESS_OPTIONS}
    spec = {name: ACCESS_OPTIONS[name] for name in given}
    result = ArgumentSpecValidator(spec).validate(given)
    if result.error_messages:
        raise LifecycleError(f"{where}: {'; '.join(result.error_messages)}")
    return dict(result.validated_parameters)


def allow_files(connections: int) -> None:
    """Raise this process's soft limit of open files for so many connections at once, as far as it may."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        top = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(top, soft), hard))
