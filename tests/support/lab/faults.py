# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units that fail in the way a test asks for: a table of kinds, and the words to use them."""

from __future__ import annotations

import io
import json
import re
import tarfile
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from .host import Host
from .settings import SUITES, LabError

_FAULTD = Path(__file__).with_name("faultd.py")
COMMAND = "/usr/local/lib/chainops-lab/faultd"


@dataclass(frozen=True)
class Kind:
    """A kind of unit. ``flags`` are settings of faultd, see its DEFAULTS; ``service`` lines of [Service].

    ``start`` and ``stop`` are ActiveState and Result (``a|b``: one of them)
    where a start, and a stop after it, have come to rest; None where it does
    not rest or there is nothing to stop. Kinds whose answer to SIGTERM matters
    are of type notify: they are active only once they answer.
    """

    name: str
    text: str
    type: str = "simple"
    flags: t.Mapping[str, t.Any] = field(default_factory=dict)
    service: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()
    start: tuple[str, str] | None = ("active", "success")
    stop: tuple[str, str] | None = ("inactive", "success")
    since: int = 0  # the first systemd that has it
    exec_start: str = ""  # instead of faultd

    @property
    def file(self) -> str:
        return f"fault-{self.name}{'@' if self.instances else ''}.service"

    @property
    def units(self) -> list[str]:
        """Names of its units, without ``.service``."""
        return [f"fault-{self.name}@{item}" for item in self.instances] or [f"fault-{self.name}"]

    def render(self) -> str:
        command = self.exec_start or " ".join([COMMAND, "%N", *(_word(*item) for item in self.flags.items())])
        unit = [f"Description=Fault unit: {self.text}", *self.unit]
        service = [f"Type={self.type}", f"ExecStart={command}", *self.service]
        sections = {"Unit": unit, "Service": service, "Install": ["WantedBy=multi-user.target"]}
        return "\n".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())


def _word(name: str, value: t.Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    escaped = f"{name}={text}".replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


_NO_LIMIT = ("StartLimitIntervalSec=0",)
_FAILED = ("failed", "exit-code")

_TABLE = (
    Kind("simple", "the plainest of all"),
    Kind("exec", "says that its binary runs", "exec"),
    Kind("notify", "says when it is ready", "notify", {"before": 0.2, "status": "serving"}),
    Kind(
        "forking",
        "a daemon with a PID file",
        "forking",
        {"pid_file": "/run/fault-forking.pid"},
        ("PIDFile=/run/fault-forking.pid",),
    ),
    Kind("forking-guess", "a daemon whose main process systemd guesses", "forking", {"pid_file": "/run/guess.pid"}),
    Kind("oneshot", "runs and is done", "oneshot", {"exit_after": 0.2}, start=("inactive", "success")),
    Kind("oneshot-remain", "done but active", "oneshot", {"exit_after": 0.2}, ("RemainAfterExit=yes",)),
    Kind("oneshot-fail", "runs and fails", "oneshot", {"exit_after": 0.1, "exit_code": 4}, start=_FAILED, stop=None),
    Kind("idle", "starts when no other job is left", "idle"),
    Kind("notify-reload", "reloads by SIGHUP and says when done", "notify-reload", since=253),
    Kind(
        "flapper",
        "ends again and again, started again each time",
        flags={"exit_after": 0.3, "exit_code": 1},
        service=("Restart=always", "RestartSec=200ms"),
        unit=_NO_LIMIT,
        start=None,
        stop=None,  # which may come while it ends by itself: then it has failed
    ),
    Kind("onfail", "waits long before a restart", service=("Restart=on-failure", "RestartSec=30")),
    Kind("always", "comes back whatever happens", service=("Restart=always", "RestartSec=100ms"), unit=_NO_LIMIT),
    Kind("template", "instances of one file", instances=("a", "b")),
    Kind(
        "condition",
        "starts only where /run/fault-condition exists",
        "exec",
        service=("ExecCondition=/usr/bin/test -e /run/fault-condition",),
        start=("inactive", "success"),  # systemd forgets the unit, and with it the result exec-condition
    ),
    Kind(
        "stubborn",
        "ignores SIGTERM, its stop needs SIGKILL",
        "notify",
        flags={"ignore_term": True},
        service=("TimeoutStopSec=2",),
        stop=("failed", "timeout"),
    ),
    Kind("slow-start", "needs three seconds to be ready", "notify", {"before": 3}),
    Kind("slow-stop", "needs three seconds to stop", "notify", {"term_delay": 3}),
    Kind("java", "ends with 143 after SIGTERM and says so", "notify", {"term_code": 143}, ("SuccessExitStatus=143",)),
    Kind("java-undeclared", "ends with 143 after SIGTERM", "notify", {"term_code": 143}, stop=_FAILED),
    Kind(
        "runtime-max",
        "may run two seconds",
        "exec",
        service=("RuntimeMaxSec=2",),
        start=("failed", "timeout"),
        stop=None,
    ),
    Kind(
        "never-ready",
        "never says that it is ready",
        "notify",
        {"ready": False},
        ("TimeoutStartSec=2",),
        start=("failed", "timeout"),
        stop=None,
    ),
    Kind("watchdog", "answers the watchdog until told otherwise", "notify", {"watchdog": True}, ("WatchdogSec=5",)),
    Kind(
        "bad-start",
        "fails before it is ready",
        "notify",
        {"start_exit": 3, "start_log": ["cannot start: told so"]},
        start=_FAILED,
        stop=None,
    ),
    Kind(
        "start-limit",
        "fails at every start until systemd has enough of it",
        "exec",
        {"start_exit": 1},
        ("Restart=always", "RestartSec=50ms"),
        ("StartLimitIntervalSec=60", "StartLimitBurst=3"),
        start=("failed", "exit-code|start-limit-hit"),  # the first before systemd 260
        stop=None,
    ),
    Kind(
        "third-time",
        "its first two starts fail",
        "notify",
        {"start_exit": 1, "start_failures": 2},
        unit=_NO_LIMIT,
        start=_FAILED,
        stop=None,
    ),
    Kind("pre-fails", "its ExecStartPre fails", "exec", service=("ExecStartPre=/bin/false",), start=_FAILED, stop=None),
    Kind(
        "no-binary", "its binary is missing", "exec", exec_start="/usr/local/bin/is-not-there", start=_FAILED, stop=None
    ),
    Kind("no-user", "its user is missing", "exec", service=("User=nobody-knows",), start=_FAILED, stop=None),
    Kind(
        "leftover",
        "leaves a child behind when it stops",
        "notify",
        {"children": 1, "children_ignore_term": True},
        ("KillMode=process",),
    ),
    Kind("web", "an HTTP server on port 8080", "notify", {"http": 8080}),
    Kind(
        "needs-simple",
        "requires fault-simple",
        "exec",
        unit=("Requires=fault-simple.service", "After=fault-simple.service"),
    ),
    Kind("quiet", "logs nothing of its life", "exec", service=("LogLevelMax=notice",)),
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _TABLE}


def kinds_for(suite: str, names: t.Iterable[str] | None = None) -> list[Kind]:
    """The kinds of these names (default: all) that the suite's systemd knows."""
    wanted = list(KINDS if names is None else names)
    unknown = [name for name in wanted if name not in KINDS]
    if unknown:
        raise LabError(f"no fault unit {', '.join(unknown)}; there are {', '.join(KINDS)}")
    return [KINDS[name] for name in wanted if KINDS[name].since <= SUITES[suite]]


def install_fault_units(host: Host, names: t.Iterable[str] | None = None) -> list[str]:
    """Put faultd and the units of these kinds on the host, started by nobody; the unit names without ``.service``."""
    kinds = kinds_for(host.suite, names)
    texts = {f"/etc/systemd/system/{kind.file}": (kind.render(), 0o644) for kind in kinds}
    texts[COMMAND] = (_FAULTD.read_text(encoding="utf-8"), 0o755)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, (text, mode) in texts.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.mode, member.size, member.mtime = mode, len(text.encode()), int(time.time())
            archive.addfile(member, io.BytesIO(text.encode()))
    host.sh("tar --extract --directory=/ && systemctl daemon-reload", stdin=packed.getvalue())
    return [unit for kind in kinds for unit in kind.units]


_REMOVE = """
units=$(printf '%s.service ' "$@")
systemctl kill --signal=KILL $units 2>/dev/null || true
systemctl stop $units 2>/dev/null || true
systemctl reset-failed $units 2>/dev/null || true
for unit; do
    file=${unit%%@*}
    [ "$file" = "$unit" ] || file=$file@
    rm -f "/etc/systemd/system/$file.service" "/run/faultd/$unit".* "/etc/faultd/$unit".* "/var/lib/faultd/$unit".*
done
systemctl daemon-reload
"""


def remove_fault_units(host: Host, units: t.Iterable[str]) -> None:
    """Leave no trace of these units (names without ``.service``) on the host but their journal."""
    host.sh(_REMOVE, *units)


@dataclass(frozen=True)
class Event:
    """A line of a fault unit's own diary. ``at`` is the computer's CLOCK_MONOTONIC in seconds."""

    at: float
    pid: int
    what: str


@dataclass(frozen=True)
class FaultUnit:
    """One fault unit on one host: tell it what to do, read what it did."""

    host: Host
    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9@_.:-]+", self.name) or self.name.endswith(".service"):
            raise LabError(f"{self.name}: give the unit's name without .service")

    def systemctl(self, verb: str, *options: str, check: bool = True, timeout: float = 100.0) -> None:
        self.host.run("systemctl", verb, *options, f"{self.name}.service", check=check, timeout=timeout)

    def show(self, *properties: str) -> dict[str, str]:
        """Properties in systemd's own words."""
        out = self.host.run("systemctl", "show", f"--property={','.join(properties)}", f"{self.name}.service").stdout
        return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)

    def set(self, *, now: bool = True, **settings: t.Any) -> None:
        """Replace what was set before, until the host's next boot; ``now`` tells the running process at once."""
        self.host.push_text(f"/run/faultd/{self.name}.json", json.dumps(settings))
        if now:
            self._wake()

    def configure(self, **settings: t.Any) -> None:
        """Settings for the starts to come, which survive a reboot."""
        self.host.push_text(f"/etc/faultd/{self.name}.json", json.dumps(settings))

    def clear(self) -> None:
        """Behave as the kind says again."""
        files = [f"{folder}/{self.name}.{end}" for folder, end in (("/run/faultd", "json"), ("/etc/faultd", "json"))]
        self.host.run("rm", "-f", *files, f"/run/faultd/{self.name}.failures")
        self._wake()

    def remove(self) -> None:
        """Leave no trace of it on the host but its journal."""
        remove_fault_units(self.host, [self.name])

    def _wake(self) -> None:
        # As a plain signal: the words to choose only the main process differ between versions of systemctl.
        self.host.sh(
            'pid=$(systemctl show --property=MainPID --value "$1"); [ "$pid" = 0 ] || kill -HUP "$pid"',
            f"{self.name}.service",
        )

    def kill(self, name: str) -> None:
        """Send a signal to the main process, as from outside systemd."""
        self.host.run("kill", f"-{name}", self.show("MainPID")["MainPID"])

    def oom_kill(self) -> None:
        """End it as systemd-oomd does: the mark that systemd looks for, then SIGKILL to all of its cgroup."""
        group = self.show("ControlGroup")["ControlGroup"]
        mark = "import os,sys; [os.setxattr(sys.argv[1], f'user.oomd_{name}', b'1') for name in ('ooms', 'kill')]"
        self.host.sh('python3 -c "$2" "$1"; echo 1 >"$1/cgroup.kill"', f"/sys/fs/cgroup{group}", mark)

    def events(self, what: str = "") -> list[Event]:
        """Its diary (start, ready, term, reload, exit N, signal NAME), or those that begin with ``what``."""
        done = self.host.run("cat", f"/var/lib/faultd/{self.name}.events", check=False)
        rows = [line.split(" ", 2) for line in done.stdout.splitlines()]
        return [Event(float(at), int(pid), said) for at, pid, said in rows if said.startswith(what)]
