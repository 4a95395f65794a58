# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet of hosts: up, down, and what is in it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time
import types
import typing as t
from pathlib import Path

from . import base, check, cleanup, fleet_daemon, hostfiles, network
from .host import Host, Report, until
from .record import FleetRecord, Group, check_name, plan_hosts
from .settings import LabError, Paths, boot_limit, paths

# Each systemd needs some; with the kernel's defaults a fleet stops at about 18 hosts. Never lowered.
_SYSCTLS = {
    "fs/inotify/max_user_instances": 8192,
    "fs/inotify/max_user_watches": 1048576,
    "kernel/keys/maxkeys": 20000,
    "kernel/keys/maxbytes": 2000000,
    "net/ipv4/neigh/default/gc_thresh3": 4096,
}

T = t.TypeVar("T")


class Fleet:
    """Hosts of one name. ``with Fleet("demo", [Group("h", 3, "trixie")]) as fleet: fleet["h1"].run("id")``

    A fleet goes down at the end of the ``with`` block, at ``down()``, or as
    soon as its owner is dead: the process ``owner``, by default this one;
    None leaves it up until ``down()``.
    """

    def __init__(
        self,
        name: str,
        groups: t.Sequence[Group] = (Group(),),
        *,
        owner: int | None = -1,
        packages: t.Iterable[str] = (),
    ) -> None:
        self.name = check_name("fleet", name)
        self.groups = [group.checked() for group in groups]
        self.owner = os.getpid() if owner == -1 else owner
        self.packages = tuple(packages)
        self.lab = paths()
        self._record: FleetRecord | None = None
        self._hosts: dict[str, Host] = {}

    @classmethod
    def attach(cls, name: str) -> Fleet:
        """A fleet that is up already, whoever owns it."""
        fleet = cls(name)
        if name not in cleanup.living(fleet.lab):
            raise LabError(f"no fleet {name} is up (lab status lists those that are)")
        fleet._adopt(FleetRecord.load(fleet.lab.fleet(name)))
        return fleet

    def _adopt(self, record: FleetRecord) -> None:
        self._record = record
        self._hosts = {host.name: Host(record, host, self.ask) for host in record.hosts}

    # -- what is in it -------------------------------------------------------------------------

    @property
    def record(self) -> FleetRecord:
        if self._record is None:
            raise LabError(f"fleet {self.name} is not up")
        return self._record

    @property
    def hosts(self) -> dict[str, Host]:
        return dict(self._hosts)

    def __getitem__(self, name: str) -> Host:
        if name not in self._hosts:
            raise LabError(f"fleet {self.name} has no host {name}; it has {', '.join(self._hosts) or 'none'}")
        return self._hosts[name]

    def group(self, prefix: str) -> list[Host]:
        return [host for host in self._hosts.values() if host.record.group == prefix]

    def each(
        self, work: t.Callable[[Host], T], hosts: t.Iterable[Host] | None = None, at_once: int = 8
    ) -> dict[str, T]:
        """Do ``work`` for every host (or those given), several at once; its results by host name."""
        chosen = list(self._hosts.values() if hosts is None else hosts)
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            return dict(zip((host.name for host in chosen), pool.map(work, chosen), strict=True))

    @property
    def inventory(self) -> Path:
        """An Ansible inventory: a group for each prefix, and suite_SUITE for each suite."""
        return self.record.path / "inventory.yml"

    @property
    def ssh_config(self) -> Path:
        return self.record.path / "ssh_config"

    @property
    def controller(self) -> str:
        """The address at which the hosts reach this computer; they know it by the name ``controller``, too."""
        return self.record.controller

    # -- up ------------------------------------------------------------------------------------

    def __enter__(self) -> Fleet:
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> Fleet:
        """Boot the hosts; returns when all of them are up. LabError says why not."""
        missing = check.problems()
        if missing:
            raise LabError("the laboratory cannot run here:\n" + "\n".join(f"  {problem}" for problem in missing))
        _open_standard_streams()
        owner_fd = self._owner_descriptor()
        try:
            bases = {suite: base.ensure(self.lab, suite, self.packages) for suite in {g.suite for g in self.groups}}
            _raise_limits()
            reader = self._launch(bases, owner_fd)
        finally:
            if owner_fd is not None:
                os.close(owner_fd)
        self._wait_up(reader)
        return self

    def _owner_descriptor(self) -> int | None:
        if self.owner is None:
            return None
        try:
            return os.pidfd_open(self.owner)
        except ProcessLookupError:
            raise LabError(f"owner {self.owner}: no such process") from None

    def _launch(self, bases: dict[str, Path], owner_fd: int | None) -> int:
        """Claim name, subnet and bridge, and start the daemon; a descriptor with its verdict."""
        folder = self.lab.fleet(self.name)
        with self.lab.lock("lab"):
            cleanup.collect_locked(self.lab)
            _make_key(self.lab)
            if folder.exists():
                raise LabError(f"fleet {self.name} is up already: lab down --name {self.name}, or choose another name")
            folder.mkdir(parents=True)
            lock_fd = cleanup.claim(folder)
            try:
                subnet = network.choose(sum(group.count for group in self.groups), network.taken())
                bridge = network.bridge_name(subnet)
                hosts = plan_hosts(self.groups, bases, subnet, bridge)
                record = FleetRecord(self.name, str(folder), bridge, str(subnet), self.owner, hosts)
                record.save()
                self._prepare(record)
                self._adopt(record)
                return fleet_daemon.spawn(record, self.lab, lock_fd, owner_fd)
            except BaseException:
                if (folder / "fleet.json").exists():
                    cleanup.clear_away(FleetRecord.load(folder))
                else:
                    shutil.rmtree(folder)
                raise
            finally:
                os.close(lock_fd)  # the daemon has its own

    def _prepare(self, record: FleetRecord) -> None:
        if record.run.exists():  # left by a laboratory whose folder was deleted
            shutil.rmtree(record.run)
        record.run.mkdir(parents=True, mode=0o700)
        network.make_bridge(record.bridge, record.network, record.path)
        hostfiles.write_controller_files(record, self.lab.key)

    def _wait_up(self, reader: int) -> None:
        with os.fdopen(reader, "rb") as verdict:
            log = self.record.path / "daemon.log"
            limit = boot_limit(len(self.hosts)) + 30  # the daemon says which host it waited for in vain
            ready, _unused, _unused = select.select([verdict], [], [], limit)
            line = verdict.readline() if ready else b""
            error = json.loads(line)["error"] if line else f"its daemon ended or hangs: {_tail(log)}"
        if error:
            self.down()
            raise LabError(f"fleet {self.name}: {error}")

    # -- requests and the end ------------------------------------------------------------------

    def ask(self, action: str, **details: t.Any) -> Report:
        """One request to the daemon: status, cut, start, down."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(30.0)
                connection.connect(str(self.record.control))
                connection.sendall(json.dumps({"do": action, **details}).encode() + b"\n")
                with connection.makefile("rb") as stream:
                    answer: Report = json.loads(stream.readline())
        except (OSError, ValueError) as exc:
            raise LabError(f"fleet {self.name} does not answer: {exc}") from exc
        if "error" in answer:
            raise LabError(f"fleet {self.name}: {answer['error']}")
        return answer

    def status(self) -> Report:
        return self.ask("status")

    def down(self, timeout: float = 60.0) -> None:
        """End the fleet and remove all that was made for it. Nothing happens where it is down already."""
        if self._record is None:
            return
        folder = self.record.path
        try:
            pid = int(self.ask("down")["daemon"])
        except LabError:
            pid = 0  # died by itself, or is just ending
        try:
            until(lambda: not cleanup.is_living(folder), timeout, "its end")
        except LabError:
            if not pid:
                raise
            os.kill(pid, signal.SIGKILL)
            until(lambda: not cleanup.is_living(folder), timeout, "its end")
        cleanup.purge(self.lab, self.name)
        self._record, self._hosts = None, {}


def _tail(path: Path) -> str:
    if not path.exists():
        return "it has cleared all away"
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])


def _open_standard_streams() -> None:
    """Fill 0, 1 and 2 where a caller closed them: a descriptor meant for the daemon must not get such a number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the kernel gives the lowest free number


def _raise_limits() -> None:
    for name, wanted in _SYSCTLS.items():
        path = Path("/proc/sys") / name
        with contextlib.suppress(FileNotFoundError, PermissionError):  # a small fleet may do without
            if int(path.read_text(encoding="ascii")) < wanted:
                path.write_text(str(wanted), encoding="ascii")


def _make_key(lab: Paths) -> None:
    if not lab.key.exists():
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "chainops-lab", "-f", str(lab.key)]
        subprocess.run(command, check=True)


def overview(lab: Paths) -> list[tuple[FleetRecord, Report]]:
    """Every living fleet and what its daemon says of it."""
    found = []
    for name in cleanup.living(lab):
        with contextlib.suppress(LabError, FileNotFoundError):  # it may go down while we look
            fleet = Fleet.attach(name)
            found.append((fleet.record, fleet.status()))
    return found


def wait_seconds(since: float) -> str:
    return f"{time.monotonic() - since:.1f} s"
