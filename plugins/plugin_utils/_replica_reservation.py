# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts to ask before a connector that serves is taken offline, and how to evaluate their answers. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

The rule itself is in ``_cloudflared.replicas``: the host of the connector, then one host with a replica that stays.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    as_mapping,
    as_mappings,
    as_number,
    as_text,
    with_answers,
)

_HEALTHY = "healthy"
# Options of a connector that say how it is observed, and hold no secret.
_SEEN_BY = ("metrics", "metrics_timeout", "expected_connections", "min_connections")

# What a grant is given back by.
_GRANT = ("key", "host", "tunnel", "owner", "scope")

Entries = t.Sequence[t.Any]
Rows = t.Mapping[str, t.Any]
_NO_OTHER = (
    "no other host of the inventory has a connector of its tunnel in its lifecycle_services; if this run is a slice "
    "of a job, run it with all hosts of the tunnel"
)


def replica_requests(
    turns: t.Sequence[Rows],
    described: t.Mapping[str, Entries],
    plan: Rows | None = None,
    owner: str = "ansible",
    observed: Rows | None = None,
) -> list[dict[str, t.Any]]:
    """The hosts to ask for each turn, its own first, then those that may have a replica that stays.

    ``turns``: connectors with ``key``, ``host``, ``service`` and ``tunnel``; ``described``: host -> its services, of
    the whole inventory; ``plan``: what tunnel_plan made, where it has seen the hosts; ``owner``: new for each attempt;
    ``observed``: host -> what service_info returned there.
    """
    return [
        ask
        for turn in turns
        for ask in _asks(turn, described, _others(turn, described, plan or {}, observed or {}), owner)
    ]


def _asks(
    turn: Rows, described: t.Mapping[str, Entries], others: t.Sequence[str], owner: str
) -> list[dict[str, t.Any]]:
    own = str(turn["host"])
    scope = next((one["scope"] for one in _connectors(described.get(own)) if one["name"] == turn["service"]), "system")
    common = {
        "key": turn["key"],
        "tunnel": turn["tunnel"],
        "target": turn["key"],
        "owner": f"{owner} for {turn['key']}",
    }
    asks = [{**common, "host": own, "own": True, "scope": scope, "services": _services(described, own, scope, turn)}]
    for host in others:
        for at in sorted({one["scope"] for one in _connectors(described.get(host))}):
            services = _services(described, host, at, turn)
            if services:
                asks.append({**common, "host": host, "own": False, "scope": at, "services": services})
    return [{**ask, "second": number == 1} for number, ask in enumerate(asks)]


def _others(turn: Rows, described: t.Mapping[str, Entries], plan: Rows, observed: Rows) -> list[str]:
    """Hosts whose connector of the tunnel was seen to be healthy, then those of which it is not known."""
    known = {host: _serves(turn["tunnel"], described[host], observed.get(host)) for host in described}
    known |= _serving(turn["tunnel"], plan)
    found = [host for host in described if known[host] is not False and host != turn["host"]]
    return sorted(found, key=lambda host: not known[host])


def _serving(tunnel: t.Any, plan: Rows) -> dict[str, bool]:
    """host -> whether its connector of the tunnel is healthy by the plan, of those that it has seen."""
    rows = [(one["id"], replica) for one in plan.get("tunnels") or () for replica in one["connectors"]]
    healthy = {one["host"] for of, one in rows if of == tunnel and one["verdict"] == _HEALTHY}
    return {one["host"]: one["host"] in healthy for _of, one in rows}


def _serves(tunnel: t.Any, entries: t.Any, observed: t.Any) -> bool | None:
    """Whether a host was seen to have a connector that serves the tunnel; None where one of its may be of it."""
    services = as_mappings(as_mapping(observed).get("services"))
    connectors = [as_mapping(one.get("cloudflared")) for one in services if one.get("kind") == "cloudflared"]
    mine = [one for one in connectors if one.get("tunnel_id") == tunnel]
    if any((as_number(one.get("connections")) or 0) > 0 for one in mine):
        return True
    of_others = [one for one in connectors if as_text(one.get("tunnel_id")) and one not in mine]
    return None if len(of_others) < len(_connectors(entries)) else False


def _connectors(entries: t.Any) -> list[Rows]:
    rows = [entry for entry in entries or () if isinstance(entry, dict)] if isinstance(entries, (list, tuple)) else []
    return [
        {"name": row["name"], "scope": row.get("scope") or "system", "about": row.get("cloudflared") or {}}
        for row in rows
        if row.get("kind") == "cloudflared" and row.get("name")
    ]


def _services(described: t.Mapping[str, Entries], host: str, scope: str, turn: Rows) -> list[dict[str, t.Any]]:
    """The connectors of a host without the one that is to be taken offline, each without what may be secret."""
    return [
        {"name": one["name"], "cloudflared": {key: one["about"][key] for key in _SEEN_BY if key in one["about"]}}
        for one in _connectors(described.get(host))
        if one["scope"] == scope and (host, one["name"]) != (turn["host"], turn["service"])
    ]


def continues(previous: t.Any, ask: Rows) -> bool:
    """Whether ``ask`` is made after ``previous``, the result of the one before.

    The host of the connector always. The next one where that has granted and has no replica that stays itself, and
    the others until one of them grants which is not the host of the connector under another name.
    """
    given = as_mapping(previous)
    if ask["own"]:
        return True
    if given.get("skipped"):
        return False
    granted = bool(given.get("granted"))
    if ask["second"]:
        return granted and not given.get("healthy")
    return not granted or bool(given.get("repeated"))


def replica_grants(
    results: t.Sequence[Rows], item: str, before: Rows | None = None, tries: int = 1
) -> dict[str, t.Any]:
    """The evaluated answers. ``results``: those of the loop over the asks; ``item``: the name of its variable.

    ``held``: key -> owner of what may be done; ``refused``: key -> why not; ``granted``: what has to be given back;
    ``again``: the keys to which another run has the right, as long as fewer than ``tries`` attempts in a row were
    made; ``attempt``: which of them this was; ``busy``: the same keys, after the last attempt as well; ``last``: the
    keys for which every host has observed, and none has a replica that stays. ``before``: what the attempt before came
    to.
    """
    asked = _Asked([(result[item], result) for result in results if not result.get("skipped")])
    earlier = before or {}
    goes_on = bool(asked.keys & set(earlier.get("again") or ()))
    attempt = int(earlier["attempt"]) + 1 if goes_on else 1
    again = asked.busy if attempt < tries else []
    return {
        "held": asked.held,
        "refused": asked.refused,
        "granted": [{key: ask[key] for key in _GRANT} for ask in asked.granted],
        "again": again,
        "attempt": attempt,
        "busy": asked.busy,
        "last": asked.last,
    }


class _Asked:
    """What was asked and answered, in its order."""

    def __init__(self, answered: t.Sequence[tuple[Rows, Rows]]) -> None:
        self._answered = answered
        self.keys = {ask["key"] for ask, _result in answered}
        self.granted = [ask for ask, result in answered if result.get("granted")]
        self.held = {ask["key"]: ask["owner"] for ask in self.granted if ask["own"] and self._stays_up(ask["key"])}

    def _stays_up(self, key: str) -> bool:
        """Whether a host has granted that has a healthy replica of the same tunnel."""
        return any(ask["key"] == key and _stays(ask, result) for ask, result in self._answered)

    @property
    def refused(self) -> dict[str, str]:
        """Key -> why it is not held."""
        found: dict[str, list[str]] = {}
        for ask, result in self._answered:
            if not result.get("granted"):
                reason = result.get("reason") or result.get("msg") or "no answer"
                found.setdefault(ask["key"], []).append(f"{ask['host']}: {reason}")
        for ask, result in self._answered:
            if _is_alias(ask, result):
                found[ask["key"]] = [f"{ask['host']}: it is the host of the connector under another name"]
        for ask in self.granted:
            found.setdefault(ask["key"], [_NO_OTHER])
        return {key: "; ".join(reasons) for key, reasons in found.items() if key not in self.held}

    @property
    def busy(self) -> list[str]:
        """The keys that are refused because another run has the right."""
        taken = {ask["key"] for ask, result in self._answered if result.get("holder") and not result.get("granted")}
        return [key for key in self.refused if key in taken]

    @property
    def last(self) -> list[str]:
        """The keys that are refused although every host has observed its connectors."""
        unseen = {ask["key"] for ask, result in self._answered if not result.get("observed")}
        return [key for key in self.refused if key not in unseen]


def _stays(ask: Rows, result: Rows) -> bool:
    return bool(result.get("granted") and result.get("healthy")) and not _is_alias(ask, result)


def _is_alias(ask: Rows, result: Rows) -> bool:
    """Whether another host of the inventory is the connector's own, as it has answered itself."""
    return bool(not ask["own"] and result.get("granted") and result.get("repeated"))


def replica_reasons(runs: t.Mapping[str, Rows], refused: t.Mapping[str, str]) -> dict[str, dict[str, t.Any]]:
    """What a module returned for each key, with why there was no reservation where it was refused for that."""
    return {key: with_answers(run, refused.get(key, "")) for key, run in runs.items()}
