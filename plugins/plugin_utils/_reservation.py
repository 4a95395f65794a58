# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reservation of a service of any kind: the answers of the hosts, and what follows from them. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

Whom to ask, and what the answers come to, is said by ``_reservation_round`` for a validator and by
``_replica_reservation`` for a connector.
"""

from __future__ import annotations

import typing as t

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _replica_reservation as replicas
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _reservation_round as rounds
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._playbook_vars import is_given
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    as_mapping,
    as_mappings,
    as_number,
    as_text,
    as_texts,
)

# The loop variable of the tasks that ask.
ASK = rounds.HOLDER


def continues(previous: t.Any, ask: t.Mapping[str, t.Any], host: str) -> bool:
    """Whether the loop that requests grants for a service of ``host`` continues with ``ask``.

    ``previous``: the registered variable within the loop, which is the result of the item before, or what the task
    left before this loop.
    """
    return replicas.continues(previous, ask) if "tunnel" in ask else rounds.continues(previous, host)


def reservation_result(results: t.Any, keys: t.Sequence[str], before: t.Any = None, tries: int = 1) -> dict[str, t.Any]:
    """Evaluates ``results``, the items of the loop that asks. ``keys``: ``host/service``, as requested.

    See replica_grants for its shape. ``release_now``: the grants that do not suffice.
    """
    asked = [result for result in as_mappings(results) if as_mapping(result.get(ASK))]
    if any("tunnel" in result[ASK] for result in asked):
        found = replicas.replica_grants(asked, ASK, as_mapping(before), tries)
    else:
        found = _of_round(asked, next(iter(keys), ""))
    useless = [grant for grant in found["granted"] if grant["key"] not in found["held"]]
    return {**found, "keys": list(keys), "release_now": useless}


def _of_round(results: t.Sequence[t.Mapping[str, t.Any]], key: str) -> dict[str, t.Any]:
    """The round of a validator in the shape of replica_grants."""
    found = rounds.reservation_round(results, key.partition("/")[0])
    return {
        "held": {key: found["owner"]} if found["held"] else {},
        "refused": {key: found["refusal"]} if found["refusal"] else {},
        "granted": [{**holder, "key": key} for holder in found["granted"]],
        "again": [key] if found["again"] else [],
        "attempt": found["next"],
        "busy": [key] if found["busy"] else [],
        "last": [],
    }


def reservation_state(
    result: t.Any,
    service: t.Mapping[str, t.Any],
    host: str,
    reserve: t.Any = True,
    check_mode: bool = False,
    question: bool = False,
    run: t.Any = None,
) -> dict[str, t.Any]:
    """The state of the reservation of a service.

    ``result``: see reservation_result; what was answered for another service counts as nothing.
    ``reserve``: whether a reservation is made at all; ``question``: whether this only asks what would be granted, so
    that what another run has counts as granted: it is waited for at its turn; ``run``: what was done to the service.
    ``options``: what the module is told of the reservation.
    """
    key = f"{host}/{as_text(service.get('name'))}"
    reserves = boolean(reserve, strict=False) if is_given(reserve) else True
    needed = reserves and bool(service.get("takes_offline") or service.get("serves"))
    given = as_mapping(result)
    found = given if needed and key in as_texts(given.get("keys")) else {}
    owner = as_text(as_mapping(found.get("held")).get(key))
    granted = not needed or bool(owner) or (question and key in as_texts(found.get("busy")))
    again, last = (key in as_texts(found.get(name)) for name in ("again", "last"))
    # Nothing is reserved in check mode: the guards require a reservation where the hosts would not grant one.
    free = not reserves or (check_mode and granted)
    return {
        "needed": needed,
        "held": bool(owner),
        "granted": granted,
        "busy": key in as_texts(found.get("busy")),
        "again": again,
        "next": int(as_number(found.get("attempt")) or 0) if again else 0,
        "refusal": as_text(as_mapping(found.get("refused")).get(key)),
        "grants": list(as_mappings(found.get("granted"))),
        "options": _options(service, needed, free, owner, last),
        "release": bool(owner) and _releases(service, run),
    }


def _options(service: t.Mapping[str, t.Any], needed: bool, free: bool, owner: str, last: bool) -> dict[str, t.Any]:
    """The options for the module. ``free``: it need not check a reservation; ``last``: it is the last replica."""
    kind = service.get("kind")
    if kind == "besu":
        return {} if free else {"reservation": owner or "nobody"}
    if kind != "cloudflared" or not needed:
        return {}
    # By the number of replicas the guard tells the last one from one that another run has.
    replicas_that_stay = {"healthy_replicas": 0} if last else {}
    return {"healthy_replicas": 1} if free else {"reservation": owner or "nobody", **replicas_that_stay}


def _releases(service: t.Mapping[str, t.Any], run: t.Any) -> bool:
    """Whether the grants are given back after ``run``. Those that are not end by themselves."""
    if service.get("kind") == "cloudflared":
        # One of which nothing is known keeps its grants.
        return as_mapping(run).get("reached") is not None
    return rounds.releases(run, as_text(service.get("state")) or "running")
