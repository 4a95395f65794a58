# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs probes and folds their results into the health of a service.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

A result is ``healthy``, ``unhealthy`` or ``unobservable``. The last one is the
fault of the probe, of its credentials or of the way to the service, and never
counts against the service: nobody restarts a service because a CA file is missing.

=============================================================  ============
what happened                                                  verdict
=============================================================  ============
as described by the probe                                      healthy
refused, reset, time-out of connection or answer               unhealthy
not HTTP, answer cut short, not JSON, wrong body or value      unhealthy
any status that is not listed (also 3xx, 404, 5xx)             unhealthy
status 401, 403, 405, 407, 429 where not listed                unobservable
name not resolved, no route, TLS or certificate not accepted   unobservable
file for TLS not usable, this host out of resources            unobservable
body compressed or over 1 MiB, where the body is asked for     unobservable
command: other return code, wrong output, time-out             unhealthy
command not found or not startable, ended by a signal,         unobservable
return code 126 or 127 where not listed, output over 256 KiB
=============================================================  ============
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import (
    HttpClient,
    HttpError,
    Response,
    parse_url,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock, Completed, Runner
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Health
from ansible_collections.chainops.lifecycle.plugins.module_utils._probes.parse import (
    PROBE_OPTIONS,
    CommandCheck,
    HttpCheck,
    Probe,
    ProbeOptionError,
    TcpCheck,
    follow_json_path,
    parse_probes,
)

__all__ = (
    "PROBE_OPTIONS",
    "Probe",
    "ProbeOptionError",
    "ProbeResult",
    "ProbeTracker",
    "ServiceHealth",
    "parse_probes",
    "run_probe",
)

HEALTHY = "healthy"
UNHEALTHY = "unhealthy"
UNOBSERVABLE = "unobservable"
PENDING = "pending"

VERDICT_OF_ERROR = {
    "refused": UNHEALTHY,
    "reset": UNHEALTHY,
    "timeout_connect": UNHEALTHY,
    "timeout": UNHEALTHY,
    "protocol": UNHEALTHY,
    "not_json": UNHEALTHY,
    "dns": UNOBSERVABLE,
    "unreachable": UNOBSERVABLE,
    "local": UNOBSERVABLE,
    "tls": UNOBSERVABLE,
    "tls_settings": UNOBSERVABLE,
    "bad_url": UNOBSERVABLE,
    "bad_request": UNOBSERVABLE,
    "too_large": UNOBSERVABLE,
    "encoding": UNOBSERVABLE,
}
# The service answers, and refuses to tell this asker: who asks is wrong, not what is asked.
_REFUSING_STATUS = (401, 403, 405, 407, 429)
_NOT_RUN = (126, 127)

_LOCAL = ("localhost", "127.0.0.1", "::1", "[::1]")
_MAX_BODY = 1024 * 1024
_MAX_OUTPUT = 256 * 1024
_DETAIL = 300
_EXCERPT = 120
# While a start is awaited, asking more often costs little and shortens every wait.
_EAGER_INTERVAL = 0.2

_Judged = tuple[str, str]


@dataclass(frozen=True)
class ProbeResult:
    """What one run of a probe found. ``detail`` is bounded and fit to be shown; ``elapsed`` in seconds."""

    name: str
    kind: str
    verdict: str
    detail: str
    elapsed: float

    @property
    def ok(self) -> bool:
        return self.verdict == HEALTHY


def _secrets(check: HttpCheck) -> set[str]:
    """What must not come back out of an answer that repeats its request."""
    found: set[str] = set()
    for _name, value in check.headers:
        found.update((value.strip(), *(part for part in value.split() if len(part) > 3)))
    userinfo = parse_url(check.url).userinfo
    if userinfo:
        from base64 import b64encode
        from urllib.parse import unquote

        plain = unquote(userinfo)
        found.update((userinfo, plain, plain.partition(":")[2], b64encode(plain.encode()).decode()))
    found.update([json.dumps(value)[1:-1] for value in found])
    found.discard("")
    return found


def _excerpt(text: str, secrets: t.Collection[str] = ()) -> str:
    """The beginning of hostile text in quotes, or nothing where it might give a short secret away."""
    text = text.strip()
    for secret in sorted(secrets, key=len, reverse=True):
        if secret in text:
            if len(secret) < 4:
                return ""
            text = text.replace(secret, "[redacted]")
    shown = sanitize(text[: 20 * _EXCERPT], _EXCERPT)
    return f": {shown!r}" if shown else ""


def _as_text(value: t.Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _same_value(found: t.Any, wanted: t.Any) -> bool:
    """Compare as JSON does (1 is not true). Text also equals the value that it spells, as templates make."""
    if isinstance(wanted, str):
        return _as_text(found) == wanted
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    return bool(found == wanted)


def _judge_json(check: HttpCheck, response: Response, secrets: t.Collection[str]) -> _Judged | None:
    if check.json_path is None:
        return None
    document = response.json()
    try:
        found = follow_json_path(document, check.json_path)
    except LookupError:
        return UNHEALTHY, "the body has nothing at json_path" + _excerpt(response.text, secrets)
    if check.json_value is None:
        return (UNHEALTHY, "the value at json_path is null") if found is None else None
    if _same_value(found, check.json_value):
        return None
    return UNHEALTHY, "the value at json_path is not json_value" + _excerpt(_as_text(found), secrets)


def _judge_status(check: HttpCheck, status: int) -> _Judged | None:
    if status in check.status:
        return None
    verdict = UNOBSERVABLE if status in _REFUSING_STATUS else UNHEALTHY
    return verdict, f"status {status}, not {' or '.join(map(str, check.status))}"


def _judge_response(check: HttpCheck, response: Response) -> _Judged:
    secrets = _secrets(check)
    bad = _judge_status(check, response.status)
    if bad is not None:
        return bad[0], bad[1] + _excerpt(response.text, secrets)
    if check.body_regex is not None and not check.body_regex.search(response.text):
        return UNHEALTHY, "the body does not match body_regex" + _excerpt(response.text, secrets)
    return _judge_json(check, response, secrets) or (HEALTHY, f"status {response.status}")


def _run_http(check: HttpCheck, timeout: float, http: HttpClient) -> _Judged:
    try:
        response = http.request(
            check.method,
            check.url,
            headers=dict(check.headers),
            body=check.body,
            timeout=timeout,
            max_bytes=_MAX_BODY,
            tls=check.tls,
        )
        return _judge_response(check, response)
    except HttpError as exc:
        if exc.status is not None and exc.kind in ("too_large", "encoding"):
            bad = _judge_status(check, exc.status)
            if bad is not None:
                return bad
            if check.body_regex is None and check.json_path is None:
                return HEALTHY, f"status {exc.status}"
        return VERDICT_OF_ERROR[exc.kind], f"{exc.kind}: {exc.msg}"


def _run_tcp(check: TcpCheck, timeout: float, http: HttpClient) -> _Judged:
    try:
        http.connect(check.host, check.port, timeout=timeout)
    except HttpError as exc:
        return VERDICT_OF_ERROR[exc.kind], f"{exc.kind}: {exc.msg}"
    return HEALTHY, f"{check.host} port {check.port} accepts connections"


def _judge_command(check: CommandCheck, done: Completed, timeout: float) -> _Judged:
    program = check.argv[0]
    if done.timed_out:
        return UNHEALTHY, f"{program} did not end within {timeout:g} s"
    if done.not_found:
        return UNOBSERVABLE, f"{program} was not found"
    if done.truncated:
        return UNOBSERVABLE, f"{program} printed more than {_MAX_OUTPUT} bytes"
    if done.rc is None:
        return UNOBSERVABLE, f"{program} could not be started" + _excerpt(done.err)
    if done.rc not in check.rc:
        message = _excerpt(done.err.strip() or done.out)
        if done.rc < 0:
            return UNOBSERVABLE, f"{program} was ended by signal {-done.rc}{message}"
        verdict = UNOBSERVABLE if done.rc in _NOT_RUN else UNHEALTHY
        return verdict, f"{program} ended with {done.rc}, not {' or '.join(map(str, check.rc))}{message}"
    if check.output_regex is not None and not check.output_regex.search(done.out):
        return UNHEALTHY, f"the output of {program} does not match output_regex" + _excerpt(done.out)
    return HEALTHY, f"{program} ended with {done.rc}"


def run_probe(probe: Probe, *, http: HttpClient, runner: Runner, clock: Clock) -> ProbeResult:
    """Run a probe once, for at most its ``timeout``. It changes nothing and never raises for what it finds."""
    started = clock.monotonic()
    check = probe.check
    if isinstance(check, HttpCheck):
        verdict, detail = _run_http(check, probe.timeout, http)
    elif isinstance(check, TcpCheck):
        verdict, detail = _run_tcp(check, probe.timeout, http)
    else:
        done = runner(check.argv, timeout=probe.timeout, max_bytes=_MAX_OUTPUT)
        verdict, detail = _judge_command(check, done, probe.timeout)
    return ProbeResult(probe.name, probe.kind, verdict, sanitize(detail, _DETAIL), clock.monotonic() - started)


@dataclass(frozen=True)
class ProbeTracker:
    """The results of one probe so far, folded. Times are in seconds of the monotonic clock.

    * ``healthy`` after ``success_threshold`` healthy results in a row,
      ``unhealthy`` after ``failure_threshold`` unhealthy ones, ``pending``
      before the first verdict; a verdict stands until the other is reached.
    * Until ``started_at + start_grace`` an unhealthy result does not count,
      as long as the service has not been healthy since its start.
    * An unobservable result neither extends nor breaks a row;
      ``failure_threshold`` of them in a row end every verdict (``unobservable``).
    """

    probe: Probe
    started_at: float | None = None
    health: str = PENDING
    successes: int = 0
    failures: int = 0
    unseen: int = 0
    was_healthy: bool = False
    last: ProbeResult | None = None

    def in_grace(self, at: float) -> bool:
        """Whether an unhealthy result at this time would still be part of the start."""
        return not self.was_healthy and self.started_at is not None and at - self.started_at < self.probe.start_grace

    def add(self, result: ProbeResult, at: float) -> ProbeTracker:
        """The tracker after one more result, which came at ``at``."""
        probe = self.probe
        if result.verdict == UNOBSERVABLE:
            if self.unseen + 1 < probe.failure_threshold:
                return replace(self, unseen=self.unseen + 1, last=result)
            return replace(self, health=UNOBSERVABLE, unseen=self.unseen + 1, successes=0, failures=0, last=result)
        # The first result after a blind time begins anew: what was true before it may not be.
        health = PENDING if self.health == UNOBSERVABLE else self.health
        if result.verdict == HEALTHY:
            reached = self.successes + 1 >= probe.success_threshold
            return replace(
                self,
                health=HEALTHY if reached else health,
                successes=self.successes + 1,
                failures=0,
                unseen=0,
                was_healthy=self.was_healthy or reached,
                last=result,
            )
        failures = 0 if self.in_grace(at) else self.failures + 1
        health = UNHEALTHY if failures >= probe.failure_threshold else health
        return replace(self, health=health, successes=0, failures=failures, unseen=0, last=result)

    def open(self, at: float) -> bool:
        """Whether results soon to come could settle what is open. A start within its grace may last."""
        return self.health == PENDING and (self.successes + self.failures + self.unseen > 0 or not self.in_grace(at))

    def reason(self) -> str:
        """One line of evidence."""
        if self.last is None:
            return f"probe {self.probe.name}: not run yet"
        row = {HEALTHY: self.successes, UNHEALTHY: self.failures, UNOBSERVABLE: self.unseen}[self.last.verdict]
        return f"probe {self.probe.name}: {self.last.verdict} (x{max(row, 1)}), {self.last.detail}"


def overall(trackers: t.Iterable[ProbeTracker]) -> str:
    """The health of a service by all its probes: the worst, and ``none`` without probes."""
    found = {tracker.health for tracker in trackers}
    return next((health for health in (UNHEALTHY, UNOBSERVABLE, PENDING, HEALTHY) if health in found), "none")


def _local_ports(probe: Probe) -> tuple[int, ...]:
    check = probe.check
    if isinstance(check, TcpCheck):
        return (check.port,) if check.host in _LOCAL else ()
    if isinstance(check, HttpCheck):
        url = parse_url(check.url)
        return (url.port,) if url.host in _LOCAL else ()
    return ()


class ServiceHealth:
    """The probes of one service, run when they are due. It remembers: keep it for as long as the service is watched."""

    def __init__(self, probes: t.Sequence[Probe], *, http: HttpClient, runner: Runner, clock: Clock) -> None:
        self._probes = tuple(probes)
        self._http = http
        self._runner = runner
        self._clock = clock
        self._active_since: float | None = None
        self._trackers: list[ProbeTracker] = []
        self._due: list[float] = []
        self._begin(None)

    def _begin(self, active_since: float | None) -> None:
        self._active_since = active_since
        self._trackers = [ProbeTracker(probe, active_since) for probe in self._probes]
        self._due = [float("-inf")] * len(self._probes)

    @property
    def trackers(self) -> tuple[ProbeTracker, ...]:
        return tuple(self._trackers)

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports of this host that the probes ask."""
        return tuple(dict.fromkeys(port for probe in self._probes for port in _local_ports(probe)))

    def check(self, active_since: float) -> Health:
        """Run the probes that are due, in parallel; ``active_since`` (0 if not known) is when the service came up."""
        if (active_since or None) != self._active_since:
            self._begin(active_since or None)  # another start: nothing seen before says anything about it
        now = self._clock.monotonic()
        due = [index for index, when in enumerate(self._due) if when <= now]
        for index, result in zip(due, self._run([self._probes[index] for index in due])):
            at = self._clock.monotonic()
            tracker = self._trackers[index] = self._trackers[index].add(result, at)
            eager = tracker.in_grace(at) and tracker.probe.kind != "command"
            interval = tracker.probe.interval
            self._due[index] = now + (min(interval, _EAGER_INTERVAL) if eager else interval)
        return Health(overall(self._trackers), tuple(tracker.reason() for tracker in self._trackers))

    def pending_time(self) -> float:
        """Seconds until another round could settle what this one left open; 0 where it is settled."""
        now = self._clock.monotonic()
        if overall(self._trackers) in (UNHEALTHY, UNOBSERVABLE):
            return 0.0
        waits = [when - now for when, tracker in zip(self._due, self._trackers) if tracker.open(now)]
        return max(min(waits), 0.01) if waits else 0.0

    def _run(self, probes: t.Sequence[Probe]) -> list[ProbeResult]:
        def one(probe: Probe) -> ProbeResult:
            return run_probe(probe, http=self._http, runner=self._runner, clock=self._clock)

        if len(probes) < 2:
            return [one(probe) for probe in probes]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(max_workers=min(len(probes), 8)) as pool:
            return list(pool.map(one, probes))
