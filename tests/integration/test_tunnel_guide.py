# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide on tunnels followed block by block on fresh hosts; an edge of our own stands for that of Cloudflare."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import textwrap
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, until

from ..support.cloudflare_edge.client import EdgeProcess
from ..support.cloudflare_edge.cloudflared_binary import cloudflared
from ..support.cloudflare_edge.connector import ACCOUNT, TunnelIdentity, drop_in, environment
from .canary import API_WRITE, SECRET, Canary
from .conftest import service_suite
from .connectors import new_edge

GUIDE = Path(__file__).parent.parent.parent / "docs" / "docsite" / "rst" / "guide_tunnels.rst"
PASSWORD = "a password of the vault of a test"
# What the guide leaves to Cloudflare and to the package of cloudflared.
GIVEN = ("TUNNEL_EDGE", "TUNNEL_CACERT", "TUNNEL_TRANSPORT_PROTOCOL", "TUNNEL_NO_PRECHECKS", "TUNNEL_EDGE_IP_VERSION")


class Block(t.NamedTuple):
    """A block of the guide, without its indentation."""

    language: str
    text: str


def blocks() -> list[Block]:
    """The blocks of the guide in its order, those in the items of a list too."""
    found = re.findall(
        r"^( *)\.\. code-block:: (\w+)\n\n((?:\1  .*\n|\n)+)", GUIDE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return [Block(language, textwrap.dedent(text).strip() + "\n") for _indent, language, text in found]


def commands(block: Block) -> list[list[str]]:
    return [shlex.split(line.removeprefix("$ ")) for line in block.text.splitlines()]


class Reader:
    """Somebody who does what the guide says, in a folder of their own."""

    def __init__(self, fleet: Fleet, edge: EdgeProcess, folder: Path, canary: Canary) -> None:
        self.fleet, self.edge, self.folder, self._canary = fleet, edge, folder, canary

    def save(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def run(self, argv: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command as it stands; where the hosts are, and where the edge is, comes on top."""
        more = ["-i", "hosts.yml", "-e", f"tunnel_reconnect_base_url={self.edge.base}/client/v4"]
        told = {"CLOUDFLARE_API_TOKEN": API_WRITE, "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            [*argv, *more],
            cwd=self.folder,
            env={**os.environ, **told},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        self._canary.hear(f"the output of {argv[0]}", done.stdout + done.stderr)
        return done


@pytest.fixture
def reader(keep_fleet: t.Callable[..., Fleet], canary: Canary, tmp_path: Path) -> t.Iterator[Reader]:
    fleet = keep_fleet(Group("fresh", 2, service_suite()))
    canary.guard(fleet.hosts.values())
    with new_edge(fleet, tmp_path) as edge:
        settings = environment(edge.addresses, "/etc/edge-ca.pem")
        for host in fleet.hosts.values():
            host.push(cloudflared(), "/usr/bin/cloudflared", 0o755)
            host.push(edge.ca, "/etc/edge-ca.pem", 0o644)
            way = drop_in({name: settings[name] for name in GIVEN})
            host.push_text("/etc/systemd/system/cloudflared.service.d/edge.conf", way)
        yield Reader(fleet, edge, tmp_path, canary)


def test_the_guide_is_followed(reader: Reader) -> None:
    """An inventory with a placeholder, the unit and the play that installs it, a plan, a reconnect."""
    tunnel = TunnelIdentity(secret=SECRET)
    reader.edge.declare(tunnel.id, name="guide")
    reader.edge.script_api(tokens={API_WRITE: {"account": ACCOUNT, "write": True}})
    reconnect, inventory, unit, play, install = blocks()
    languages = [block.language for block in (reconnect, inventory, unit, play, install)]
    assert languages == ["console", "yaml", "ini", "yaml", "console"]
    plan, act = commands(reconnect)
    reader.save("inventory.yml", inventory.text)
    reader.save("cloudflared.service", unit.text)
    reader.save("connector.yml", play.text)
    reader.save("vault-password", PASSWORD)
    reader.save("vault.yml", yaml.safe_dump({"vault_tunnel_token": tunnel.token}))
    subprocess.run(
        ["ansible-vault", "encrypt", "--vault-password-file", "vault-password", "vault.yml"],
        cwd=reader.folder,
        check=True,
        capture_output=True,
    )
    names = yaml.safe_load(inventory.text)["all"]["hosts"]
    known = yaml.safe_load(reader.fleet.inventory.read_text(encoding="utf-8"))["all"]["vars"]
    hosts = dict(zip(names, reader.fleet.hosts.values(), strict=True))
    where = {
        name: {
            "ansible_host": host.address,
            **known,
            "ansible_user": "lab",
            "ansible_ssh_extra_args": f"-o HostKeyAlias={host.address}",
        }
        for name, host in hosts.items()
    }
    reader.save("hosts.yml", yaml.safe_dump({"all": {"hosts": where}}))

    [installing] = commands(install)
    installed = reader.run(installing)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    reader.edge.wait_live(tunnel.id, 8, 60)
    for host in hosts.values():
        assert host.sh("systemctl is-enabled cloudflared").stdout == "enabled\n"
        assert host.sh("systemd-analyze verify cloudflared.service 2>&1").stdout == ""

    refused = reader.run(plan)
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "PUT-YOUR-ACCOUNT-ID-HERE is not the id of an account" in refused.stdout + refused.stderr

    reader.save("inventory.yml", inventory.text.replace("PUT-YOUR-ACCOUNT-ID-HERE", ACCOUNT))
    well = reader.run(act)
    assert well.returncode == 0 and "Summary: 2 healthy" in well.stdout, well.stdout + well.stderr
    first, down = hosts.items()
    down[1].sh("systemctl stop cloudflared")
    until(lambda: reader.edge.live(tunnel.id) == 4, 30, "one connector is left")
    planned = reader.run(plan)
    assert planned.returncode == 0 and f"  {down[0]} cloudflared: PLANNED" in planned.stdout, planned.stdout
    assert reader.edge.live(tunnel.id) == 4
    played = reader.run(act)
    assert played.returncode == 0 and f"  {down[0]} cloudflared: RECOVERED" in played.stdout, played.stdout
    assert f"  {first[0]} cloudflared: HEALTHY" in played.stdout
    assert reader.edge.live(tunnel.id) == 8
