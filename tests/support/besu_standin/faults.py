# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults by command: a JSON file that the process reads again whenever it changes.

The file outlives the process, so a fault of the start comes back at each start until it is cleared.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path

START = ("java_version", "heap", "heap_size", "file_descriptors")
DEFAULT_FILE = "/run/besu-standin/faults.json"


@dataclass(frozen=True)
class Faults:
    """What is wrong with a node. Durations in seconds, not scaled.

    start: fail the start: java_version, heap, heap_size, file_descriptors (the other failures have real causes).
    hang: RPC and metrics accept and never answer. oom: the same after an OutOfMemoryError, and nothing else works.
    halt_mining: consensus died of a fatal error. isolate: no traffic to or from any peer; isolate_from: from these
    node addresses or IP addresses alone. stall_import: no block is imported. clock_skew: added to this node's clock.
    disk_full: the next write finds no space. full_exit: the exit code of a process whose disk is full. exit_with: the process ends at once with this code; signal: by this
    signal (both as often as the process starts, so clear them). slow_stop: added to a stop. rpc_delay: before each
    answer. silent_start: RPC accepts at once and answers only so many seconds after it opened. no_consensus: a
    validator that is in sync and answers takes no part, and says nothing of it. no_consensus_client: an execution client
    that nobody calls. rpc_status: every RPC request is answered with this HTTP status. start_delay: before the ports open;
    p2p_delay: between RPC and peering.
    invalid_block: this node refuses the block of that number. sync_rate, snap_rate: blocks a second.
    """

    start: str = ""
    hang: bool = False
    oom: bool = False
    halt_mining: bool = False
    isolate: bool = False
    isolate_from: tuple[str, ...] = ()
    stall_import: bool = False
    clock_skew: float = 0.0
    disk_full: bool = False
    full_exit: int = 1
    exit_with: int | None = None
    signal: int | None = None
    slow_stop: float = 0.0
    rpc_delay: float = 0.0
    silent_start: float = 0.0
    no_consensus: bool = False
    no_consensus_client: bool = False
    rpc_status: int | None = None
    start_delay: float = 0.0
    p2p_delay: float = 0.0
    invalid_block: int | None = None
    sync_rate: float | None = None
    snap_rate: float | None = None


NAMES = tuple(f.name for f in fields(Faults))


def parse(document: dict[str, object]) -> Faults:
    """Faults of a JSON object. ``ValueError`` for a name that is no fault."""
    unknown = set(document) - set(NAMES)
    if unknown:
        raise ValueError(f"no such fault: {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
    if document.get("start", "") not in ("", *START):
        raise ValueError(f"no such failure of the start: {document['start']}; there are: {', '.join(START)}")
    chosen = dict(document)
    if "isolate_from" in chosen:
        chosen["isolate_from"] = tuple(chosen["isolate_from"])  # type: ignore[arg-type]
    return Faults(**chosen)  # type: ignore[arg-type]


class FaultFile:
    """Looks at the file, cheaply, as often as it is asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.current = Faults()
        self._seen: tuple[int, int] | None = None

    def read(self) -> Faults:
        """The faults that hold now; of a file that is being written, those before."""
        try:
            status = os.stat(self.path)
        except OSError:
            self.current, self._seen = Faults(), None
            return self.current
        seen = (status.st_mtime_ns, status.st_size)
        if seen != self._seen:
            try:
                self.current = parse(json.loads(self.path.read_text(encoding="utf-8") or "{}"))
            except json.JSONDecodeError:
                return self.current
            self._seen = seen
        return self.current


def write(path: Path, document: dict[str, object]) -> None:
    """Replace the file at once, so that no reader sees half of it. ``ValueError`` for a name that is no fault."""
    parse(document)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(document) + "\n", encoding="utf-8")
    new.replace(path)
