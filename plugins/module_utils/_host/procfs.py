# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets and processes of this host: who listens, who is at the other end.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Format: proc(5), /proc/net/tcp. Addresses there are words of the machine's own
byte order in hexadecimal.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
import typing as t

_ORDER = "<" if sys.byteorder == "little" else ">"
_LISTEN, _ESTABLISHED = "0A", "01"
# A UDP socket that waits for any sender is "unconnected": the kernel writes that as TCP's CLOSE.
_BOUND = {"tcp": _LISTEN, "tcp6": _LISTEN, "udp": "07", "udp6": "07"}
# The processes that hold the connections of SSH, as the kernel names them.
_SSHD = ("sshd", "sshd-session")
_SSH_PORT = 22
_MAX_TABLE = 4 * 1024 * 1024

Address = tuple[str, int]


class SocketRow(t.NamedTuple):
    """One TCP or UDP socket: its two ends, its state as the kernel writes it, its inode."""

    local: Address
    remote: Address
    state: str
    inode: str


def parse_table(text: str) -> list[SocketRow]:
    """The rows of /proc/net/tcp, tcp6, udp or udp6. What is no row is left out."""
    rows: list[SocketRow] = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10:
            continue
        local, remote = _address(fields[1]), _address(fields[2])
        if local is not None and remote is not None:
            rows.append(SocketRow(local, remote, fields[3], fields[9]))
    return rows


def _address(text: str) -> Address | None:
    digits, _colon, port = text.partition(":")
    try:
        words = [struct.pack(_ORDER + "I", int(digits[i : i + 8], 16)) for i in range(0, len(digits), 8)]
        data, number = b"".join(words), int(port, 16)
    except (ValueError, struct.error):
        return None
    if data[:12] == b"\0" * 10 + b"\xff\xff":
        data = data[12:]  # IPv4 over an IPv6 socket
    if len(data) == 4:
        return socket.inet_ntop(socket.AF_INET, data), number
    return (socket.inet_ntop(socket.AF_INET6, data), number) if len(data) == 16 else None


def table(pid: str | int = "self", proc: str = "/proc") -> list[SocketRow]:
    """The TCP sockets of the network that a process is in."""
    return [row for name in ("tcp", "tcp6") for row in _rows(name, pid, proc)]


def _rows(name: str, pid: str | int, proc: str) -> list[SocketRow]:
    # No IPv6, or the process is gone: no rows.
    return parse_table(_read(f"{proc}/{pid}/net/{name}", _MAX_TABLE))


def open_sockets(pid: int, proc: str = "/proc") -> set[str] | None:
    """The inodes of a process's sockets; None where this user may not see them."""
    found: set[str] = set()
    try:
        for name in os.listdir(f"{proc}/{pid}/fd"):
            try:
                target = os.readlink(f"{proc}/{pid}/fd/{name}")
            except FileNotFoundError:
                continue
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        return None
    return found


def listeners(pid: int, proc: str = "/proc") -> list[Address] | None:
    """Where a process listens; None where this user may not see that."""
    own = open_sockets(pid, proc)
    if own is None:
        return None
    return sorted({row.local for row in table(pid, proc) if row.state == _LISTEN and row.inode in own})


def port_holders(ports: t.Collection[int], proc: str = "/proc") -> dict[int, str]:
    """Who listens on each of ``ports``: the process and its unit, as far as this user may see them."""
    inodes = {
        row.inode: row.local[1]
        for name, state in _BOUND.items()
        for row in _rows(name, "self", proc)
        if row.state == state and row.local[1] in ports
    }
    held = dict.fromkeys(inodes.values(), "a process that this user may not see")
    for inode, pid in _holders(inodes, proc):
        held[inodes[inode]] = describe(pid, proc)
    return held


def listening_units(ports: t.Collection[int], proc: str = "/proc") -> dict[int, set[str]]:
    """The units whose processes listen on TCP ports, as far as this user may see them; free ports are left out."""
    rows = [row for row in table("self", proc) if row.state == _LISTEN and row.local[1] in ports]
    inodes = {row.inode: row.local[1] for row in rows}
    found: dict[int, set[str]] = {}
    for inode, pid in _holders(inodes, proc):
        found.setdefault(inodes[inode], set()).update(_units(pid, proc)[-1:])
    return found


def connections(own: t.Collection[int], theirs: t.Collection[int], proc: str = "/proc") -> list[tuple[SocketRow, int]]:
    """The TCP connections with other hosts through ports of this one or of the others, and a process that has each.

    The process is 0 where this user may not see it.
    """
    rows = [
        row
        for row in table("self", proc)
        if row.state == _ESTABLISHED
        and (row.local[1] in own or row.remote[1] in theirs)
        and not (is_loopback(row.remote[0]) or row.remote[0] == row.local[0])
    ]
    held = dict(_holders({row.inode for row in rows}, proc))
    return [(row, held.get(row.inode, 0)) for row in rows]


def udp_processes(proc: str = "/proc") -> set[int]:
    """The processes that have a UDP socket, as far as this user may see them."""
    inodes = {row.inode for name in ("udp", "udp6") for row in _rows(name, "self", proc)}
    return {pid for _inode, pid in _holders(inodes, proc)}


def is_loopback(address: str) -> bool:
    """Whether an address is one of the host to itself."""
    return address == "::1" or address.startswith("127.")


def _holders(inodes: t.Collection[str], proc: str) -> t.Iterator[tuple[str, int]]:
    """Those of the sockets that processes have, as far as this user may see them, each with its process."""
    for pid in _pids(proc) if inodes else ():
        for inode in (open_sockets(pid, proc) or set()) & set(inodes):
            yield inode, pid


def lock_holders(paths: t.Sequence[str], proc: str = "/proc") -> dict[str, int]:
    """Which of ``paths`` are locked, and by which process: see proc_locks(5)."""
    held: dict[tuple[str, str], int] = {}
    for line in _read(f"{proc}/locks", _MAX_TABLE).splitlines():
        fields = line.replace("-> ", "").split()
        if len(fields) >= 6 and fields[5].count(":") == 2 and fields[4].lstrip("-").isdigit():
            device, _colon, inode = fields[5].rpartition(":")
            held[device, inode] = int(fields[4])
    found: dict[str, int] = {}
    for path in paths:
        try:
            facts = os.stat(path)
        except OSError:
            continue  # gone, and its lock with it
        device = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}"
        if (device, str(facts.st_ino)) in held:
            found[path] = held[device, str(facts.st_ino)]
    return found


def describe(pid: int, proc: str = "/proc") -> str:
    """A process for a person: its name, its id and the unit that it belongs to."""
    name = _read(f"{proc}/{pid}/comm", 64).strip()
    units = _units(pid, proc)
    return f"{name} (pid {pid}{', ' + units[-1] if units else ''})"


def unit_of(pid: int, proc: str = "/proc") -> str:
    """The unit that a process is in; empty where it is in none."""
    return "".join(_units(pid, proc)[-1:])


def _units(pid: int, proc: str) -> list[str]:
    """The units that a process is in, the innermost last."""
    return re.findall(r"/([^/\n]+\.(?:service|scope))", _read(f"{proc}/{pid}/cgroup", 65536))


def same_network(pid: int, proc: str = "/proc") -> bool:
    """Whether a process is in the network namespace of this one, as far as this user may see."""
    try:
        return os.readlink(f"{proc}/{pid}/ns/net") == os.readlink(f"{proc}/self/ns/net")
    except OSError:
        return True


def named(name: str, proc: str = "/proc") -> list[int]:
    """The processes that are called ``name``."""
    return sorted(pid for pid in _pids(proc) if _read(f"{proc}/{pid}/comm", 64).strip() == name)


def _pids(proc: str) -> list[int]:
    try:
        return [int(name) for name in os.listdir(proc) if name.isdigit()]
    except OSError:
        return []  # no /proc: nothing is known of processes


def _read(path: str, limit: int) -> str:
    """The beginning of a file of /proc; nothing where it is gone, or not for this user."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(limit)
    except OSError:
        return ""


def parse_connection(text: str) -> tuple[Address, Address] | None:
    """SSH_CONNECTION: the address of the client, and ours."""
    words = text.split()
    if len(words) != 4 or not (words[1].isdigit() and words[3].isdigit()):
        return None
    return (_plain(words[0]), int(words[1])), (_plain(words[2]), int(words[3]))


def _plain(address: str) -> str:
    address = address.partition("%")[0]
    return address[7:] if address.lower().startswith("::ffff:") and "." in address else address


def ssh_connection(environ: t.Mapping[str, str], proc: str = "/proc", pid: int | None = None) -> str | None:
    """SSH_CONNECTION of this process or, where sudo took it away, of one that it descends from.

    Empty where there is none; None where this user may not see the environment of one of them.
    """
    text = environ.get("SSH_CONNECTION", "")
    here = os.getpid() if pid is None else pid
    for _generation in range(32):
        if text or here <= 1:
            break
        try:
            with open(f"{proc}/{here}/environ", "rb") as stream:
                words = stream.read(131072).split(b"\0")
            with open(f"{proc}/{here}/stat", "rb") as stream:
                here = int(stream.read(4096).rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return None
        text = next((w[15:].decode("utf-8", "replace") for w in words if w.startswith(b"SSH_CONNECTION=")), "")
    return text


def carries(pid: int, connection: str | None, proc: str = "/proc") -> bool | None:
    """Whether process ``pid`` is the client at the other end of an SSH connection to this host.

    A connector that carries SSH opens the connection to sshd itself, so the
    client's address is that of a socket of its own. None where this user may
    not see the connection, or whose socket it is, and where there is no trace
    of a connection (async, run0) and the process does reach the sshd of this host.
    """
    if connection is None:
        return None
    ends = parse_connection(connection)
    if ends is None:
        return None if _reaches_sshd(pid, proc) else False
    client, ours = ends
    rows = [row for row in table(pid, proc) if (row.local, row.remote, row.state) == (client, ours, _ESTABLISHED)]
    if not rows:
        return False  # the client is not on this host
    own = open_sockets(pid, proc)
    return None if own is None else any(row.inode in own for row in rows)


def _reaches_sshd(pid: int, proc: str) -> bool:
    """Whether process ``pid`` may be the client of a connection to the sshd of this host."""
    rows = [row for row in table(pid, proc) if row.state == _ESTABLISHED]
    peers = {(row.remote, row.local): row.inode for row in rows}
    own = open_sockets(pid, proc)
    clients = [row for row in rows if (own is None or row.inode in own) and (row.local, row.remote) in peers]
    if not clients:
        return False
    theirs = _sockets_of_sshd(proc)
    return any(row.remote[1] == _SSH_PORT or peers[row.local, row.remote] in theirs for row in clients)


def _sockets_of_sshd(proc: str) -> set[str]:
    servers = [server for name in _SSHD for server in named(name, proc)]
    return {inode for server in servers for inode in open_sockets(server, proc) or ()}
