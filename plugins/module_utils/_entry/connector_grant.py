# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The grant of a host for a tunnel: given while one of its connectors is observed to keep the tunnel up.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import hashlib
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import (
    detached_restart,
    replicas,
    settings,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.kind import KIND
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import describe
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.whole_host import whole_host
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.grants import Answer, GrantStore

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

Doubts = t.Mapping[str, str]


def reserve_replica(module: AnsibleModule) -> None:
    """Run the module ``cloudflared_reservation`` with its options."""
    params = module.params
    try:
        store = replicas.store_of(params["tunnel"], params["scope"] == "user")
        if params["state"] == "absent":
            result = release(store, params["owner"], module.check_mode)
        else:
            result = request(store, params, find_doubts, module.check_mode, host_id())
    except LifecycleError as exc:
        module.fail_json(msg=exc.msg, **exc.details)
    module.exit_json(**result)


def host_id() -> str:
    """Tells this host from others until its next boot, and nothing else of it: its machine id is not to be shown.

    By both ids, as machines that were cloned may share the first, and containers of one machine the second.
    """
    # A host without systemd's id still has that of its boot.
    ids = [settings.read_file(path) or "" for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id")]
    return hashlib.sha256("\n".join(["chainops.lifecycle", *ids]).encode()).hexdigest()[:32]


def release(store: GrantStore, owner: str, check_mode: bool) -> dict[str, t.Any]:
    """Release the grant; returns the module's result. Raises LifecycleError."""
    mine = store.is_held_by(owner)
    if mine and not check_mode:
        store.release(owner)
    return {"changed": mine, "granted": False, "observed": False, "healthy": [], "reason": ""}


def request(
    store: GrantStore,
    params: t.Mapping[str, t.Any],
    doubts_of: t.Callable[[t.Mapping[str, t.Any]], Doubts],
    check_mode: bool,
    this_host: str = "",
) -> dict[str, t.Any]:
    """Request the grant; returns the module's result.

    The observation comes after the grant, so that nobody else can be granted this host between the two.
    ``doubts_of``: what speaks against each connector here that might stay; ``this_host``: see host_id. Raises
    LifecycleError.
    """
    own_host = this_host if params["own"] else params.get("own_host") or ""
    is_alias = not params["own"] and bool(own_host) and own_host == this_host
    return {**_request(store, params, doubts_of, check_mode, is_alias), "own_host": own_host}


def _request(
    store: GrantStore,
    params: t.Mapping[str, t.Any],
    doubts_of: t.Callable[[t.Mapping[str, t.Any]], Doubts],
    check_mode: bool,
    is_alias: bool,
) -> dict[str, t.Any]:
    """``is_alias``: this is the connector's own host, asked under another name."""
    owner, target = params["owner"], params["target"]
    before = store.held()
    asked = store.would_answer if check_mode else store.request
    answer = asked(owner, target)
    if answer.refused:
        return {**_result(False, answer, [], answer.refused), "observed": False}
    # Check mode leaves no grant by which the host would be known.
    repeated = is_alias or (before is not None and before == answer.grant)
    try:
        doubts = doubts_of(params)
    except LifecycleError:
        _give_back(store, owner, check_mode)
        raise
    healthy = [name for name, why in doubts.items() if not why]
    if not healthy and not params["own"]:
        if not is_alias:  # what was granted to the host by its own name stays
            _give_back(store, owner, check_mode)
        reasons = "; ".join(f"{name}: {why}" for name, why in doubts.items()) or "no connector is described"
        return _result(False, Answer(None, ""), [], f"no connector here keeps the tunnel up: {reasons}")
    return {**_result(answer.grant != before, answer, healthy, ""), "repeated": repeated}


def _give_back(store: GrantStore, owner: str, check_mode: bool) -> None:
    if not check_mode:
        store.release(owner)


def _result(changed: bool, answer: Answer, healthy: list[str], refused: str) -> dict[str, t.Any]:
    result: dict[str, t.Any] = {
        "changed": changed,
        "granted": not refused,
        "observed": True,
        "healthy": healthy,
        "reason": refused,
    }
    if answer.grant is not None:
        result["holder"] = answer.grant.as_dict()
    return result


def find_doubts(params: t.Mapping[str, t.Any]) -> Doubts:
    """Why each connector of this host cannot be relied on to keep the tunnel up. Raises LifecycleError."""
    given = [{**entry, "kind": KIND.name, "scope": params["scope"]} for entry in params["services"]]
    described = describe(given, {KIND.name: KIND})
    host = whole_host(params["scope"])
    watched = [
        host.watched({**one, "edge_lost": params["edge_lost"]}, KIND.make, f"services[{index}].")
        for index, one in enumerate(described)
    ]
    observed = host.observer.observe_settled(watched)
    return {
        one.name: replicas.doubt(observation, params["tunnel"], _worked_on(host, one.unit, params["owner"]))
        for one, observation in zip(watched, observed)
    }


def _worked_on(host: HostContext, unit: str, owner: str) -> str:
    """Who works on a unit: a run that has its lock, or the host by a restart that was left to it."""
    if not host.has_records():
        return ""
    unit = host.systemd.own_name(unit)
    lock = host.ledger.lock(unit, owner)
    holder = lock.acquire()
    lock.release()
    last = detached_restart.pending(unit, host.ledger, host.clock)
    return holder or ("the host itself" if last is not None and last.outcome == "open" else "")
