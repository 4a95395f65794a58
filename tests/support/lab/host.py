# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host of a fleet, as tests use it."""

from __future__ import annotations

import subprocess
import time
import typing as t
from pathlib import Path

from . import cgroup, network
from .record import FleetRecord, HostRecord
from .settings import LabError

Completed = subprocess.CompletedProcess[str]
Report = dict[str, t.Any]

_ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "SYSTEMD_COLORS": "0",
    "TERM": "dumb",
}
_NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd")


# How many times as long as on an idle computer a busy one may take.
_PATIENCE = 3


def until(holds: t.Callable[[], object], timeout: float, what: str) -> None:
    """Wait until ``holds()`` is true; LabError with ``what`` after three times ``timeout``, the seconds of an idle computer.

    It is asked less often the longer it takes: asking runs a program on a host.
    """
    began = time.monotonic()
    while not holds():
        waited = time.monotonic() - began
        if waited > _PATIENCE * timeout:
            raise LabError(f"after {waited:.0f} s still not so: {what}")
        time.sleep(min(max(waited / 25, 0.02), 0.5))


def _checked(done: Completed, check: bool, where: str) -> Completed:
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise LabError(f"{where}: {done.args} ended with {done.returncode}: {said}")
    return done


def _born(pid: int) -> str:
    """When a process was started, to tell it from a later one of the same number; empty where there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as handle:
            return handle.read().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


# Puts over the first process's stat a copy in which field 22, the clock ticks from boot to its start, is smaller.
_PASS_TIME = """
import os, subprocess, sys
with open("/proc/1/stat") as stream:
    name, _, rest = stream.read().rpartition(")")
fields = rest.split()
fields[19] = str(int(int(fields[19]) - float(sys.argv[1]) * os.sysconf("SC_CLK_TCK")))
with open("/run/stat-of-1", "w") as stream:
    stream.write(name + ") " + " ".join(fields) + chr(10))
subprocess.run(["mount", "--bind", "/run/stat-of-1", "/proc/1/stat"], check=True)
"""


class Host:
    """``run`` enters the host's namespaces from this computer (about 10 ms, works without network);
    ``ssh`` goes over the fleet's network as any operator does."""

    def __init__(self, fleet: FleetRecord, record: HostRecord, ask: t.Callable[..., Report]) -> None:
        self.record = record
        self.name = record.name
        self.address = record.address
        self.suite = record.suite
        self._fleet = fleet
        self._ask = ask
        self._leader = 0
        self._leader_born = ""

    def __repr__(self) -> str:
        return f"<Host {self.name} {self.suite} {self.address}>"

    # -- commands ------------------------------------------------------------------------------

    def run(
        self,
        *argv: str,
        check: bool = True,
        timeout: float = 60.0,
        stdin: str | bytes = "",
        env: t.Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a command as root on the host, not through a shell; LabError where ``check`` and it fails."""
        return self._text(self._enter(argv, env), check, timeout, stdin)

    def pass_time(self, seconds: float) -> None:
        """Let the host believe, until its next boot, that it was booted so many seconds earlier than it was.

        What asks for the age of its first process, as ``ps -o etimes= 1`` does, is answered so: a test of what a host
        does only some minutes after its boot need not wait for them.
        """
        self.run("python3", "-c", _PASS_TIME, str(seconds))

    def sh(self, script: str, *arguments: str, **options: t.Any) -> Completed:
        """Run a shell script with ``$1``... as root on the host."""
        return self.run("sh", "-euc", script, "sh", *arguments, **options)

    def ssh(self, command: str, *, check: bool = True, timeout: float = 60.0, stdin: str | bytes = "") -> Completed:
        """Run a shell command over SSH."""
        argv = ["ssh", "-F", str(self._fleet.path / "ssh_config"), self.name, command]
        return self._text(argv, check, timeout, stdin)

    def popen(self, *argv: str, **options: t.Any) -> subprocess.Popen[bytes]:
        """Start a command on the host and leave it running; the caller ends it."""
        return subprocess.Popen(self._enter(argv, None), **options)

    def _enter(self, argv: t.Sequence[str], env: t.Mapping[str, str] | None) -> list[str]:
        settings = [f"{name}={value}" for name, value in {**_ENVIRONMENT, **(env or {})}.items()]
        return ["nsenter", f"--target={self.leader}", *_NAMESPACES, "--", "env", "-i", *settings, *argv]

    def _text(self, argv: list[str], check: bool, timeout: float, stdin: str | bytes) -> Completed:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(argv, input=data, capture_output=True, timeout=timeout, check=False)
        texts = [stream.decode("utf-8", "replace") for stream in (done.stdout, done.stderr)]
        return _checked(Completed(argv, done.returncode, *texts), check, self.name)

    # -- files ---------------------------------------------------------------------------------

    def push_text(self, path: str, text: str | bytes, mode: int = 0o644) -> None:
        """Write a file on the host, all of it or nothing; folders are made."""
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1.new" && chmod "$2" "$1.new" && mv -f "$1.new" "$1"'
        self.sh(script, path, f"{mode:o}", stdin=text)

    def push(self, source: Path | str, path: str, mode: int | None = None) -> None:
        """Copy a file of this computer to the host."""
        source = Path(source)
        self.push_text(path, source.read_bytes(), source.stat().st_mode & 0o777 if mode is None else mode)

    def read_text(self, path: str) -> str:
        return self.run("cat", path).stdout

    # -- the host as a machine -----------------------------------------------------------------

    @property
    def status(self) -> Report:
        """``state`` (booting, running, off, failed), ``boots``, ``leader``, ``boot_seconds``."""
        return t.cast(Report, self._ask("status")["hosts"][self.name])

    @property
    def leader(self) -> int:
        """Pid of the host's systemd on this computer."""
        if not self._leader or _born(self._leader) != self._leader_born:
            report = self.status
            self._leader = int(report["leader"])
            self._leader_born = _born(self._leader)
            if not self._leader_born:
                raise LabError(f"{self.name} is {report['state']}, not running")
        return self._leader

    @property
    def cgroup(self) -> Path:
        return cgroup.group(self._fleet.bridge, self.name)

    @property
    def boot_id(self) -> str:
        return self.read_text("/proc/sys/kernel/random/boot_id").strip()

    def reboot(self, timeout: float = 120.0) -> None:
        """Shut the host down in order and boot it again; returns when it is up."""
        boots = self.status["boots"]
        self.run("systemctl", "reboot", "--no-block", check=False)
        self._wait_boot(boots + 1, timeout)

    def power_cut(self, boot: bool = True, timeout: float = 120.0) -> None:
        """End every process of the host at once, unwritten logs and all, and boot it again unless ``boot`` is false."""
        boots = self.status["boots"]
        self._ask("cut", host=self.name, boot=boot)
        if boot:
            self._wait_boot(boots + 1, timeout)
        else:
            until(lambda: self.status["state"] == "off", timeout, f"{self.name} is off")

    def power_off(self, timeout: float = 120.0) -> None:
        """Shut the host down in order and leave it off."""
        self.run("systemctl", "poweroff", "--no-block", check=False)
        until(lambda: self.status["state"] == "off", timeout, f"{self.name} is off")

    def start(self, timeout: float = 120.0) -> None:
        """Boot a host that is off; returns when it is up."""
        boots = self.status["boots"]
        if self.status["state"] not in ("booting", "running"):
            self._ask("start", host=self.name)
            self._wait_boot(boots + 1, timeout)

    def _wait_boot(self, boots: int, timeout: float) -> None:
        def up() -> bool:
            report = self.status
            if report["state"] == "failed":
                raise LabError(f"{self.name} did not boot: see {self._fleet.host_folder(self.name) / 'console.log'}")
            return bool(report["boots"] >= boots and report["state"] == "running")

        until(up, timeout, f"{self.name} is up again")
        self._leader = 0
        self.drop_connections()

    def drop_connections(self) -> None:
        """End the shared SSH connections to this host; a rebooted host does not answer on the old ones."""
        for path in self._fleet.run.glob(f"{self.address}-*"):
            subprocess.run(
                ["ssh", "-o", f"ControlPath={path}", "-O", "exit", self.name],
                capture_output=True,
                timeout=10,
                check=False,
            )
            path.unlink(missing_ok=True)

    def freeze(self, frozen: bool = True) -> None:
        """Stop every process of the host where it stands, as a hanging hypervisor does, or let them go on."""
        cgroup.freeze(self.cgroup, frozen)

    def unplug(self, unplugged: bool = True) -> None:
        """Pull the network cable, or put it back."""
        network.ip("link", "set", "dev", self.record.interface, "down" if unplugged else "up")
