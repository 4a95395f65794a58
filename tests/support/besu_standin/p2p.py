# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Peers: TCP connections that carry lines of JSON, on the port where Besu speaks its own protocols."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from . import secp256k1
from .block import ZERO_HASH
from .faults import FaultFile

Message = dict[str, object]
_LIMIT = 1 << 24
_ENODE = re.compile(r"enode://([0-9a-fA-F]{128})@\[?([^]?]+?)\]?:(\d+)(?:\?.*)?$")


@dataclass(frozen=True)
class Enode:
    """Where a node listens: its public key in hex, host, port."""

    id: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"enode://{self.id}@{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Enode:
        """``ValueError`` when the text is no enode URL."""
        match = _ENODE.match(text.strip())
        if match is None:
            raise ValueError(f"not an enode URL: {text!r}")
        return cls(match[1].lower(), match[2], int(match[3]))


@dataclass(frozen=True)
class Identity:
    """What a node says of itself when it connects."""

    enode: Enode
    genesis: str
    network: int
    version: str
    client: str
    encoding: str


@dataclass(eq=False)
class Peer:
    """One connection. ``height`` is what its owner is known to have; ``difficulty`` 0 until it announced a block."""

    enode: Enode
    address: str
    version: str
    client: str
    encoding: str
    inbound: bool
    local: str
    remote: str
    writer: asyncio.StreamWriter
    height: int
    head: str
    difficulty: int = 0
    heard: float = field(default_factory=time.monotonic)
    announced: int = -1


class Network:
    """Keeps the connections of one node."""

    def __init__(self, identity: Identity, interface: str, scale: float, faults: FaultFile, limit: int = 25) -> None:
        self.identity = identity
        self.peers: dict[str, Peer] = {}
        self.known: dict[str, Enode] = {}
        self.allowed: frozenset[str] | None = None
        self.listening = False
        self.on_message: Callable[[Peer, Message], None] = lambda peer, message: None
        self.on_peer: Callable[[Peer], None] = lambda peer: None
        self.head: Callable[[], tuple[int, str]] = lambda: (0, ZERO_HASH)
        self.disconnects: dict[tuple[str, str], int] = {}
        self.refused_until: dict[str, float] = {}
        self._next_dial: dict[str, float] = {}
        self._interface = interface
        self._scale = scale
        self._faults = faults
        self._limit = limit
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen, and begin to dial."""
        self._server = await asyncio.start_server(
            self._inbound, self._interface, self.identity.enode.port, limit=_LIMIT, reuse_address=True
        )
        self.listening = True
        self._spawn(self._dial_forever())
        self._spawn(self._keep_alive())

    async def stop(self) -> None:
        """Close everything."""
        self.listening = False
        if self._server is not None:
            self._server.close()
        for peer in list(self.peers.values()):
            self.drop(peer, "local", "CLIENT_QUITTING")
        for task in list(self._tasks):
            task.cancel()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def learn(self, enode: Enode) -> None:
        """Remember a node, to dial it."""
        if enode.id != self.identity.enode.id:
            self.known.setdefault(enode.id, enode)

    def cut_off(self, address: str, host: str) -> bool:
        """Whether a fault keeps this node from the other one."""
        faults = self._faults.current
        return faults.isolate or address in faults.isolate_from or host in faults.isolate_from

    def send(self, peer: Peer, message: Message) -> None:
        """Send, unless a fault swallows it."""
        if self.cut_off(peer.address, peer.enode.host) or peer.writer.is_closing():
            return
        peer.writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def broadcast(self, message: Message, addresses: set[str] | None = None) -> None:
        """Send to all peers, or to those with one of the addresses."""
        for peer in list(self.peers.values()):
            if addresses is None or peer.address in addresses:
                self.send(peer, message)

    def drop(self, peer: Peer, initiator: str, reason: str, refuse_for: float = 0.0) -> None:
        """End a connection; ``refuse_for`` seconds it is not made again."""
        if self.peers.get(peer.enode.id) is peer:
            del self.peers[peer.enode.id]
            self.disconnects[initiator, reason] = self.disconnects.get((initiator, reason), 0) + 1
        self.refused_until[peer.enode.id] = time.monotonic() + refuse_for
        peer.writer.close()

    async def _dial_forever(self) -> None:
        while True:
            now = time.monotonic()
            for enode in list(self.known.values()):
                if self._wants(enode, now):
                    self._next_dial[enode.id] = now + 10 * self._scale
                    self._spawn(self._dial(enode))
            await asyncio.sleep(max(0.05, min(1.0, self._scale)))

    def _wants(self, enode: Enode, now: float) -> bool:
        free = len(self.peers) < self._limit and enode.id not in self.peers
        return free and now >= max(self._next_dial.get(enode.id, 0.0), self.refused_until.get(enode.id, 0.0))

    async def _dial(self, enode: Enode) -> None:
        local = None if self._interface in ("0.0.0.0", "::", "") else (self._interface, 0)
        if self._faults.current.isolate or enode.host in self._faults.current.isolate_from:
            return
        with contextlib.suppress(OSError, TimeoutError):
            reader, writer = await asyncio.wait_for(
                asyncio.open_connection(enode.host, enode.port, limit=_LIMIT, local_addr=local), 5 * self._scale + 1
            )
            await self._talk(reader, writer, inbound=False)

    async def _inbound(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._spawn(self._talk(reader, writer, inbound=True))

    def _hello(self) -> Message:
        me = self.identity
        number, block_hash = self.head()
        nodes = [[p.enode.id, p.enode.host, p.enode.port] for p in self.peers.values()]
        return {
            "t": "hello", "id": me.enode.id, "host": me.enode.host, "port": me.enode.port, "genesis": me.genesis,
            "network": me.network, "version": me.version, "client": me.client, "head": [number, block_hash],
            "nodes": nodes, "encoding": me.encoding,
        }  # fmt: skip

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inbound: bool) -> None:
        peer: Peer | None = None
        try:
            writer.write(json.dumps(self._hello()).encode() + b"\n")
            line = await asyncio.wait_for(reader.readline(), 5 * self._scale + 1)
            peer = self._admit(json.loads(line), writer, inbound) if line else None
            while peer is not None and (line := await reader.readline()):
                self._receive(peer, json.loads(line))
        except (OSError, ValueError, KeyError, TypeError, TimeoutError):
            # A peer that is gone or talks nonsense is a peer less; the real node says nothing at INFO either.
            pass
        finally:
            if peer is not None:
                self.drop(peer, "remote", "TCP_SUBSYSTEM_ERROR")
            writer.close()

    def _admit(self, hello: Message, writer: asyncio.StreamWriter, inbound: bool) -> Peer | None:
        me = self.identity
        if hello.get("t") != "hello" or hello["genesis"] != me.genesis or hello["network"] != me.network:
            return None
        enode = Enode(str(hello["id"]), str(hello["host"]), int(str(hello["port"])))
        address = secp256k1.address(bytes.fromhex(enode.id))
        allowed = self.allowed is None or enode.id in self.allowed
        refused = time.monotonic() < self.refused_until.get(enode.id, 0.0)
        if not allowed or refused or self.cut_off(address, enode.host) or enode.id == me.enode.id:
            return None
        old = self.peers.get(enode.id)
        initiator = enode.id if inbound else me.enode.id
        if old is not None and old.inbound != inbound and initiator > min(enode.id, me.enode.id):
            self.disconnects["local", "ALREADY_CONNECTED"] = self.disconnects.get(("local", "ALREADY_CONNECTED"), 0) + 1
            return None
        return self._keep(hello, enode, address, writer, inbound)

    def _keep(self, hello: Message, enode: Enode, address: str, writer: asyncio.StreamWriter, inbound: bool) -> Peer:
        old = self.peers.get(enode.id)
        if old is not None:
            self.drop(old, "local", "ALREADY_CONNECTED")
        head = hello["head"]
        if not isinstance(head, list) or not isinstance(hello["nodes"], list):
            raise ValueError("this is no greeting")
        local, remote = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
        peer = Peer(
            enode=enode, address=address, version=str(hello["version"]), client=str(hello["client"]), inbound=inbound,
            encoding=str(hello["encoding"]),
            local=f"{local[0]}:{local[1]}", remote=f"{remote[0]}:{remote[1]}", writer=writer, height=int(head[0]),
            head=str(head[1]),
        )  # fmt: skip
        self.peers[enode.id] = peer
        self.learn(enode)
        for node in hello["nodes"]:
            self.learn(Enode(str(node[0]), str(node[1]), int(node[2])))
        for other in self.peers.values():
            if other is not peer:
                self.send(other, {"t": "nodes", "nodes": [[enode.id, enode.host, enode.port]]})
        self.on_peer(peer)
        return peer

    def _receive(self, peer: Peer, message: Message) -> None:
        if self.cut_off(peer.address, peer.enode.host):
            return
        peer.heard = time.monotonic()
        if message["t"] == "nodes" and isinstance(message["nodes"], list):
            for node in message["nodes"]:
                self.learn(Enode(str(node[0]), str(node[1]), int(node[2])))
        elif message["t"] == "ping":
            self.send(peer, {"t": "pong"})
        elif message["t"] != "pong":
            self.on_message(peer, message)

    async def _keep_alive(self) -> None:
        interval = 10 * self._scale
        while True:
            await asyncio.sleep(interval / 4)
            now = time.monotonic()
            for peer in list(self.peers.values()):
                if now - peer.heard > 3 * interval:
                    self.drop(peer, "local", "TIMEOUT")
                elif now - peer.heard > interval:
                    self.send(peer, {"t": "ping"})
