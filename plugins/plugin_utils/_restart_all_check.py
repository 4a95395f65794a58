# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the validators of chains that are stalled can be restarted at the same time. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from collections import Counter

Entry = t.Mapping[str, t.Any]
Chains = t.Mapping[str, t.Sequence[Entry]]

_BY_HAND = "restart all validators of that chain yourself at the same time, with systemctl restart on all their hosts"


def turns(chains: Chains, forks: int, host: str = "") -> dict[str, t.Any]:
    """In which way the services of ``chains`` (host -> its entries of services_to_recover) are restarted together.

    A task of Ansible is one service of each host. Where no host has more
    than one, their names do not matter. Otherwise it is those of one name.
    """
    by_name = any(len(entries) > 1 for entries in chains.values())
    votes = [(host, entry) for host, entries in chains.items() for entry in entries if entry["may_vote"]]
    needed = max(Counter(entry["label"] if by_name else "" for _host, entry in votes).values(), default=0)
    reason, hint = (_names(votes) if by_name else None) or _forks(needed, forks) or ("", "")
    mine = [entry["label"] for entry in chains.get(host) or ()]
    return {
        "by_name": by_name,
        "reason": reason,
        "hint": hint,
        "turns": mine if by_name else mine and ["the only one of its host"],
    }


def _forks(needed: int, forks: int) -> tuple[str, str] | None:
    if needed <= forks:
        return None
    return (
        f"{needed} validators have to be restarted at the same time, and Ansible has {forks} forks: the first would "
        f"wait for the others in vain",
        f"run it again with --forks {needed} (in a job template of AWX: Forks)",
    )


def _names(votes: t.Sequence[tuple[str, Entry]]) -> tuple[str, str] | None:
    """A chain whose validators have more than one name, on hosts that have more than one service."""
    found: dict[str, list[tuple[str, str]]] = {}
    for host, entry in votes:
        chain = _chain(entry)
        if chain:
            found.setdefault(chain, []).append((host, entry["label"]))
    for chain, places in found.items():
        host, count = Counter(host for host, _label in places).most_common(1)[0]
        if count > 1:
            labels = ", ".join(label for where, label in places if where == host)
            reason = (
                f"{host} has {count} validators of chain {chain} ({labels}), of which one can be restarted at a time"
            )
            return reason, _BY_HAND
        names = {label: host for host, label in places}
        if len(names) > 1:
            shown = ", ".join(f"{label} on {host}" for label, host in list(names.items())[:4])
            return (
                f"the validators of chain {chain} have several names ({shown}), and where a host has more than one "
                f"Besu those of one name are restarted together",
                f"give these units the same name on all hosts, or {_BY_HAND}",
            )
    return None


def _chain(entry: Entry) -> str:
    """How the chain of an entry is called: two chains with one id are two."""
    given, observed = entry.get("besu") or {}, entry["observation"].get("besu") or {}
    number = given.get("chain_id") or observed.get("chain_id")
    genesis = given.get("genesis_hash") or observed.get("genesis")
    if number is None:
        return ""
    return f"{number} (block 0 {str(genesis).lower()[:10]})" if genesis else str(number)
