# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the log of a Besu node shows: rounds, refused blocks, progress of a SNAP sync. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Patterns are of the message alone, so that they hold for every log format.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize, strip_ansi

_MOVED = re.compile(r"Moved to round ([\d,]{1,9}),? which will expire in (\d[\d,]{0,14}(?:\.\d{1,9})?) seconds")
_SUMMARY = re.compile(r"BFT round summary \(quorum = (\d{1,5})\)")
_IN_ROUND = re.compile(r"Address: (0x[0-9a-fA-F]{40})\s+Round: (\d{1,6})(\s+\(Local node\))?")
_IMPORTED = re.compile(r"(?:Produced|Imported)(?: empty)? block #([\d,]{1,15})|Importing proposed block to chain")
_INVALID = re.compile(r"Invalid block ([\d,]{1,15})(?: |$)")
_INVALID_RULE = re.compile(r"Invalid block header: |Block processing failed|Invalid block detected")
_PROGRESS = re.compile(
    r"Import reached block|[Ii]mport progress|World ?[Ss]tate|[Hh]eal|Downloaded|Pipeline|[Pp]ivot block(?! selector)|"
    r"Healed|accounts? downloaded|Synced to"
)
_COMPLAINT = re.compile(r"\b(?:ERROR|WARN)\b")
_LOOKING = re.compile(r"Unable to find sync target\. Waiting for \d+ peers")
_ENGINE_SILENT = re.compile(r"Execution engine not called in [\d.,]+ seconds")
_ENGINE_CALLED = re.compile(r"fork-choice-update|Imported #[\d,]+")
_SHUTDOWN = re.compile(r"Disk full detected|\bStopping (?:synchronizer|Network)\b|BesuCommand-Shutdown-Hook")
_HALTED = re.compile(r"BFT Mining thread has suffered a fatal error|mining has been halted")
_MEMORY = re.compile(r"java\.lang\.OutOfMemoryError")
_WORLD_STATE = re.compile(
    r"World State Root does not match|parent world state .{0,90} is not available"
    r"|identified a problem with its worldstate database"
)
_NODE_ADDRESS = re.compile(r"Node address (0x[0-9a-fA-F]{40})\b")
_RPC_OFF = re.compile(r"JsonRpcConfiguration\{enabled=false")


class LogLine(t.NamedTuple):
    """A line of the node's own. ``at``: seconds since the epoch."""

    at: float
    text: str


@dataclass(frozen=True)
class Round:
    """In which round a validator is that this node has heard of. ``since``: when it was first heard of in it."""

    address: str
    number: int
    local: bool
    since: float = 0.0


@dataclass(frozen=True)
class BesuLog:
    """What the lines of one process say. Times are seconds since the epoch, 0.0 where there is nothing."""

    lines: int = 0
    round: int | None = None
    round_seconds: float = 0.0
    round_at: float = 0.0
    rounds: tuple[Round, ...] = ()
    rounds_at: float = 0.0
    quorum: int | None = None
    invalid_block: int | None = None
    invalid_lines: tuple[str, ...] = ()
    invalid_count: int = 0
    invalid_since: float = 0.0
    progress_at: float = 0.0
    progress_lines: int = 0
    progress_every: float = 0.0
    looking_for_peers: str = ""
    engine_silent: str = ""
    shutting_down: str = ""
    halted: str = ""
    out_of_memory: str = ""
    world_state: str = ""
    rpc_off: bool = False
    node_address: str | None = None
    evidence: tuple[str, ...] = field(default_factory=tuple)

    def round_since(self, moment: float) -> int | None:
        """The round that was entered after ``moment`` (the time of the last block): rounds begin anew with a block."""
        return self.round if self.round_at > moment else None


def read_log(lines: t.Iterable[LogLine]) -> BesuLog:
    """Read the lines of one process, oldest first."""
    found: dict[str, t.Any] = {"lines": 0, "invalid_lines": (), "invalid_count": 0, "before": {}}
    rounds: dict[str, Round] = {}
    evidence: list[str] = []
    for line in lines:
        text = strip_ansi(line.text)[:2000]
        found["lines"] += 1
        if _rounds(text, line.at, found, rounds):
            evidence.append(text)
        elif _IMPORTED.search(text):
            found.update(round=None, progress_at=line.at, invalid_since=0.0, looking_for_peers="")
            rounds.clear()
            evidence.clear()
        elif _INVALID_RULE.search(text) or _INVALID.search(text):
            _invalid(text, line.at, found)
        elif not _read_notice(text, found) and _PROGRESS.search(text) and not _COMPLAINT.search(text):
            _progress(line.at, "Import reached block" not in text, found)
    del found["before"]
    found["invalid_lines"] = tuple(sanitize(text.rpartition(" | ")[2], 200) for text in found["invalid_lines"])
    shown = tuple(sanitize(text, 200) for text in evidence[-8:])
    return BesuLog(rounds=tuple(rounds.values()), evidence=shown, **found)


# What one line tells by itself: the field that keeps the line.
_WORDS = (
    ("halted", _HALTED),
    ("out_of_memory", _MEMORY),
    ("world_state", _WORLD_STATE),
    ("looking_for_peers", _LOOKING),
    ("engine_silent", _ENGINE_SILENT),
    ("shutting_down", _SHUTDOWN),
)


def _read_notice(text: str, found: dict[str, t.Any]) -> bool:
    for name, pattern in _WORDS:
        if pattern.search(text):
            # Of a shutdown the first line is the reason.
            found[name] = found.get(name) if name == "shutting_down" and found.get(name) else sanitize(text, 300)
            return True
    if _ENGINE_CALLED.search(text):
        found["engine_silent"] = ""
    elif _NODE_ADDRESS.search(text):
        found["node_address"] = text.rpartition("0x")[1] + text.rpartition("0x")[2][:40].lower()
    elif _RPC_OFF.search(text):
        found["rpc_off"] = True
    else:
        return False
    return True


def _rounds(text: str, at: float, found: dict[str, t.Any], rounds: dict[str, Round]) -> bool:
    moved = _MOVED.search(text)
    if moved:
        found.update(round=_number(moved[1]), round_seconds=float(moved[2].replace(",", "")), round_at=at)
        return True
    summary = _SUMMARY.search(text)
    if summary:
        found["before"] = dict(rounds)
        rounds.clear()
        found.update(quorum=int(summary[1]), rounds_at=at)
        return False
    member = _IN_ROUND.search(text)
    if member and found.get("rounds_at"):
        address = member[1].lower()
        before = found["before"].get(address)
        since = before.since if before is not None and before.number == int(member[2]) else at
        rounds[address] = Round(address, int(member[2]), bool(member[3]), since)
        return True
    return False


def _invalid(text: str, at: float, found: dict[str, t.Any]) -> None:
    number = _INVALID.search(text)
    if number:
        found["invalid_block"] = _number(number[1])
    found["invalid_count"] += 1
    found["invalid_since"] = found.get("invalid_since") or at
    if " | " in text:  # the line itself, not the stack trace below it
        found["invalid_lines"] = tuple(dict.fromkeys((*found["invalid_lines"], text)))[-2:]


def _progress(at: float, snap: bool, found: dict[str, t.Any]) -> None:
    """A line of a sync: when; and of a SNAP sync how many there were, and how far apart they came at most."""
    if not snap:
        found["progress_at"] = at
        return
    before = found.get("progress_at") or at
    found["progress_every"] = max(found.get("progress_every", 0.0), at - before)
    found["progress_lines"] = found.get("progress_lines", 0) + 1
    found["progress_at"] = at


def _number(text: str) -> int:
    return int(text.replace(",", "") or 0)
