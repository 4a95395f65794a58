# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory keeps its promises: hosts, reboots, faults, and nothing left when its owner is killed."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import subprocess
import sys
import time
import typing as t
from itertools import groupby
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import (
    SUITES,
    Fleet,
    Group,
    Host,
    LabError,
    cgroup,
    cleanup,
    network,
    record,
    settings,
    until,
)
from ansible_collections.chainops.lifecycle.tests.support.lab.faults import (
    FaultUnit,
    install_fault_units,
    kinds_for,
    remove_fault_units,
)

from .conftest import chosen_suites

FleetMaker = t.Callable[..., Fleet]
FaultMaker = t.Callable[[str], FaultUnit]


@pytest.fixture(scope="module")
def fleet(make_fleet: FleetMaker) -> Fleet:
    """Hosts of its own: other files leave theirs with failed units, and with units that behave as they were told to."""
    return make_fleet(*(Group(suite, 1, suite) for suite in chosen_suites()))


# -- hosts -----------------------------------------------------------------------------------------


def test_a_host_is_a_whole_system_of_its_suite(host: Host, fleet: Fleet) -> None:
    assert host.run("systemctl", "is-system-running").stdout.strip() == "running"
    assert host.run("systemctl", "--version").stdout.split()[1] == str(SUITES[host.suite])
    assert host.ssh("hostname").stdout.strip() == host.name
    for name in [*fleet.hosts, "controller"]:
        host.run("ping", "-c", "1", "-W", "10", name)
    missing = host.run("getent", "hosts", "nobody.example", check=False, timeout=10)
    assert missing.returncode != 0


def test_hosts_do_not_share_cgroups(make_fleet: FleetMaker) -> None:
    """A unit of the same name on two hosts: stopping one must not touch the other."""
    both = make_fleet(Group("same", 2, "bookworm"))
    units = [FaultUnit(host, "fault-simple") for host in both.hosts.values()]
    for unit in units:
        install_fault_units(unit.host, ["simple"])
        unit.systemctl("start")
    units[0].systemctl("kill")
    until(lambda: units[0].show("ActiveState") == {"ActiveState": "inactive"}, 20, "the first has stopped")
    assert units[1].show("ActiveState") == {"ActiveState": "active"}


def test_files_are_pushed_whole(host: Host, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096
    source = tmp_path / "data"
    source.write_bytes(data)
    host.push(source, "/opt/new folder/data", 0o750)
    assert host.sh('stat -c %a "$1"; sha256sum <"$1"', "/opt/new folder/data").stdout.split()[0] == "750"
    digest = subprocess.run(["sha256sum"], input=data, capture_output=True, check=True).stdout.split()[0].decode()
    assert digest in host.sh('sha256sum <"$1"', "/opt/new folder/data").stdout
    host.run("rm", "-r", "/opt/new folder")


def test_a_failing_command_says_so(host: Host) -> None:
    with pytest.raises(LabError, match=r"ended with 3: no such luck"):
        host.sh("echo no such luck >&2; exit 3")
    assert host.run("false", check=False).returncode == 1


@pytest.mark.parametrize("way", ["reboot", "power_cut", "off_and_on"])
def test_a_host_comes_back_with_its_files_and_its_journal(host: Host, way: str) -> None:
    before = host.boot_id
    host.push_text("/var/lib/kept", "kept")
    host.run("logger", "--tag=lab", f"before {way}")
    host.run("journalctl", "--sync")
    if way == "off_and_on":
        host.power_off()
        assert host.status["state"] == "off"
        with pytest.raises(LabError, match="is off"):
            host.run("true")
        host.start()
    else:
        getattr(host, way)()
    assert host.boot_id != before
    assert host.read_text("/var/lib/kept") == "kept"
    assert host.ssh("cat /var/lib/kept").stdout == "kept"
    assert f"before {way}" in host.run("journalctl", "--boot=-1", "--identifier=lab").stdout


def test_a_host_that_was_cut_boots_although_its_network_lingers(host: Host) -> None:
    """As it does where the kernel is slow to clear it away, or where a process of another is still in it."""
    inside = ["nsenter", f"--target={host.leader}", "--net", "sh", "-c", "echo inside; exec sleep 120"]
    with subprocess.Popen(inside, stdout=subprocess.PIPE, text=True) as lingering:
        try:
            assert lingering.stdout is not None and lingering.stdout.readline() == "inside\n"
            host.power_cut()
            assert lingering.poll() is None
        finally:
            lingering.kill()
    assert host.ssh("true").returncode == 0


def test_a_host_boots_again_although_an_nsenter_into_it_stands(host: Host) -> None:
    """It stops itself when it sees its child stopped, as systemd does at the end to all that is left."""
    with host.popen("sleep", "600") as standing:
        until(lambda: "sleep 600" in host.run("ps", "-eo", "args").stdout, 20, "it is inside")
        standing.send_signal(signal.SIGSTOP)
        try:
            host.reboot()
        finally:
            standing.send_signal(signal.SIGCONT)
    assert host.ssh("true").returncode == 0


def test_a_reboot_by_the_host_itself_boots_it_again(host: Host) -> None:
    boots = host.status["boots"]
    host.ssh("systemctl reboot", check=False)
    until(lambda: host.status["boots"] > boots and host.status["state"] == "running", 60, "it is up again")
    host.drop_connections()
    assert host.ssh("true").returncode == 0


def test_time_that_a_host_believes_to_have_passed_is_forgotten_at_its_boot(host: Host) -> None:
    def age() -> int:
        return int(host.run("ps", "-o", "etimes=", "-p", "1").stdout)

    before = age()
    host.pass_time(1000)
    assert before + 1000 <= age() < before + 1100
    host.reboot()
    assert age() < 1000


def test_cable_and_freeze(host: Host) -> None:
    host.unplug()
    with pytest.raises(subprocess.TimeoutExpired):
        host.ssh("true", timeout=1.5)
    assert host.run("true").returncode == 0
    host.unplug(False)
    host.drop_connections()
    host.ssh("true")
    host.freeze()
    with pytest.raises(subprocess.TimeoutExpired):
        host.ssh("true", timeout=1.5)
    host.freeze(False)
    host.ssh("true")


def test_ansible_reaches_every_host(fleet: Fleet) -> None:
    command = [
        Path(sys.executable).with_name("ansible"),
        "all",
        "--inventory",
        fleet.inventory,
        "-m",
        "ansible.builtin.ping",
    ]
    environment = {
        **os.environ,
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(fleet.hosts)


# -- fault units -----------------------------------------------------------------------------------


def _settled(unit: FaultUnit, wanted: tuple[str, str]) -> bool:
    found = unit.show("ActiveState", "SubState", "Result")
    return (
        found["ActiveState"] == wanted[0]
        and found["Result"] in wanted[1].split("|")
        and found["SubState"] != "auto-restart"
    )


def test_every_kind_starts_and_stops_as_its_table_says(host: Host) -> None:
    install_fault_units(host)
    kinds = kinds_for(host.suite)
    assert len(kinds) >= 12
    for phase in ("start", "stop"):
        host.run("systemctl", "reset-failed")
        waited = [(FaultUnit(host, name), getattr(kind, phase)) for kind in kinds for name in kind.units]
        waited = [(unit, wanted) for unit, wanted in waited if phase == "start" or wanted]
        for unit, _unused in waited:
            unit.systemctl(phase, "--no-block", check=False)
        for unit, wanted in waited:
            if wanted:
                until(lambda u=unit, w=wanted: _settled(u, w), 20, f"{unit.name} after {phase}: {wanted}")  # type: ignore[misc]
    remove_fault_units(host, [name for kind in kinds for name in kind.units])
    assert not host.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "fault-*").stdout


def test_a_fault_unit_obeys_while_it_runs(host: Host, fault: FaultMaker) -> None:
    web = fault("web")
    web.systemctl("start")
    url = "http://127.0.0.1:8080/"
    answer = ("curl", "--silent", "--max-time", "3", "--write-out", "%{http_code}", url)
    assert host.run(*answer).stdout == '{"status": "up"}200'
    web.set(http_status=503, http_body="ill")
    until(lambda: host.run(*answer).stdout == "ill503", 20, "it answers 503")
    web.set(http_hang=True)
    until(lambda: host.run(*answer, check=False).returncode == 28, 20, "it hangs")
    web.set(exit_after=0, exit_code=9, exit_log=["told to go"])
    until(
        lambda: web.show("ActiveState", "ExecMainStatus") == {"ActiveState": "failed", "ExecMainStatus": "9"},
        20,
        "gone",
    )
    # It looks at its settings each second too, beside being told to.
    assert [what for what, _each in groupby(event.what for event in web.events())] == [
        "start",
        "ready",
        "reload",
        "exit 9",
    ]
    until(lambda: "told to go" in host.run("journalctl", "--unit=fault-web.service").stdout, 20, "the journal has it")
    web.clear()
    web.systemctl("start")
    assert len(web.events("start")) == 2


def test_starts_fail_as_often_as_told(fault: FaultMaker) -> None:
    unit = fault("third-time")
    outcomes = []
    for _unused in range(3):
        unit.systemctl("start", check=False)
        outcomes.append(unit.show("ActiveState")["ActiveState"])
    assert outcomes == ["failed", "failed", "active"]


def test_memory_kill_is_told_by_systemd(fault: FaultMaker) -> None:
    unit = fault("notify")
    unit.systemctl("start")
    unit.oom_kill()
    until(lambda: unit.show("Result") == {"Result": "oom-kill"}, 20, "systemd calls it oom-kill")


def test_unknown_settings_are_refused(host: Host, fault: FaultMaker) -> None:
    unit = fault("exec")
    unit.configure(exit_kode=1)
    unit.systemctl("start", check=False)
    until(lambda: unit.show("ActiveState") == {"ActiveState": "failed"}, 20, "it refuses to run")
    said = ("journalctl", "--unit=fault-exec.service")
    until(lambda: "no setting exit_kode" in host.run(*said).stdout, 20, "it says why")


# -- nothing is left -------------------------------------------------------------------------------

OWNER = """
import sys, time
from lab import Fleet, Group
fleet = Fleet(sys.argv[1], [Group("h", 2, "bookworm")]).up()
print(fleet.record.bridge, fleet.status()["daemon"], flush=True)
time.sleep(600)
"""


def _owned_fleet(name: str) -> tuple[subprocess.Popen[str], str, int]:
    """A fleet owned by a process of its own: that process, the bridge, the daemon's pid."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, name], cwd=settings.TESTS_DIR, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    bridge, daemon = owner.stdout.readline().split()
    return owner, bridge, int(daemon)


def _left_of(name: str, bridge: str) -> list[str]:
    folders = [settings.paths().fleet(name), record.RUN / bridge, Path("/sys/class/net") / bridge, cgroup.group(bridge)]
    return [str(path) for path in folders if path.exists()]


@pytest.mark.parametrize("victim", ["owner", "daemon", "daemon and guard"])
def test_nothing_is_left_after_a_kill(make_fleet: FleetMaker, victim: str) -> None:
    name = f"killed-{os.getpid()}"
    owner, bridge, daemon = _owned_fleet(name)
    assert len(_left_of(name, bridge)) == 4
    try:
        if victim == "owner":
            owner.kill()
        else:
            guard = int(Path(f"/proc/{daemon}/stat").read_text().rpartition(")")[2].split()[1])
            if victim == "daemon and guard":
                os.kill(guard, signal.SIGKILL)
            os.kill(daemon, signal.SIGKILL)
        if victim == "daemon and guard":
            until(lambda: not cleanup.is_living(settings.paths().fleet(name)), 20, "the daemon is dead")
            cleanup.collect(settings.paths())  # unless another one that starts hosts now has been faster
        until(lambda: not _left_of(name, bridge), 60, "nothing is left")
    finally:
        owner.kill()
        owner.wait()


def test_a_name_is_taken_only_once(fleet: Fleet) -> None:
    with pytest.raises(LabError, match="is up already"):
        Fleet(fleet.name, [Group("h", 1, "bookworm")]).up()
    assert all(host["state"] == "running" for host in fleet.status()["hosts"].values())


def test_the_command_line(make_fleet: FleetMaker) -> None:
    name = f"cli-{os.getpid()}"

    def lab(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "lab", *words], cwd=settings.TESTS_DIR, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    assert "can run here" in lab("check")
    assert "2 hosts up" in lab(
        "up", "--name", name, "--hosts", "a:1:bookworm", "b:1:trixie", "--owner-pid", str(os.getpid())
    )
    try:
        assert lab("run", "--name", name, "b1", "hostname").strip() == "b1"
        lab("run", "--name", name, "a1", "sh", "-c", "exit 7", code=7)
        assert lab("ssh", "--name", name, "a1", "hostname").strip() == "a1"
        lab("push", "--name", name, "a1", "/etc/hostname", "/tmp/pushed")
        lab("cut", "--name", name, "a1")
        assert "a1" in lab("status")
        assert "has no host c1" in lab("run", "--name", name, "c1", "true", code=1)
    finally:
        assert "is down" in lab("down", "--name", name)
    assert "no fleet" in lab("down", "--name", name, code=1)


def test_a_caller_without_standard_streams_gets_a_fleet(make_fleet: FleetMaker) -> None:
    script = "import os,sys; os.closerange(0, 3); from lab.cli import main; sys.exit(main(sys.argv[1:]))"
    name = f"closed-{os.getpid()}"
    words = ["up", "--name", name, "--hosts", "h:1:bookworm", "--owner-pid", str(os.getpid())]
    subprocess.run([sys.executable, "-c", script, *words], cwd=settings.TESTS_DIR, check=True)
    Fleet.attach(name).down()


def test_boot_times_are_told(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    report = {name: host["boot_seconds"] for name, host in fleet.status()["hosts"].items()}
    started = time.monotonic()
    next(iter(fleet.hosts.values())).run("true")
    with capsys.disabled():
        print(f"\nboot seconds {json.dumps(report)}, one command {1000 * (time.monotonic() - started):.0f} ms")
    assert all(seconds > 0 for seconds in report.values())


def test_a_network_whose_host_is_not_quite_gone_is_not_taken_again() -> None:
    network.ip("link", "add", "name", "vb-clab511-0", "type", "bridge")
    try:
        assert ipaddress.IPv4Network("198.19.255.0/24") in network.taken()
    finally:
        network.ip("link", "delete", "dev", "vb-clab511-0")
