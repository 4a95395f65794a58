# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bridge and a subnet of its own for each fleet."""

from __future__ import annotations

import ipaddress
import json
import re
import subprocess
import typing as t
from pathlib import Path

from .settings import LabError

# RFC 2544 sets these addresses apart for tests between networks: nobody's office or cloud network uses them.
RANGE = ipaddress.IPv4Network("198.18.0.0/15")
BRIDGE_PREFIX = "clab"
MAX_HOSTS = 1000  # a Linux bridge has 1023 ports
_FIRST = 10  # the controller has the first address; a few stay free for tests
_ALIAS = "chainops-lab "
_HOST_INTERFACE = re.compile(rf"vb-{BRIDGE_PREFIX}([0-9]+)-")


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _ip_json(*words: str) -> list[dict[str, t.Any]]:
    out = subprocess.run(["ip", "-json", *words], capture_output=True, text=True, check=True).stdout
    return list(json.loads(out or "[]"))


def taken() -> list[ipaddress.IPv4Network]:
    """Every network that this machine has a route or an address in, except the default route; and those of hosts.

    A host's interface outlives its host and its bridge for as long as any
    process is in the host's network namespace.
    """
    names = (_HOST_INTERFACE.match(path.name) for path in Path("/sys/class/net").iterdir())
    found = [ipaddress.IPv4Network((int(RANGE.network_address) + 256 * int(name[1]), 24)) for name in names if name]
    for route in _ip_json("-4", "route", "show", "table", "all"):
        if route["dst"] != "default":
            found.append(ipaddress.IPv4Network(route["dst"], strict=False))
    return found


def choose(count: int, in_use: list[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """The first free subnet for ``count`` hosts."""
    prefix = 24
    while 2 ** (32 - prefix) < count + _FIRST + 2:
        prefix -= 1
    for candidate in RANGE.subnets(new_prefix=prefix):
        if not any(candidate.overlaps(other) for other in in_use):
            return candidate
    raise LabError(f"no free subnet of /{prefix} is left in {RANGE}: take a fleet down (lab status, lab down)")


def bridge_name(subnet: ipaddress.IPv4Network) -> str:
    """Distinct for subnets that do not overlap, and short enough for an interface of each host."""
    return f"{BRIDGE_PREFIX}{(int(subnet.network_address) - int(RANGE.network_address)) // 256}"


def controller(subnet: ipaddress.IPv4Network) -> str:
    return str(subnet.network_address + 1)


def address(subnet: ipaddress.IPv4Network, index: int) -> str:
    return str(subnet.network_address + _FIRST + index)


def make_bridge(name: str, subnet: ipaddress.IPv4Network, folder: Path) -> None:
    """Make the bridge; its alias says which fleet it belongs to."""
    ip("link", "add", "name", name, "type", "bridge")
    ip("link", "set", "dev", name, "alias", f"{_ALIAS}{folder}"[:255])
    ip("address", "add", f"{controller(subnet)}/{subnet.prefixlen}", "dev", name)
    ip("link", "set", "dev", name, "up")


def exists(name: str) -> bool:
    return Path(f"/sys/class/net/{name}").exists()


def remove(name: str) -> None:
    """Remove an interface, if it is there."""
    try:
        if exists(name):
            ip("link", "delete", "dev", name)
    except LabError:
        if exists(name):  # or else the kernel was faster
            raise


def orphans(fleets: Path) -> list[str]:
    """Bridges of this laboratory whose fleet has no folder any more."""
    found = []
    for link in _ip_json("link", "show", "type", "bridge"):
        alias = str(link.get("ifalias", ""))
        folder = Path(alias.removeprefix(_ALIAS))
        if alias.startswith(_ALIAS) and folder.parent == fleets and not folder.exists():
            found.append(str(link["ifname"]))
    return found
