# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What service_info says is newer on disk than a process, with every systemd of the laboratory."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Host

from .ansible_steps import Scenario, Step, equip, play, scenario, service, sh

HOME = "/opt/stale"
UNIT = "/etc/systemd/system/stale.service"
DROP_IN = f"{UNIT}.d/limits.conf"
INSTALL = f"""
mkdir -p {HOME}/app-1.0.0 {UNIT}.d
cp /bin/sleep {HOME}/app-1.0.0/sleep; ln -sfn app-1.0.0 {HOME}/app
touch {HOME}/app.env {HOME}/app.toml
printf '[Service]\\nEnvironmentFile={HOME}/app.env\\nExecStart={HOME}/app/sleep infinity\\nExecStartPre=/bin/test -e {HOME}/app.toml\\n' >{UNIT}
systemctl daemon-reload; systemctl restart stale
"""
UPGRADE = f"""
mkdir {HOME}/app-1.1.0; cp /bin/sleep {HOME}/app-1.1.0/sleep; ln -sfn app-1.1.0 {HOME}/app
"""


def look() -> Step:
    return Step("info", {"services": ["stale"], "staleness": True}, {})


STEPS: Scenario = scenario(
    "staleness",
    sh(f"systemctl stop stale; rm -rf {HOME} {UNIT} {UNIT}.d; {INSTALL}"),
    look(),
    sh("systemctl daemon-reload; systemctl set-property --runtime stale CPUWeight=50"),
    look(),
    sh(f"echo A=1 >>{HOME}/app.env; touch -d 2001-01-01 {HOME}/app.toml"),
    look(),
    sh(f"printf '[Service]\\nLimitNOFILE=4096\\n' >{DROP_IN}"),
    look(),
    sh("systemctl daemon-reload"),
    look(),
    service("stale", {"failed": False}, state="restarted", owner="ann"),
    look(),
    sh(UPGRADE),
    look(),
    sh(f"cp /bin/sleep {HOME}/new; mv {HOME}/new {HOME}/app-1.0.0/sleep"),
    look(),
    sh("systemctl stop stale"),
    look(),
)


@pytest.fixture(scope="module")
def results(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[dict[tuple[str, str, int], t.Any]]:
    def prepare(host: Host) -> None:
        equip(host, ())
        host.sh("rm -rf /var/lib/chainops-lifecycle")

    fleet.each(prepare)
    yield play(fleet, [STEPS], tmp_path_factory.mktemp("staleness"))
    fleet.each(lambda host: host.sh(f"systemctl stop stale; rm -rf {HOME} {UNIT} {UNIT}.d; systemctl daemon-reload"))


def row(results: dict[tuple[str, str, int], t.Any], suite: str, number: int) -> dict[str, t.Any]:
    result = results[suite, "staleness", number]
    assert not result.get("failed"), result.get("msg")
    return t.cast("dict[str, t.Any]", result["services"][0])


def kinds(found: dict[str, t.Any]) -> list[tuple[str, str]]:
    assert found["stale"]["unknown"] == []
    return sorted((one["kind"], one["path"].rpartition("/")[2]) for one in found["stale"]["evidence"])


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        pytest.param(1, [], id="as it was started"),
        pytest.param(3, [], id="what systemd writes itself"),
        pytest.param(5, [("config", "app.toml"), ("environment_file", "app.env")], id="files"),
        pytest.param(
            7,
            [("config", "app.toml"), ("environment_file", "app.env"), ("unit", "stale.service")],
            id="a drop-in that systemd has not read",
        ),
        pytest.param(
            9,
            [("config", "app.toml"), ("environment_file", "app.env"), ("unit", "limits.conf")],
            id="a drop-in that systemd has read",
        ),
        pytest.param(11, [], id="restarted"),
        pytest.param(13, [("executable", "sleep"), ("link", "app")], id="another release"),
        pytest.param(
            15, [("executable", "sleep"), ("executable", "sleep"), ("link", "app")], id="the file itself replaced"
        ),
    ],
)
def test_what_is_newer_than_the_process(
    results: dict[tuple[str, str, int], t.Any], suite: str, number: int, expected: list[tuple[str, str]]
) -> None:
    found = row(results, suite, number)
    assert kinds(found) == expected
    assert found["stale"]["is_stale"] is bool(expected)


def test_who_started_it_last_is_told(results: dict[tuple[str, str, int], t.Any], suite: str) -> None:
    assert row(results, suite, 9)["last_start"] is None
    last = row(results, suite, 11)["last_start"]
    assert (last["owner"], last["outcome"]) == ("ann", "verified") and 0 <= last["age"] < 60


def test_without_a_process_it_is_not_known(results: dict[tuple[str, str, int], t.Any], suite: str) -> None:
    assert row(results, suite, 17)["stale"]["is_stale"] is None
