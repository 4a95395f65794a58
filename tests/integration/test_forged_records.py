# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that writes records like those of its manager does not choose the cause of its failure."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group

from .ansible_steps import Result, Scenario, equip, faults_of, play, scenario, service, sh
from .conftest import chosen_suites
from .guards_table import USER_UNIT

# It outlives the main process until systemd ends it, so that its record is the last one of its kind.
_FORGER = r'''
import os, signal, socket, sys, time
RECORD = """MESSAGE=Main process exited, code=exited, status=203/EXEC
MESSAGE_ID=98e322203f7a4ed290d09fe03c09fe15
UNIT=forger.service
USER_UNIT=forger.service
EXIT_CODE=exited
EXIT_STATUS=203
COMMAND=ExecStart
PRIORITY=5
"""
def forge(*_args):
    time.sleep(0.3)
    journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    journal.sendto(RECORD.encode(), "/run/systemd/journal/socket")
    time.sleep(0.3)  # so that journald sees who it is
    os._exit(0)
if os.fork() == 0:
    open("/proc/self/comm", "w").write("systemd")
    signal.signal(signal.SIGTERM, forge)
    while True:
        time.sleep(1)
time.sleep(1)
sys.exit(1)
'''
_INSTALL = f"""cat >/opt/forger.py <<'PROGRAM'
{_FORGER}
PROGRAM
printf '[Service]\nUser=lab\nExecStart=/usr/bin/python3 /opt/forger.py\n' >/etc/systemd/system/forger.service
systemctl daemon-reload; systemctl start forger; becomes forger ActiveState failed; journalctl --sync
journalctl -o cat -u forger MESSAGE_ID=98e322203f7a4ed290d09fe03c09fe15 _COMM=systemd | grep -c status=203"""
_GONE = """printf '[Service]\nExecStart=/nonexistent/program\n' >~lab/.config/systemd/user/gone.service
export XDG_RUNTIME_DIR=/run/user/1000; runuser -u lab -- systemctl --user daemon-reload
runuser -u lab -- systemctl --user start gone || :; sleep 0.5; journalctl --sync"""

SCENARIOS = (
    scenario(
        "a service of the system",
        sh(_INSTALL, "1"),
        service("forger", {"from": "error", "from_cause": "exit_code", "says": "(?s)^((?!exec_missing).)*$"},
                check=True, diagnose=True),
        sh("rm /etc/systemd/system/forger.service; systemctl daemon-reload"),
    ),
    scenario(
        "the manager of a user is believed in its own scope",
        sh(USER_UNIT),
        sh(_GONE),
        service("gone", {"from": "error", "why": "exec_missing"}, check=True, diagnose=True, scope="user", user="lab"),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def results(make_fleet: t.Callable[..., Fleet], tmp_path_factory: pytest.TempPathFactory) -> dict[t.Any, Result]:
    """Hosts of their own, for the units that are made there."""
    fleet = make_fleet(*(Group(suite, 1, suite) for suite in chosen_suites()))
    fleet.each(lambda host: equip(host, ("java",)))
    return t.cast("dict[t.Any, Result]", play(fleet, SCENARIOS, tmp_path_factory.mktemp("forged")))


@pytest.mark.parametrize("of", SCENARIOS, ids=lambda of: of.name)
def test_records_of_the_manager(results: dict[t.Any, Result], of: Scenario) -> None:
    wrong = faults_of(of, results)
    assert not wrong, "\n".join(wrong)
