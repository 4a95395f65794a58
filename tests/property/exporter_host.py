# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host as the metrics program sees it: one unit, its journal, and clocks that can be stepped."""

from __future__ import annotations

import typing as t
from pathlib import Path
from types import SimpleNamespace

from prometheus_client.parser import text_string_to_metric_families as parse_text

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.exporter import Exporter
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import journal as j
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import MonitoredService
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Kind
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import Boot

UNIT = "api.service"
_BASE = {"active": "running", "activating": "starting", "failed": "error", "inactive": "stopped"}


class World:
    """The truth. ``changes``: the transitions there were, as (from, to); ``lag``: how long journald takes to write."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.offset = 1_700_000_000.0
        self.boot = 1
        self.booted_at = self.offset
        self.boots: list[Boot] = []
        self.entries: list[j.Entry] = []
        self.runs = 1
        self.active, self.sub, self.since = "active", "running", 500.0
        self.changes: list[tuple[str, str]] = []
        self.failures = 0
        self.journal_fails = False
        # What happens while the program looks: called after the observation was made, before the journal is read.
        self.meanwhile: t.Callable[[], None] = lambda: None

    @property
    def boot_id(self) -> str:
        return f"{self.boot:032x}"

    @property
    def wall(self) -> float:
        return self.offset + self.monotonic

    @property
    def state(self) -> str:
        return "restarting" if self.sub == "auto-restart" else _BASE[self.active]

    def write(self, message_id: str, **fields: str) -> None:
        self.monotonic += 0.001
        self.entries.append(
            j.Entry(
                timestamp=self.wall,
                monotonic=self.monotonic,
                boot_id=self.boot_id,
                invocation_id=fields.get("INVOCATION_ID", ""),
                priority=6,
                message="text that nobody should rely on",
                unit=UNIT,
                identifier="systemd",
                pid=1,
                message_id=message_id,
                cursor=f"{self.boot}:{self.monotonic:.6f}",
                fields={"_PID": "1", **fields},
            )
        )

    def enter(self, active: str, sub: str = "") -> None:
        before = self.state
        self.active, self.sub, self.since = active, sub, self.monotonic
        if self.state != before:
            self.changes.append((before, self.state))

    def start(self) -> None:
        self.runs += 1
        self.enter("activating")
        self.write(j.UNIT_STARTING, JOB_TYPE="start", INVOCATION_ID=f"i{self.runs}")
        self.enter("active")
        self.write(j.UNIT_STARTED, JOB_TYPE="start", INVOCATION_ID=f"i{self.runs}")

    def stop(self) -> None:
        self.changes += [(self.state, "stopping"), ("stopping", "stopped")]
        self.write(j.UNIT_STOPPING, JOB_TYPE="stop", INVOCATION_ID=f"i{self.runs}")
        self.write(j.UNIT_SUCCESS, INVOCATION_ID=f"i{self.runs}")
        self.write(j.UNIT_STOPPED, JOB_TYPE="stop", INVOCATION_ID=f"i{self.runs}")
        self.active, self.sub, self.since = "inactive", "dead", self.monotonic

    def crash(self, restarts: bool = True) -> None:
        """The main process is killed. systemd waits for a moment, then starts it again, where it restarts it at all."""
        self.failures += 1
        self.enter(*(("activating", "auto-restart") if restarts else ("failed", "failed")))
        self.write(j.UNIT_FAILURE_RESULT, UNIT_RESULT="signal", INVOCATION_ID=f"i{self.runs}")

    def restart_after_crash(self) -> None:
        self.write(j.UNIT_RESTART_SCHEDULED)
        self.start()

    def reboot(self, down: float) -> None:
        self.boots.append(Boot(self.boot_id, self.booted_at, self.wall))
        if self.state != "stopped":
            self.changes.append((self.state, "stopped"))
        self.offset, self.boot, self.monotonic = self.wall + down, self.boot + 1, 5.0
        self.booted_at = self.offset
        self.active, self.sub, self.since = "inactive", "dead", self.monotonic

    def known_boots(self) -> list[Boot]:
        return [*self.boots, Boot(self.boot_id, self.booted_at, self.wall)]


class _Clock:
    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic(self) -> float:
        self._world.monotonic += 0.0001
        return self._world.monotonic

    def wall(self) -> float:
        return self._world.wall

    def sleep(self, seconds: float) -> None:
        self._world.monotonic += seconds


class FakeHost:
    """The part of HostContext that the program uses."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = _Clock(world)
        self.journal = self
        self.observer = self
        self.ledger = SimpleNamespace(attempts=lambda unit: ())

    @property
    def boots(self) -> list[Boot]:
        return self.world.known_boots()

    def has_records(self) -> bool:
        return False

    def watched(self, params: t.Mapping[str, t.Any], _make: t.Any) -> MonitoredService:
        return MonitoredService(params["name"], UNIT, Kind())

    def observe_settled(self, watched: t.Sequence[MonitoredService], within: float) -> list[Observation]:
        world, wall = self.world, self.world.wall - (self.world.monotonic - self.world.since)
        facts = UnitFacts(UNIT, {"ActiveState": world.active, "SubState": world.sub, "Restart": "on-failure"})
        state = world.state
        seen = [Observation(one.name, UNIT, "generic", state, state, (), None, wall, 0.0, facts) for one in watched]
        world.monotonic += 0.01
        world.meanwhile()
        return seen

    def newest(self) -> j.Entry:
        """A record of this boot, which journald itself writes first of all."""
        cursor = self.world.entries[-1].cursor if self.world.entries else ""
        return j.Entry(self.world.wall, self.world.monotonic, self.world.boot_id, "", 6, "", "", "", 1, "", cursor, {})

    def manager_records(
        self, _units: t.Sequence[str], *, since: float | None = None, after_cursor: str = "", limit: int = 0
    ) -> j.JournalRecords:
        if self.world.journal_fails:
            return j.JournalRecords((), ("journalctl did not answer",), failed=True)
        found = [entry for entry in self.world.entries if since is None or entry.timestamp >= since]
        if after_cursor:
            # As --cursor does it: from where that record is, or would be if it were still there.
            boot, _colon, moment = after_cursor.partition(":")
            place = (int(boot), float(moment))
            found = [one for one in found if (int(one.boot_id, 16), one.monotonic) > place]
        return j.JournalRecords(tuple(found[:limit]), cut=len(found) >= limit)


_THRASHING = {"thrash_restarts": 5, "thrash_window": 600.0}


def config(folder: Path, **more: t.Any) -> dict[str, t.Any]:
    return {
        "version": "1.0.0",
        "build": "b1",
        "services": [{"name": "api", "kind": "generic", "max_attempts": 3, "attempt_window": 3600.0, **_THRASHING}],
        "interval": 30,
        "format": "prometheus",
        "state_directory": str(folder),
        "output": str(folder / "chainops.prom"),
        **more,
    }


def run(world: World, folder: Path, **more: t.Any) -> int:
    """One run of the program."""
    host: t.Any = FakeHost(world)
    return Exporter(config(folder, **more), host).run()


def read(folder: Path) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples that were written."""
    text = (folder / "chainops.prom").read_text(encoding="utf-8")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


def total(folder: Path, name: str, **labels: str) -> float:
    """The sum of the samples with these labels."""
    wanted = frozenset((key.rstrip("_"), value) for key, value in labels.items())
    return sum(value for (found, has), value in read(folder).items() if found == name and wanted <= has)
