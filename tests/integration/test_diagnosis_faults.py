# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real faults on real units, each diagnosed on its host by the code that runs there in a play.

All faults of a host are made at once; then every unit is diagnosed in its turn.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.integration.fault_table import FAULTS, HELPERS, Fault, shell
from ansible_collections.chainops.lifecycle.tests.support.lab import check
from ansible_collections.chainops.lifecycle.tests.support.lab.fleet import Fleet
from ansible_collections.chainops.lifecycle.tests.support.lab.host import Host, until
from ansible_collections.chainops.lifecycle.tests.support.lab.record import Group

SUITES = {"b": "bookworm", "t": "trixie", "f": "forky"}
ROOT = Path(__file__).resolve().parents[2]
REMOTE = "/opt/lifecycle"
SETTLED = ("failed", "inactive")

DRIVER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.gather import examine
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import run_command
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Journal
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd

user = sys.argv[2] == "user"
systemd, journal = Systemd(run_command, user=user), Journal(run_command, user=user)
units = sys.argv[3:]
known = systemd.properties(units)
print(json.dumps({unit: examine(known[unit], journal, show=systemd.properties).as_dict() for unit in units}))
"""

Report = t.Mapping[str, t.Any]


def unit_of(fault: Fault) -> str:
    return f"fault-{fault.name}.service"


def unit_file(service: str, unit: str = "") -> str:
    return f"[Unit]\nDescription=A fault\n{unit}\n[Service]\n{service}\n"


def ship_code(host: Host) -> None:
    """Copy what a module would bring with it to the host."""
    base = "ansible_collections/chainops/lifecycle/plugins/module_utils"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in (ROOT / "plugins/module_utils").rglob("*.py"):
            archive.add(path, f"{base}/{path.relative_to(ROOT / 'plugins/module_utils')}")
    host.sh('mkdir -p "$1" && tar -x -C "$1"', REMOTE, stdin=packed.getvalue())


def make_faults(host: Host) -> None:
    files = {f"fault-{name}.service": unit_file(service) for name, service in HELPERS.items()}
    files |= {unit_of(fault): unit_file(fault.service, fault.unit) for fault in FAULTS if fault.service}
    for name, text in files.items():
        host.push_text(f"/etc/systemd/system/{name}", text)
    host.sh("systemctl daemon-reload")
    for fault in FAULTS:
        if fault.before:
            host.sh(fault.before)
    host.sh("systemctl daemon-reload; systemctl start fault-listener fault-blackhole fault-tls")
    ports = {"18080", "18081", "18082"}
    until(lambda: ports <= set(re.findall(r":(\d+) ", host.run("ss", "-ltn").stdout)), 20, "the helpers listen")
    for fault in FAULTS:
        host.run("systemctl", "start", "--no-block", unit_of(fault), check=False)
    for fault in FAULTS:
        if fault.after:
            wait_until_active(host, unit_of(fault))
            host.sh(fault.after)


def wait_until_active(host: Host, unit: str) -> None:
    until(lambda: host.run("systemctl", "is-active", unit, check=False).returncode == 0, 10, f"{unit} runs")


def examine(host: Host, *units: str) -> dict[str, Report]:
    said = host.run("python3", "-c", DRIVER, REMOTE, "system", *units, timeout=120).stdout
    return t.cast("dict[str, Report]", json.loads(said))


def settled(host: Host) -> bool:
    shown = host.run("systemctl", "show", "-p", "Id,ActiveState,SubState,Job", *map(unit_of, FAULTS)).stdout
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n")]
    return all(
        (block["ActiveState"] in SETTLED or (block["Id"], block["SubState"]) == ("fault-loop.service", "auto-restart"))
        and block.get("Job", "0") in ("", "0")
        for block in blocks
    )


@pytest.fixture(scope="module")
def fleet() -> t.Iterator[Fleet]:
    missing = check.problems()
    if missing:
        pytest.skip("the laboratory cannot run here: " + "; ".join(map(str, missing)))
    with Fleet("diagnosis", [Group(prefix, 1, suite) for prefix, suite in SUITES.items()]) as up:
        yield up


@pytest.fixture(scope="module", params=list(SUITES), ids=list(SUITES.values()))
def host(request: pytest.FixtureRequest, fleet: Fleet) -> Host:
    return fleet[f"{request.param}1"]


@pytest.fixture(scope="module")
def diagnoses(host: Host) -> dict[str, Report]:
    ship_code(host)
    make_faults(host)
    until(lambda: settled(host), 60, "every fault has happened")
    return examine(host, *map(unit_of, FAULTS))


def test_the_table_is_long_enough_and_names_each_fault_once() -> None:
    assert len(FAULTS) >= 25
    assert len({fault.name for fault in FAULTS} | set(HELPERS)) == len(FAULTS) + len(HELPERS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_diagnosed(fault: Fault, host: Host, diagnoses: dict[str, Report]) -> None:
    offered = host.read_text("/sys/fs/cgroup/cgroup.controllers").split()
    if fault.controller and fault.controller not in offered:
        pytest.skip(f"this computer gives its hosts no {fault.controller} controller (it is bound to cgroup v1)")
    diagnosis = diagnoses[unit_of(fault)]
    causes = diagnosis["causes"]
    assert causes, diagnosis
    assert (causes[0]["id"], causes[0]["class"]) == (fault.cause, fault.severity), diagnosis
    assert fault.words in json.dumps(causes[0]), diagnosis
    assert set(fault.also) <= {cause["id"] for cause in causes}, diagnosis
    assert causes[0]["evidence"] and causes[0]["next_step"], diagnosis


def test_what_leaves_the_host_is_clean(diagnoses: dict[str, Report]) -> None:
    shown = json.dumps(list(diagnoses.values()), ensure_ascii=False)
    assert "Zx9Qw7Lm3Kp1" not in shown
    assert "{{" not in shown
    assert "\\u001b" not in shown
    assert "<b>" not in shown


# What hides evidence, and the note that must say so.
HIDING = {
    "level": ("LogLevelMax=err\n" + shell("echo lost; exit 1"), "LogLevelMax=3"),
    "null": ("StandardOutput=null\nStandardError=null\n" + shell("echo lost; exit 1"), "StandardOutput=null"),
    # journald tells of what it dropped with the first message that it lets through again
    "rate": ("LogRateLimitIntervalSec=1\nLogRateLimitBurst=1\n" + shell(
        "for i in 1 2 3 4 5 6 7 8; do for j in 1 2 3 4 5 6 7 8; do echo $i.$j; done; done; sleep 2; echo last; exit 1"),
        "dropped messages"),
}  # fmt: skip


@pytest.fixture(scope="module")
def hidden(host: Host, diagnoses: dict[str, Report]) -> dict[str, Report]:
    units = [f"hiding-{name}.service" for name in HIDING]
    for unit, (service, _note) in zip(units, HIDING.values(), strict=True):
        host.push_text(f"/etc/systemd/system/{unit}", unit_file(service))
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "start", *units, check=False)
    until(lambda: host.run("systemctl", "is-failed", *units, check=False).stdout.split() == ["failed"] * len(units),
          30, "the units have failed")  # fmt: skip
    return examine(host, *units)


@pytest.mark.parametrize("name", HIDING)
def test_hidden_evidence_is_said(name: str, hidden: dict[str, Report]) -> None:
    diagnosis = hidden[f"hiding-{name}.service"]
    assert diagnosis["causes"][0]["id"] == "unknown"
    assert any(HIDING[name][1] in note for note in diagnosis["notes"]), diagnosis


def test_the_service_manager_of_a_user(host: Host, diagnoses: dict[str, Report]) -> None:
    folder = "/home/lab/.config/systemd/user"
    host.push_text(f"{folder}/fault-user.service", unit_file("Type=exec\nExecStart=/opt/no-such-program"))
    host.push_text(f"{folder}/fault-words.service", unit_file("ExecStart=/bin/cat /etc/shadow"))
    host.sh("chown -R lab: /home/lab && systemctl start user@1000.service")
    as_user = ["runuser", "-u", "lab", "--", "env", "XDG_RUNTIME_DIR=/run/user/1000"]
    until(lambda: host.run(*as_user, "systemctl", "--user", "is-system-running", check=False).returncode == 0,
          20, "the user's service manager runs")  # fmt: skip
    units = ["fault-user.service", "fault-words.service"]
    host.run(*as_user, "systemctl", "--user", "start", *units, check=False)
    until(lambda: host.run(*as_user, "systemctl", "--user", "is-failed", *units, check=False).stdout.split()
          == ["failed", "failed"], 20, "the units have failed")  # fmt: skip
    said = json.loads(host.run(*as_user, "python3", "-c", DRIVER, REMOTE, "user", *units).stdout)
    assert [said[unit]["causes"][0]["id"] for unit in units] == ["exec_missing", "permission_denied"], said
    assert "/opt/no-such-program" in str(said[units[0]]["causes"][0]["evidence"])


def test_without_its_journal_a_failure_is_told_from_its_properties(host: Host, diagnoses: dict[str, Report]) -> None:
    """Last, because it empties the journal."""
    host.sh("journalctl --rotate && journalctl --vacuum-size=1 --vacuum-files=1")
    units = ["fault-user.service", "fault-json.service", "fault-segv.service"]
    said = examine(host, *units)
    assert [said[unit]["causes"][0]["id"] for unit in units] == ["user_missing", "unknown", "crashed"], said
    assert all("holds nothing of the failing run" in str(said[unit]["notes"]) for unit in units), said
