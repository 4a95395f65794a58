# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What 24 hours of history cost, by the size of the journal. Nothing here fails for being slow."""

from __future__ import annotations

import json
import os
import typing as t

import pytest

from ansible_collections.chainops.lifecycle.tests.bench.conftest import Figures, ship
from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, Host

UNIT = "chatty"
SMALL, LARGE = 10_000, 1_000_000
TIMES = 5
# A service that logs its lines as it starts, as fast as the journal takes them, and stays.
SERVICE = f"""[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/sh -c 'seq -f "request %%.0f took 12 ms" $LINES; systemd-notify --ready; exec sleep infinity'
Environment=LINES=10
EnvironmentFile=-/run/{UNIT}.env
LogRateLimitIntervalSec=0
TimeoutStartSec=600
"""
JOURNAL = "[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nSystemMaxUse=4G\nSystemMaxFileSize=128M\nSystemMaxFiles=1000\nSystemKeepFree=1G\n"


@pytest.fixture(scope="module")
def hosts() -> t.Iterator[dict[int, Host]]:
    """By the number of lines in its journal: hosts whose service has been restarted three times since."""
    with Fleet(f"bench-history-{os.getpid()}", [Group("h", 2, "trixie")]) as fleet:
        found = {SMALL: fleet["h1"], LARGE: fleet["h2"]}
        for lines, host in found.items():
            host.push_text("/etc/systemd/journald.conf.d/zz-bench.conf", JOURNAL)
            host.push_text(f"/etc/systemd/system/{UNIT}.service", SERVICE)
            host.push_text(f"/run/{UNIT}.env", f"LINES={lines}\n")
            host.sh("mkdir -p /var/log/journal; systemctl daemon-reload; systemctl restart systemd-journald")
            host.sh(f"systemctl start {UNIT}", timeout=600)
            host.sh(f"rm /run/{UNIT}.env; for _ in 1 2 3; do systemctl restart {UNIT}; done; journalctl --sync")
            kept = int(host.sh(f"journalctl -u {UNIT} -o cat --no-pager | grep -c request", timeout=300).stdout)
            assert kept >= lines, f"the journal kept {kept} of {lines} lines"
            ship(host, "history_driver.py")
        yield found


@pytest.mark.timeout(1800)
def test_the_size_of_the_journal_costs_next_to_nothing(hosts: dict[int, Host], figures: Figures) -> None:
    took = {}
    for lines, host in hosts.items():
        done = host.run("python3", "/opt/bench/history_driver.py", f"{UNIT}.service", str(TIMES), timeout=900)
        took[lines] = json.loads(done.stdout)
    large, small = took[LARGE], took[SMALL]
    figures.ratio("24 h of history, journal of 1,000,000 / 10,000 lines", large["observe"], small["observe"], "<= 1.2")
    figures.ratio("24 h of history / journalctl -u with grep, 1,000,000 lines", large["observe"], large["grep"], "<= 1")
