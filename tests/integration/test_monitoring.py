# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role state_monitoring on real hosts: what happens between two runs is counted once, and nothing is left of it.

Check mode, a second run and what the role refuses are in its scenario of molecule.
"""

from __future__ import annotations

import os
import subprocess
import time
import typing as t
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as parse_text

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Host

from .ansible_config import write_config
from .test_documents import ROOT, yaml_blocks

FOLDER = "/srv/textfile"
OUTPUT = f"{FOLDER}/chainops_state.prom"
UNIT = """[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/sleep infinity
Restart=on-failure
RestartSec=100ms
[Install]
WantedBy=multi-user.target
"""
SECRET = "a-token-that-nobody-may-see"
API = {
    "name": "mon-api",
    "probes": [
        {"kind": "command", "name": "alive", "argv": ["/bin/true"]},
        {"kind": "http", "name": "page", "url": "http://127.0.0.1:9", "headers": {"Authorization": f"Bearer {SECRET}"}},
    ],
}
# The test decides when the program runs.
VARIABLES = {
    "state_monitoring_directory": FOLDER,
    "state_monitoring_interval": 3600,
    "state_monitoring_services": ["mon-api"],
}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
KILLS = 8
RUN = "systemctl start chainops-state-monitoring"
CRASH = """
before=$(systemctl show -P MainPID mon-api)
systemctl kill --signal=KILL mon-api
for _ in $(seq 300); do
    now=$(systemctl show -P MainPID mon-api)
    [ "$now" != 0 ] && [ "$now" != "$before" ] && exit 0
    sleep 0.05
done
exit 9
"""

# The program compares a change with the records of the journal when it is older than two seconds.
SETTLED = """
age() { echo $(($(cut -d. -f1 /proc/uptime) - $(systemctl show -P StateChangeTimestampMonotonic mon-api) / 1000000)); }
while [ "$(age)" -lt 4 ]; do sleep 0.1; done
"""


class Life(t.NamedTuple):
    """What was seen on one host."""

    first: Samples
    text: str
    crashed: Samples
    killed: Samples
    kills: int
    rotated: Samples
    rebooted: Samples
    upgraded: str
    unit: dict[str, str]
    verified: str
    left: str


class Story(t.NamedTuple):
    """What the plays said, and what was seen on each host, by its name."""

    plays: list[subprocess.CompletedProcess[str]]
    lives: dict[str, Life]


def play(fleet: Fleet, folder: Path, *arguments: str, **variables: t.Any) -> subprocess.CompletedProcess[str]:
    # The play is that of the guide.
    (book,) = yaml.safe_load(yaml_blocks(ROOT / "docs/docsite/rst/guide_monitoring.rst")[1])
    (folder / "book.yml").write_text(yaml.safe_dump([{**book, "vars": {**VARIABLES, **variables}}]))
    write_config(folder)
    environment = {**os.environ, "ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    argv = ["ansible-playbook", "-i", str(fleet.inventory), str(folder / "book.yml"), "--diff", *arguments]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def samples(host: Host) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_text(host.read_text(OUTPUT))
        for sample in family.samples
    }


def total(found: Samples, name: str, **labels: str) -> float:
    wanted = frozenset((key.rstrip("_"), value) for key, value in labels.items())
    return sum(value for (shown, has), value in found.items() if shown == f"chainops_{name}" and wanted <= has)


def traces(host: Host) -> str:
    """What is on the host of the role: files, units, what the textfile collector would read."""
    return host.sh(
        "find / -xdev -name '*state-monitoring*' -not -path '/proc/*' -not -path '/var/log/*' 2>/dev/null;"
        f"ls -A {FOLDER}; systemctl list-units --all --plain --no-legend '*state-monitoring*'"
    ).stdout


def prepare(host: Host) -> None:
    host.push_text("/etc/systemd/system/mon-api.service", UNIT)
    host.sh(f"mkdir -p {FOLDER} /var/log/journal; systemctl daemon-reload; systemctl restart systemd-journald")
    host.sh("journalctl --flush; systemctl enable --now -q mon-api")


def again(host: Host) -> Samples:
    host.sh(SETTLED + RUN)
    return samples(host)


def live(host: Host) -> Life:
    """A service in trouble, a program that is killed, a journal that is rotated, and a reboot."""
    first, text = again(host), host.read_text(OUTPUT)
    for _crash in range(3):
        host.sh(CRASH)
    host.sh("systemctl stop mon-api; systemctl start mon-api")
    crashed = again(host)
    began = time.monotonic()
    host.sh(RUN)
    whole, kills = time.monotonic() - began, 0
    for number in range(KILLS):
        host.sh(CRASH)
        host.sh(
            f"systemctl start --no-block chainops-state-monitoring; sleep {whole * number / KILLS:.2f};"
            "systemctl kill --signal=KILL chainops-state-monitoring 2>/dev/null || true;"
            "while systemctl is-active -q chainops-state-monitoring || [ $(systemctl show -P ActiveState"
            " chainops-state-monitoring) = activating ]; do sleep 0.05; done"
        )
        kills += host.sh("systemctl show -P Result chainops-state-monitoring").stdout.strip() == "signal"
        host.sh("systemctl reset-failed chainops-state-monitoring 2>/dev/null || true")
    killed = again(host)
    host.sh("journalctl --sync; journalctl --rotate -q; journalctl -q --vacuum-time=1us;")
    host.sh(CRASH + "\n", check=True)
    rotated = again(host)
    host.sh("systemctl stop chainops-state-monitoring.timer; journalctl --sync")
    host.reboot()
    rebooted = again(host)
    shown = host.sh(
        "systemctl show chainops-state-monitoring -p ProtectSystem,NoNewPrivileges,CapabilityBoundingSet,IPAddressDeny"
    ).stdout
    unit = dict(line.split("=", 1) for line in shown.splitlines())
    verified = host.sh("systemd-analyze verify /etc/systemd/system/chainops-state-monitoring.* 2>&1 || true").stdout
    return Life(first, text, crashed, killed, kills, rotated, rebooted, "", unit, verified, "")


@pytest.fixture(scope="module")
def story(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("monitoring")
    fleet.each(prepare)
    plays = [play(fleet, folder)]
    lives = fleet.each(live)
    plays.append(play(fleet, folder, state_monitoring_services=[API]))
    upgraded = fleet.each(lambda host: host.read_text(OUTPUT))
    plays.append(play(fleet, folder, state_monitoring_state="absent"))
    left = fleet.each(traces)
    fleet.each(
        lambda host: host.sh(
            "systemctl disable --now -q mon-api; rm -f /etc/systemd/system/mon-api.service;"
            f"rm -rf {FOLDER}; systemctl daemon-reload"
        )
    )
    whole = {name: life._replace(upgraded=upgraded[name], left=left[name]) for name, life in lives.items()}
    return Story(plays, whole)


@pytest.fixture
def life(story: Story, suite: str) -> Life:
    return story.lives[f"{suite}1"]


def test_the_metrics_tell_the_state(life: Life) -> None:
    assert total(life.first, "service_state", service="mon-api", state="running") == 1
    assert total(life.first, "service_state", service="mon-api") == 1
    assert total(life.first, "service_attempts_left", service="mon-api") == 3
    assert total(life.first, "service_transitions_total") == 0
    assert total(life.first, "exporter_errors_total") == 0


def test_promtool_accepts_them(life: Life) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=life.text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_what_happened_between_two_runs_is_counted(life: Life) -> None:
    found = life.crashed
    assert total(found, "service_errors_total", cause="signal") == 3
    assert total(found, "service_automatic_restarts_total") == 3
    assert total(found, "service_transitions_total", to="restarting", trigger="service") == 3
    assert total(found, "service_transitions_total", from_="stopping", to="stopped") == 1
    assert total(found, "service_transitions_total", trigger="unrecorded") == 0


def test_it_may_be_killed_at_any_moment(life: Life) -> None:
    assert life.kills > 0
    assert total(life.killed, "service_errors_total", cause="signal") == 3 + KILLS
    assert total(life.killed, "service_automatic_restarts_total") == 3 + KILLS
    assert all(value <= life.killed[key] for key, value in life.crashed.items() if key[0].endswith("_total"))


def test_a_rotated_journal_costs_nothing(life: Life) -> None:
    assert total(life.rotated, "service_errors_total", cause="signal") == 3 + KILLS + 1


def test_a_reboot_is_counted_once(life: Life) -> None:
    before, after = life.rotated, life.rebooted
    assert total(after, "service_errors_total", cause="signal") == total(before, "service_errors_total", cause="signal")
    assert total(after, "service_state", service="mon-api", state="running") == 1
    new = {key: value - before.get(key, 0) for key, value in after.items() if key[0].endswith("transitions_total")}
    assert sum(value for (_name, labels), value in new.items() if ("to", "stopped") in labels) == 1, new
    assert all(value <= after[key] for key, value in before.items() if key[0].endswith("_total"))


def test_the_unit_is_hardened_and_correct(life: Life) -> None:
    assert life.unit["ProtectSystem"] == "strict" and life.unit["NoNewPrivileges"] == "yes"
    assert life.unit["CapabilityBoundingSet"].split() == ["cap_dac_override", "cap_dac_read_search", "cap_sys_ptrace"]
    assert life.unit["IPAddressDeny"]
    assert [line for line in life.verified.splitlines() if "state-monitoring" in line] == []


def test_an_upgrade_keeps_the_counters(life: Life) -> None:
    assert (
        f'chainops_service_errors_total{{service="mon-api",kind="generic",cause="signal"}} {KILLS + 4}' in life.upgraded
    )
    assert 'chainops_probe_success{service="mon-api",kind="generic",probe="alive"} 1' in life.upgraded


def test_no_secret_is_shown(story: Story, life: Life) -> None:
    assert SECRET not in life.upgraded
    assert not any(SECRET in done.stdout + done.stderr for done in story.plays)


def test_nothing_is_left(life: Life) -> None:
    assert life.left == ""
