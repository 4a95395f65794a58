# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that writes the metrics of this host's services to a file for node_exporter.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

It runs once for each call of a systemd timer. What it has counted and up to
which journal record are saved in one file that is replaced as a whole: killed
at any moment, it neither misses a transition nor counts one twice.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.info import service_row
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.whole_host import whole_host
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Journal
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import MonitoredService
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import read_records
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring import families as f
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.counters import (
    Moment,
    Seen,
    ServiceCounters,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.families import Sample, render
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.samples import ProbeSeen, service_samples

# One journalctl returns this many records, and one run asks that often: a flood is caught up with by the next runs.
_BATCH, _BATCHES = 5000, 8
_STATE_VERSION = 1


class Store:
    """What is kept from run to run: the journal's cursor, the counters of each service, those of the program."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.cursor = ""
        self.began = 0.0
        self.services: dict[str, t.Any] = {}
        self.runs = 0
        self.errors: dict[str, int] = {}

    def load(self) -> None:
        """Read the file. A damaged one is kept under another name and counted as an error: counters begin anew."""
        try:
            with open(self._path, encoding="utf-8") as stream:
                saved = json.load(stream)
            if saved["version"] != _STATE_VERSION:
                raise ValueError(f"version {saved['version']}")
            self.cursor, self.began = str(saved["cursor"]), float(saved["began"])
            self.services = dict(saved["services"])
            self.runs, self.errors = int(saved["runs"]), {str(k): int(v) for k, v in saved["errors"].items()}
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            os.replace(self._path, f"{self._path}.damaged")
            self.failed("state", f"{self._path} is damaged ({exc}); kept as {self._path}.damaged, counters begin anew")

    def save(self) -> None:
        data = {
            "version": _STATE_VERSION,
            "cursor": self.cursor,
            "began": self.began,
            "services": self.services,
            "runs": self.runs,
            "errors": self.errors,
        }
        write_whole(self._path, json.dumps(data), 0o600)

    def failed(self, step: str, message: str) -> None:
        """Count what could not be done, and report it in the journal of the program."""
        self.errors[step] = self.errors.get(step, 0) + 1
        sys.stderr.write(f"{step}: {message}\n")


def write_whole(path: str, text: str, mode: int) -> None:
    """Replace a file as a whole: a reader sees the old text or the new one. Raises OSError."""
    handle, fresh = tempfile.mkstemp(dir=os.path.dirname(path), prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(fresh, path)
    except BaseException:
        os.unlink(fresh)
        raise


class Exporter:
    """One run for the services of the configuration, each a validated entry of ``lifecycle_services``."""

    def __init__(self, config: t.Mapping[str, t.Any], host: HostContext | None = None) -> None:
        self._config = config
        self._host = host or whole_host("system")
        self._store = Store(os.path.join(config["state_directory"], "state.json"))

    def run(self) -> int:
        """Observe, count, save, write. The exit code: 0, or 1 where something could not be done."""
        clock = self._host.clock
        began = clock.monotonic()
        self._store.load()
        errors = dict(self._store.errors)
        watched = [self._host.watched(params, KINDS[params["kind"]].make) for params in self._config["services"]]
        seen = self._host.observer.observe_settled(watched)
        # The journal is read after the observation: what it does not tell yet comes with the next run.
        moment = Moment(clock.wall(), clock.monotonic(), boot_id())
        samples = self._count(watched, seen, moment)
        self._store.runs += 1
        self._store.save()
        text = render([*samples, *self._own(clock.monotonic() - began, clock.wall())])
        write_whole(self._config["output"], text + "# EOF\n" if self._config.get("openmetrics") else text, 0o644)
        return int(self._store.errors != errors)

    def _count(self, watched: t.Sequence[MonitoredService], seen: t.Sequence[Observation], now: Moment) -> list[Sample]:
        journal = self._host.journal
        by_unit = self._new_records(journal, [one.unit for one in watched])
        boots = self._host.boots
        samples: list[Sample] = []
        kept: dict[str, t.Any] = {}
        for one, observation, params in zip(watched, seen, self._config["services"]):
            facts = observation.facts
            restarts = facts is None or facts.restarts_by_itself
            counters = self._restored(one.name, restarts)
            records = read_records(by_unit.get(one.unit, ()))
            shown = Seen(observation.state, observation.base_state, observation.since, observation.cause)
            counters.advance(records, shown, now, boots)
            kept[one.name] = counters.dump()
            row = service_row(self._host, one, observation, params)
            samples += service_samples(row, one.kind.machine, counters, now.wall, probes_of(one))
        self._store.services = kept
        return samples

    def _restored(self, name: str, restarts: bool) -> ServiceCounters:
        saved = self._store.services.get(name)
        if saved is None:
            return ServiceCounters(restarts)
        try:
            return ServiceCounters.load(saved, restarts)
        except (KeyError, TypeError, ValueError) as exc:
            self._store.failed("state", f"the counters of {name} are damaged ({exc}) and begin anew")
            return ServiceCounters(restarts)

    def _new_records(self, journal: Journal, units: t.Sequence[str]) -> dict[str, list[t.Any]]:
        """The manager's records since the last run, by unit; the cursor moves past them."""
        found: dict[str, list[t.Any]] = {}
        self._store.began = self._store.began or self._host.clock.wall()
        for _batch in range(_BATCHES):
            # Until the first record there is no cursor.
            since = None if self._store.cursor else self._store.began
            records = journal.manager_records(units, since=since, after_cursor=self._store.cursor, limit=_BATCH)
            for entry in records.entries:
                found.setdefault(entry.unit, []).append(entry)
            if records.entries:
                self._store.cursor = records.entries[-1].cursor
            if len(records.entries) < _BATCH:
                break
        return found

    def _own(self, seconds: float, now: float) -> list[Sample]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = usage.ru_utime + usage.ru_stime + children.ru_utime + children.ru_stime
        return [
            Sample(f.EXPORTER_INFO, (str(self._config["version"]),), 1),
            Sample(f.EXPORTER_DURATION, (), seconds),
            Sample(f.EXPORTER_CPU, (), cpu),
            Sample(f.EXPORTER_RUNS, (), self._store.runs),
            Sample(f.EXPORTER_TIME, (), now),
            Sample(f.EXPORTER_INTERVAL, (), float(self._config["interval"])),
            *(Sample(f.EXPORTER_ERRORS, (step,), count) for step, count in sorted(self._store.errors.items())),
        ]


def probes_of(watched: MonitoredService) -> list[ProbeSeen]:
    """The last results of the probes of a service."""
    trackers = getattr(watched.health, "trackers", ())
    return [ProbeSeen(r.name, r.ok, r.elapsed) for r in (tracker.last for tracker in trackers) if r is not None]


def boot_id() -> str:
    """The id of this boot as the journal has it: 32 hexadecimal digits."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return stream.read().strip().replace("-", "")


def main(argv: t.Sequence[str]) -> int:
    """``exporter CONFIG``: one run. Exit codes: 0 done, 1 done in part, 2 not done."""
    if len(argv) != 2:
        sys.stderr.write("usage: chainops-exporter CONFIG\n")
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
