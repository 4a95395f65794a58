# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Injects the faults of drills on this host, and arms the undo that removes them in any case.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

The undo belongs to systemd: a timer that is started before the fault runs a
script, whatever becomes of the controller and of this process. The timer, the
script, the process that holds a port or a disk, and the rules that cut the
network are gone after a reboot.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import private_files as files
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.disk import free_bytes
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.ended_command import said_at_end
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.network_cut import NetworkCut
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.procfs import listening_units
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock, LifecycleError, Runner
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd, UnitFacts

# One name for a whole host, so that systemd itself refuses a second drill there.
UNDO = "chainops-lifecycle-drill-undo"
HOLDER = "chainops-lifecycle-drill-holder.service"
_FOLDER = "/run/chainops-lifecycle"
SCRIPT = f"{_FOLDER}/drill-undo"

_TIMEOUT = 60.0
_PATIENCE = 30.0
_PAUSE = 0.1
_DOWN = ("inactive", "failed")
# File systems on which more depends than one service: the undo itself, the journal, the log-in.
_OF_THE_SYSTEM = (
    "/ /boot /dev /dev/shm /etc /home /run /tmp /usr /var /var/lib /var/log /var/log/journal /var/tmp"
).split()
_MOUNTS = "/proc/self/mountinfo"
# These share the room of one device, or of one pool, among file systems with device numbers of their own.
_POOLED = ("btrfs", "zfs", "bcachefs")

# The file has no name: it is gone with its process, however that ends.
_FILL = """
import os, signal, sys, tempfile
path, size = sys.argv[1], int(sys.argv[2])
try:
    handle = os.open(path, os.O_TMPFILE | os.O_RDWR, 0o600)
except OSError:
    handle, name = tempfile.mkstemp(dir=path)
    os.unlink(name)
os.posix_fallocate(handle, 0, size)
signal.pause()
"""
_LISTEN = """
import signal, socket, sys
port, six = int(sys.argv[1]), socket.has_dualstack_ipv6()
taken = socket.create_server(("", port), family=socket.AF_INET6 if six else socket.AF_INET, dualstack_ipv6=six)
signal.pause()
"""


class HostFaults:
    """Injects faults, and arms and disarms their undo."""

    def __init__(self, runner: Runner, systemd: Systemd, clock: Clock) -> None:
        self._runner = runner
        self._systemd = systemd
        self._clock = clock
        self.network = NetworkCut(runner)

    def is_armed(self) -> bool:
        """Whether a drill on this host has not ended: its undo waits for its time, or is at work."""
        return any(facts.active not in _DOWN for facts in self._systemd.show([f"{UNDO}.timer", f"{UNDO}.service"]))

    def arm(self, script: str, after: float, what: str) -> None:
        """Have the host run the script after ``after`` seconds. Raises LifecycleError; then it does not."""
        files.make_folder(_FOLDER)
        options = [f"--unit={UNDO}", f"--on-active={after:.0f}s", "--timer-property=AccuracySec=1s"]
        # systemd refuses a second timer of this name: only the run that has it may write the script, or stop it.
        self._start_transient(*options, f"--description={what}", "--", "/bin/sh", SCRIPT)
        try:
            files.replace(SCRIPT, script)
            if not self.is_armed():
                raise LifecycleError(f"systemd did not keep {UNDO}.timer, so no fault was injected; see systemctl")
        except LifecycleError:
            self.disarm()
            raise

    def disarm(self) -> None:
        """The drill is over: nothing is to be undone any more."""
        for kind in ("timer", "service"):
            self._systemd.stop(f"{UNDO}.{kind}")

    def undo(self, unit: str, starts: bool) -> None:
        """Remove the fault of the unit now, with the script that the timer runs. Raises LifecycleError."""
        if f"\nunit={shlex.quote(unit)} " not in (files.read_text(SCRIPT) or ""):
            return  # the host was booted since, which ends every fault, or the script is that of a later drill
        done = self._runner(["/bin/sh", SCRIPT, "start" if starts else "stay"], timeout=_TIMEOUT)
        if done.rc != 0:
            raise LifecycleError(
                f"{SCRIPT} ended with {done.rc}: {said_at_end(done)}; the host runs it again by {UNDO}.timer"
            )

    def signal_main(self, facts: UnitFacts, number: signal.Signals) -> None:
        """Send a signal to the main process. Raises LifecycleError."""
        try:
            os.kill(facts.main_pid, number)
        except OSError as exc:
            raise LifecycleError(f"cannot send {number.name} to process {facts.main_pid}: {exc.strerror}") from exc

    def stop(self, unit: str, patience: float) -> None:
        """Stop the unit and wait until it is down, for at most ``patience`` seconds. Raises LifecycleError."""
        self.ask("stop", unit)
        self._wait_until(lambda: self._systemd.show([unit])[0].active in _DOWN, f"{unit} did not stop", patience)

    def ask(self, verb: str, unit: str) -> None:
        """Ask systemd for a job of the unit and do not wait for it. Raises LifecycleError."""
        done = self._systemd.enqueue(verb, unit)
        if done.rc != 0:
            raise LifecycleError(f"systemctl {verb} {unit} ended with {done.rc}: {said_at_end(done)}")

    # -- a full disk ---------------------------------------------------------------------------

    def why_not_fill(self, path: str, leave: int, most: int) -> str:
        """Why the file system behind ``path`` cannot be filled but for ``leave`` bytes; empty where it can."""
        if not os.path.isdir(path):
            return f"{path} is no directory"
        taken = _rooms(path)
        shared = [one for one in _OF_THE_SYSTEM if os.path.isdir(one) and _rooms(one) & taken]
        if shared:
            return f"{path} is on the file system of {shared[0]}, on which more depends than this service"
        free = _free(path)
        if free <= leave:
            return f"{path} has {free} bytes free already"
        if free - leave > most:
            return f"{path} has {free // 1048576} MiB free, more than max_mb ({most // 1048576})"
        return ""

    def fill(self, path: str, leave: int, lifetime: float) -> None:
        """Fill the file system behind ``path`` but for ``leave`` bytes. Raises LifecycleError."""
        size = _free(path) - leave
        self._hold(_FILL, path, str(size), lifetime=lifetime)
        self._wait_until(lambda: _free(path) <= leave * 2, f"the file system of {path} did not fill up")

    # -- a port that is taken ------------------------------------------------------------------

    def listens(self, unit: str, port: int) -> bool:
        """Whether the unit listens on the TCP port."""
        return unit in listening_units([port]).get(port, ())

    def take_port(self, port: int, lifetime: float) -> None:
        """Listen on a TCP port. Raises LifecycleError."""
        self._hold(_LISTEN, str(port), lifetime=lifetime)
        self._wait_until(lambda: self.listens(HOLDER, port), f"port {port} could not be taken")

    def _hold(self, program: str, *arguments: str, lifetime: float) -> None:
        options = [f"--unit={HOLDER}", f"--property=RuntimeMaxSec={lifetime:.0f}s", "--property=OOMScoreAdjust=1000"]
        self._start_transient(*options, "--", sys.executable, "-c", program, *arguments)

    def _start_transient(self, *arguments: str) -> None:
        done = self._runner(["systemd-run", "--quiet", "--collect", *arguments], timeout=_TIMEOUT)
        if done.rc != 0:
            raise LifecycleError(f"systemd-run ended with {done.rc}: {said_at_end(done)}")

    def _wait_until(self, holds: t.Callable[[], bool], otherwise: str, patience: float = _PATIENCE) -> None:
        ends = self._clock.monotonic() + patience
        while not holds():
            if self._clock.monotonic() > ends:
                raise LifecycleError(f"{otherwise} within {patience:.0f} s")
            self._clock.sleep(_PAUSE)


def _rooms(path: str) -> set[str]:
    """What a path takes its room from: two that have one of these in common fill up together."""
    found = {f"device {_device(path)}"}
    kind, source = _mount(os.path.realpath(path))
    if kind in _POOLED:
        found.add(f"{kind} {source.partition('/')[0] if kind == 'zfs' else source}")
    return found


def _device(path: str) -> int:
    return os.stat(path).st_dev


def _mount(path: str) -> tuple[str, str]:
    """The type and the source of the file system of a path; empty where that is not told. See proc(5)."""
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as stream:
            lines = stream.read().split("\n")
    except OSError:
        return "", ""
    best, found = "", ("", "")
    for line in lines:
        first, _dash, last = line.partition(" - ")
        words, about = first.split(" "), last.split(" ")
        if len(words) < 5 or len(about) < 2:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), words[4])
        # Of two on one place the later one is seen.
        if len(point) >= len(best) and (path + "/").startswith(point.rstrip("/") + "/"):
            best, found = point, (about[0], about[1])
    return found


def _free(path: str) -> int:
    return free_bytes(os.statvfs(path))
