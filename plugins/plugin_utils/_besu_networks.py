# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Besu networks as the inventory and one observation show them to the controller. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import ipaddress
import typing as t
from collections import Counter
from urllib.parse import urlsplit

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.kind import KIND
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.options import ACCESS_OPTIONS, NODE_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import count

NetworkInfo = t.Mapping[str, t.Any]
Described = t.Mapping[str, t.Sequence[t.Any]]

_SHOWN = 12


class BesuNode(t.NamedTuple):
    """A Besu service of the inventory. ``name``: the host, and the service where a host has several."""

    name: str
    host: str
    service: str
    options: t.Mapping[str, t.Any]

    @property
    def url(self) -> str:
        return str(self.options.get("rpc_url") or NODE_OPTIONS["rpc_url"]["default"])


def members(described: Described) -> list[BesuNode]:
    """The Besu services of all hosts, in their order."""
    found: list[BesuNode] = []
    for host, services in described.items():
        mine = [entry for entry in services or () if isinstance(entry, dict) and entry.get("kind") == KIND.name]
        for entry in mine:
            name = host if len(mine) == 1 else f"{host}/{entry['name']}"
            found.append(BesuNode(name, host, entry["name"], entry.get(KIND.name) or {}))
    return found


def endpoints(
    described: Described,
    observed: t.Mapping[str, t.Any] | None = None,
    host: str = "",
    service: str = "",
    network_info: NetworkInfo | None = None,
    certain: bool = False,
) -> list[dict[str, t.Any]]:
    """Endpoints as besu_network_info takes them: those that other hosts can reach, of one chain.

    With ``host`` and ``service`` that node comes first, by its own URL, and
    only nodes follow that may be of its chain: by the genesis hash, or else by
    the chain id, that options give, or that ``observed`` (host -> what
    service_info returned) or ``network_info`` (what besu_network_info returned) has.
    ``certain``: none follow where its own chain is not known and those of the
    others differ, and none whose block 0 is not known where chains share an id.
    """
    everyone = members(described)
    own = next((one for one in everyone if (one.host, one.service) == (host, service)), None)
    chains = {one.name: _chain(one, observed or {}, network_info or {}) for one in everyone}
    found = [_endpoint(own, own.url)] if own else []
    found += [_endpoint(one, one.url) for one in _others(everyone, own, chains, certain)]
    return found + _given(own, {entry["url"] for entry in found})


def _others(
    everyone: t.Sequence[BesuNode], own: BesuNode | None, chains: t.Mapping[str, _Chain], certain: bool
) -> list[BesuNode]:
    """The nodes that other hosts can reach and that may be of the chain of ``own``."""
    mine = chains[own.name] if own else _Chain()
    known = list(chains.values())
    if certain and _is_doubtful(mine, known):
        return []
    shared = certain and _share_an_id(known)
    others = [one for one in everyone if one is not own and reachable(one.url)]
    return [one for one in others if _may_share(mine, chains[one.name], shared)]


class _Chain(t.NamedTuple):
    """What is known of a node's chain. Chain ids are not unique: block 0 decides where both are known."""

    genesis: str | None = None
    chain_id: int | None = None


def _is_doubtful(mine: _Chain, chains: t.Sequence[_Chain]) -> bool:
    """Whether nothing tells to which of several chains the node belongs."""
    if mine.genesis is not None:
        return False
    of_id = [one for one in chains if mine.chain_id is None or one.chain_id in (mine.chain_id, None)]
    several = len({one.genesis for one in of_id if one.genesis}) > 1
    return several or (mine.chain_id is None and len({one.chain_id for one in of_id if one.chain_id is not None}) > 1)


def _share_an_id(chains: t.Sequence[_Chain]) -> bool:
    found: dict[int, set[str]] = {}
    for one in chains:
        if one.chain_id is not None and one.genesis:
            found.setdefault(one.chain_id, set()).add(one.genesis)
    return any(len(known) > 1 for known in found.values())


def _may_share(mine: _Chain, other: _Chain, certain: bool) -> bool:
    """Whether another node may be of the same chain. ``certain``: only where block 0 says so."""
    if mine.genesis and other.genesis:
        return mine.genesis == other.genesis
    if certain:
        return False
    return mine.chain_id is None or other.chain_id in (mine.chain_id, None)


def _given(own: BesuNode | None, known: t.Collection[str]) -> list[dict[str, t.Any]]:
    """The node's own reference_urls, with its own log-in."""
    if own is None:
        return []
    urls = own.options.get("reference_urls") or ()
    return [_endpoint(own._replace(name=url), url) for url in urls if url not in known]


def _endpoint(one: BesuNode, url: str) -> dict[str, t.Any]:
    access = {option: one.options[option] for option in ACCESS_OPTIONS if option in one.options}
    return {"url": url, "name": one.name, **access}


def _chain(one: BesuNode, observed: t.Mapping[str, t.Any], network_info: NetworkInfo) -> _Chain:
    """The chain by the options, by the observation of the host itself, or by that of the network."""
    result = observed.get(one.host)
    rows = (result.get("services") if isinstance(result, dict) else None) or ()
    reported = [row.get("besu") or {} for row in rows if row["name"] == one.service]
    reported += [node for node in network_info.get("nodes") or () if node["name"] == one.name]
    genesis = [one.options.get("genesis_hash"), *(node.get("genesis") for node in reported)]
    ids = [one.options.get("chain_id"), *(node.get("chain_id") for node in reported)]
    return _Chain(
        next((str(value).lower() for value in genesis if value), None),
        next((int(value) for value in ids if value is not None), None),
    )


def reachable(url: str) -> bool:
    """Whether a URL can mean the same node on another host: not one of the host's own loopback."""
    name = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return bool(name) and name != "localhost" and not name.endswith(".localhost")
    return not (address.is_loopback or address.is_unspecified)


def reservation(network_info: NetworkInfo, host: str, genesis: str | None, address: str | None) -> dict[str, t.Any]:
    """The hosts to ask before the validator ``address`` on ``host`` is taken offline.

    ``holders``: hosts, each with how many validators it has; the target's own
    first, then in the order of the set, which is the same for every controller.
    ``needed``: validators whose hosts have to grant, 0 where nothing can be reserved.
    """
    network = find_network(network_info, genesis) or {}
    inside = list(network.get("validators") or ())
    target = (address or _only_one_left(network_info, inside)).lower()
    if not network.get("genesis") or target not in inside:
        return {"network": None, "address": target or None, "holders": [], "needed": 0}
    hosts = {
        node["address"]: node["name"].partition("/")[0] for node in network_info.get("nodes", ()) if _on_a_host(node)
    }
    hosts[target] = host
    known = [hosts[one] for one in inside if one in hosts]
    counts = Counter(known)
    return {
        "network": network["genesis"],
        "address": target,
        "holders": [{"host": name, "validators": counts[name]} for name in dict.fromkeys([host, *known])],
        "needed": len(inside) // 2 + 1,
    }


def _only_one_left(network_info: NetworkInfo, inside: t.Sequence[str]) -> str:
    """The validator that does not tell its address, if all others do."""
    reported = {node.get("address") for node in network_info.get("nodes", ())}
    left = [one for one in inside if one not in reported]
    return left[0] if len(left) == 1 else ""


def _on_a_host(node: t.Mapping[str, t.Any]) -> bool:
    return bool(node.get("address")) and "://" not in node["name"]


def find_network(network_info: NetworkInfo, genesis: str | None) -> t.Mapping[str, t.Any] | None:
    """The network of a node: by the hash of its block 0, or the only one that there is."""
    networks: t.Sequence[NetworkInfo] = network_info.get("networks") or ()
    if genesis is None:
        return next(iter(networks), None) if len(networks) == 1 else None
    return next((network for network in networks if network["genesis"] == genesis), None)


def network_lines(network_info: NetworkInfo, names: t.Mapping[str, str] | None = None) -> list[str]:
    """For each network its arithmetic: who takes part, who is missing, how many more may stop."""
    lines: list[str] = []
    silent = network_info.get("unobserved") or ()
    unnamed = f"one of {', '.join(silent[:_SHOWN])}" if silent else "on no host that answered"
    for network in network_info.get("networks") or ():
        lines += _network(network, {**(names or {})}, unnamed)
    if silent:
        lines.append(f"  not asked, as they did not answer: {', '.join(silent[:_SHOWN])}")
    return lines


def _network(network: NetworkInfo, names: t.Mapping[str, str], unnamed: str) -> list[str]:
    age = f", {network['head_age']:.0f} s old" if network["head_age"] is not None else ""
    head = f"at block {network['head']}{age}"
    if network.get("has_quorum") is False:
        how = "STALLED" if network["stalled"] else "advances" if network["advances"] else "was not observed to advance"
        return [f"Chain {network['chain_id']} {how} {head}", f"  {network['reason']}"]
    if network["stalled"]:
        # Who proposed before says nothing now: the nodes themselves tell who is missing.
        quorum, members_of = network["quorum"], len(network["validators"])
        return [f"Chain {network['chain_id']} STALLED {head}: quorum is {quorum} of {count(members_of, 'validator')}"]
    moves = "advances" if network["advances"] else "was not observed to advance"
    lines = [f"Chain {network['chain_id']} {moves} {head}: {network['arithmetic']}"]
    more = network["may_stop"]
    which = f" (any of {', '.join(network['which'][:_SHOWN])})" if more else f" ({network['reason']})"
    lines.append(f"  {more} more may stop{which}")
    for one in network["missing"][:_SHOWN]:
        who = one["node"] or names.get(one["address"]) or unnamed
        lines.append(f"  missing {one['address']} ({who}): {one['why']}")
    return lines
