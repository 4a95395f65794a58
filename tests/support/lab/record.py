# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written down about a fleet, before any of it is made."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
import typing as t
from dataclasses import dataclass
from pathlib import Path

from . import network
from .settings import SUITES, LabError

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")
RUN = Path("/run/chainops-lab")  # sockets live here: their paths must be short


def check_name(kind: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise LabError(f"{kind} {name!r}: use at most 32 lower-case letters, digits and '-', a letter first")
    return name


@dataclass(frozen=True)
class Group:
    """``count`` hosts of one suite, named ``prefix``1 and so on."""

    prefix: str = "h"
    count: int = 3
    suite: str = "trixie"

    @classmethod
    def parse(cls, text: str) -> Group:
        """From ``PREFIX:COUNT:SUITE``; later parts may be left out."""
        parts = text.split(":")
        default = cls()
        if len(parts) > 3 or (len(parts) > 1 and not parts[1].isdecimal()):
            raise LabError(f"hosts {text!r}: write PREFIX:COUNT:SUITE, for example h:3:trixie")
        return cls(
            parts[0],
            int(parts[1]) if len(parts) > 1 else default.count,
            parts[2] if len(parts) > 2 else default.suite,
        ).checked()

    def checked(self) -> Group:
        check_name("host prefix", self.prefix)
        if self.suite not in SUITES:
            raise LabError(f"unknown suite {self.suite}: choose one of {', '.join(SUITES)}")
        if not 1 <= self.count <= network.MAX_HOSTS:
            raise LabError(f"{self.count} hosts: a fleet has 1 to {network.MAX_HOSTS}")
        return self


@dataclass(frozen=True)
class HostRecord:
    name: str
    group: str
    suite: str
    base: str  # folder of the base file system
    address: str
    machine: str  # unique on this computer; names the host's network interface

    @property
    def interface(self) -> str:
        """The computer's end of the host's network cable."""
        return f"vb-{self.machine}"


@dataclass(frozen=True)
class FleetRecord:
    name: str
    folder: str
    bridge: str  # also the name of the fleet's cgroup and of its folder for sockets
    subnet: str
    owner: int | None
    hosts: tuple[HostRecord, ...]

    @property
    def network(self) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Network(self.subnet)

    @property
    def controller(self) -> str:
        """The address at which hosts of the fleet reach this computer."""
        return network.controller(self.network)

    @property
    def path(self) -> Path:
        return Path(self.folder)

    @property
    def run(self) -> Path:
        return RUN / self.bridge

    @property
    def control(self) -> Path:
        return self.run / "control"

    def host_folder(self, host: str) -> Path:
        return self.path / "hosts" / host

    def save(self) -> None:
        text = json.dumps(dataclasses.asdict(self), indent=1)
        aside = self.path / "fleet.json.new"
        aside.write_text(text + "\n", encoding="utf-8")
        aside.rename(self.path / "fleet.json")

    @classmethod
    def load(cls, folder: Path) -> FleetRecord:
        data: dict[str, t.Any] = json.loads((folder / "fleet.json").read_text(encoding="utf-8"))
        hosts = tuple(HostRecord(**host) for host in data.pop("hosts"))
        return cls(hosts=hosts, **data)


def plan_hosts(
    groups: t.Sequence[Group], bases: t.Mapping[str, Path], subnet: ipaddress.IPv4Network, bridge: str
) -> tuple[HostRecord, ...]:
    """Name and address of every host of the groups."""
    hosts: dict[str, HostRecord] = {}
    for group in groups:
        for number in range(1, group.count + 1):
            name, index = f"{group.prefix}{number}", len(hosts)
            if name in hosts:
                raise LabError(f"two groups both make the host {name}: give them other prefixes")
            hosts[name] = HostRecord(
                name,
                group.prefix,
                group.suite,
                str(bases[group.suite]),
                network.address(subnet, index),
                f"{bridge}-{index}",
            )
    return tuple(hosts.values())
