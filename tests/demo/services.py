# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ordinary services, three on each host: broken in several ways, recovered, and one that a restart cannot help."""

from __future__ import annotations

from pathlib import Path

import yaml

from ansible_collections.chainops.lifecycle.tests.demo.stage import Described, Stage, say
from ansible_collections.chainops.lifecycle.tests.support.lab import Host, until

DEMO = Path(__file__).parent
# As a small company would have them.
INSTALL = """
mkdir -p /etc/demo /var/backups/demo
while read -r name port type restart; do
    echo "{\\"port\\": $port, \\"greeting\\": \\"hello\\"}" >"/etc/demo/$name.json"
    cat >"/etc/systemd/system/$name.service" <<UNIT
[Unit]
Description=Demonstration $name
StartLimitIntervalSec=0
[Service]
Type=$type
ExecStart=/opt/demo/shop.py /etc/demo/$name.json
Restart=$restart
RestartSec=1
[Install]
WantedBy=multi-user.target
UNIT
done <<TABLE
api 8080 notify no
worker 8081 simple always
cache 8082 notify on-failure
TABLE
cp /etc/demo/api.json /var/backups/demo/api.json
systemctl daemon-reload
systemctl enable --now api worker cache
"""
# The fault of each host, made for real. Services are restarted as the one who edited or lost the file did.
FAULTS = {
    "h1": "systemctl kill --signal=SIGKILL api",
    "h2": """printf '{"port": 8080, "greet' >/etc/demo/api.json; systemctl restart --no-block api""",
    "h3": """
        rm /etc/demo/worker.json; systemctl restart --no-block worker
        systemctl kill --signal=SIGSTOP cache  # systemd goes on calling it active
    """,
}
TAKE_PORT = """
systemctl stop api
systemd-run --quiet --unit=intruder python3 -m http.server --bind 127.0.0.1 8080
timeout 20 bash -c 'until (: </dev/tcp/127.0.0.1/8080) 2>/dev/null; do sleep 0.1; done'
! systemctl start api 2>/dev/null
"""


def _install(host: Host) -> None:
    host.push(DEMO / "shop.py", "/opt/demo/shop.py", 0o755)
    host.sh(INSTALL)


def _crashes_again_and_again(host: Host) -> bool:
    """Whether systemd has restarted the worker five times, which makes a crash loop (``thrash_restarts``)."""
    return int(host.run("systemctl", "show", "--property=NRestarts", "--value", "worker").stdout) >= 5


def act_services(stage: Stage) -> Described:
    """All acts with ordinary services. The services of the hosts."""
    fleet = stage.fleet
    hosts = fleet.group("h")
    given = yaml.safe_load((DEMO / "vars.yml").read_text())
    services = dict.fromkeys((host.name for host in hosts), given.pop("lifecycle_services"))

    say("Installing three services on each of four hosts")
    fleet.each(_install, hosts)
    stage.play("chainops.lifecycle.status", services)

    say("Breaking them: a kill -9, a damaged file, a crash loop, a stopped process, a hold")
    for name, fault in FAULTS.items():
        fleet[name].sh(fault)
    stage.hold("h4", "worker", "waiting for the new release")
    fleet["h4"].run("systemctl", "stop", "worker")
    until(lambda: _crashes_again_and_again(fleet["h3"]), 20, "the worker of h3 is in a crash loop")
    stage.play("chainops.lifecycle.status", services)

    given["lifecycle_max_unhealthy"] = "100%"
    given["service_recovery_hooks"] = {"file_missing": str(DEMO / "worker_hook.yml")}
    say("ansible-playbook chainops.lifecycle.recover --check: what it would do")
    stage.play("chainops.lifecycle.recover", services, "--check", **given)

    say("ansible-playbook chainops.lifecycle.recover")
    stage.play("chainops.lifecycle.recover", services, **given)
    stage.play("chainops.lifecycle.status", services)

    say("A second run finds nothing to do")
    stage.play("chainops.lifecycle.recover", services, **given)

    say("What it refuses: something else holds the port of api on h1, and a restart cannot help")
    fleet["h1"].run("bash", "-euc", TAKE_PORT)
    stage.play("chainops.lifecycle.recover", services, expect=2, **given)
    return services
