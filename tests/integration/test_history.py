# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history that service_info reads on real hosts: what operators, the service and this collection did."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Host

from .ansible_steps import Scenario, Step, equip, play, scenario, service, sh

UNITS = ("fault-simple", "fault-notify", "fault-java")
QUIET = "/etc/systemd/system/fault-java.service.d/quiet.conf"


def info(*services: str, **options: t.Any) -> Step:
    return Step("info", {"services": list(services), **options}, {})


# As a node writes it: in colours, longer than what journalctl shows of a line unless it is asked for all of it.
SYNCS = r"\033[m\033[2m2026-11-24 09:27:53.674+0000\033[m\033[2m | \033[32mINFO \033[m | \033[32mImport reached block 200 (0x6eb1)"
BLOCK = r"2026-11-24 09:28:10.212+00:00 | EthScheduler | INFO  | PersistBlockTask | Imported empty block #15 / 0 tx"
# systemd answers once it has recorded the start; a line before that belongs to the instant of the start.
STARTED = "until systemctl is-active --quiet node-log; do sleep 0.05; done"
NODE = f"{STARTED}; printf '{SYNCS} %400s\\n' x; sleep 1; echo '{BLOCK}'; exec sleep 600"

STEPS: Scenario = scenario(
    "history",
    sh("fresh fault-simple fault-notify; systemctl start fault-simple fault-notify; failed fault-simple"),
    service("fault-simple", {"failed": False}, state="running", recovery="restart", owner="ann"),
    sh("systemctl stop fault-notify; systemctl reset-failed fault-simple; journalctl --sync"),
    info("fault-simple", "fault-notify", history="1h"),
    sh(
        f"mkdir -p $(dirname {QUIET}); printf '[Service]\\nLogLevelMax=warning\\n' >{QUIET}; systemctl daemon-reload;"
        "up fault-java; journalctl --sync"
    ),
    info("fault-java", history="10m"),
    info("fault-java"),
    info("fault-java", history="yesterday"),
    sh(
        f"cat >/opt/node.sh <<'END'\n{NODE}\nEND\nsystemd-run --unit=node-log bash /opt/node.sh;"
        "until journalctl -u node-log -o cat | grep 'empty block' >/dev/null; do sleep 0.1; done"
    ),
    Step("info", {"services": [{"name": "node-log", "kind": "besu"}, "node-log.service"], "history": "10m"}, {}),
    sh("systemctl stop node-log; rm /opt/node.sh"),
)


@pytest.fixture(scope="module")
def results(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[dict[tuple[str, str, int], t.Any]]:
    def prepare(host: Host) -> None:
        equip(host, [unit.removeprefix("fault-") for unit in UNITS])
        host.sh("rm -rf /var/lib/chainops-lifecycle")

    fleet.each(prepare)
    yield play(fleet, [STEPS], tmp_path_factory.mktemp("history"))
    fleet.each(lambda host: host.sh(f"rm -f {QUIET}; systemctl daemon-reload"))


def rows(results: dict[tuple[str, str, int], t.Any], suite: str, number: int) -> list[dict[str, t.Any]]:
    result = results[suite, "history", number]
    assert not result.get("failed"), result.get("msg")
    return t.cast("list[dict[str, t.Any]]", result["services"])


def test_who_did_what_and_why(results: dict[tuple[str, str, int], t.Any], suite: str) -> None:
    simple = rows(results, suite, 3)[0]["history"]
    said = [(change["to"], change["trigger"], change["cause"]) for change in simple["transitions"]]
    failed = max(i for i, row in enumerate(said) if row[0] == "error")
    assert said[failed][1:] == ("service", "signal"), said
    assert {row[1] for row in said[failed + 1 :] if row[0] in ("starting", "running")} <= {"collection", "service"}, (
        said
    )
    assert any(row[1] == "collection" for row in said[failed + 1 :]), said
    assert {change["owner"] for change in simple["transitions"] if change["trigger"] == "collection"} == {"ann"}
    assert simple["errors"]["signal"] >= 1 and simple["attempts"][-1]["owner"] == "ann"
    assert simple["attempts"][-1]["outcome"] == "verified"


def test_the_time_in_each_state_adds_up(results: dict[tuple[str, str, int], t.Any], suite: str) -> None:
    for row in rows(results, suite, 3):
        history = row["history"]
        assert sum(history["seconds"].values()) == pytest.approx(3600, abs=0.1), json.dumps(history)
        assert history["transitions"][-1]["to"] == row["state"], json.dumps(history)
        assert history["seconds"].get("unrecorded", 0) < 3600


def test_an_operators_stop_is_an_operators(results: dict[tuple[str, str, int], t.Any], suite: str) -> None:
    last = rows(results, suite, 3)[1]["history"]["transitions"][-1]
    assert (last["to"], last["trigger"]) == ("stopped", "operator")


def test_a_unit_that_is_not_logged_is_reported_as_such(results: dict[tuple[str, str, int], t.Any], suite: str) -> None:
    history = rows(results, suite, 5)[0]["history"]
    assert set(history["seconds"]) == {"unrecorded"} and history["coverage"]["complete"] is False
    assert any("LogLevelMax" in note for note in history["coverage"]["notes"])


def test_nothing_is_read_unless_it_is_asked_for(results: dict[tuple[str, str, int], t.Any], suite: str) -> None:
    assert "history" not in rows(results, suite, 6)[0]


def test_a_wrong_duration_is_refused(results: dict[tuple[str, str, int], t.Any], suite: str, tmp_path: Path) -> None:
    result = results[suite, "history", 7]
    assert result["failed"] and result["msg"].startswith("history: 'yesterday' is no duration; give never")


def test_the_log_of_a_kind_tells_what_systemd_does_not(results: dict[tuple[str, str, int], t.Any], suite: str) -> None:
    """Read by each version of journalctl, from lines as they are: in colours, long, few among many."""
    node, plain = rows(results, suite, 9)
    told = [(one["to"], one["trigger"]) for one in node["history"]["transitions"]]
    assert told[:3] == [("starting", "operator"), ("syncing", "log"), ("running", "log")], node["history"]
    _start, syncing, running = node["history"]["transitions"][:3]
    assert 0.9 < running["at"] - syncing["at"] < 5
    assert [one["to"] for one in plain["history"]["transitions"]] == ["running"]
