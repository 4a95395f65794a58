# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill may be made of, when its fault has been noticed, and what it has cost."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.fault import FaultRun
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import faults
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.network_cut import Ports
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed, LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd, UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import drills as d
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Drill, Hold, Records
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import VirtualClock

GOAL = frozenset({"running"})
DRILL = Drill(at=1000.0, fault="killed", owner="ann", undo_at=1300.0, invocation="aa")


def seen(state="running", invocation="aa", pid="7", kind="generic", **more):
    facts = UnitFacts("api.service", {"InvocationID": invocation, "MainPID": pid})
    return Observation("api", "api.service", kind, state, "running", facts=facts, **more)


def fault(kind="killed", **more):
    return d.Fault(kind, **{"undo_after": 300.0, "wait_timeout": 60.0, **more})


@pytest.mark.parametrize(
    "wrong, named",
    [
        ({"undo_after": 10.0}, "undo_after"),
        ({"undo_after": 4000.0}, "undo_after"),
        ({"undo_after": float("nan")}, "undo_after"),
        ({"wait_timeout": 300.0}, "wait_timeout"),
        ({"wait_timeout": 0.0}, "wait_timeout"),
        ({"kind": "disk_full", "path": "srv"}, "path"),
        ({"kind": "port_taken", "port": 70000}, "port"),
    ],
)
def test_an_option_that_means_nothing_is_named(wrong, named):
    with pytest.raises(LifecycleError, match=f"^{named}: "):
        fault(**wrong).check()
    fault().check()


@pytest.mark.parametrize(
    "given, guards",
    [
        ({}, []),
        ({"marked": False}, ["drill"]),
        ({"scope": "user"}, ["drill"]),
        ({"seen": seen("error")}, ["drill"]),
        ({"seen": seen(pid="0")}, ["drill"]),
        ({"on_host": {"FailureAction": "reboot"}}, ["host_action"]),
        ({"on_host": {"FailureAction": "none", "StartLimitAction": "poweroff"}}, ["host_action"]),
    ],
)
def test_what_is_not_for_drills_is_refused(given, guards):
    rest = {"seen": seen(), "marked": True, "scope": "system", "goal": GOAL, "on_host": {}, **given}
    found = d.objections(rest.pop("seen"), **rest)
    assert [refusal.guard for refusal in found] == guards


@pytest.mark.parametrize(
    "now, noticed",
    [
        (seen(), False),
        (seen("error"), True),
        (seen("restarting"), True),
        (seen(invocation="bb"), True),  # systemd was faster than the look
        (seen("unknown"), False),  # nothing is known of it
        (seen("unknown", invocation="bb"), False),
    ],
)
def test_a_fault_is_noticed_where_the_service_shows_it(now, noticed):
    assert d.is_noticed(DRILL, now, GOAL) is noticed


def test_the_start_that_a_fault_makes_itself_shows_nothing():
    taken = replace(DRILL, fault="port_taken")
    assert not d.is_noticed(taken, seen(invocation="bb"), GOAL)
    assert d.is_noticed(taken, seen("error", invocation="bb"), GOAL)


def test_what_is_cut_off_is_watched_until_it_is_an_error():
    cut, told = replace(DRILL, fault="peers_cut"), []
    for wall, now in (
        (1002.0, seen("syncing")),
        (1004.0, seen("syncing")),
        (1012.0, replace(seen("error", cause="no_peers"), base_state="error")),
        (1013.0, replace(seen("error", cause="stuck_sync"), base_state="error")),
    ):
        cut = d.noticed(cut, now, wall)
        told.append((cut.detected_after, cut.detected_as, d.is_final(cut, now)))
    error = (2.0, "syncing, then error (no_peers)", True)
    assert told == [(2.0, "syncing", False), (2.0, "syncing", False), error, error]
    assert d.is_final(replace(DRILL, fault="killed"), seen("restarting"))


@pytest.mark.parametrize(
    "drill, now, expected",
    [
        # Running since the moment that systemd tells, not since the look.
        ({"detected_after": 2.0}, seen(since=1030.0), (30.0, 30.0, None)),
        # It was never started anew: since the look.
        ({"detected_after": 2.0, "fault": "hung"}, seen(since=500.0), (60.0, 60.0, None)),
        # It served until the full disk showed.
        ({"detected_after": 20.0, "fault": "disk_full"}, seen(since=1030.0), (30.0, 10.0, None)),
        # Nobody noticed, so nothing was lost.
        ({}, seen(since=500.0), (60.0, 0.0, None)),
        ({"detected_after": 1.0, "head": 100}, seen(since=1030.0, details={"head": 112}), (30.0, 30.0, 12)),
    ],
)
def test_what_a_drill_has_cost(drill, now, expected):
    ended = d.ended(replace(DRILL, **drill), now, 1060.0, True)
    assert (ended.recovered_after, ended.lost, ended.blocks) == expected
    assert ended.outcome == "recovered"


def armed(is_armed):
    """A host whose undo is still to come, or not."""
    return SimpleNamespace(undo=lambda *_given, **_more: None, disarm=lambda: None, is_armed=lambda: is_armed)


@pytest.mark.parametrize(
    ("fault", "states", "is_armed", "acted", "lifted", "expected"),
    [
        ("hung", ["running"], True, True, None, ("recovery", None)),
        ("hung", ["running"], True, False, None, ("itself", None)),
        # The role has had to take the fault away, and recovered it then.
        ("hung", ["running"], True, True, 20.0, ("undo", 20.0)),
        # The end of the drill has taken it away.
        ("hung", ["error", "error", "running"], True, False, None, ("undo", 60.0)),
        # The timer of the host was faster.
        ("hung", ["running"], False, True, None, ("undo", 45.0)),
        ("hung", ["error", "running"], False, False, None, ("undo", 45.0)),
        # Of a killed process nothing stays to be taken away: a node that is still getting ready comes by what was done.
        ("killed", ["starting", "starting", "running"], True, True, None, ("recovery", None)),
        ("stopped", ["starting", "running"], True, False, None, ("itself", None)),
        ("killed", ["error", "running"], False, False, None, ("undo", 45.0)),
    ],
)
def test_what_has_ended_a_fault(tmp_path, fault, states, is_armed, acted, lifted, expected):
    run = FaultRun.__new__(FaultRun)
    run._clock, run._unit, run._goal, run._wait = VirtualClock(), "api.service", GOAL, 60.0
    run._entry, run._options, run._faults = {"kind": "besu", "probes": []}, {"acted": acted}, armed(is_armed)
    run._ledger = Records(run._clock, str(tmp_path / "state"), str(tmp_path / "run"))
    began, looks = run._clock.wall(), iter(states)
    given = {"fault": fault, "at": began, "undo_at": began + 45.0, "detected_after": 1.0, "lifted_after": lifted}
    run._ledger.begin_drill("api.service", replace(DRILL, **given))
    run._clock.sleep(60.0)
    run._settled = lambda: seen(next(looks, states[-1]))
    result, well = run.end(check_mode=False)
    assert well and (result["drill"]["ended_by"], result["drill"]["lifted_after"]) == expected
    assert run._ledger.drills("api.service")[-1].as_dict() == result["drill"]


@pytest.mark.parametrize(
    ("entry", "lost"),
    [
        ({}, 30.0),
        ({"probes": [{"kind": "http", "url": "http://localhost"}]}, 60.0),
        ({"kind": "besu"}, 60.0),
        ({"kind": "cloudflared"}, 60.0),
    ],
)
def test_what_is_well_some_time_after_its_start_is_not_told_as_well_since_then(tmp_path, entry, lost):
    run = FaultRun.__new__(FaultRun)
    run._clock, run._unit, run._goal, run._wait = VirtualClock(), "api.service", GOAL, 60.0
    run._entry = {"kind": "generic", "probes": [], **entry}
    run._ledger = Records(run._clock, str(tmp_path / "state"), str(tmp_path / "run"))
    run._options = {"acted": False}
    run._faults = armed(True)
    began = run._clock.wall()
    run._ledger.begin_drill("api.service", replace(DRILL, at=began, detected_after=1.0))
    # Its process was started after 30 s, and it is well after 60 s.
    run._clock.sleep(60.0)
    run._look = run._settled = lambda: seen(since=began + 30.0)
    result, well = run.end(check_mode=False)
    assert well and (result["drill"]["recovered_after"], result["drill"]["lost"]) == (lost, lost)


def test_a_drill_that_did_not_end_well_has_no_time_to_recover():
    ended = d.ended(replace(DRILL, detected_after=1.0), seen("error"), 1060.0, False)
    assert (ended.outcome, ended.recovered_after, ended.lost) == ("failed", None, None)


def test_the_host_keeps_the_last_drills(tmp_path):
    ledger = Records(VirtualClock(), str(tmp_path / "state"), str(tmp_path / "run"))
    assert ledger.drills("api.service") == ()
    for number in range(25):
        ledger.begin_drill("api.service", replace(DRILL, at=float(number)))
    ledger.change_drill("api.service", replace(DRILL, at=24.0, outcome="recovered", lost=3.0))
    kept = ledger.drills("api.service")
    assert [drill.at for drill in kept] == [float(number) for number in range(5, 25)]
    assert {drill.outcome for drill in kept[:-1]} == {"abandoned"} and kept[-1].lost == 3.0
    (tmp_path / "state/drills/api.service.json").write_text('[{"at": "x", "fault": "y", "owner": "z", "undo_at": 1}]')
    with pytest.raises(LifecycleError, match="is no record of this collection"):
        ledger.drills("api.service")


UNIT = "a\\x2d b'$(false).service"
# Writes down the verb and the unit of each call; ``is-active`` is true where the file active is there.
SYSTEMCTL = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
verb=$1; while [ "$1" != -- ]; do shift; [ $# -gt 0 ] || break; done
printf '%s %s\\n' "$verb" "$2" >>"$FOLDER/called"
[ "$verb" != start ] || [ ! -e "$FOLDER/stopping" ] || exit 1
[ "$verb" != is-active ] || [ -e "$FOLDER/active" ]
"""
# What the unit does while the undo waits: its stop ends.
SLEEP = '#!/bin/sh\nprintf "sleep\\n" >>"$FOLDER/called"\nrm "$FOLDER/stopping"\n'


@pytest.mark.parametrize("fault", d.FAULTS)
def test_the_undo_takes_the_fault_away_and_starts_only_what_is_down_and_not_held(tmp_path, fault):
    (tmp_path / "systemctl").write_text(SYSTEMCTL)
    (tmp_path / "systemctl").chmod(0o755)
    script = d.undo_script(fault, UNIT, "holder.service", str(tmp_path / "holds"))

    def called(*arguments):
        (tmp_path / "called").write_text("")
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FOLDER": str(tmp_path)}
        subprocess.run(["/bin/sh", "-c", script, "undo", *arguments], env=env, check=True)
        return (tmp_path / "called").read_text().splitlines()

    away = ["stop holder.service", f"kill {UNIT}"]
    assert called() == [*away, f"is-active {UNIT}", f"reset-failed {UNIT}", f"start {UNIT}"]
    assert called("stay") == away
    (tmp_path / "active").touch()
    assert called() == [*away, f"is-active {UNIT}"]
    (tmp_path / "active").unlink()
    (tmp_path / "holds").mkdir()
    (tmp_path / f"holds/{UNIT}.json").touch()
    assert called() == away


def undone(folder, *arguments):
    """What the undo asks of systemd, and with what it ends."""
    for name, text in (("systemctl", SYSTEMCTL), ("sleep", SLEEP)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "FOLDER": str(folder)}
    script = d.undo_script("stopped", "api.service", "holder.service", str(folder / "state/holds"))
    done = subprocess.run(["/bin/sh", "-c", script, "undo", *arguments], env=env, check=False)
    return [line.split()[0] for line in (folder / "called").read_text().splitlines()], done.returncode


def test_the_undo_of_the_host_waits_for_a_stop_that_is_on_its_way(tmp_path):
    (tmp_path / "stopping").touch()
    asked = ["is-active", "reset-failed", "start"]
    assert undone(tmp_path) == (["stop", "kill", *asked, "sleep", *asked], 0)
    (tmp_path / "called").unlink()
    (tmp_path / "stopping").touch()
    # The module has others to wait for it: it asks once, and the timer again.
    assert undone(tmp_path, "start") == (["stop", "kill", *asked], 1)


@pytest.mark.parametrize("scope", ["api.service", "_host"])
@pytest.mark.parametrize(("expires", "starts"), [(None, False), (0.5, True), (9e9, False), (9e99, False), (12, True)])
def test_a_hold_that_has_expired_does_not_keep_the_undo_from_a_start(tmp_path, scope, expires, starts):
    ledger = Records(VirtualClock(), str(tmp_path / "state"), str(tmp_path / "run"))
    ledger.set_hold(Hold(scope, "ann", '\n "expires": 1.0\n', 0.0, expires))
    assert ("start" in undone(tmp_path)[0]) is starts


def test_the_undo_takes_away_what_only_this_fault_has_done(tmp_path):
    more = ['printf \'%s\\n\' "cut back" >>"$FOLDER/called"']
    script = d.undo_script("peers_cut", "besu.service", "holder.service", str(tmp_path / "holds"), more)
    assert "\nunit=besu.service " in script  # by which the module knows whose script it is
    (tmp_path / "systemctl").write_text(SYSTEMCTL)
    (tmp_path / "systemctl").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FOLDER": str(tmp_path)}
    subprocess.run(["/bin/sh", "-c", script, "undo", "stay"], env=env, check=True)
    assert (tmp_path / "called").read_text().splitlines()[0] == "cut back"


@pytest.mark.parametrize(
    ("kind", "fault_of", "ports", "said"),
    [
        ("besu", "peers_cut", Ports(frozenset((30303,))), ""),
        ("besu", "edge_cut", Ports(frozenset((30303,))), "edge_cut is no fault of a service of kind besu"),
        ("cloudflared", "peers_cut", Ports(), "peers_cut is no fault of a service of kind cloudflared"),
        ("generic", "edge_cut", None, "edge_cut is no fault of a service of kind generic"),
        ("cloudflared", "edge_cut", None, "it is not known by which ports it reaches others"),
        ("cloudflared", "edge_cut", Ports(theirs=frozenset((1,))), "others would be cut off"),
    ],
)
def test_the_network_is_cut_of_a_service_of_the_kind_alone_and_of_no_other(kind, fault_of, ports, said):
    run = FaultRun.__new__(FaultRun)
    run._unit, run._kind = "a.service", KINDS[kind]
    run._run = SimpleNamespace(watched=SimpleNamespace(kind=SimpleNamespace(ports=lambda: ports)))
    cut, own = [], Ports(frozenset((30303,)))
    network = SimpleNamespace(
        objection=lambda _unit, given: "" if given == own else "others would be cut off",
        cut=lambda unit, given: cut.append((unit, given)),
    )
    run._faults = SimpleNamespace(is_armed=lambda: False, network=network)
    assert [block.reason for block in run._obstacles(fault(fault_of))] == ([said] if said else [])
    if not said:
        run._make(fault(fault_of), seen())
        assert cut == [("a.service", own)]


class OneTimer:
    """A systemd with the timer of the undo: it refuses a second one of that name, as the real one does."""

    def __init__(self):
        self.is_armed = False

    def __call__(self, argv, **_options):
        if argv[0] == "systemd-run" and self.is_armed:
            return Completed(1, b"", b"Failed to start transient timer unit: Unit was already loaded")
        if argv[0] == "systemd-run":
            self.is_armed = True
        if "stop" in argv:
            self.is_armed = False
        shown = "ActiveState=active" if self.is_armed else "ActiveState=inactive"
        return Completed(0, f"Id=undo.timer\n{shown}\n\nId=undo.service\nActiveState=inactive\n".encode(), b"")


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setattr(faults, "_FOLDER", str(tmp_path / "run"))
    monkeypatch.setattr(faults, "SCRIPT", str(tmp_path / "run/drill-undo"))
    timer = OneTimer()
    return timer, faults.HostFaults(timer, Systemd(timer), VirtualClock()), tmp_path


def test_a_second_drill_that_comes_at_the_same_time_leaves_the_undo_of_the_first_as_it_is(host):
    timer, on_host, folder = host
    on_host.arm("the first", 300, "first")
    run = FaultRun.__new__(FaultRun)
    run._faults, run._clock, run._unit = on_host, VirtualClock(), "worker.service"
    run._ledger = Records(run._clock, str(folder / "state"), str(folder / "run"))
    run._begin = lambda _fault, _before: DRILL
    with pytest.raises(LifecycleError, match="already loaded"):
        run._armed(fault(), seen())
    assert timer.is_armed and (folder / "run/drill-undo").read_text() == "the first"
    assert [drill.outcome for drill in run._ledger.drills("worker.service")] == ["abandoned"]


def test_an_undo_that_cannot_be_written_is_not_armed(host, monkeypatch):
    def full(*_arguments):
        raise LifecycleError("no space left")

    timer, on_host, _folder = host
    monkeypatch.setattr(faults.files, "replace", full)
    with pytest.raises(LifecycleError, match="no space left"):
        on_host.arm("script", 300, "what")
    assert not timer.is_armed


@pytest.mark.parametrize(
    ("root", "own", "shares"),
    [
        ("btrfs /dev/vda2", "btrfs /dev/vda2", True),
        ("btrfs /dev/vda2", "btrfs /dev/vdb1", False),
        ("zfs rpool/ROOT/debian", "zfs rpool/besu", True),
        ("zfs rpool/ROOT/debian", "zfs data/besu", False),
        ("ext4 /dev/vda2", "ext4 /dev/vdb1", False),
        ("tmpfs tmpfs", "tmpfs tmpfs", False),
    ],
)
def test_a_subvolume_shares_the_room_of_the_system(host, monkeypatch, root, own, shares):
    _timer, on_host, folder = host
    path = folder / "of its own"
    path.mkdir()
    told = str(path).replace(" ", "\\040")
    mounts = [f"1 1 0:{number} / {point} rw - {what} rw" for number, point, what in ((1, "/", root), (2, told, own))]
    (folder / "mountinfo").write_text("\n".join([*mounts, ""]))
    monkeypatch.setattr(faults, "_MOUNTS", str(folder / "mountinfo"))
    monkeypatch.setattr(faults, "_device", lambda one: 2 if one.startswith(str(path)) else 1)
    said = on_host.why_not_fill(str(path), 1, 2**60)
    assert ("on which more depends" in said) is shares, said


@pytest.mark.parametrize(("stops_after", "undo_after", "taken"), [(60, 300.0, True), (60, 100.0, False)])
def test_a_port_is_taken_once_a_slow_service_is_down_and_never_after_the_undo(stops_after, undo_after, taken):
    clock, asked = VirtualClock(), []

    def runner(argv, **_options):
        asked.append(argv[0] if argv[0] != "systemctl" else argv[2])
        active = "inactive" if clock.monotonic() - began >= stops_after else "deactivating"
        return Completed(0, f"Id=api.service\nActiveState={active}\n".encode(), b"")

    run = FaultRun.__new__(FaultRun)
    run._faults, run._unit, began = faults.HostFaults(runner, Systemd(runner), clock), "api.service", clock.monotonic()
    run._faults.listens = lambda *_given: True
    try:
        run._make(fault("port_taken", port=8545, undo_after=undo_after), seen())
    except LifecycleError as exc:
        assert not taken and "did not stop within 50 s" in exc.msg
    assert ("systemd-run" in asked) is taken
