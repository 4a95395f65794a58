# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module calls of the role service_recovery for one service, and the result it keeps. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from urllib.parse import urlsplit

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.state_machine import UNKNOWN
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._besu_networks import find_network
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._playbook_vars import listed
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._restart_all_stage import has_run
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    ObservationView,
    as_mapping,
    as_mappings,
    as_number,
    as_text,
    as_texts,
    with_answers,
)
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._service_entry import split_entries

# What a restored file of the configuration can have caused.
CONFIG_CAUSES = ("config_parse_error", "file_missing", "bad_option", "permission_denied", "environment_file_missing")
# What a dependency that is down can have caused.
DEPENDENCY_CAUSES = ("dependency_failed", "peer_refused")

_FILE = "__service_recovery_file"
_DEPENDENCY = "__service_recovery_dependency"
_RPC_URL = "http://127.0.0.1:8545"
# What a node can show while all the others are restarted.
_OF_A_RESTART = ("no_peers", "stuck_sync")
# A person asked for the restart of all: a run of it that failed does not use up the attempts of the next.
_WITHOUT_BUDGET = {"max_attempts": 1000, "attempt_backoff": 0}


def fixes(service: t.Mapping[str, t.Any], allowed: t.Sequence[str], hooks: t.Iterable[str]) -> dict[str, t.Any]:
    """Which fixes the causes of a service call for, of those that are allowed."""
    causes = as_texts(service.get("causes"))
    down = as_mapping(service.get("observation")).get("state") == "stopped"
    depends, files = service.get("depends_on") or [], service.get("known_good") or {}
    wants = {
        "start_dependency": bool(depends) and (down or bool(set(causes) & set(DEPENDENCY_CAUSES))),
        "free_journal_space": "disk_full" in causes,
        "restore_config": bool(files) and bool(set(causes) & set(CONFIG_CAUSES)),
        "clear_start_limit": "start_limit" in causes,
    }
    made = {name: wanted and name in allowed for name, wanted in wants.items()}
    hooked = [cause for cause in dict.fromkeys(causes) if cause in set(hooks)]
    return {
        "any": any(made.values()) or bool(hooked),
        "hooks": hooked,
        "dependencies": list(depends) if made["start_dependency"] else [],
        "files": [{"used": used, "good": good} for used, good in files.items()] if made["restore_config"] else [],
        **made,
    }


def fixed(plan: t.Mapping[str, t.Any], done: t.Mapping[str, t.Any], check_mode: bool = False) -> dict[str, t.Any]:
    """The outcome of the fixes of ``plan``, by the results in ``done``: what was done, and which causes it fixes.

    Ansible skips commands in check mode: there the journal counts as shrunk.
    A task that was never reached has no result: an earlier fix failed.
    """
    hooks = plan["hooks"] if as_mapping(done.get("dependencies")) else []
    started = [as_text(item.get(_DEPENDENCY)) for item in _changed(done.get("dependencies")) if item.get("reached")]
    shrunk = plan["free_journal_space"] and (check_mode or bool(as_mapping(done.get("vacuum")).get("changed")))
    restored = [as_text(as_mapping(item.get(_FILE)).get("used")) for item in _changed(done.get("copied"))]
    return {
        "made": [
            *(f"hook for {cause}" for cause in hooks),
            *(f"started {name}" for name in started),
            *(["journal shrunk"] if shrunk else []),
            *(f"restored {path}" for path in restored),
        ],
        "causes": [*hooks, *(["disk_full"] if shrunk else []), *(CONFIG_CAUSES if restored else ())],
    }


def _changed(looped: t.Any) -> list[t.Mapping[str, t.Any]]:
    """The results of a loop that changed something."""
    return [item for item in as_mappings(as_mapping(looped).get("results")) if item.get("changed")]


def _fixable(plan: t.Mapping[str, t.Any]) -> list[str]:
    """The causes that the fixes of a plan are made for."""
    disk = ["disk_full"] if plan["free_journal_space"] else []
    return [*plan["hooks"], *disk, *(CONFIG_CAUSES if plan["restore_config"] else ())]


def failed_fix(failure: t.Mapping[str, t.Any]) -> str:
    """Why a fix failed, in one sentence. ``failure``: the ``task`` and its ``result``; empty where none failed."""
    if not failure:
        return ""
    result = as_mapping(failure.get("result"))
    items = [as_text(item.get("msg")) for item in as_mappings(result.get("results")) if item.get("failed")]
    why = "; ".join(filter(None, items)) or as_text(result.get("msg")) or "no reason given"
    return f"a fix failed, so that it was left as it is: {failure.get('task')}: {why}"


def drive_options(
    service: t.Mapping[str, t.Any],
    settings: t.Mapping[str, t.Any],
    done: t.Mapping[str, t.Any] | None = None,
    step: t.Mapping[str, t.Any] | None = None,
    dry_run: bool = False,
    reservation: t.Mapping[str, t.Any] | None = None,
) -> dict[str, t.Any]:
    """``service``, ``override`` and ``defaults`` for service_drive.

    ``settings``: depth, accept_causes, owner, neighbours and, for the kinds that have
    these, own_tunnel, quorum_lost and reference_urls. ``reservation``: the
    ``options`` of reservation_state. ``done``: the results of fixes. ``step``: options of the module that go before all
    others; a step that is ``plain`` is one of a service of no kind, one that is
    ``together`` belongs to a restart of all, which is not held up by earlier attempts.
    ``dry_run``: the fixes are still to be made, and count as done.
    """
    if step and step.get("plain"):
        return _plain_start(service, settings)
    entry = service["entry"]
    planned = service.get("fixes")
    causes = [*_dealt_with(planned, done or {}, dry_run), *(entry.get("accept_causes") or ())]
    override: dict[str, t.Any] = {
        "accept_causes": [*listed(settings["accept_causes"]), *causes],
        **({"recovery": "reset_start"} if planned and planned["clear_start_limit"] else {}),
        **({"owner": settings["owner"]} if settings.get("owner") else {}),
    }
    defaults: dict[str, t.Any] = {"state": "running", "recovery": settings["depth"], **_given(settings, "neighbours")}
    more, fallback = _of_kind(as_text(service.get("kind")), entry, settings, reservation or {})
    override, defaults = {**override, **more}, {**defaults, **fallback}
    if step and step.get("together"):
        override["accept_causes"] += _OF_A_RESTART
        step = {**{name: value for name, value in step.items() if name != "together"}, **_WITHOUT_BUDGET}
    return {"service": entry, "override": {**override, **(step or {})}, "defaults": defaults}


def _dealt_with(planned: t.Any, done: t.Mapping[str, t.Any], dry_run: bool) -> list[str]:
    """The causes that fixes have dealt with, or will."""
    if not planned:
        return []
    return _fixable(planned) if dry_run else fixed(planned, done)["causes"]


def _of_kind(
    kind: str, entry: t.Mapping[str, t.Any], settings: t.Mapping[str, t.Any], reservation: t.Mapping[str, t.Any]
) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """What a kind is asked for beyond the rest: what goes before the entry, and what it may overrule."""
    if kind == "cloudflared":
        # One that carries Ansible's own connection is left to the role tunnel_reconnect, which waits for its host.
        return {"own_tunnel_action": "refuse", **reservation}, _given(settings, "own_tunnel")
    if kind == "besu":
        own = as_mapping(entry.get("besu")).get("reference_urls")
        urls = {"reference_urls": own} if own else _given(settings, "reference_urls")
        return urls, {**_given(settings, "quorum_lost"), **reservation}
    return {}, {}


def _given(settings: t.Mapping[str, t.Any], *names: str) -> dict[str, t.Any]:
    return {name: settings[name] for name in names if settings.get(name) not in (None, "")}


def _plain_start(service: t.Mapping[str, t.Any], settings: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Options for service_drive that start a Besu node as a service of no kind.

    The chain is stalled: there is no quorum that its kind could guard.
    """
    entry = service["entry"]
    url = urlsplit(as_text(as_mapping(entry.get("besu")).get("rpc_url")) or _RPC_URL)
    plain = {key: value for key, value in entry.items() if key not in ("kind", "besu", "state", "expected_state")}
    options = drive_options({"entry": plain}, settings)
    step = {
        "state": "running" if ObservationView.from_dict(service.get("observation")).process_is_down else "restarted",
        "recovery": "reset_start",
        "probes": [{"kind": "tcp", "host": url.hostname or "127.0.0.1", "port": url.port or 8545}],
        **_WITHOUT_BUDGET,
    }
    defaults = {**options["defaults"], "stop_timeout": 300, "wait_timeout": 600}
    return {**options, "override": {**options["override"], **step}, "defaults": defaults}


def takes_offline(service: t.Mapping[str, t.Any]) -> bool:
    """Whether a step on this service may take a validator offline, for which a reservation is needed."""
    if service.get("kind") != "besu":
        return False
    observed = ObservationView.from_dict(service.get("observation"))
    own = as_mapping(as_mapping(service.get("entry")).get("besu"))
    guarded = str(own.get("quorum_guard", "enforce")).lower() == "enforce"
    return (
        not observed.process_is_down
        and observed.details.get("validator") is not False
        and own.get("validator") is not False
        and guarded
        and "reservation" not in own
    )


def serves(service: t.Mapping[str, t.Any]) -> bool:
    """Whether it is a connector of a known tunnel that serves, and is guarded, so that it needs a reservation."""
    if service.get("kind") != "cloudflared":
        return False
    details = ObservationView.from_dict(service.get("observation")).details
    own = as_mapping(as_mapping(service.get("entry")).get("cloudflared"))
    return (
        (as_number(details.get("connections")) or 0) > 0
        and bool(as_text(details.get("tunnel_id")))
        and "reservation" not in own
        and own.get("replica_guard", "enforce") not in ("off", False)  # YAML reads off as false
    )


def recovery_result(
    service: t.Mapping[str, t.Any],
    result: t.Any = None,
    done: t.Mapping[str, t.Any] | None = None,
    network: t.Mapping[str, t.Any] | None = None,
    check_mode: bool = False,
    network_info: t.Any = None,
) -> dict[str, t.Any]:
    """The entry of service_recovery_result for one service.

    ``done``: the results of fixes, with a ``failure`` of one of them; of a
    restart of all the ``start``, the ``asked``, the ``stage`` and the
    ``together``; why its reservation was ``refused``. ``network``: what the
    chain shows afterwards, or ``network_info``, which has it.
    """
    given = as_mapping(done)
    observed = as_mapping(service.get("observation"))
    planned = service["fixes"]
    made = fixed(planned, given, check_mode)["made"]
    found: dict[str, t.Any] = {
        "state": observed.get("state"),
        "before": observed,
        "after": observed,
        "transitions": [],
        "blocked_by": [],
    }
    found |= {"reached": False, "changed": False}
    failure = failed_fix(as_mapping(given.get("failure")))
    if failure:
        # A host that was lost in it may have been changed.
        lost = bool(as_mapping(as_mapping(given.get("failure")).get("result")).get("unreachable"))
        found |= {"changed": (bool(made) or lost) and not check_mode, "msg": failure}
    else:
        found |= _result(result, given, check_mode)
        network = as_mapping(network) or _network_of(observed, found.get("after"), as_mapping(network_info))
        found |= _with_refusal(found, given) | _with_chain(found, network)
    if planned["clear_start_limit"] and _was_reset(found):
        made.append("start limit cleared")
    return {
        **found,
        "name": service.get("name"),
        "kind": service.get("kind"),
        "label": service.get("label"),
        "observation": observed,
        "fixes": made,
        "failed": not found["reached"],
        "diagnosis": found.get("diagnosis") or observed.get("diagnosis") or {},
    }


def _result(run: t.Any, done: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """What the modules returned for the service, of one or of several steps."""
    start, asked = as_mapping(done.get("start")), as_mapping(done.get("asked"))
    if has_run(run):
        steps = as_mappings(start.get("transitions"))
        whole = [*steps, *as_mappings(as_mapping(run).get("transitions"))]
        return {**run, "transitions": whole, "changed": bool(as_mapping(run).get("changed") or steps)}
    together = as_mapping(done.get("together"))
    if together.get("reason"):
        block = {"guard": "restart_all", "reason": together["reason"], "hint": together.get("hint", "")}
        return {"blocked_by": [block], "msg": together["reason"]}
    if check_mode and has_run(asked):
        return dict(asked)
    if has_run(start):
        return dict(start)
    return {"reached": check_mode}


def _was_reset(result: t.Mapping[str, t.Any]) -> bool:
    return any(step.get("trigger") == "reset" for step in as_mappings(result.get("transitions")))


def _with_refusal(result: t.Mapping[str, t.Any], done: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The reason why there was no restart of all, or no reservation."""
    together = as_mapping(done.get("stage"))
    against = as_text(together.get("reason"))
    if against:
        # Also for a node that was started: its chain is stalled.
        block = {"guard": "restart_all", "reason": against, "hint": as_text(together.get("hint"))}
        return {"reached": False, "msg": against, "blocked_by": [block]}
    if result["reached"]:
        return {}
    return with_answers(result, as_text(done.get("refused")))


def _network_of(observed: t.Any, after: t.Any, network_info: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
    """The network of a node in an observation of the chains, by its block 0 before or after the step."""
    known = (as_text(as_mapping(as_mapping(one).get("besu")).get("genesis")) for one in (observed, after))
    return (find_network(network_info, next(filter(None, known), None)) if network_info else None) or {}


def _with_chain(result: t.Mapping[str, t.Any], network: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What the chain shows after the node was brought back: a chain that is stalled then is harm."""
    if not network or not result["reached"]:
        return {}
    shown = {"chain": f"block {network.get('head')}, {network.get('arithmetic')}"}
    if not network.get("stalled"):
        return shown
    return {
        **shown,
        "reached": False,
        "msg": f"the chain is stalled at block {network.get('head')}: {network.get('arithmetic')}",
    }


def not_observed(observed: t.Any, host: str, described: t.Any = None) -> list[dict[str, t.Any]]:
    """The entries of service_recovery_result for what could not be observed on a host."""
    given = as_mapping(observed)
    bare = {"observed": False, "reached": False, "failed": True, "changed": False}
    if given.get("unreachable") or "services" not in given:
        how = "reached" if given.get("unreachable") else "observed"
        msg = f"{host} cannot be {how}: {as_text(given.get('msg')) or 'no answer'}"
        return [{"name": "-", "kind": "generic", "msg": msg, **bare}]
    unknown = [one for one in as_mappings(given["services"]) if one.get("state") == UNKNOWN]
    wrong = [{"name": name, "kind": "generic", "msg": why, **bare} for name, why in split_entries(described)[1]]
    blind = "it could not be observed, so that nothing was done to it"
    return [*({**one, "msg": blind, **bare} for one in unknown), *wrong]
