# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real faults on real units, each diagnosed on its host by the code that runs there in a play.

All faults of a host are made at once; then every unit is diagnosed in its turn.
"""

from __future__ import annotations

import io
import json
import tarfile
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.lab import check
from ansible_collections.chainops.lifecycle.tests.lab.fleet import Fleet
from ansible_collections.chainops.lifecycle.tests.lab.host import Host, until
from ansible_collections.chainops.lifecycle.tests.lab.record import Group
from ansible_collections.chainops.lifecycle.tests.laboratory.fault_table import FAULTS, HELPERS, Fault

SUITES = {"b": "bookworm", "t": "trixie", "f": "forky"}
ROOT = Path(__file__).resolve().parents[2]
REMOTE = "/opt/lifecycle"
SETTLED = ("failed", "inactive")

DRIVER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.chainops.lifecycle.plugins.module_utils._evidence import examine
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import run_command
from ansible_collections.chainops.lifecycle.plugins.module_utils._journal import Journal
from ansible_collections.chainops.lifecycle.plugins.module_utils._systemd import Systemd

systemd, journal = Systemd(run_command), Journal(run_command)
units = sys.argv[2:]
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
    until(lambda: "18082" in host.run("ss", "-ltn").stdout, 20, "the TLS server listens")
    for fault in FAULTS:
        host.run("systemctl", "start", "--no-block", unit_of(fault), check=False)
    for fault in FAULTS:
        if fault.after:
            until(lambda fault=fault: host.run("systemctl", "is-active", unit_of(fault), check=False).returncode == 0,
                  10, f"{unit_of(fault)} runs")  # fmt: skip
            host.sh(fault.after)


def settled(host: Host) -> bool:
    shown = host.run("systemctl", "show", "-p", "ActiveState,SubState,Job", *map(unit_of, FAULTS)).stdout
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n")]
    return all(
        (block["ActiveState"] in SETTLED or block["SubState"] == "auto-restart") and block.get("Job", "0") in ("", "0")
        for block in blocks
    )


@pytest.fixture(scope="module")
def fleet() -> t.Iterator[Fleet]:
    missing = check.problems()
    if missing:
        pytest.skip("the laboratory cannot run here: " + "; ".join(map(str, missing)))
    with Fleet("diagnosis", [Group(prefix, 1, suite) for prefix, suite in SUITES.items()]) as up:
        yield up


@pytest.fixture(scope="module", params=SUITES, ids=SUITES.values())
def host(request: pytest.FixtureRequest, fleet: Fleet) -> Host:
    return fleet[f"{request.param}1"]


@pytest.fixture(scope="module")
def diagnoses(host: Host) -> dict[str, Report]:
    ship_code(host)
    make_faults(host)
    until(lambda: settled(host), 60, "every fault has happened", interval=0.3)
    said = host.run("python3", "-c", DRIVER, REMOTE, *map(unit_of, FAULTS), timeout=120).stdout
    return t.cast("dict[str, Report]", json.loads(said))


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
    assert (causes[0]["id"], causes[0]["class"]) == (fault.cause, fault.klass), diagnosis
    assert fault.words in json.dumps(causes[0]), diagnosis
    assert set(fault.also) <= {cause["id"] for cause in causes}, diagnosis
    assert causes[0]["evidence"] and causes[0]["next_step"], diagnosis


def test_what_leaves_the_host_is_clean(diagnoses: dict[str, Report]) -> None:
    shown = json.dumps(list(diagnoses.values()), ensure_ascii=False)
    assert "Zx9Qw7Lm3Kp1" not in shown
    assert "{{" not in shown
    assert "\\u001b" not in shown
    assert "<b>" not in shown
