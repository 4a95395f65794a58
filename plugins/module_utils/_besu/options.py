# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of a Besu to what looks at it: clients, the node itself, its references.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample, read_sample
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.quorum import tip_of
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.rpc import RpcClient
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import NodeOptions, Reference
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import (
    HttpClient,
    HttpError,
    TlsSettings,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.procfs import listening_units
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock, LifecycleError

Spec = dict[str, dict[str, t.Any]]

# How an endpoint is reached.
ACCESS_OPTIONS: Spec = {
    "rpc_username": {"type": "str"},
    "rpc_password": {"type": "str", "no_log": True},
    "rpc_token": {"type": "str", "no_log": True},
    "rpc_timeout": {"type": "float", "default": 5.0},
    "rpc_connect_timeout": {"type": "float", "default": 2.0},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "fingerprint_sha256": {"type": "str"},
    "server_hostname": {"type": "str"},
}
# When a node counts as level, and when as in trouble.
JUDGE_OPTIONS: Spec = {
    "lag_blocks": {"type": "int", "default": 2},
    "min_peers": {"type": "int", "default": 1},
    "block_period": {"type": "float"},
    "empty_block_period": {"type": "float"},
    "request_timeout": {"type": "float"},
    "max_head_age": {"type": "float"},
    "single_node": {"type": "bool", "default": False},
    "chain_id": {"type": "int"},
    "genesis_hash": {"type": "str"},
}
# What belongs to one node on its own host.
NODE_OPTIONS: Spec = {
    "rpc_url": {"type": "str", "default": "http://127.0.0.1:8545"},
    "metrics_url": {"type": "str", "default": "http://127.0.0.1:9545/metrics"},
    "p2p_port": {"type": "int", "default": 30303},
    "reference_urls": {"type": "list", "elements": "str", "default": []},
    "validator": {"type": "bool"},
    "address": {"type": "str"},
    "stall_timeout": {"type": "float", "default": 60.0},
    "peers_timeout": {"type": "float", "default": 20.0},
    "hang_timeout": {"type": "float", "default": 20.0},
    "quorum_guard": {"type": "str", "choices": ["enforce", "off"], "default": "enforce"},
    "quorum_lost": {"type": "str", "choices": ["refuse", "restart_all"], "default": "refuse"},
    "reservation": {"type": "str"},
    **ACCESS_OPTIONS,
    **JUDGE_OPTIONS,
}

_ABOVE_ZERO = ("rpc_timeout", "rpc_connect_timeout", "block_period", "request_timeout", "max_head_age")
_NOT_NEGATIVE = ("lag_blocks", "min_peers", "empty_block_period", "stall_timeout", "peers_timeout", "hang_timeout")
_LONGEST = 3600.0  # seconds that one answer may take: the system's timers have an end
_REFERENCE_AGE = 2.0


def check_options(params: t.Mapping[str, t.Any]) -> None:
    """Refuse what means nothing. Raises LifecycleError naming the option."""
    _check_numbers(params)
    for option, digits in (("address", 40), ("genesis_hash", 64)):
        value = params.get(option)
        if value and not (value.startswith("0x") and len(value) == digits + 2 and _is_hex(value[2:])):
            raise LifecycleError(f"{option}: {value!r} is not 0x and {digits} hexadecimal digits")
    if params.get("rpc_username") and params.get("rpc_token"):
        raise LifecycleError("rpc_username, rpc_token: give one of the two, a log-in or a token")
    if params.get("rpc_password") and not params.get("rpc_username"):
        raise LifecycleError("rpc_password: given without rpc_username")


def _check_numbers(params: t.Mapping[str, t.Any]) -> None:
    given = {option: params[option] for option in (*_ABOVE_ZERO, *_NOT_NEGATIVE) if params.get(option) is not None}
    for option, value in given.items():
        if option in _ABOVE_ZERO and not value > 0:
            raise LifecycleError(f"{option}: {value} is not above 0")
        if option in _NOT_NEGATIVE and not value >= 0:
            raise LifecycleError(f"{option}: {value} is negative; give 0 or more")
        if option in ("rpc_timeout", "rpc_connect_timeout") and value > _LONGEST:
            raise LifecycleError(f"{option}: {value} is too long; give {_LONGEST:.0f} seconds at most")


def _is_hex(text: str) -> bool:
    return all(char in "0123456789abcdefABCDEF" for char in text)


def judge_options(params: t.Mapping[str, t.Any]) -> NodeOptions:
    """The rules of judgement that options set."""
    extra = {
        name: params[name]
        for name in ("stall_timeout", "peers_timeout", "hang_timeout", "start_timeout")
        if name in params
    }
    return NodeOptions(
        lag_blocks=params["lag_blocks"],
        min_peers=params["min_peers"],
        block_period=params["block_period"],
        empty_block_period=params["empty_block_period"],
        request_timeout=params["request_timeout"],
        head_age=params["max_head_age"],
        single_node=params["single_node"],
        address=params.get("address"),
        chain_id=params["chain_id"],
        genesis=params["genesis_hash"],
        **extra,
    )


def tls_settings(params: t.Mapping[str, t.Any]) -> TlsSettings:
    return TlsSettings(
        verify=params["validate_certs"],
        ca_path=params["ca_path"],
        client_cert=params["client_cert"],
        client_key=params["client_key"],
        fingerprint_sha256=params["fingerprint_sha256"],
        server_hostname=params["server_hostname"],
    )


def client(http: HttpClient, url: str, params: t.Mapping[str, t.Any], option: str = "rpc_url") -> RpcClient:
    """A client for ``url`` with the access options. Raises LifecycleError naming ``option`` where it is no URL."""
    try:
        return RpcClient(
            http,
            url,
            tls=tls_settings(params),
            username=params["rpc_username"],
            password=params["rpc_password"],
            token=params["rpc_token"],
            timeout=params["rpc_timeout"],
            connect_timeout=params["rpc_connect_timeout"],
        )
    except HttpError as exc:
        raise LifecycleError(f"{option}: {exc.msg}") from exc


class NodeReader:
    """Looks at the node on this host."""

    def __init__(self, params: t.Mapping[str, t.Any], clock: Clock) -> None:
        self._http = HttpClient()
        self._params = params
        self._clock = clock
        self._rpc = client(self._http, params["rpc_url"], params)
        self._metrics = self._metrics_client()
        self._own = (params.get("address") or "").lower() or None

    def _metrics_client(self) -> RpcClient | None:
        url = self._params["metrics_url"]
        plain = {**self._params, "rpc_username": None, "rpc_token": None}  # the metrics have no log-in
        return client(self._http, url, plain, "metrics_url") if url else None

    def __call__(self, before: NodeSample | None) -> NodeSample:
        return read_sample(
            self._rpc,
            at=self._clock.monotonic(),
            wall=self._clock.wall(),
            before=before,
            own=self._own or (before.address if before else None),
            metrics_client=self._metrics,
            p2p_probe=self._p2p_open,
        )

    def own_part(self, sample: NodeSample, unit: str) -> NodeSample:
        """A look, but for what the processes of other units answered on the ports of this one."""
        rpc, p2p = self._rpc.url.port, self._params["p2p_port"]
        held = listening_units((rpc, p2p))
        others = {port for port, units in held.items() if units and unit not in units}
        if rpc in others and sample.rpc == "ok":
            sample = NodeSample(sample.at, sample.wall, rpc_message="another unit has its RPC port")
        return replace(sample, p2p_open=False) if p2p in others else sample

    @property
    def requests(self) -> int:
        return self._rpc.requests + (self._metrics.requests if self._metrics else 0)

    def _p2p_open(self) -> bool:
        try:
            self._http.connect(self._rpc.url.host, self._params["p2p_port"], timeout=1.0)
        except HttpError:
            return False
        return True


class OtherNodes:
    """Looks at the nodes of ``reference_urls``, side by side; what it saw is good for two seconds."""

    def __init__(self, params: t.Mapping[str, t.Any], clock: Clock) -> None:
        http = HttpClient()
        self.clients = [client(http, url, params, "reference_urls") for url in params["reference_urls"]]
        self._clock = clock
        self._seen: tuple[float, list[NodeSample]] | None = None

    def samples(self, fresh: bool = False) -> list[NodeSample]:
        """One look at each, in the order of the option."""
        now = self._clock.monotonic()
        if not fresh and self._seen is not None and now - self._seen[0] < _REFERENCE_AGE:
            return self._seen[1]
        before: list[NodeSample | None] = [*self._seen[1]] if self._seen else [None] * len(self.clients)
        self._seen = (now, look_at(self.clients, before, self._clock))
        return self._seen[1]

    def __call__(self) -> list[Reference]:
        samples = self.samples() if self.clients else []
        found = [reference(one.url.safe, sample) for one, sample in zip(self.clients, samples) if sample.rpc == "ok"]
        tip = tip_of(samples)
        return found if tip is None else [*found, replace(reference("the validators", tip), tip=True)]


def look_at(clients: t.Sequence[RpcClient], before: t.Sequence[NodeSample | None], clock: Clock) -> list[NodeSample]:
    """A look at each, side by side."""

    def look(pair: tuple[RpcClient, NodeSample | None]) -> NodeSample:
        one, earlier = pair
        kept = earlier if earlier is not None and earlier.rpc == "ok" else None
        return read_sample(one, at=clock.monotonic(), wall=clock.wall(), before=kept)

    pairs = list(zip(clients, before))
    if len(pairs) < 2:
        return [look(pair) for pair in pairs]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=min(len(pairs), 32)) as pool:
        return list(pool.map(look, pairs))


def reference(name: str, sample: NodeSample) -> Reference:
    return Reference(
        name,
        sample.number,
        sample.head.hash if sample.head else "",
        sample.head_time,
        sample.genesis,
        sample.chain_id,
    )
