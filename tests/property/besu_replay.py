# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings of real Besu nodes, given to the kind ``besu`` as if it had looked itself."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node import BesuKind
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.node_sample import NodeSample, sample_from
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.rpc_answers import (
    RpcAnswer,
    answer_of,
    answers_of,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import NodeOptions
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Entry, JournalRecords
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import (
    Context,
    Observation,
    classify,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Environment

FOLDER = Path(os.environ.get("BESU_RECORDINGS") or Path(__file__).parents[1] / "recordings" / "besu")
UNIT = "besu.service"
# The recordings' names of the calls -> the labels of ours.
LABELS = {
    "eth_syncing": "eth_syncing",
    "eth_getBlockByNumber": "head",
    "net_peerCount": "net_peerCount",
    "admin_peers": "admin_peers",
    "admin_nodeInfo": "admin_nodeInfo",
    "eth_chainId": "eth_chainId",
    "qbft_getValidatorsByBlockNumber": "qbft:latest",
    "qbft_getSignerMetrics": "qbft:signers",
    "ibft_getValidatorsByBlockNumber": "ibft:latest",
    "ibft_getSignerMetrics": "ibft:signers",
}
# The manifest's names of causes that have another name here: those of the generic diagnosis. None: the reasons say it.
NAMES: dict[str, str | None] = {
    "port_in_use": "address_in_use",
    "binary_missing": "exec_missing",
    "exit 143 is a clean stop": None,
}
ERRORS = {"refused": "refused", "reset": "reset", "timeout": "hang"}


class Seen(NamedTuple):
    """One sample of one host: when, the whole folded picture, and what came of it."""

    t: float
    picture: dict[str, Any]
    observation: Observation


def manifest() -> dict[str, Any]:
    return json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))


def load(scenario: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{scenario}.json").read_text(encoding="utf-8"))


def pictures(recording: dict[str, Any], host: str) -> list[tuple[float, dict[str, Any]]]:
    """The samples of a host, folded: each holds everything that was true then."""
    folded: dict[str, Any] = {}
    found = []
    for sample in recording["samples"]:
        if sample["host"] != host:
            continue
        for name in sample.get("gone", ()):
            folded.pop(name, None)
        for name, value in sample["change"].items():
            same_process = name == "metrics" and "error" not in value and "error" not in folded.get(name, {})
            folded[name] = {**folded.get(name, {}), **value} if same_process else value
        # Seen when it ended: a sample of a busy or a hanging node takes long.
        found.append((sample["t"], dict(folded)))
    return found


def answer(value: dict[str, Any]) -> RpcAnswer:
    if "error" in value and "status" not in value:
        return RpcAnswer(ERRORS.get(value["error"], "protocol"))
    if value["status"] != 200:
        return answers_of(value["status"], json.dumps(value["body"]).encode(), 1)[0]
    return answer_of(value["body"])


def started_at(recording: dict[str, Any]) -> float:
    return datetime.datetime.fromisoformat(recording["started"].replace("Z", "+00:00")).timestamp()


def monotonic_offset(recording: dict[str, Any], host: str) -> float:
    """What to add to a sample's time to get CLOCK_MONOTONIC: from the start of a process that both clocks know."""
    wall = started_at(recording)
    bounds = []
    before = None
    for t, picture in pictures(recording, host):
        unit = picture["systemd"]
        metrics = picture.get("metrics") or {}
        if unit["ActiveState"] == "active" and "process_start_time_seconds" in metrics and "error" not in metrics:
            started = int(unit["ExecMainStartTimestampMonotonic"]) / 1e6
            return started - (metrics["process_start_time_seconds"] - wall)
        change = int(unit["StateChangeTimestampMonotonic"]) / 1e6
        if before is not None and change != before:
            bounds.append(change - t)
        before = change
    # A change was seen a little after it happened.
    return min(bounds, default=before or 0.0) + 0.5


class RecordedClock:
    """The time of the sample that is being looked at."""

    now = 0.0
    at = 0.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        raise AssertionError("a replay does not wait")


class RecordedJournal:
    """The journal as it was at that moment."""

    def __init__(self, recording: dict[str, Any], host: str, clock: RecordedClock) -> None:
        self.clock = clock
        self.entries = _entries(recording, host)

    def invocation(self, unit: str, invocation_id: str, *, limit: int = 300) -> JournalRecords:
        return JournalRecords(tuple(entry for entry in self.entries if entry.timestamp <= self.clock.now)[-limit:])

    def manager_records(self, units: Any, *, since: float | None = None, **_more: Any) -> JournalRecords:
        found = (e for e in self.entries if e.from_manager and (since or 0) <= e.timestamp <= self.clock.now)
        return JournalRecords(tuple(found))


def _entries(recording: dict[str, Any], host: str) -> list[Entry]:
    """The lines, each with the invocation of its process: the recordings name the process only."""
    began = started_at(recording)
    of_pid = {p["systemd"]["MainPID"]: p["systemd"]["InvocationID"] for _t, p in pictures(recording, host)}
    ids = [(t, p["systemd"]["InvocationID"]) for t, p in pictures(recording, host)]
    found = []
    for line in recording["journal"].get(host, ()):
        pid = str(line.get("_PID", ""))
        # What came before the first sample is of the process before it.
        near = next((i for t, i in ids if t >= line["t"]), ids[-1][1]) if line["t"] >= 0 else "earlier"
        fields = {k: str(v) for k, v in line.items() if k not in ("t", "message")}
        if pid == "1" or "MESSAGE_ID" in fields:
            fields["UNIT"] = UNIT
        fields.setdefault("_TRANSPORT", "stdout" if pid != "1" else "journal")
        found.append(
            Entry(
                timestamp=began + line["t"],
                monotonic=0.0,
                boot_id="",
                invocation_id=of_pid.get(pid, near),
                priority=int(line.get("PRIORITY", 6)),
                message=line["message"],
                unit=UNIT,
                identifier=line.get("SYSLOG_IDENTIFIER", ""),
                pid=int(pid or 0),
                message_id=line.get("MESSAGE_ID", ""),
                cursor="",
                fields=fields,
            )
        )
    return found


class Replay:
    """One host of one recording, looked at with the code that looks at a real host."""

    def __init__(
        self,
        scenario: str,
        host: str,
        options: NodeOptions | None = None,
        *,
        without: tuple[str, ...] = (),
        every: int = 1,
        start: int = 0,
    ) -> None:
        """``without``: answers to leave out; ``every``: only each n-th sample; ``start``: the sample to begin at."""
        self.recording = load(scenario)
        self.host = host
        self._without, self._every, self._start = without, every, start
        self.clock = RecordedClock()
        journal: Any = RecordedJournal(self.recording, host, self.clock)
        nothing: Any = None
        environment = Environment("besu", self.clock, nothing, nothing, lambda: journal)
        self.kind = BesuKind(environment, options or NodeOptions(), self._read)
        self._picture: dict[str, Any] = {}

    def _read(self, before: NodeSample | None) -> NodeSample:
        answers = {LABELS[name]: answer(value) for name, value in self._picture.items() if name in LABELS}
        metrics = self._picture.get("metrics")
        port = self._picture.get("port 30303")
        return sample_from(
            answers,
            at=self.clock.at,
            wall=self.clock.now,
            before=before,
            metrics=metrics if metrics and "error" not in metrics else None,
            p2p_open=None if port is None else port == "open",
        )

    def run(self, limit: int | None = None) -> list[Seen]:
        began, offset = started_at(self.recording), monotonic_offset(self.recording, self.host)
        seen = []
        for t, whole in pictures(self.recording, self.host)[self._start :: self._every][:limit]:
            picture = {name: value for name, value in whole.items() if name not in self._without}
            self._picture, self.clock.now, self.clock.at = picture, began + t, offset + t
            facts = UnitFacts(UNIT, {"Restart": "on-failure", "Type": "simple", **picture["systemd"]})
            context = Context(now=self.clock.at, wall=self.clock.now)
            seen.append(Seen(t, picture, self.kind.classify(classify("besu", facts, context, "besu"))))
        return seen


def words(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def mistakes(scenario: str, host: str, seen: list[Seen]) -> list[str]:
    """Where what was told is not what the manifest says of that window, and windows without a sample."""
    found = []
    for window in manifest()[scenario]["windows"]:
        if window["host"] != host:
            continue
        states, causes = words(window["state"]), [NAMES.get(name, name) for name in words(window.get("cause"))]
        bases = words(window.get("base_state"))
        inside = [one for one in seen if window["from"] <= one.t <= window["to"]]
        if not inside:
            found.append(f"no sample between {window['from']} and {window['to']}")
        for one in inside:
            told = one.observation
            # In a loop the cause is that of the run that failed last; the loop itself is a flag.
            named = told.cause in causes or ("crash_loop" in causes and "crash_loop" in told.flags)
            right = told.state in states and (not causes or named)
            if not right or (bases and told.base_state not in bases):
                found.append(f"{one.t}: {told.state}/{told.cause}, not {states}/{causes}: {told.reasons}")
    return found
