# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that keeps a fleet: boots its hosts, boots them again when they reboot, ends all of it with its owner.

One daemon for each fleet. It holds the lock of the fleet's folder as long as
it lives, so whoever can take that lock knows that the fleet is dead and may
clear it away. Hosts die with the daemon, mounts are seen by it alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import traceback
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from . import cgroup, hostfiles, linux, network
from .cleanup import clear_away
from .record import FleetRecord, HostRecord
from .settings import TESTS_DIR, Paths, boot_limit, has_caches

_BYTECODE = "/var/cache/chainops-lab/bytecode"  # on a host, where it is kept
_REBOOT = 133  # how systemd-nspawn says that its host wants to boot again


@dataclass
class Machine:
    """A host while the fleet is up. ``state``: booting, running, off, failed."""

    record: HostRecord
    notify: socket.socket
    state: str = "off"
    boots: int = 0
    leader: int = 0  # pid of the host's systemd, seen from this computer
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    boot_seconds: float = 0.0
    boot_again: bool = False

    def report(self) -> dict[str, t.Any]:
        return {
            "state": self.state,
            "boots": self.boots,
            "leader": self.leader,
            "boot_seconds": round(self.boot_seconds, 3),
        }


@dataclass
class FleetDaemon:
    fleet: FleetRecord
    lab: Paths
    ready_fd: int
    machines: dict[str, Machine] = field(default_factory=dict)
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    ending: bool = False

    def run(self, owner_fd: int | None) -> None:
        """Keep the fleet until the owner dies, a signal comes or ``down`` is asked for."""
        linux.private_mounts()
        try:
            wake, waker = socket.socketpair()
            waker.setblocking(False)
            signal.set_wakeup_fd(waker.fileno())
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, lambda *_unused: None)
            self._watch(wake, self._end)
            if owner_fd is not None:
                self._watch(owner_fd, self._end)
            self._listen()
            for host in self.fleet.hosts:
                self._install(host)
            for machine in self.machines.values():
                self._boot(machine)
            self._loop()
        except Exception:
            self._answer_starter(traceback.format_exc())
            raise
        finally:
            cgroup.kill(cgroup.group(self.fleet.bridge))
            for machine in self.machines.values():
                if machine.process is not None:
                    machine.process.wait()
            with self.lab.lock("lab"):
                clear_away(self.fleet)

    def _watch(self, source: t.Any, react: t.Callable[[], None]) -> None:
        self.selector.register(source, selectors.EVENT_READ, react)

    def _end(self) -> None:
        self.ending = True

    def _loop(self) -> None:
        while not self.ending:
            for key, _unused in self.selector.select(1.0):
                key.data()
            # A host ends once all who brought processes into it have seen them end.
            linux.let_nsenter_go_on({machine.leader for machine in self.machines.values()})
            self._say_ready()

    # -- boots ---------------------------------------------------------------------------------

    def _install(self, host: HostRecord) -> None:
        folder = self.fleet.host_folder(host.name)
        upper, work, root = folder / "upper", folder / "work", folder / "root"
        for path in (upper, work, root):
            path.mkdir(parents=True)
        public = self.lab.key.with_suffix(".pub").read_text(encoding="ascii")
        hostfiles.write_overlay(self.fleet, host, upper, public)
        if has_caches():
            hostfiles.write_caches(upper, _BYTECODE)
        linux.mount_overlay(Path(host.base), upper, work, root)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        notify.bind(str(self.fleet.run / f"notify-{host.name}"))
        machine = self.machines[host.name] = Machine(host, notify)
        self._watch(notify, lambda: self._notified(machine))

    def _boot(self, machine: Machine) -> None:
        host = machine.record
        folder = self.fleet.host_folder(host.name)
        # That of a host which was cut goes when the kernel has cleared its namespace away, which can take seconds.
        network.remove(host.interface)
        group = cgroup.make(self.fleet.bridge, host.name)
        command = ["systemd-nspawn", "--quiet", "--settings=no", "--boot", f"--directory={folder / 'root'}"]
        command += [f"--machine={host.machine}", f"--hostname={host.name}", f"--network-bridge={self.fleet.bridge}"]
        command += ["--register=no", "--keep-unit", "--notify-ready=yes", "--resolv-conf=off", "--timezone=off"]
        command += ["--link-journal=no"]
        if has_caches():
            self.lab.bytecode.mkdir(mode=0o1777, exist_ok=True)
            self.lab.bytecode.chmod(0o1777)  # tests run modules as other users too
            command += [f"--bind={self.lab.bytecode}:{_BYTECODE}"]
            ansible = importlib.util.find_spec("ansible")
            if ansible and ansible.origin:
                command += [f"--bind-ro={Path(ansible.origin).parent}:{hostfiles.ANSIBLE}"]
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(self.fleet.run / f"notify-{host.name}"),
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
        }

        def enter() -> None:
            linux.die_with_parent()
            cgroup.enter(group)

        with open(folder / "console.log", "ab") as console:
            machine.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=environment,
                preexec_fn=enter,  # noqa: PLW1509 - this process has one thread
                start_new_session=True,
            )
        machine.state, machine.leader, machine.started = "booting", 0, time.monotonic()
        machine.boots += 1
        machine.boot_again = False
        pidfd = os.pidfd_open(machine.process.pid)
        self._watch(pidfd, lambda: self._ended(machine, pidfd))

    def _notified(self, machine: Machine) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                for line in machine.notify.recv(4096).decode("utf-8", "replace").splitlines():
                    name, _unused, value = line.partition("=")
                    if name == "X_NSPAWN_LEADER_PID":
                        machine.leader = int(value)
                    elif line == "READY=1" and machine.state == "booting" and machine.leader:
                        machine.state = "running"
                        machine.boot_seconds = time.monotonic() - machine.started

    def _ended(self, machine: Machine, pidfd: int) -> None:
        self.selector.unregister(pidfd)
        os.close(pidfd)
        if machine.process is None:
            return
        code = machine.process.wait()
        booted = machine.state == "running"
        machine.process, machine.leader = None, 0
        group = cgroup.group(self.fleet.bridge, machine.record.name)
        cgroup.kill(group)
        cgroup.remove(group)
        self._notified(machine)  # what the dead boot still said must not count for the next
        machine.state = "off" if booted or code in (0, -signal.SIGKILL) else "failed"
        if code == _REBOOT or machine.boot_again:
            self._boot(machine)

    def _say_ready(self) -> None:
        """Tell who started the fleet, once, that every host is up or which one is not."""
        if self.ready_fd < 0:
            return
        limit = boot_limit(len(self.machines))
        late = [
            machine
            for machine in self.machines.values()
            if machine.state in ("failed", "off")
            or (machine.state == "booting" and time.monotonic() - machine.started > limit)
        ]
        if late:
            console = self.fleet.host_folder(late[0].record.name) / "console.log"
            tail = "\n".join(console.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            answer = f"{late[0].record.name} did not boot ({late[0].state}); the end of its console:\n{tail}"
            self.ending = True
        elif all(machine.state == "running" for machine in self.machines.values()):
            answer = ""
        else:
            return
        self._answer_starter(answer)

    def _answer_starter(self, error: str) -> None:
        if self.ready_fd < 0:
            return
        with contextlib.suppress(BrokenPipeError):  # the one who asked is gone; the owner decides, not they
            os.write(self.ready_fd, json.dumps({"error": error}).encode() + b"\n")
        os.close(self.ready_fd)
        self.ready_fd = -1

    # -- requests ------------------------------------------------------------------------------

    def _listen(self) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self.fleet.control))
        listener.listen(64)
        self._watch(listener, lambda: self._answer(listener.accept()[0]))

    def _answer(self, connection: socket.socket) -> None:
        """One request and one answer, a line of JSON each."""
        with connection, contextlib.suppress(OSError):  # a client that hangs or leaves must not hold us up
            connection.settimeout(2.0)
            with connection.makefile("rwb") as stream:
                try:
                    answer = self._serve(json.loads(stream.readline()))
                except (KeyError, TypeError, ValueError) as exc:
                    answer = {"error": f"bad request: {exc!r}"}
                stream.write(json.dumps(answer).encode() + b"\n")

    def _serve(self, request: dict[str, t.Any]) -> dict[str, t.Any]:
        action = request["do"]
        if action == "down":
            self._end()
        elif action in ("cut", "start"):
            machine = self.machines[request["host"]]
            if action == "cut" and machine.process is not None:
                machine.boot_again = bool(request.get("boot"))
                cgroup.kill(cgroup.group(self.fleet.bridge, machine.record.name))
            elif machine.process is None:
                self._boot(machine)
        elif action != "status":
            raise ValueError(action)
        hosts = {name: machine.report() for name, machine in self.machines.items()}
        return {"daemon": os.getpid(), "owner": self.fleet.owner, "hosts": hosts}


def spawn(fleet: FleetRecord, lab: Paths, lock_fd: int, owner_fd: int | None) -> int:
    """Start the daemon of ``fleet`` and give it the lock; a descriptor to read its verdict on the boot from."""
    reader, writer = os.pipe()
    passed = [lock_fd, writer] + ([] if owner_fd is None else [owner_fd])
    arguments = [fleet.folder, str(lab.root), str(writer), str(-1 if owner_fd is None else owner_fd)]
    with open(fleet.path / "daemon.log", "wb") as log:
        subprocess.Popen(
            [sys.executable, "-c", "import sys; from lab.fleet_daemon import main; main(sys.argv[1:])", *arguments],
            cwd=TESTS_DIR,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=passed,
            start_new_session=True,
        )
    os.close(writer)
    return reader


def main(arguments: list[str]) -> None:
    """Keep the fleet in a child; what a child that is killed leaves behind is cleared away here."""
    folder, root, ready_fd, owner_fd = arguments
    fleet, lab = FleetRecord.load(Path(folder)), Paths(Path(root))
    child = os.fork()
    if child == 0:
        FleetDaemon(fleet, lab, int(ready_fd)).run(int(owner_fd) if int(owner_fd) >= 0 else None)
        return
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda signum, _unused: os.kill(child, signum))
    os.close(int(ready_fd))  # its end must tell that the daemon ended
    _unused, status = os.waitpid(child, 0)
    if status != 0:
        with lab.lock("lab"):
            clear_away(fleet)
