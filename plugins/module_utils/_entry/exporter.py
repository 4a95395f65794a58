# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that writes the metrics of this host's services to a file for node_exporter.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

It runs once for each call of a systemd timer. What it has counted and up to
which journal record are saved in one file that is replaced as a whole before
the metrics are written: killed at any moment, it neither misses a transition
nor counts one twice, and no counter that was shown goes back.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.info import service_row
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.whole_host import whole_host
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import private_files as files
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import AUTO_RESTART, Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import MonitoredService
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Attempt
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import Boot, Record, read_records
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring import families as f
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.alerts import thresholds_of
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.counters import (
    Batch,
    Moment,
    ObservedState,
    ServiceCounters,
    Thrashing,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.families import MetricSample, render
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.samples import ProbeSample, service_samples

# One journalctl returns this many records, and one run asks that often: a flood is caught up with by the next runs.
_BATCH, _BATCHES = 1000, 8
# Without a cursor the journal is read from so many seconds before the last run: what was counted is known.
_OVERLAP = 60.0
# Another run, which somebody started by hand, is waited for so long.
# Seconds for which a run repeats samples: systemd ends it after 300, and then nothing of any service is written.
_LONGEST = 120.0
_PATIENCE = 10.0
_STATE_VERSION = 1
_UNIT_STATES = {
    "active": m.RUNNING,
    "reloading": m.RUNNING,
    "refreshing": m.RUNNING,
    "activating": m.STARTING,
    "deactivating": m.STOPPING,
    "failed": m.ERROR,
    "inactive": m.STOPPED,
}


class CounterStore:
    """What is kept from run to run: the journal's cursor, the counters of each service, those of the program.

    ``read_at``: when the journal was last read (seconds since the epoch), 0 where it has always been empty.
    ``build``: the program that wrote it; what its kinds remember is of use to this program only.
    ``failures``: how often something failed in this run.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._path = os.path.join(folder, "state.json")
        self.cursor = ""
        self.read_at = 0.0
        self.build = ""
        self.services: dict[str, dict[str, t.Any]] = {}
        self.runs = 0
        self.errors: dict[str, int] = {}
        self.failures = 0

    def load(self) -> None:
        """Read the file. A damaged one is kept under another name and counted as an error: counters begin anew.

        Raises LifecycleError where it is there and cannot be read.
        """
        text = files.read_text(self._path)
        if text is None:
            return
        try:
            saved = json.loads(text)
            if saved["version"] != _STATE_VERSION:
                raise ValueError(f"version {saved['version']}")
            self.cursor, self.read_at, self.build = str(saved["cursor"]), float(saved["read_at"]), str(saved["build"])
            self.services = {str(name): dict(kept) for name, kept in saved["services"].items()}
            self.runs, self.errors = int(saved["runs"]), {str(k): int(v) for k, v in saved["errors"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            os.replace(self._path, f"{self._path}.damaged")
            self.cursor, self.read_at, self.services = "", 0.0, {}
            self.runs, self.errors = 0, {}
            self.failed("state", f"{self._path} is damaged ({exc}); kept as {self._path}.damaged, counters begin anew")

    def save(self) -> None:
        """Replace the file. Raises LifecycleError where that is not possible; then the old one is still there."""
        data = {
            "version": _STATE_VERSION,
            "cursor": self.cursor,
            "read_at": self.read_at,
            "build": self.build,
            "services": self.services,
            "runs": self.runs,
            "errors": self.errors,
        }
        files.replace(self._path, json.dumps(data))
        self._sync_folder()

    def _sync_folder(self) -> None:
        """After a loss of power the metrics must not be newer than what they follow from."""
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def failed(self, step: str, message: str) -> None:
        """Count a step that failed, and report it in the journal of the program."""
        self.failures += 1
        self.errors[step] = self.errors.get(step, 0) + 1
        sys.stderr.write(f"{step}: {message}\n")


class _Watched(t.NamedTuple):
    """A service of the configuration, and what was kept of it."""

    params: t.Mapping[str, t.Any]
    service: MonitoredService
    kept: t.Mapping[str, t.Any]


class Exporter:
    """One run for the services of the configuration, each a validated entry of ``lifecycle_services``."""

    def __init__(
        self,
        config: t.Mapping[str, t.Any],
        host: HostContext | None = None,
    ) -> None:
        self._config = config
        self._host = host or whole_host("system")
        self._folder = config["state_directory"]
        self._store = CounterStore(self._folder)

    def run(self) -> int:
        """Observe, count, save, write. The exit code: 0, or 1 where something could not be done.

        Raises LifecycleError where nothing could be saved: then the next run does it all.
        """
        lock = files.open_lock(os.path.join(self._folder, "lock"))
        try:
            files.wait_for_lock(lock, os.path.join(self._folder, "lock"), self._host.clock, _PATIENCE)
            return self._locked_run()
        finally:
            os.close(lock)

    def _locked_run(self) -> int:
        store, clock = self._store, self._host.clock
        began = clock.monotonic()
        store.load()
        newest = self._host.journal.newest()
        if not store.runs:
            # By the first observation: what was before is not counted, and of what comes after nothing is missed.
            store.cursor = newest.cursor if newest is not None else ""
        watched = self._watched()
        observed_from = clock.monotonic()
        observed = self._host.observer.observe_settled([one.service for one in watched], within=_LONGEST)
        records, complete = self._new_records([one.service.unit for one in watched])
        # As the journal has the id of this boot: in a container the kernel may show that of another system.
        now = Moment(clock.wall(), clock.monotonic(), newest.boot_id if newest is not None else this_boot())
        samples: list[MetricSample] = []
        for one, observation in zip(watched, observed):
            batch = Batch(records.get(one.service.unit, ()), complete, observed_from)
            samples += self._count(one, observation, batch, now)
        described = {params["name"] for params in self._config["services"]}
        store.services = {name: kept for name, kept in store.services.items() if name in described}
        store.build = self._config["build"]
        store.runs += 1
        store.save()
        self._write([*samples, *self._own(clock.monotonic() - began, clock.wall())])
        return int(store.failures > 0)

    def _watched(self) -> list[_Watched]:
        """The services; one that cannot be observed does not affect the others, and keeps its counters."""
        found = []
        for params in self._config["services"]:
            try:
                service = self._host.watched(params, KINDS[params["kind"]].make)
            except LifecycleError as exc:
                self._store.failed("service", f"{params['name']}: {exc.msg}")
                continue
            kept = self._store.services.get(params["name"], {})
            if self._store.build == self._config["build"]:
                service.kind.restore_state(kept.get("kind") or {})
            found.append(_Watched(params, service, kept))
        return found

    def _count(self, one: _Watched, observation: Observation, batch: Batch, now: Moment) -> list[MetricSample]:
        service, facts = one.service, observation.facts
        counters = self._restored(service.name, one.kept, facts is None or facts.restarts_by_itself)
        attempts = self._attempts(service.unit)
        counters.advance(
            batch, observed_state(observation), now, self._boots(batch, now), attempts, thrashing_of(one.params)
        )
        observed_at = now.wall if observation.state != m.UNKNOWN else float(one.kept.get("observed_at", 0.0))
        self._store.services[service.name] = {
            "counters": counters.dump(),
            "kind": dict(service.kind.save_state()),
            "observed_at": observed_at,
        }
        row = service_row(self._host, service, observation, one.params)
        last = max((attempt.at for attempt in attempts), default=None)
        thresholds, probes = thresholds_of(one.params), probes_of(service)
        return service_samples(row, service.kind.machine, counters, observed_at, thresholds, probes, last)

    def _boots(self, batch: Batch, now: Moment) -> t.Sequence[Boot]:
        """The boots of the host; the journal is asked only after a reboot, because that takes its time."""
        return self._host.boots if any(record.boot_id != now.boot_id for record in batch.records) else ()

    def _attempts(self, unit: str) -> t.Sequence[Attempt]:
        try:
            return self._host.ledger.attempts(unit) if self._host.has_records() else ()
        except LifecycleError as exc:
            self._store.failed("records", exc.msg)
            return ()

    def _restored(self, name: str, kept: t.Mapping[str, t.Any], restarts: bool) -> ServiceCounters:
        if not kept:
            return ServiceCounters(restarts)
        try:
            return ServiceCounters.load(kept["counters"], restarts)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            self._store.failed("state", f"the counters of {name} are damaged ({exc!r}) and begin anew")
            return ServiceCounters(restarts)

    def _new_records(self, units: t.Sequence[str]) -> tuple[dict[str, list[Record]], bool]:
        """The manager's records since the last run, by unit, and whether these are all; the cursor moves past them."""
        store, journal = self._store, self._host.journal
        by_unit: dict[str, list[Record]] = {}
        complete = not units
        read_at = self._host.clock.wall()
        for _batch in range(_BATCHES if units else 0):
            since = None if store.cursor or not store.read_at else store.read_at - _OVERLAP
            found = journal.manager_records(units, since=since, after_cursor=store.cursor, limit=_BATCH)
            if found.failed:
                store.failed("journal", "; ".join(found.notes))
                store.cursor = ""  # if it is the cursor that journalctl cannot use
                return by_unit, False
            for entry in found.entries:
                by_unit.setdefault(entry.unit, []).extend(read_records([entry]))
            if found.entries:
                store.cursor = found.entries[-1].cursor
            complete = not found.cut
            if complete or not found.entries:
                break
        store.read_at = read_at if store.cursor else 0.0
        return by_unit, complete

    def _write(self, samples: t.Sequence[MetricSample]) -> None:
        text = render(samples, openmetrics=self._config["format"] == "openmetrics")
        try:
            files.replace(self._config["output"], text, 0o644)
        except LifecycleError as exc:
            self._store.failed("output", exc.msg)
            self._store.save()

    def _own(self, seconds: float, now: float) -> list[MetricSample]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = usage.ru_utime + usage.ru_stime + children.ru_utime + children.ru_stime
        return [
            MetricSample(f.EXPORTER_INFO, (str(self._config["version"]),), 1),
            MetricSample(f.EXPORTER_DURATION, (), seconds),
            MetricSample(f.EXPORTER_CPU, (), cpu),
            MetricSample(f.EXPORTER_RUNS, (), self._store.runs),
            MetricSample(f.EXPORTER_TIME, (), now),
            MetricSample(f.EXPORTER_INTERVAL, (), float(self._config["interval"])),
            *(MetricSample(f.EXPORTER_ERRORS, (step,), self._store.errors.get(step, 0)) for step in f.STEPS),
        ]


def thrashing_of(params: t.Mapping[str, t.Any]) -> Thrashing:
    """When the service thrashes, by its options."""
    return Thrashing(params["thrash_restarts"], params["thrash_window"])


def observed_state(observation: Observation) -> ObservedState:
    """The part of an observation that the counters use."""
    details = observation.details if observation.kind == "cloudflared" else {}
    return ObservedState(
        observation.state,
        observation.base_state,
        observation.since,
        observation.cause,
        unit_state(observation.facts),
        looping=observation.base_state == m.ERROR and observation.loops,
        connections=details.get("connections"),
    )


def unit_state(facts: UnitFacts | None) -> str:
    """The state according to systemd alone."""
    if facts is None:
        return m.UNKNOWN
    return m.RESTARTING if facts.sub in AUTO_RESTART else _UNIT_STATES.get(facts.active, m.UNKNOWN)


def probes_of(watched: MonitoredService) -> list[ProbeSample]:
    """The last results of the probes of a service."""
    trackers = getattr(watched.health, "trackers", ())
    return [ProbeSample(r.name, r.ok, r.elapsed) for r in (tracker.last for tracker in trackers) if r is not None]


def this_boot() -> str:
    """The id of this boot as the kernel has it: 32 hexadecimal digits."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return stream.read().strip().replace("-", "")


def main(argv: t.Sequence[str]) -> int:
    """``exporter CONFIG``: one run. Exit codes: 0 done, 1 done in part, 2 not done."""
    if len(argv) != 2:
        sys.stderr.write("usage: chainops-state-monitoring CONFIG\n")
        return 2
    try:
        with open(argv[1], encoding="utf-8") as stream:
            config = json.load(stream)
        return Exporter(config).run()
    except LifecycleError as exc:
        sys.stderr.write(f"{exc.msg}\n")
    except (OSError, ValueError, KeyError) as exc:
        sys.stderr.write(f"{argv[1]}: {type(exc).__name__}: {exc}; no metrics were written\n")
    return 2
