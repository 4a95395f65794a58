# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a fleet (first argument) a Besu network: one validator with a chain, the others without a block."""

from __future__ import annotations

import sys

from besu_standin import deploy, network
from lab import Fleet, Host

BLOCKS = 3000


def main() -> None:
    fleet = Fleet.attach(sys.argv[1])
    validator, *_others = fleet.hosts
    plan = network.plan(
        {name: host.address for name, host in fleet.hosts.items()}, [validator], block_period=1, bootnodes=[validator]
    )
    history = plan.history(BLOCKS)

    def install(host: Host) -> None:
        blocks = history if host.name == validator else ()
        deploy.install(host, plan, host.name, scale=0.2, block_scale=0.5, blocks=blocks)
        deploy.fault(host, sync_rate=200)

    fleet.each(install)


if __name__ == "__main__":
    main()
