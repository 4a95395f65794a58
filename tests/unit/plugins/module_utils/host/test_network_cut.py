# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is cut of the network of a host, when that is refused, and how it is undone."""

from __future__ import annotations

import os
import subprocess

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import network_cut as n
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed, LifecycleError

P2P = n.Ports(frozenset((30303,)), frozenset((30303, 30304)))
EDGE = n.Ports(theirs=frozenset((7844,)))
UNIT, HERE, PEER, LOOP, CLIENT = "besu.service", "0A4D000A", "0B4D000A", "0100007F", "01C6000A"
HEAD = "  sl  local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode\n"


class Host:
    """A /proc with processes and their sockets, and the commands that were run."""

    def __init__(self, folder):
        self.folder, self.asked, self.answers = folder, [], {}
        self._rows: dict[str, list[str]] = {"tcp": [], "udp": []}
        (folder / "net").mkdir()
        (folder / "self").symlink_to(folder)
        self.rules = "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n"

    def process(self, pid, unit, *sockets, name="java", table="tcp"):
        (self.folder / f"{pid}/fd").mkdir(parents=True)
        (self.folder / f"{pid}/comm").write_text(f"{name}\n")
        (self.folder / f"{pid}/cgroup").write_text(f"0::/system.slice/{unit}\n")
        for number, (local, remote) in enumerate(sockets):
            inode = pid * 10 + number
            os.symlink(f"socket:[{inode}]", self.folder / f"{pid}/fd/{number}")
            row = f"0: {local} {remote} 01 00000000:00000000 00:00000000 00000000 0 0 {inode} 1 x\n"
            self._rows[table].append(row)
            (self.folder / f"net/{table}").write_text(HEAD + "".join(self._rows[table]))

    def __call__(self, argv, **_options):
        self.asked.append(" ".join(argv))
        if argv[-1] == "show":
            return self.answers.get("show", Completed(0, self.rules.encode(), b""))
        return self.answers.get(argv[0], Completed(0, b"", b""))

    @property
    def network(self):
        return n.NetworkCut(self, str(self.folder))


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def inbound(port=30303, peer=PEER):
    return f"{HERE}:{port:04X}", f"{peer}:D431"


def outbound(port=30303, peer=PEER):
    return f"{HERE}:D431", f"{peer}:{port:04X}"


def test_the_rules_leave_alone_what_is_not_sent_by_this_host_through_the_ports():
    assert [" ".join(rule) for rule in n.rules(EDGE)] == [
        "priority 1 iif lo ipproto tcp dport 7844 unreachable",
        "priority 1 iif lo ipproto udp dport 7844 unreachable",
    ]
    assert [rule[6:8] for rule in n.rules(P2P) if "tcp" in rule] == [
        ("sport", "30303"),
        ("dport", "30303"),
        ("dport", "30304"),
    ]
    assert str(P2P) == "TCP and UDP from port 30303 and to port 30303, 30304"


@pytest.mark.parametrize(
    ("processes", "ports", "said"),
    [
        ([(7, UNIT, inbound()), (8, "sshd.service", inbound(22))], P2P, ""),
        ([(7, UNIT, outbound(30304))], P2P, ""),
        ([], P2P, "besu.service has no connection with another host from port 30303 and to port"),
        # What it talks with on its own host is not cut.
        ([(7, UNIT, inbound(peer=LOOP), (f"{HERE}:765F", f"{HERE}:D431"))], P2P, "has no connection"),
        # The client of SSH has this port by chance: who is logged in would be cut off.
        ([(7, UNIT, inbound()), (8, "ssh.service", (f"{HERE}:0016", f"{CLIENT}:765F"))], P2P, "(pid 8, ssh.service) would be"),
        ([(7, UNIT, outbound()), (8, "other.service", outbound())], P2P, "java (pid 8, other.service) would be cut off as well"),
        ([(7, UNIT, outbound(7844))], EDGE._replace(shared_with=(7,)), ""),
        ([(7, UNIT, outbound(7844)), (9, "cf.service")], EDGE._replace(shared_with=(9,)), "java (pid 9, cf.service) would"),
        ([(7, UNIT, outbound())], n.Ports(frozenset(range(1, 20))), "more than 16 ports"),
    ],
)  # fmt: skip
def test_a_cut_that_would_harm_others_or_nobody_is_refused(host, processes, ports, said):
    for one in processes:
        host.process(*one)
    found = host.network.objection(UNIT, ports)
    assert said in found and bool(found) == bool(said), found


def test_a_connector_that_talks_by_udp_shows_no_connection(host):
    host.process(7, UNIT, (f"{HERE}:D431", "00000000:0000"), table="udp")
    assert host.network.objection(UNIT, EDGE) == ""


def test_a_socket_of_nobody_may_be_anybodys(host):
    host.process(7, UNIT, outbound())
    for link in (host.folder / "7/fd").iterdir():
        link.unlink()
    assert "a process that cannot be seen would be cut off" in host.network.objection(UNIT, P2P)


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (Completed(None, b"", b"No such file or directory: 'ip'", not_found=True), "No such file or directory: 'ip'"),
        (Completed(0, b"0:\tfrom all lookup main\n", b""), "the loopback would be cut"),
    ],
)
def test_without_rules_of_routing_there_is_no_cut(host, shown, said):
    host.process(7, UNIT, outbound())
    host.answers["show"] = shown
    assert said in host.network.objection(UNIT, P2P)


def test_a_cut_closes_the_connections_of_the_service_alone(host):
    host.process(7, UNIT, inbound(), outbound(30304), (f"{HERE}:2161", f"{PEER}:D431"))
    (host.folder / "net/if_inet6").write_text("")
    host.network.cut(UNIT, P2P)
    added = [line for line in host.asked if line.startswith("ip ")]
    assert added == [f"ip {f} rule add {' '.join(rule)}" for f in ("-4", "-6") for rule in n.rules(P2P)]
    closed = [line.partition("established ")[2] for line in host.asked if line.startswith("ss ")]
    assert closed == ["src 10.0.77.10:30303 dst 10.0.77.11:54321", "src 10.0.77.10:54321 dst 10.0.77.11:30304"]
    assert n.target(P2P, host.network.peers(UNIT, P2P)).endswith("; connected with 10.0.77.11")


def test_a_rule_that_cannot_be_added_is_told_and_a_connection_that_cannot_be_closed_is_not(host):
    host.process(7, UNIT, outbound())
    host.answers["ss"] = Completed(1, b"", b"RTNETLINK answers: Operation not supported")
    host.network.cut(UNIT, P2P)
    host.answers["ip"] = Completed(2, b"", b"RTNETLINK answers: Operation not permitted")
    with pytest.raises(LifecycleError, match="ended with 2: RTNETLINK answers: Operation not permitted"):
        host.network.cut(UNIT, P2P)


def test_the_undo_takes_away_each_rule_as_often_as_it_is_there(tmp_path):
    """Its ip has each rule of IPv4 twice, and none of IPv6."""
    (tmp_path / "ip").write_text(
        '#!/bin/sh\n[ "$1" = -4 ] || exit 2\nkey=$FOLDER/$(echo "$*" | cksum | tr -d " ")\n'
        'echo "$*" >>"$FOLDER/called"\n[ "$(cat "$key" 2>/dev/null | wc -l)" -lt 2 ] && echo >>"$key"\n'
    )
    (tmp_path / "ip").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FOLDER": str(tmp_path)}
    subprocess.run(["/bin/sh", "-c", "\n".join(n.undo_lines(EDGE))], env=env, check=True, timeout=20)
    called = (tmp_path / "called").read_text().splitlines()
    assert called == [f"-4 rule del {' '.join(rule)}" for rule in n.rules(EDGE) for _again in range(3)]
