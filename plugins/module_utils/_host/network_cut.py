# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cuts a service off from other hosts: what this host sends from or to its ports finds no route.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

The means are rules of policy routing, see ip-rule(8). They know ports, so that
SSH to the same addresses goes on, and a service that turns to other addresses
of the same port stays cut off. The table ``local`` is asked before them, which
leaves the loopback alone, and ``iif lo`` leaves alone what is only routed
through this host. They are gone after a reboot.
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import procfs
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.ended_command import said_at_end
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed, LifecycleError, Runner

# The first after the table ``local``, which has 0: before those of a VPN.
_PRIORITY = "1"
_LOCAL_FIRST = re.compile(r"0:\s+from all lookup local\b")
_MOST_PORTS = 16
_NAMED = 4
_TIMEOUT = 20.0
# Where a shell that is no login may not look.
_PLACES = "/usr/sbin:/sbin"


class Ports(t.NamedTuple):
    """The ports by which a service and what it belongs to reach each other, of this host and of the others.

    ``shared_with``: processes that are known to use them as well, where their sockets do not show it.
    """

    own: frozenset[int] = frozenset()
    theirs: frozenset[int] = frozenset()
    shared_with: tuple[int, ...] = ()

    def __str__(self) -> str:
        both = (("from", self.own), ("to", self.theirs))
        named = [f"{word} port {', '.join(map(str, sorted(ports)))}" for word, ports in both if ports]
        return f"TCP and UDP {' and '.join(named)}"


def rules(ports: Ports) -> list[tuple[str, ...]]:
    """The rules that cut the ports, as the words of ``ip rule``."""
    ends = [("sport", port) for port in sorted(ports.own)] + [("dport", port) for port in sorted(ports.theirs)]
    return [
        ("priority", _PRIORITY, "iif", "lo", "ipproto", protocol, end, str(port), "unreachable")
        for protocol in ("tcp", "udp")
        for end, port in ends
    ]


def undo_lines(ports: Ports) -> list[str]:
    """Lines of a shell script that take exactly these rules away, however often they are there."""
    families = [f"ip {family} rule del {' '.join(rule)}" for rule in rules(ports) for family in ("-4", "-6")]
    return [f"PATH=$PATH:{_PLACES}", *(f"while {line} 2>/dev/null; do :; done" for line in families)]


class NetworkCut:
    """Cuts ports of this host. That they come back is the business of who has the ``undo_lines``."""

    def __init__(self, runner: Runner, proc: str = "/proc") -> None:
        self._runner = runner
        self._proc = proc

    def objection(self, unit: str, ports: Ports) -> str:
        """Why the ports of the unit cannot be cut; empty where they can."""
        if len(ports.own | ports.theirs) > _MOST_PORTS:
            return f"more than {_MOST_PORTS} ports would have to be cut"
        return self._no_rules() or self._harmed(unit, ports)

    def _no_rules(self) -> str:
        for family in self._families():
            done = self._run("ip", family, "rule", "show")
            if done.rc != 0:
                return f"the routing rules cannot be read with ip, of iproute2: {said_at_end(done)}"
            if not _LOCAL_FIRST.match(done.out):
                return "the first routing rule is not that of the host's own addresses: the loopback would be cut"
        return ""

    def _harmed(self, unit: str, ports: Ports) -> str:
        """Who else would lose connections, or that the unit would lose none."""
        found = procfs.connections(ports.own, ports.theirs, self._proc)
        others = {pid: procfs.describe(pid, self._proc) for _row, pid in found if pid and self._unit(pid) != unit}
        unseen = {0: "a process that cannot be seen"} if any(not pid for _row, pid in found) else {}
        known = {
            pid: procfs.describe(pid, self._proc)
            for pid in ports.shared_with
            if self._unit(pid) != unit and procfs.same_network(pid, self._proc)
        }
        harmed = [*{**others, **unseen, **known}.values()]
        if harmed:
            more = f" and {len(harmed) - _NAMED} more" if len(harmed) > _NAMED else ""
            return f"{', '.join(harmed[:_NAMED])}{more} would be cut off as well: {ports}"
        # A UDP socket does not tell with whom it talks.
        if not found and not self._has_udp(unit):
            return f"{unit} has no connection with another host {str(ports).replace('TCP and UDP ', '')}"
        return ""

    def _has_udp(self, unit: str) -> bool:
        return any(self._unit(pid) == unit for pid in procfs.udp_processes(self._proc))

    def cut(self, unit: str, ports: Ports) -> None:
        """Cut the ports, and close the connections of the unit through them. Raises LifecycleError."""
        open_ones = procfs.connections(ports.own, ports.theirs, self._proc)
        for family in self._families():
            for rule in rules(ports):
                done = self._run("ip", family, "rule", "add", *rule)
                if done.rc != 0:
                    raise LifecycleError(
                        f"ip {family} rule add {' '.join(rule)} ended with {done.rc}: {said_at_end(done)}"
                    )
        for row, pid in open_ones:
            if self._unit(pid) == unit:
                # A kernel without INET_DIAG_DESTROY does not close them: then they end by their own time-outs.
                ends = ("src", _end(row.local), "dst", _end(row.remote))
                self._run("ss", "--no-header", "--numeric", "--tcp", "--kill", "state", "established", *ends)

    def peers(self, unit: str, ports: Ports) -> list[str]:
        """The addresses with which the unit is connected through the ports."""
        found = procfs.connections(ports.own, ports.theirs, self._proc)
        return sorted({row.remote[0] for row, pid in found if self._unit(pid) == unit})

    def _unit(self, pid: int) -> str:
        return procfs.unit_of(pid, self._proc) if pid else ""

    def _families(self) -> tuple[str, ...]:
        return ("-4", "-6") if os.path.exists(f"{self._proc}/net/if_inet6") else ("-4",)

    def _run(self, *argv: str) -> Completed:
        path = f"{os.environ.get('PATH', '/usr/bin:/bin')}:{_PLACES}"
        return self._runner(argv, timeout=_TIMEOUT, env={"PATH": path})


def target(ports: Ports, peers: t.Sequence[str]) -> str:
    """What is cut, as text for people."""
    more = f" and {len(peers) - _NAMED} more" if len(peers) > _NAMED else ""
    return f"{ports}" + (f"; connected with {', '.join(peers[:_NAMED])}{more}" if peers else "")


def _end(address: procfs.Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
