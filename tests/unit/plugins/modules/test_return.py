# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RETURN of the modules documents every key of the results that they really have, however deep they are nested."""

from __future__ import annotations

import importlib
import typing as t
from types import SimpleNamespace

import pytest
import yaml

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import reservation
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import api_modules, replicas
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry import (
    connector_grant,
    drive_several,
    hold,
    info_details,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.info import run_info
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import grants
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import Observer
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.records import Records
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.besu.test_network_info import (
    WALL,
    four,
    look,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.cloudflared import (
    test_api_modules as account,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import (
    Unit,
    VirtualClock,
    World,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.modules import test_drop_in as drop_in

# Every module has these, as Ansible documents them.
COMMON = {"changed", "msg", "diff", "failed", "warnings", "name"}
Results = list[dict[str, t.Any]]


def undocumented(found: t.Any, told: t.Mapping[str, t.Any], where: str = "") -> set[str]:
    """The keys of a result that are not in its documentation, with what they are nested in."""
    wrong: set[str] = set()
    for row in found if isinstance(found, list) else [found]:
        for key, value in row.items() if isinstance(row, dict) else ():
            if key not in told:
                wrong.add(f"{where}{key}")
            elif "contains" in told[key]:
                wrong |= undocumented(value, told[key]["contains"], f"{where}{key}.")
    return wrong


class Ended(drop_in.Module):
    """A module that ends with its result."""

    def of(self, run: t.Callable[..., None], *arguments: t.Any) -> dict[str, t.Any]:
        with pytest.raises(drop_in.Ended):
            run(self, *arguments)
        return self.result


def service(tmp_path: t.Any, patch: pytest.MonkeyPatch) -> Results:
    bench = drop_in.Bench(tmp_path, patch)
    asked = {"state": "started", "enabled": True}
    found = [bench.run("api", check_mode=True, **asked).result, bench.run("api", "gone", "worker", **asked).result]
    return [*found, *found[-1]["results"], bench.run("api", enabled=True).result, bench.run("gone").result]


def service_drive_all(tmp_path: t.Any, patch: pytest.MonkeyPatch) -> Results:
    bench = drop_in.Bench(tmp_path, patch)
    patch.setattr(drive_several, "whole_host", drop_in.drive.whole_host)
    services = [{"service": {"name": name}} for name in ("api", "worker", "gone")]
    params = {"services": services, "neighbours": [], "parallel": 1, "wait_id": None, "progress_interval": None}
    found = Ended(params, False).of(drive_several.drive_several, KINDS)
    assert bench.verbs, found
    own = documented("service")
    return [{**found, "results": [{key: one[key] for key in one if key not in own or key == "reached"}
                                  for one in found["results"]]}]  # fmt: skip


def service_info(tmp_path: t.Any, patch: pytest.MonkeyPatch) -> Results:
    clock = VirtualClock()
    failed = Unit("b.service", active="failed", sub="failed", result="exit-code", code=1, status=1, invocation=1)
    world = World(clock, Unit("a.service", active="active", sub="running", invocation=1), failed)
    ledger = Records(clock, str(tmp_path / "state"), str(tmp_path / "run"))
    ledger.set_hold(drop_in.Hold("a.service", "ann", "looks", clock.wall(), None))

    class Host(HostContext):
        def __init__(self, scope: str) -> None:
            super().__init__(scope, clock)
            self.systemd = Systemd(world, cgroup_root="/nonexistent")
            self.observer = Observer(self.systemd, clock, lambda _unit, _window: None)

        ledger = property(lambda _self: ledger)
        journal = property(lambda _self: Journal())
        boots = ()

        def has_records(self) -> bool:
            return True

    class Journal:
        def __getattr__(self, _name: str) -> t.Any:
            return lambda *_args, **_options: SimpleNamespace(entries=(), truncated=False, note="", notes=())

    why: dict[str, t.Any] = {"causes": [], "lines": [], "facts": {}, "notes": []}
    patch.setattr(info_details, "explain", lambda *_args: SimpleNamespace(as_dict=lambda: why))
    params = {"services": ["a", "b"], "diagnose": "always", "history": "never", "staleness": True}
    return [Ended(params, False).of(run_info, KINDS, Host, info_details.requested_details)]


def service_hold(tmp_path: t.Any, _patch: pytest.MonkeyPatch) -> Results:
    clock = VirtualClock()
    ledger, systemd = Records(clock, str(tmp_path), str(tmp_path)), Systemd(World(clock, Unit("a.service")))
    params = {"name": "a", "owner": "ann", "reason": "looks", "expires_in": 60.0}
    return [hold.apply(ledger, systemd, clock, {**params, "state": state}, False) for state in ("present", "absent")]


def besu_network_info(_tmp_path: t.Any, _patch: pytest.MonkeyPatch) -> Results:
    clock = VirtualClock(1000.0, WALL + 1000.0)
    return [look(*four(clock), clock=clock), look(*four(clock, outcome="timeout"), clock=clock)]


def besu_reservation(tmp_path: t.Any, patch: pytest.MonkeyPatch) -> Results:
    patch.setattr(grants, "host_age", lambda: 1e6)
    store = reservation.Store
    patch.setattr(reservation, "Store", lambda network: store(network, str(tmp_path)))
    asked = {"network": "0x" + "a" * 64, "target": "0x" + "b" * 40}
    turns = (("me", "present"), ("you", "present"), ("me", "absent"))
    return [Ended({**asked, "owner": owner, "state": state}, False).of(reservation.reserve) for owner, state in turns]


def cloudflared_reservation(tmp_path: t.Any, patch: pytest.MonkeyPatch) -> Results:
    patch.setattr(grants, "host_age", lambda: 1e6)
    store = grants.GrantStore("t", str(tmp_path), replicas.TTL)
    asked = [{"owner": owner, "target": "a/c", "own": False} for owner in ("me", "you")]
    found = [connector_grant.request(store, one, lambda _params: {"c": ""}, False) for one in asked]
    return [*found, connector_grant.release(store, "me", False)]


def edge() -> account.Api:
    return account.Api(**{account.A: account.living(False), account.B: account.living(True)})


def cloudflare_tunnel_info(_tmp_path: t.Any, patch: pytest.MonkeyPatch) -> Results:
    patch.setattr(api_modules, "client", lambda _params: edge())
    return [Ended({"tunnels": ["web"], "hosts": {"h1": account.A}, "host_tunnels": {}}, False).of(api_modules.run_info)]


def cloudflare_tunnel_connector(_tmp_path: t.Any, patch: pytest.MonkeyPatch) -> Results:
    patch.setattr(api_modules, "client", lambda _params: edge())
    asked = {"tunnel_id": account.TUNNEL, "force": False}
    return [
        Ended({**asked, "connector_id": one}, False).of(api_modules.run_forget) for one in (account.B, account.FOREIGN)
    ]


OF_MODULES = (
    service,
    service_drive_all,
    service_info,
    service_hold,
    besu_network_info,
    besu_reservation,
    cloudflared_reservation,
    cloudflare_tunnel_info,
    cloudflare_tunnel_connector,
)


def documented(module: str) -> dict[str, t.Any]:
    text = importlib.import_module(f"ansible_collections.chainops.lifecycle.plugins.modules.{module}").RETURN
    found: dict[str, t.Any] = yaml.safe_load(text) or {}
    return found


@pytest.mark.parametrize("results_of", OF_MODULES, ids=lambda one: one.__name__)
def test_every_key_of_a_result_is_documented(
    results_of: t.Callable[..., Results], tmp_path: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = documented(results_of.__name__)
    found = results_of(tmp_path, monkeypatch)
    assert found and all(found)
    missing = undocumented(found, {**told, **{key: {} for key in COMMON}})
    assert missing - {f"results.{key}" for key in COMMON} == set()


def test_a_key_that_is_not_documented_is_found() -> None:
    told: dict[str, t.Any] = {"a": {"contains": {"b": {}}}, "c": {}}
    assert undocumented({"a": [{"b": 1, "x": 2}], "c": {"y": 3}, "z": 4}, told) == {"a.x", "z"}
