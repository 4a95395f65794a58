# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module service takes what users of ansible.builtin.systemd_service write, in one process with a fake host."""

from __future__ import annotations

import typing as t
from types import SimpleNamespace

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry import drive
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.options import DRIVE_OPTIONS, WATCH_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import Observer
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Hold, Records
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import (
    Unit,
    VirtualClock,
    World,
)

DEFAULTS = {name: spec.get("default") for name, spec in {**WATCH_OPTIONS, **DRIVE_OPTIONS}.items()}


class Ended(Exception):
    """The module has ended."""


class Module:
    """What the entry of the module needs of an AnsibleModule."""

    def __init__(self, params: dict[str, t.Any], check_mode: bool) -> None:
        self.params, self.check_mode = params, check_mode
        self.result: dict[str, t.Any] = {}
        self.warnings: list[str] = []

    def warn(self, said: str) -> None:
        self.warnings.append(said)

    def exit_json(self, **result: t.Any) -> None:
        self.result = {"failed": False, **result}
        raise Ended

    def fail_json(self, **result: t.Any) -> None:
        self.result = {**result, "failed": True}
        raise Ended


class Bench:
    """A host with services, and a way to run the module there."""

    def __init__(self, folder: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = VirtualClock()
        self.world = World(self.clock, Unit("api.service"), Unit("worker.service"))
        self.ledger = Records(self.clock, str(folder / "state"), str(folder / "run"))
        bench = self

        class Host(HostContext):
            def __init__(self, scope: str) -> None:
                super().__init__(scope, bench.clock)
                self.systemd = Systemd(bench.world, cgroup_root="/nonexistent")
                self.observer = Observer(self.systemd, bench.clock, lambda _unit, _window: None)

            ledger = property(lambda _self: bench.ledger)

        why = SimpleNamespace(
            primary=SimpleNamespace(id="exit_code", severity="soft", summary="", next_step=""), ports=(), failed_at=None
        )
        why.as_dict = dict
        monkeypatch.setattr(drive, "whole_host", Host)
        monkeypatch.setattr(drive, "run_command", self.world)
        monkeypatch.setattr(drive, "explain", lambda *_args: why)

    def run(self, *names: str, check_mode: bool = False, **options: t.Any) -> Module:
        module = Module({**DEFAULTS, "state": None, "enabled": None, "name": list(names), **options}, check_mode)
        with pytest.raises(Ended):
            drive.drive_named(t.cast("t.Any", module))
        return module

    @property
    def verbs(self) -> list[str]:
        done = [" ".join(verb) for verb in self.world.verbs]
        self.world.verbs.clear()
        return done


@pytest.fixture
def bench(tmp_path: t.Any, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_enabled_and_started_is_idempotent_and_shown_in_the_diff(bench: Bench) -> None:
    asked = {"state": "started", "enabled": True}
    planned = bench.run("api", check_mode=True, **asked).result
    assert planned["changed"] and bench.verbs == []
    done = bench.run("api", **asked).result
    assert bench.verbs == ["start api.service", "enable api.service"], "it is enabled once it is proved to run"
    assert planned["diff"] == done["diff"] == {
        "before": {"state": "stopped", "enablement": "disabled"},
        "after": {"state": "running", "enablement": "enabled"},
    }  # fmt: skip
    again = bench.run("api", **asked).result
    assert (again["changed"], again["reached"], bench.verbs) == (False, True, [])
    assert again["enablement"] == {"before": "enabled", "after": "enabled"}


def test_enabled_alone_leaves_the_state_and_no_enabled_leaves_the_enablement(bench: Bench) -> None:
    done = bench.run("api", enabled=True).result
    assert (done["state"], done["changed"], done["reached"], bench.verbs) == (
        "stopped",
        True,
        True,
        ["enable api.service"],
    )
    assert bench.run("api").result["state"] == "running", "the state is running where nothing else is asked for"
    assert "enablement" not in bench.run("api", state="stopped").result and "disable api.service" not in bench.verbs
    off = bench.run("api", enabled=False, state="stopped").result
    assert (off["changed"], bench.verbs) == (True, ["disable api.service"])


@pytest.mark.parametrize("word", ["masked", "masked-runtime", "static", "indirect", "generated", "transient", "bad"])
@pytest.mark.parametrize("wanted", [True, False])
def test_what_cannot_be_enabled_is_refused_before_anything_is_done(bench: Bench, word: str, wanted: bool) -> None:
    bench.world.units["api.service"].enablement = word
    if word == "masked" and not wanted:
        return  # it is started neither with the host nor otherwise
    for options in ({}, {"state": "started"}, {"check_mode": True}):
        done = bench.run("api", enabled=wanted, **options).result
        (block,) = done["blocked_by"]
        assert done["failed"] and not done["changed"] and bench.verbs == []
        assert block["guard"] == "enabled" and block["hint"] and "api.service cannot be" in block["reason"]
        assert block["reason"] in done["msg"]


@pytest.mark.parametrize(
    ("word", "wanted", "due"),
    [
        ("enabled-runtime", True, True),
        ("enabled-runtime", False, True),
        ("linked", True, True),
        ("linked", False, False),
        ("disabled", False, False),
        ("masked", False, False),
    ],
)
def test_what_ends_with_the_next_boot_is_not_enabled(bench: Bench, word: str, wanted: bool, due: bool) -> None:
    bench.world.units["api.service"].enablement = word
    done = bench.run("api", enabled=wanted).result
    assert (done["failed"], done["changed"]) == (False, due)


def test_a_run_that_is_refused_or_fails_changes_nothing_of_the_enablement(bench: Bench) -> None:
    bench.world.units["api.service"].start_fails = True
    done = bench.run("api", state="started", enabled=True).result
    assert done["failed"] and done["enablement"]["after"] == "disabled" and "enable api.service" not in bench.verbs
    bench.ledger.set_hold(Hold("worker.service", "ann", "looks", bench.clock.wall(), None))
    held = bench.run("worker", enabled=True).result
    assert held["failed"] and [one["guard"] for one in held["blocked_by"]] == ["hold"] and bench.verbs == []


def test_systemd_that_does_not_enable_is_an_error(bench: Bench) -> None:
    bench.world._do_enable = lambda _args: Completed(1, b"", b"Access denied")
    done = bench.run("api", enabled=True).result
    assert done["failed"] and "systemctl enable api.service failed, it is disabled: Access denied" in done["msg"]


def test_a_unit_to_come_is_a_warning_in_check_mode(bench: Bench) -> None:
    for options in ({"state": "started"}, {}):
        module = bench.run("new", check_mode=True, enabled=True, **options)
        assert not module.result["failed"] and "new.service does not exist on this host (yet)" in module.warnings[0]
        assert bench.run("new", enabled=True, **options).result["failed"]


def test_several_are_driven_one_after_the_other_and_one_does_not_cost_the_others(bench: Bench) -> None:
    asked = {"state": "started", "enabled": True}
    done = bench.run("api", "gone", "worker", **asked)
    assert done.result["failed"] and done.result["msg"].startswith("gone: gone.service is ")
    assert [(one["name"], one["reached"]) for one in done.result["results"]] == [
        ("api", True), ("gone", False), ("worker", True),
    ]  # fmt: skip
    assert bench.verbs == ["start api.service", "enable api.service", "start worker.service", "enable worker.service"]
    again = bench.run("api", "worker", **asked).result
    assert (again["changed"], again["reached"], again["failed"]) == (False, True, False)
    planned = bench.run("api", "worker", check_mode=True, state="restarted").result
    assert planned["changed"] and [one["before_header"] for one in planned["diff"]] == ["api", "worker"]
    for names, why in (
        ((), "no service is named"),
        (("api", "api"), "api is named twice"),
        (("worker.service", "api", "worker"), "worker is named twice"),
    ):
        assert why in bench.run(*names).result["msg"]


@pytest.mark.parametrize("expected", [{"expected_state": ["running"]}, {"expected_invocation": "of another start"}])
@pytest.mark.parametrize("state", [{}, {"state": "stopped"}])
@pytest.mark.parametrize("check_mode", [True, False])
def test_nothing_is_enabled_where_something_is_not_as_it_was_expected(
    bench: Bench, expected: dict[str, t.Any], state: dict[str, str], check_mode: bool
) -> None:
    done = bench.run("api", enabled=True, check_mode=check_mode, **state, **expected).result
    assert done["failed"] and not done["changed"] and bench.verbs == []
    assert [one["guard"] for one in done["blocked_by"]] == ["precondition"]
    assert not bench.run("api", enabled=False, check_mode=check_mode, **state, **expected).result["failed"]
