# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lay a network out: genesis file, node keys, configuration, units, and chains that are there already.

``plan`` makes everything from names and addresses; ``NetworkPlan.files`` gives the files of one host. The same files
start a real Besu when the unit names it (``binary``).
"""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import rlp, secp256k1
from .block import ZERO_ADDRESS, Block
from .genesis import ENGINE, parse
from .p2p import Enode
from .votes import ValidatorSets

APIS = ("ETH", "NET", "WEB3", "ADMIN", "QBFT", "TXPOOL", "DEBUG", "PERM")
ETC = "/etc/besu"
DATA = "/var/lib/besu"
HOME = "/opt/besu"
BINARY = f"{HOME}/bin/besu"
FAULTS = "/run/besu-standin/faults.json"

# Line 4 runs Java in the real script too, and a Java that is not there is reported with that number.
LAUNCHER = f"""#!/bin/sh
JAVACMD=${{JAVA_HOME:+$JAVA_HOME/bin/java}}
export PYTHONPATH={HOME}/lib PYTHONDONTWRITEBYTECODE=1
exec "${{JAVACMD:-python3}}" -m besu_standin "$@"
"""


@dataclass(frozen=True)
class PlannedNode:
    """One node: where it is and who."""

    name: str
    host: str
    key: str
    enode: Enode
    address: str
    validator: bool


@dataclass(frozen=True)
class File:
    """One file of a host."""

    path: str
    content: str
    mode: int = 0o644


@dataclass(frozen=True)
class NetworkPlan:
    """A network whose nodes know each other by two bootnodes."""

    genesis: dict[str, object]
    nodes: dict[str, PlannedNode]
    bootnodes: tuple[str, ...]
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def validators(self) -> list[PlannedNode]:
        """Those in the genesis set."""
        return [node for node in self.nodes.values() if node.validator]

    def options(self, name: str, etc: str = ETC, data: str = DATA, **changes: object) -> dict[str, object]:
        """The configuration of a node as option names and values; ``changes`` with ``_`` for ``-``, ``None`` removes.

        RPC and metrics listen everywhere, and answer under any host name.
        """
        node = self.nodes[name]
        chosen: dict[str, object] = {
            "data-path": data,
            "genesis-file": f"{etc}/genesis.json",
            "node-private-key-file": f"{etc}/key",
            "p2p-host": node.host,
            "bootnodes": [str(self.nodes[boot].enode) for boot in self.bootnodes if boot != name],
            "rpc-http-enabled": True,
            "rpc-http-host": "0.0.0.0",
            "rpc-http-api": list(APIS),
            "host-allowlist": ["*"],
            "metrics-enabled": True,
            "metrics-host": "0.0.0.0",
            "min-gas-price": 0,
            "sync-mode": "FULL",
            **self.settings,
            **{option.replace("_", "-"): value for option, value in changes.items()},
        }
        return {option: value for option, value in chosen.items() if value is not None}

    def files(
        self, name: str, environment: Mapping[str, str] | None = None, binary: str = BINARY, **changes: object
    ) -> list[File]:
        """What one host needs in ``/etc/besu`` and as its unit."""
        return [
            File(f"{ETC}/genesis.json", json.dumps(self.genesis, indent=1) + "\n"),
            File(f"{ETC}/key", self.nodes[name].key + "\n", 0o600),
            File(f"{ETC}/config.toml", toml(self.options(name, ETC, DATA, **changes))),
            File("/etc/systemd/system/besu.service", unit(environment or {}, binary)),
        ]

    def history(
        self, blocks: int, head_time: int | None = None, client: str = "26.8.0", branch: str = ""
    ) -> list[Block]:
        """A chain of so many blocks; its hashes are unlike the real ones, which take long to compute.

        Another ``branch`` is another chain from block 1 on.
        """
        genesis = parse(self.genesis)
        sets = ValidatorSets(genesis)
        period = genesis.block_period
        end = int(time.time()) if head_time is None else head_time
        chain = [genesis.block]
        for number in range(1, blocks + 1):
            order = sorted(sets.next)
            parent = chain[-1]
            miner = order[number % len(order)] if order else ZERO_ADDRESS
            digest = hashlib.sha256(f"{parent.hash}{number}{branch}".encode()).hexdigest()
            stamp = end - (blocks - number) * period
            quorum = -(-2 * len(order) // 3)
            chain.append(Block(number, "0x" + digest, parent.hash, stamp, miner, 0, None, quorum, client))
            sets.add(chain[-1])
        return chain


def _key(seed: str) -> str:
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest(), "big") % (secp256k1.N - 1) + 1
    return f"{number:064x}"


def plan(
    hosts: Mapping[str, str], validators: Sequence[str], *, chain_id: int = 1337, block_period: int = 2,
    request_timeout: int = 4, epoch_length: int = 30000, empty_block_period: int = 0, p2p_port: int = 30303, seed: str = "",
    bootnodes: Sequence[str] | None = None, consensus: str = "qbft", settings: Mapping[str, object] | None = None,
) -> NetworkPlan:  # fmt: skip
    """A network of ``hosts`` (name -> address), of which ``validators`` vote. The same input, the same keys.

    ``consensus``: qbft, ibft2, or engine for execution clients, which have no validators.
    """
    nodes = {}
    for name, host in hosts.items():
        key = _key(f"{seed}/{name}")
        public = secp256k1.public_key(int(key, 16))
        enode = Enode(public.hex(), host, p2p_port)
        nodes[name] = PlannedNode(name, host, key, enode, secp256k1.address(public), name in validators)
    addresses = sorted(nodes[name].address for name in validators)
    make = rlp.extra_data_ibft2 if consensus == "ibft2" else rlp.extra_data
    extra = make(bytes(32), addresses, None, 0, [])
    bft = {
        "epochlength": epoch_length, "blockperiodseconds": block_period, "requesttimeoutseconds": request_timeout
    }  # fmt: skip
    if empty_block_period:
        bft["emptyblockperiodseconds"] = empty_block_period
    agreed: dict[str, object] = (
        {"terminalTotalDifficulty": 0, "ethash": {}} if consensus == ENGINE else {consensus: bft}
    )
    genesis: dict[str, object] = {
        "config": {"chainId": chain_id, "berlinBlock": 0, "londonBlock": 0, "shanghaiTime": 0, **agreed},
        "nonce": "0x0",
        "timestamp": "0x0",
        "extraData": "0x" + extra.hex(),
        "gasLimit": "0x1fffffffffffff",
        "difficulty": "0x1",
        "mixHash": "0x" + "0" * 64,
        "alloc": {},
    }
    boots = tuple(bootnodes) if bootnodes is not None else tuple(list(hosts)[:2])
    return NetworkPlan(genesis, nodes, boots, dict(settings or {}))


def toml(options: Mapping[str, object]) -> str:
    """A configuration file."""
    return "".join(f"{name}={json.dumps(value)}\n" for name, value in options.items())


def unit(environment: Mapping[str, str], binary: str = BINARY, extra: Iterable[str] = ()) -> str:
    """An ordinary unit: it does not list 143 as a success and restarts after failures."""
    lines = ["[Unit]", "Description=Hyperledger Besu", "After=network.target", "", "[Service]", "Type=simple"]
    lines += [f"Environment={shlex.quote(f'{name}={value}')}" for name, value in environment.items()]
    lines += [f"ExecStart={binary} --config-file={ETC}/config.toml", "Restart=on-failure", "RestartSec=5s", *extra]
    return "\n".join([*lines, "", "[Install]", "WantedBy=multi-user.target", ""])


def program() -> list[File]:
    """The stand-in's own files, for ``/opt/besu``."""
    here = Path(__file__).parent
    files = [File(BINARY, LAUNCHER, 0o755)]
    for path in sorted([*here.glob("*.py"), *here.glob("data/*.txt")]):
        files.append(File(f"{HOME}/lib/besu_standin/{path.relative_to(here)}", path.read_text(encoding="utf-8")))
    return files


def store(directory: Path, blocks: Sequence[Block], version: str = "26.8.0") -> None:
    """Make ``directory`` the data directory of a node that has these blocks."""
    from .chain import DataDirectory

    data = DataDirectory(directory, version, "BONSAI")
    data.require_writable()
    data.write_version()
    data.create()
    lines = (json.dumps(block.wire(), separators=(",", ":")) + "\n" for block in blocks)
    (data.database / "000004.log").write_text("".join(lines), encoding="ascii")
