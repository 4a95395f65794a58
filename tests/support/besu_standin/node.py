# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node's life: start, run, stop, and the exit code at its end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from . import texts, tls
from .block import Block
from .consensus import Consensus
from .engine import Engine
from .failures import USAGE, DiskFull, OptionError, OutOfMemoryAtStart, StartFailure, VirtualMachineError
from .faults import DEFAULT_FILE, FaultFile
from .genesis import ENGINE
from .httpd import Server
from .logs import Log, standard_error
from .metrics import Metrics
from .options import Options, load
from .p2p import Identity, Message, Network, Peer
from .rpc import Methods
from .service import RpcService
from .start import Prepared, Start, environment, virtual_machine
from .sync import Synchronizer, Validator
from .view import View

_CONSENSUS = ("proposal", "commit", "change")
_SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130}


class Node:
    """One run of the process."""

    def __init__(self, options: Options, faults: FaultFile) -> None:
        self._options = options
        self._faults = faults
        self._log = Log(sys.stdout, options.flag("color-enabled", True))
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._rpc: Server | None = None
        self._metrics: Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._files: list[Path] = []
        self._view: View | None = None
        self._lock: TextIO | None = None

    async def run(self) -> int:
        """Live, and return the exit code."""
        for number, code in _SIGNALS.items():
            asyncio.get_running_loop().add_signal_handler(number, self.end, code)
        starting = asyncio.ensure_future(self._start())
        starting.add_done_callback(self._started)
        code = await self._ended
        starting.cancel()
        await self._stop(code)
        return code

    def _started(self, starting: asyncio.Task[None]) -> None:
        error = None if starting.cancelled() else starting.exception()
        if error is not None and not self._ended.done():
            self._ended.set_exception(error)

    def end(self, code: int) -> None:
        """Begin to stop."""
        if not self._ended.done():
            self._ended.set_result(code)

    async def _start(self) -> None:
        options, log = self._options, self._log
        prepared = await Start(options, log, self._faults.read(), environment()).run()
        self._lock = prepared.lock
        await asyncio.sleep(self._faults.current.start_delay)
        view = self._assemble(prepared)
        self._view = view
        self._tasks.append(asyncio.ensure_future(self._watch_faults()))
        await self._services(view)
        log.note("Runner", "Starting Ethereum main loop ...")
        log.note("NatService", "No NAT environment detected so no service could be started")
        log.note("NetworkRunner", "Starting Network.")
        if view.p2p_enabled:
            await self._peering(view, prepared)
        else:
            self._capabilities(view)
        log.note("Runner", "Ethereum main loop is up.")
        self._write_files(view)
        if view.genesis.consensus == ENGINE:
            take = functools.partial(self._import, announce=False)
            engine = Engine(
                view.chain, options.version, options.block_scale, log, self._faults, take, view.sync.missing
            )
            self._tasks.append(asyncio.ensure_future(engine.run()))

    def _assemble(self, prepared: Prepared) -> View:
        options = self._options
        scale, block_scale = options.scale, options.block_scale
        p2p_enabled = options.flag("p2p-enabled", True)
        genesis, chain_id = prepared.genesis.block.hash, prepared.network_id
        identity = Identity(prepared.enode, genesis, chain_id, options.version, "besu", options.encoding)
        interface = options.text("p2p-interface", "0.0.0.0")
        network = Network(identity, interface, scale, self._faults, options.number("max-peers", 25))
        validator = Validator(prepared.genesis, block_scale, self._faults)
        snap = options.text("sync-mode", "FULL").upper() in ("SNAP", "CHECKPOINT") and prepared.chain.head.number == 0
        sync = Synchronizer(
            prepared.chain, network, validator, self._log, self._faults, scale, snap and p2p_enabled,
            options.number("sync-min-peers", 5), options.real("standin-sync-rate", 0.0) or None,
        )  # fmt: skip
        consensus = Consensus(
            prepared.chain, network, prepared.address, options.version, block_scale, self._log, self._faults
        )
        view = View(
            options, prepared.genesis, prepared.chain, prepared.enode, prepared.address, prepared.network_id,
            self._faults, network, sync, consensus, p2p_enabled, allowlist=prepared.allowlist,
        )  # fmt: skip
        network.identity = replace(identity, client=view.client)
        self._wire(view)
        return view

    def _wire(self, view: View) -> None:
        network, sync, consensus, chain = view.network, view.sync, view.consensus, view.chain

        def receive(peer: Peer, message: Message) -> None:
            if message["t"] in _CONSENSUS:
                consensus.receive(peer, message)
            else:
                sync.receive(peer, message)

        def targeted(target: bool) -> None:
            if target:
                self._log.note(
                    "BftMiningCoordinator", "Stopping BFT mining coordinator while we are syncing",
                    "EthScheduler-Timer-0",
                )  # fmt: skip
                consensus.stop()
                self._log.note("BftProcessor", "Shutting down BFT event processor", "BftProcessorExecutor-QBFT-0")
            else:
                consensus.start()

        network.head = lambda: (chain.head.number, chain.head.hash)
        network.on_message = receive
        network.on_peer = sync.peer_connected
        sync.on_block = self._import
        sync.on_target = targeted
        sync.on_jump = consensus.head_changed
        consensus.on_block = lambda block: self._import(block, True)
        if view.allowlist is not None:
            network.allowed = frozenset(node.removeprefix("enode://")[:128].lower() for node in view.allowlist)

    def _import(self, block: Block, announce: bool) -> bool:
        """Append to the chain and tell everybody; whether the node lives to tell."""
        view = self._view
        if view is None or self._ended.done():
            return False
        try:
            if self._faults.current.disk_full:
                raise DiskFull(str(self._options.data_path / "database/000004.log"))
            view.chain.extend([block])
        except DiskFull as full:
            texts.disk_full(self._log, full.path, "EthScheduler-Services-5 (importBlock)")
            self.end(self._faults.current.full_exit)
            return False
        if announce:
            for peer in list(view.network.peers.values()):
                if peer.announced < block.number:
                    view.network.send(peer, {"t": "new", "block": block.wire()})
        view.consensus.head_changed()
        return True

    async def _services(self, view: View) -> None:
        options, log = self._options, self._log
        log.note("Runner", "Starting external services ...")
        if options.flag("rpc-http-enabled"):
            self._rpc = Server(self._unset, options.number("rpc-http-max-active-connections", 80))
        metrics = Metrics(view, self._rpc)
        if options.flag("metrics-enabled"):
            host, port = options.text("metrics-host", "127.0.0.1"), options.number("metrics-port", 9545)
            log.note("MetricsHttpService", f"Starting metrics http service on {host}:{port}")
            self._metrics = Server(metrics.handle)
            await self._metrics.start(host, port)
        if self._rpc is not None:
            await self._open_rpc(view, metrics, self._rpc)
        log.note("AutoTransactionLogBloomCachingService", "Starting auto transaction log bloom caching service.")
        log.note("LogBloomCacheMetadata", f"Lookup cache metadata file in data directory: {options.data_path}/caches")

    @staticmethod
    async def _unset(_request: object) -> None:
        return None

    async def _open_rpc(self, view: View, metrics: Metrics, server: Server) -> None:
        options, log = self._options, self._log
        host, port = options.text("rpc-http-host", "127.0.0.1"), options.number("rpc-http-port", 8545)
        server.handler = RpcService(view, Methods(view, metrics.debug)).handle
        log.note("JsonRpcHttpService", f"Starting JSON-RPC service on {host}:{port}")
        await asyncio.sleep(0.15 * options.scale)
        context = tls.server_context(options)
        await server.start(host, port, context)
        secured = " with TLS enabled." if context else ""
        text = f"JSON-RPC service started and listening on {host}:{port}{secured}"
        log.note("JsonRpcHttpService", text, "vert.x-eventloop-thread-1")

    def _capabilities(self, view: View) -> None:
        versions = "68], [eth/69], [eth/70], [eth/71" if view.modern else "66], [eth/67], [eth/68], [eth/69"
        names = versions.replace("], [", ", ")
        self._log.note("NetworkRunner", f"Supported capabilities: [eth/{names}], [istanbul/100], [snap/1]")

    async def _peering(self, view: View, prepared: Prepared) -> None:
        log, port = self._log, view.enode.port
        for node in prepared.bootnodes:
            view.network.learn(node)
        await asyncio.sleep(0.05 * self._options.scale + self._faults.current.p2p_delay)
        await view.network.start()
        thread = "nioEventLoopGroup-2-1"
        log.note("RlpxAgent", f"P2P RLPx agent started and listening on /[0:0:0:0:0:0:0:0]:{port}.", thread)
        log.note("CompositePeerDiscoveryAgent", "Starting discovery on shared UDP socket (V4 only)")
        thread = "disc-shared-eventloop"
        say = "PeerDiscoveryAgentV4"
        log.note(say, f"Starting peer discovery agent on host=0.0.0.0, port={port}. IPv6 available.", thread)
        await asyncio.sleep(0.1 * self._options.scale)
        log.note(say, f"P2P peer discovery agent started and listening on /0.0.0.0:{port}", thread)
        log.note("DefaultP2PNetwork", f"Enode URL {view.enode}")
        log.note("DefaultP2PNetwork", f"ENR URL {view.node_record()}")
        log.note("DefaultP2PNetwork", f"Node address {view.address}")
        self._capabilities(view)
        view.p2p_up = True
        log.note("DefaultSynchronizer", "Starting synchronizer.")
        if view.genesis.consensus == ENGINE:
            return
        if self._options.text("sync-mode", "FULL").upper() == "FULL":
            log.note("TransactionPoolFactory", "Enabling transaction handling following initial sync")
            log.note("BftMiningCoordinator", "Starting BFT mining coordinator following initial sync")
            view.consensus.start()
        self._tasks.append(asyncio.ensure_future(view.sync.run()))
        await asyncio.sleep(0)

    def _write_files(self, view: View) -> None:
        data = self._options.data_path
        ports = {
            "json-rpc": self._options.number("rpc-http-port", 8545) if self._rpc else None,
            "p2p": view.enode.port if view.p2p_up else None,
            "discovery": view.enode.port if view.p2p_up else None,
            "metrics": self._options.number("metrics-port", 9545) if self._metrics else None,
        }
        note = "#This file contains the ports used by the running instance of Besu. "
        note += "This file will be deleted after the node is shutdown.\n"
        body = "".join(f"{name}={port}\n" for name, port in ports.items() if port is not None)
        files = {data / "besu.ports": note + body, data / "besu.networks": f"local-ip={view.enode.host}\n"}
        pid_path = self._options.path("pid-path")
        if pid_path is not None:
            files[pid_path] = f"{os.getpid()}"
        for path, text in files.items():
            with contextlib.suppress(OSError):
                path.write_text(text, encoding="ascii")
                self._files.append(path)

    async def _watch_faults(self) -> None:
        told = False
        while True:
            faults = self._faults.read()
            if faults.exit_with is not None:
                os._exit(faults.exit_with)
            if faults.signal is not None:
                os.kill(os.getpid(), faults.signal)
            if faults.halt_mining and self._view is not None:
                self._view.consensus.halt()
            if faults.oom and not told and self._view is not None:
                told = True
                self._view.consensus.stop()
                standard_error(
                    "\nException: java.lang.OutOfMemoryError thrown from the UncaughtExceptionHandler in thread "
                    '"EthScheduler-Timer-0"\n'
                )
            await asyncio.sleep(0.2)

    async def _linger(self) -> None:
        """Take as long as the fault says, which may be taken back meanwhile."""
        clock = asyncio.get_running_loop()
        began = clock.time()
        while clock.time() - began < self._faults.read().slow_stop:
            await asyncio.sleep(0.1)

    async def _stop(self, code: int) -> None:
        view, log, scale = self._view, self._log, self._options.scale
        if view is None:
            return
        for server in (self._rpc, self._metrics):
            if server is not None:
                server.stop()
        if view.consensus.active:
            view.consensus.stop()
            log.note("BftProcessor", "Shutting down BFT event processor", "BftProcessorExecutor-QBFT-0")
        for task in self._tasks:
            task.cancel()
        texts.stopping(log, view.p2p_up)
        await asyncio.sleep(0.4 * scale)
        await self._linger()
        await view.network.stop()
        texts.stopped(log)
        view.chain.close()
        for path in self._files:
            path.unlink(missing_ok=True)


def _say_failure(log: Log, failure: StartFailure) -> int:
    for logger, text in failure.errors:
        log.failure(logger, text)
    log.failure("Besu", f"Failed to start Besu: {failure.reason}")
    standard_error(f"{failure.reason}\n\n{texts.USAGE}")
    return USAGE


def _say_option_error(error: OptionError) -> int:
    hint = f"Possible solutions: {', '.join(error.suggestions)}\n" if error.suggestions else ""
    standard_error(f"{error.reason}\n{hint}\n{texts.USAGE}")
    return USAGE


async def live(arguments: list[str]) -> int:
    """Everything between the start of the process and its exit code."""
    variables = environment()
    scale = float(variables.get("BESU_STANDIN_SCALE", "1"))
    faults = FaultFile(Path(variables.get("BESU_STANDIN_FAULTS", DEFAULT_FILE)))
    try:
        virtual_machine(variables, faults.read())
        await asyncio.sleep(1.8 * scale)
        options = load(arguments, variables)
        options.apis  # noqa: B018 - a bad group is a bad option
        return await Node(options, faults).run()
    except VirtualMachineError as error:
        standard_error(error.text + "\n")
        return 1
    except OptionError as error:
        return _say_option_error(error)
    except StartFailure as failure:
        return _say_failure(Log(sys.stdout), failure)
    except OutOfMemoryAtStart:
        log = Log(sys.stdout)
        log.failure("Besu", 'Uncaught exception in thread "main"\n' + texts.HEAP_TRACE.rstrip("\n"))
        return 1
    except DiskFull as full:
        texts.disk_full(Log(sys.stdout), full.path, "main")
        return 1
