# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The start of a node, step by step, with the failures of each step in the order in which the real node finds them."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import secrets
import socket
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from . import failures, genesis, secp256k1, texts
from .chain import Chain, DataDirectory
from .failures import OutOfMemoryAtStart, StartFailure
from .faults import Faults
from .genesis import Genesis
from .logs import Log
from .options import Options
from .p2p import Enode

_HEAP = re.compile(r"-Xm[sx](\d+)([kKmMgGtT]?)")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SMALLEST_HEAP = 48 << 20
_LARGEST_HEAP = 1 << 40
_FEWEST_FILES = 400


@dataclass
class Prepared:
    """What the first steps of a start give."""

    genesis: Genesis
    network_id: int
    chain: Chain
    enode: Enode
    address: str
    bootnodes: list[Enode]
    allowlist: list[str] | None
    lock: TextIO


def heap_bytes(environment: Mapping[str, str]) -> int | None:
    """The heap that ``JAVA_OPTS`` or ``BESU_OPTS`` ask for."""
    sizes = _HEAP.findall(f"{environment.get('JAVA_OPTS', '')} {environment.get('BESU_OPTS', '')}")
    return max((int(number) * _UNITS[unit.lower()] for number, unit in sizes), default=None)


def virtual_machine(environment: Mapping[str, str], faults: Faults) -> None:
    """``VirtualMachineError`` when the virtual machine would not come up."""
    heap = heap_bytes(environment)
    if heap is not None and heap > _LARGEST_HEAP:
        raise failures.heap_refused(heap >> 10)
    if faults.start == "heap_size":
        raise failures.heap_refused(1048574951424)
    if faults.start == "java_version":
        raise failures.VirtualMachineError(failures.UNSUPPORTED_CLASS_VERSION)


def _node_key(path: Path, log: Log) -> int:
    log.note("KeyPairUtil", f"Attempting to load public key from {path}")
    try:
        # The superuser reads everything, but a key that nobody may read is meant to be unreadable.
        if not stat.S_IMODE(path.stat().st_mode) & 0o444:
            raise PermissionError
        text = path.read_text(encoding="ascii").strip().removeprefix("0x")
    except (OSError, UnicodeDecodeError):
        raise StartFailure("Supplied file does not contain valid keyPair pair.") from None
    for index, character in enumerate(text):
        if character not in "0123456789abcdefABCDEF":
            raise StartFailure(f"Illegal character '{character}' found at index {index} in hex binary representation")
    try:
        private = int(text, 16)
        public = secp256k1.public_key(private)
    except ValueError:
        raise StartFailure("Supplied file does not contain valid keyPair pair.") from None
    log.note("KeyPairUtil", f"Loaded public key 0x{public.hex()} from {path}")
    return private


def _key_of(options: Options, log: Log) -> bytes:
    path = options.path("node-private-key-file") or options.data_path / "key"
    if not path.exists():
        private = secrets.randbelow(secp256k1.N - 1) + 1
        path.write_text(f"0x{private:064x}", encoding="ascii")
        path.chmod(0o600)
        public = secp256k1.public_key(private)
        log.note("KeyPairUtil", f"Generated new secp256k1 public key 0x{public.hex()} and stored it to {path}")
        return public
    return secp256k1.public_key(_node_key(path, log))


def ports_of(options: Options) -> list[tuple[str, int]]:
    """Addresses on which the node is going to listen."""
    wanted = []
    if options.flag("rpc-http-enabled"):
        wanted.append((options.text("rpc-http-host", "127.0.0.1"), options.number("rpc-http-port", 8545)))
    if options.flag("p2p-enabled", True):
        wanted.append((options.text("p2p-interface", "0.0.0.0"), options.number("p2p-port", 30303)))
    if options.flag("metrics-enabled"):
        wanted.append((options.text("metrics-host", "127.0.0.1"), options.number("metrics-port", 9545)))
    return wanted


def check_ports(options: Options) -> None:
    """``StartFailure`` when another process has one of the ports; one line names all."""
    taken = []
    for host, port in ports_of(options):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen(1)
            except OSError:
                taken.append(str(port))
    if taken:
        raise StartFailure(
            f"Port(s) '[{', '.join(taken)}]' already in use. Check for other processes using the port(s)."
        )


def _allowlist(options: Options, bootnodes: list[Enode]) -> list[str] | None:
    if not options.flag("permissions-nodes-config-file-enabled"):
        return None
    path = options.path("permissions-nodes-config-file") or options.data_path / "permissions_config.toml"
    try:
        listed = [str(node) for node in tomllib.loads(path.read_text(encoding="utf-8"))["nodes-allowlist"]]
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise StartFailure(f"Unable to read permissioning TOML config file : {path} {error}") from None
    identities = {Enode.parse(node).id for node in listed}
    refused = [str(node) for node in bootnodes if node.id not in identities]
    if refused:
        raise StartFailure(f"Specified node(s) not in nodes-allowlist [{', '.join(refused)}]")
    return listed


def _bootnodes(options: Options) -> list[Enode]:
    try:
        return [Enode.parse(text) for text in options.names("bootnodes")]
    except ValueError as error:
        raise StartFailure(f"Invalid enode URL syntax '{error}'") from None


class Start:
    """Runs the steps before the ports open."""

    def __init__(self, options: Options, log: Log, faults: Faults, environment: Mapping[str, str]) -> None:
        self._options = options
        self._log = log
        self._faults = faults
        self._environment = environment

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self._options.scale)

    async def run(self) -> Prepared:
        """All steps. ``StartFailure`` and the other exceptions of ``failures`` where the real node gives up."""
        options, log = self._options, self._log
        log.note("Besu", "Starting Besu")
        file = options.path("genesis-file")
        if file is None:
            raise StartFailure("the stand-in knows private networks alone: --genesis-file is missing")
        loaded = genesis.load(file)
        network_id = options.number("network-id", loaded.chain_id)
        await self._pause(0.15)
        log.raw(texts.RESTRICTED)
        heap = heap_bytes(self._environment)
        if self._faults.start == "heap" or (heap is not None and heap < _SMALLEST_HEAP):
            await self._pause(0.9)
            raise OutOfMemoryAtStart
        await self._pause(0.2)
        check_ports(options)
        await self._pause(1.0)
        bootnodes = _bootnodes(options)
        allowlist = self._configuration(bootnodes)
        await self._pause(0.1)
        log.note("Besu", texts.banner(options, network_id).rstrip("\n"))
        log.note("Besu", "Security Module: localfile")
        return await self._storage(loaded, network_id, bootnodes, allowlist)

    def _configuration(self, bootnodes: list[Enode]) -> list[str] | None:
        options, log = self._options, self._log
        if options.flag("rpc-http-enabled"):
            log.note("Besu", texts.rpc_configuration(options))
        bonsai = options.text("data-storage-format", "BONSAI").upper() == "BONSAI"
        if bonsai and options.text("sync-mode", "FULL").upper() == "FULL":
            log.caution(
                "Besu",
                "Forcing --bonsai-limit-trie-logs-enabled=false, since it cannot be enabled with --sync-mode=FULL and "
                "--data-storage-format=BONSAI.",
            )
        if "PERM" in options.apis and not options.flag("permissions-nodes-config-file-enabled"):
            log.caution("Besu", "Permissions are disabled. Cannot enable PERM APIs when not using Permissions.")
        log.note("Besu", "Connecting to 0 static nodes.")
        allowlist = _allowlist(options, bootnodes)
        texts.gas_price_warnings(log)
        log.note("Besu", "jemalloc library not found, memory usage may be reduced by installing it")
        return allowlist

    async def _storage(
        self, loaded: Genesis, network_id: int, bootnodes: list[Enode], allowlist: list[str] | None
    ) -> Prepared:
        options, log = self._options, self._log
        data = DataDirectory(options.data_path, options.version, options.text("data-storage-format", "BONSAI").upper())
        self._version(data)
        await self._pause(0.2)
        texts.gas_price_warnings(log)
        public = _key_of(options, log)
        enode = Enode(public.hex(), options.text("p2p-host", "127.0.0.1"), options.number("p2p-port", 30303))
        await self._pause(0.15)
        log.note("ProtocolScheduleBuilder", f"Protocol schedule created with milestones: [{loaded.active_fork}:0]")
        self._open_database(data)
        await self._pause(0.25)
        data.check_manifest()
        lock = data.lock()
        for _column in range(2):
            log.note("FlatDbStrategyProvider", "Flat db mode found FULL")
            log.note("FlatDbStrategyProvider", "DB mode with code stored using code hash enabled = true")
        chain = Chain(loaded, data.database / "000004.log")
        chain.open()
        await self._pause(0.1)
        await self._assemble(bootnodes)
        address = secp256k1.address(public)
        return Prepared(loaded, network_id, chain, enode, address, bootnodes, allowlist, lock)

    def _version(self, data: DataDirectory) -> None:
        log = self._log
        log.note("VersionMetadata", f"Lookup version metadata file in data directory: {data.path}")
        data.require_writable()
        last = data.last_version()
        if last is None:
            log.note(
                "VersionMetadata", f"No version data detected. Writing Besu version {data.version} to metadata file"
            )
        else:
            log.note("VersionMetadata", f"Existing version data detected. Besu version {last}")
        data.refuse_downgrade(last, self._options.flag("version-compatibility-protection", True))
        data.write_version()
        for name in ("alt bn128", "modexp", "the signature algorithm", "the blake2bf algorithm"):
            log.note("Besu", f"Using the Java implementation of {name}")
        log.note("Besu", "Using the Java secp256r1 implementation of p256verify")

    def _open_database(self, data: DataDirectory) -> None:
        log, say = self._log, "RocksDBKeyValueStorageFactory"
        layout = f"BaseVersionedStorageFormat{{format={data.format}, version=3}}"
        if not data.exists():
            log.note(
                say,
                f"No existing database at {data.path}. Using default metadata for new db "
                f"versionedStorageFormat={layout}",
            )
            data.create()
            return
        log.note("DatabaseMetadata", f"Lookup database metadata file in data directory: {data.path}")
        data.check_metadata()
        log.note(
            say,
            f"Existing database at {data.path}. Metadata versionedStorageFormat={layout}. Processing WAL...",
        )

    async def _assemble(self, bootnodes: list[Enode]) -> None:
        log = self._log
        log.note("BesuControllerBuilder", "Adding ChainDataPruner to observe block added events")
        log.note("BesuControllerBuilder", "BAL pruning enabled | BALs retained: 113056 | Frequency: 256")
        log.note("TransactionPoolFactory", "Enabling transaction pool")
        log.note("BesuControllerBuilder", "QBFT is configured, creating initial sync for BFT")
        log.note("BFTPivotSelectorFromPeers", "Creating pivot block selector for BFT node")
        if self._options.flag("p2p-enabled", True):
            if bootnodes:
                log.note("RunnerBuilder", f"Resolved {len(bootnodes)} bootnodes.")
            log.note("RunnerBuilder", "Detecting NAT service.")
            log.note("CompositePeerDiscoveryAgentFactory", "Peer discovery mode: V4 (requested=V4, V4=true, V5=false)")
        await self._pause(0.3)
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if self._faults.start == "file_descriptors" or soft < _FEWEST_FILES:
            await self._pause(2.0)
            raise StartFailure("failed to create a child event loop")


def environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ
