# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the readers of a Besu node from its options: clients, the node itself, its references.

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

# Seconds for which what was seen of the other nodes is used again.
_REFERENCE_AGE = 2.0


def verdict_options(params: t.Mapping[str, t.Any]) -> NodeOptions:
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
    """Samples the node on this host."""

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
        """A sample without answers that came from processes of other units on the ports of this one."""
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
    """Samples the nodes of ``reference_urls`` in parallel; the samples are valid for two seconds."""

    def __init__(self, params: t.Mapping[str, t.Any], clock: Clock) -> None:
        http = HttpClient()
        self.clients = [client(http, url, params, "reference_urls") for url in params["reference_urls"]]
        self._clock = clock
        self._sampled: tuple[float, list[NodeSample]] | None = None

    def samples(self, fresh: bool = False) -> list[NodeSample]:
        """One sample of each, in the order of the option."""
        now = self._clock.monotonic()
        if not fresh and self._sampled is not None and now - self._sampled[0] < _REFERENCE_AGE:
            return self._sampled[1]
        before: list[NodeSample | None] = [*self._sampled[1]] if self._sampled else [None] * len(self.clients)
        self._sampled = (now, sample_all(self.clients, before, self._clock))
        return self._sampled[1]

    def __call__(self) -> list[Reference]:
        samples = self.samples() if self.clients else []
        found = [reference(one.url.safe, sample) for one, sample in zip(self.clients, samples) if sample.rpc == "ok"]
        chains = dict.fromkeys(sample.genesis for sample in samples)
        tips = [tip_of(sample for sample in samples if sample.genesis == genesis) for genesis in chains]
        return [*found, *[replace(reference("the validators", tip), tip=True) for tip in tips if tip is not None]]


def sample_all(clients: t.Sequence[RpcClient], before: t.Sequence[NodeSample | None], clock: Clock) -> list[NodeSample]:
    """A sample of each, in parallel."""

    def sample_one(pair: tuple[RpcClient, NodeSample | None]) -> NodeSample:
        one, earlier = pair
        kept = earlier if earlier is not None and earlier.rpc == "ok" else None
        return read_sample(one, at=clock.monotonic(), wall=clock.wall(), before=kept)

    pairs = list(zip(clients, before))
    if len(pairs) < 2:
        return [sample_one(pair) for pair in pairs]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=min(len(pairs), 32)) as pool:
        return list(pool.map(sample_one, pairs))


def reference(name: str, sample: NodeSample) -> Reference:
    return Reference(
        name,
        sample.number,
        sample.head.hash if sample.head else "",
        sample.head_time,
        sample.genesis,
        sample.chain_id,
    )
