# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make every host of a fleet a Besu validator of one network: ``install.py FLEET``, with tests/ importable."""

from __future__ import annotations

import sys

from besu_standin import deploy, network
from lab import Fleet

fleet = Fleet.attach(sys.argv[1])
plan = network.plan(
    {name: host.address for name, host in fleet.hosts.items()}, list(fleet.hosts), block_period=1, request_timeout=2
)
for name, host in fleet.hosts.items():
    deploy.install(host, plan, name, scale=0.1, block_scale=1)
fleet.each(lambda host: host.run("systemctl", "start", "besu.service"))
