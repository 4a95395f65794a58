# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for secrets finds what is planted, wherever that is."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Host

from ..support.cloudflare_edge.connector import TunnelIdentity
from .canary import Canary, forms


@pytest.fixture
def planted() -> bytes:
    """Another one each time: the journal keeps what a run before this one planted."""
    return f"CANARY-planted-by-{os.urandom(8).hex()}".encode()


def test_what_is_planted_is_found(host: Host, tmp_path: Path, planted: bytes) -> None:
    token = TunnelIdentity(secret=planted).token
    canary = Canary(*forms(planted))
    canary.guard([host], [tmp_path])
    canary.hear("a result that says nothing", {"state": "running"})
    canary.start()
    assert canary.finish() == set()

    canary = Canary(*forms(planted))
    canary.guard([host], [tmp_path])
    canary.start()
    (tmp_path / "left.json").write_text(token)
    (tmp_path / "vars.yml").write_text(token)
    host.push_text("/var/tmp/left", token)
    host.push_text("/etc/planted/token", token)
    host.run("systemd-cat", "-t", "planted", "cat", stdin=token)
    shown = host.popen("python3", "-c", "import time; time.sleep(120)", token)
    try:
        canary.hear("a result", {"msg": planted.decode()})
        time.sleep(2.5)
        found = canary.finish()
    finally:
        shown.kill()
        shown.wait()
        host.sh("rm -r /var/tmp/left /etc/planted")
    of_host = {where.removeprefix(f"{host.name}: ") for where in found if where.startswith(host.name)}
    assert {"cmdline of python3", "/var/tmp/left", "journal"} <= of_host
    assert "/etc/planted/token" not in of_host
    elsewhere = {where.partition(" b")[0] for where in found if not where.startswith(host.name)}
    assert elsewhere == {"a result", str(tmp_path / "left.json"), "command line"}


def test_options_leave_nothing_on_a_host(host: Host, fleet: Fleet, tmp_path: Path, planted: bytes) -> None:
    canary = Canary(planted)
    canary.guard([host])
    access = {"rpc_username": "u", "rpc_password": planted.decode()}
    for name, options in (
        ("service_info", {"services": [{"name": "besu", "kind": "besu", "besu": access}]}),
        ("service_info", {"services": [{"colour": 1}, {"name": "besu", "kind": "besu", "besu": access}]}),
        ("besu_network_info", {"endpoints": [{"url": "http://127.0.0.1:9", **access}]}),
    ):
        given = tmp_path / "vars.yml"
        given.write_text(json.dumps(options))
        module = f"chainops.lifecycle.{name}"
        wanted = json.dumps({option: f"{{{{ {option} }}}}" for option in options})
        done = subprocess.run(
            ["ansible", "-vvv", "-i", fleet.inventory, host.name, "-m", module, "-a", wanted, "-e", f"@{given}"],
            capture_output=True,
            text=True,
            check=False,
        )
        canary.hear(f"the result of {name}", done.stdout + done.stderr)
    assert "besu_network_info" in host.sh("journalctl --no-pager | grep Invoked || true").stdout, (
        done.stdout + done.stderr
    )
    assert canary.finish() == set()
