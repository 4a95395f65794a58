# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration, act by act: show.py REPORT, where REPORT is the file for the page about all of it.

The chain and the tunnel start in the background, while the acts before theirs are shown.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ansible_collections.chainops.lifecycle.tests.demo.chain import act_chain, start_chain
from ansible_collections.chainops.lifecycle.tests.demo.services import act_services
from ansible_collections.chainops.lifecycle.tests.demo.stage import NETWORK_INTERVAL, Described, Stage, say
from ansible_collections.chainops.lifecycle.tests.demo.tunnel import act_tunnel, start_edge, start_tunnel
from ansible_collections.chainops.lifecycle.tests.support.cloudflare_edge.client import EdgeError
from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, LabError


def act_report(stage: Stage, path: str, seconds: float, *acts: Described) -> None:
    """Write one page of everything that was shown in so many seconds."""
    say("ansible-playbook chainops.lifecycle.report: all of this on one page")
    services: dict[str, list[object]] = {}
    for host, own in (item for act in acts for item in act.items()):
        services[host] = services.get(host, []) + own
    window = f"{seconds:.0f}s"
    given = {"lifecycle_report_window": window, "lifecycle_report_file": path, **NETWORK_INTERVAL}
    stage.play("chainops.lifecycle.report", services, **given)


def show(report: str) -> None:
    """Boot the hosts, play all acts, and remove the hosts, however it ends."""
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        say("Booting nine real systemd hosts: four with services, four validators of a chain, and a node")
        fleet = Fleet(
            f"demo{os.getpid()}", [Group("h", 4, "trixie"), Group("v", 4, "trixie"), Group("node", 1, "trixie")]
        )
        stack.callback(fleet.down)
        fleet.up()
        stage = Stage(fleet, Path(folder) / "play")
        edge = stack.enter_context(start_edge(stage))
        # What it does ends before the hosts are removed.
        background = stack.enter_context(concurrent.futures.ThreadPoolExecutor())
        chain = background.submit(start_chain, stage)
        tunnel = background.submit(start_tunnel, stage, edge)
        acts = [act_services(stage), act_chain(stage, chain.result()), act_tunnel(stage, tunnel.result())]
        act_report(stage, report, time.monotonic() - began, *acts)


def main(report: str) -> int:
    try:
        show(report)
    except (LabError, EdgeError, subprocess.SubprocessError) as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
