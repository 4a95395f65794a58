# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node shows of itself: the values behind JSON-RPC, health endpoints and metrics."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field

from . import rlp, secp256k1
from .chain import Chain
from .consensus import Consensus
from .faults import FaultFile
from .genesis import Genesis
from .keccak import keccak256
from .options import Options
from .p2p import Enode, Network
from .sync import Synchronizer


@dataclass
class View:
    """The parts of a running node. ``network`` etc. exist before peering is up, ``p2p_up`` says when it is."""

    options: Options
    genesis: Genesis
    chain: Chain
    enode: Enode
    address: str
    network_id: int
    faults: FaultFile
    network: Network
    sync: Synchronizer
    consensus: Consensus
    p2p_enabled: bool = True
    p2p_up: bool = False
    allowlist: list[str] | None = None
    started: float = field(default_factory=time.time)

    @property
    def client(self) -> str:
        """Name, version and platform."""
        identity = self.options.text("identity")
        name = f"besu/{identity}" if identity else "besu"
        return f"{name}/v{self.options.version}/linux-x86_64/openjdk-java-25"

    @property
    def modern(self) -> bool:
        """Whether the version answers as 26.x does."""
        return int(self.options.version.split(".")[0]) >= 26

    def ready(self, minimum_peers: int, maximum_behind: int) -> bool:
        """The readiness check: enough peers and, while there is a sync target, not too far behind it."""
        if self.p2p_enabled and len(self.network.peers) < minimum_peers:
            return False
        behind = self.sync.behind()
        return behind is None or behind <= maximum_behind

    def node_record(self) -> str:
        """An Ethereum node record; its signature is none."""
        public = bytes.fromhex(self.enode.id)
        fork = keccak256(self.genesis.block.hash.encode())[:4]
        port = self.enode.port.to_bytes(2, "big")
        host = bytes(int(part) for part in self.enode.host.split(".")) if self.enode.host.count(".") == 3 else b""
        content: list[object] = [
            b"\x01", b"eth", [[fork, b""]], b"id", b"v4", b"ip", host, b"secp256k1", secp256k1.compressed(public),
            b"tcp", port, b"udp", port,
        ]  # fmt: skip
        stand_in = keccak256(public) + keccak256(rlp.encode(content))
        return "enr:" + base64.urlsafe_b64encode(rlp.encode([stand_in, *content])).rstrip(b"=").decode()
