# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathers the evidence for a diagnosis: the journal, the disks, the dependencies, who holds a port. Reads only.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.addresses import ports_in
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import FailureCase, HostFacts, Rule
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import (
    Diagnosis,
    build_case,
    diagnose,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.resolved import unit_ports
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.rules import GENERIC_RULES
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.words import ADDRESS_IN_USE
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import procfs
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.dependencies import (
    ShowUnits,
    missing_dependencies,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.disk import disk_usage
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import (
    Entry,
    Journal,
    JournalRecords,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.unit_files import read_settings
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.written_paths import written_paths


def examine(
    properties: t.Mapping[str, str],
    journal: Journal,
    *,
    show: ShowUnits | None = None,
    rules: t.Sequence[Rule] = (),
    paths: t.Sequence[str] = (),
    failing: bool | None = None,
    probed: t.Sequence[int] = (),
    paused: str = "",
    root: str = "/",
) -> Diagnosis:
    """Gather the evidence and diagnose. One call of journalctl, at most four, and at most one of ``show``.

    ``properties``: those of ``systemctl show``; one that is not given is taken
    as not set. ``show`` gives the properties (at least ActiveState) of other units. ``rules`` are those of
    the kind. ``paths``: what else the service writes to. ``failing``: see ``diagnose``.
    ``probed``: the ports of its probes. ``paused``: see HostFacts.
    """
    records = _records_of(properties, journal)
    case, own = build_case(properties, records.entries, HostFacts(), failing)
    if case.failing and not own and case.text("InvocationID"):
        # On a busy host journald is behind systemd: the last words of a service may be on their way.
        journal.catch_up()
        records = _records_of(properties, journal)
        case, _own = build_case(properties, records.entries, HostFacts(), failing)
    kernel: tuple[Entry, ...] = ()
    notes = list(records.notes)
    if _maybe_out_of_memory(case) and case.manager:
        kills = journal.kernel_kills(case.manager[0].timestamp)
        kernel = kills.entries
    ports = _ports(case, probed)
    host = HostFacts(
        disks=disk_usage(written_paths(properties, paths, root)),
        dependencies=missing_dependencies(properties, show) if show else {},
        ports=ports,
        listeners=procfs.port_holders(ports, os.path.join(root, "proc")) if ports else {},
        kernel=kernel,
        paused=paused,
    )
    return diagnose(
        properties, records.entries, rules=(*rules, *GENERIC_RULES), host=host, failing=failing, notes=notes
    )


def _records_of(properties: t.Mapping[str, str], journal: Journal) -> JournalRecords:
    pid = properties.get("ExecMainPID", "")
    main_pid = int(pid) if pid.isdigit() else 0
    return journal.invocation(properties.get("Id", ""), properties.get("InvocationID", ""), main_pid=main_pid)


def _maybe_out_of_memory(case: FailureCase) -> bool:
    ended = case.exit
    return case.failing and ended is not None and (ended.status in (9, 137) or case.text("Result") == "oom-kill")


def _ports(case: FailureCase, probed: t.Sequence[int]) -> tuple[int, ...]:
    """The ports of an address in use: those that its lines name, else those of the probes and of the command line."""
    lines = [line.text for line in case.lines if re.search(ADDRESS_IN_USE, line.text, re.IGNORECASE)]
    if not lines:
        return ()
    return ports_in(lines) or unit_ports(read_settings(case.properties), probed)
