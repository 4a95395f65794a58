# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an ordinary user of a managed host, or a file that is damaged, can do to the records there: nothing."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group

from .ansible_steps import (
    Expected,
    Result,
    Scenario,
    done,
    equip,
    faults_of,
    hold,
    play,
    refused,
    scenario,
    service,
    sh,
)
from .conftest import chosen_suites
from .guards_table import USER_UNIT

KEPT = "/var/lib/chainops-lifecycle"
FILE = f"{KEPT}/attempts/fault-java.service.json"
_MODES = f"find {KEPT} /run/chainops-lifecycle -printf '%m %y\\n' | sort -u"
_ROW = '{"at": %s, "action": "start", "recovery": true, "before": "", "outcome": "failed"}'
_LOCKED = f"fresh fault-java; systemd-run -q --collect --unit=locker flock {KEPT}/attempts sleep {{}}; sleep 0.3"
_HOLD = '{"scope": "fault-java.service", "owner": "bob", "reason": "maintenance", "since": 1}'
_SMALL = """fresh fault-java; rm -rf /run/chainops-lifecycle; mkdir -m 700 /run/chainops-lifecycle
mount -t tmpfs -o size=16k,mode=0700 small /run/chainops-lifecycle
head -c 1m /dev/zero >/run/chainops-lifecycle/all || :"""


def broken(what: str, script: str) -> Scenario:
    """A file of records that is none: an error that names it, nothing done, and nothing lost."""
    says = rf"{FILE}.*move it away"
    names: Expected = {"failed": True, "changed": False, "says": says}
    return scenario(
        f"attempts that are {what}",
        sh(f"fresh fault-java; {script}"),
        service("fault-java", names),
        sh(f"is fault-java; test -e {FILE} && rm -rf {FILE}", "inactive"),
        service("fault-java", done("running")),
    )


SCENARIOS = (
    scenario(
        "nobody else reads or locks the records",
        sh(f"fresh fault-java; mkdir -p {KEPT}/attempts; chmod 755 {KEPT} {KEPT}/attempts"),
        service("fault-java", done("running")),
        hold({"failed": False}, name="fault-java", reason="a look", owner="ann"),
        hold({"failed": False}, name="fault-java", state="absent", owner="ann"),
        sh(_MODES, "600 f\n700 d"),
        sh(f"runuser -u lab -- flock -n {KEPT}/attempts true 2>/dev/null || echo refused", "refused"),
        sh("runuser -u lab -- flock -n /run/chainops-lifecycle/fault-java.service.lock true 2>/dev/null || echo refused",
           "refused"),
    ),
    broken("nested too deep", f"python3 -c 'print(chr(91) * 100000)' >{FILE}"),
    broken("of wrong types", f"""echo '[{{"at": "x", "action": "start", "recovery": true, "before": ""}}]' >{FILE}"""),
    broken("no number", f"echo '[{_ROW % 'NaN'}]' >{FILE}"),
    broken("a pipe", f"mkfifo {FILE}"),
    broken("a link", f"ln -s /etc/hostname {FILE}"),
    broken("a folder", f"mkdir -p {FILE}/x"),
    scenario(
        "a full /run",
        sh(_SMALL),
        service("fault-java", {"failed": True, "changed": False, "says": "/run/chainops-lifecycle/.*free some space"}),
        sh("is fault-java; umount /run/chainops-lifecycle", "inactive"),
        service("fault-java", done("running")),
    ),
    scenario(
        "an attempt from the future grows old",
        sh(f"fresh fault-java; echo '[{_ROW % 99999999999}]' >{FILE}"),
        service("fault-java", refused("attempts", "stopped"), max_attempts=1, attempt_window=5, wait_timeout=4),
        sh("sleep 6"),
        service("fault-java", done("running"), max_attempts=1, attempt_window=5),
    ),
    scenario(
        "a lock is waited for within wait_timeout",
        sh(_LOCKED.format(60)),
        service("fault-java", {"failed": True, "changed": False, "says": "attempts has been locked by another process"},
                wait_timeout=3),
        sh("is fault-java; systemctl stop locker", "inactive"),
        service("fault-java", done("running")),
    ),
    scenario(
        "a hold that comes during a wait is kept",
        sh(f"{_LOCKED.format(12)}; mkdir -p {KEPT}/holds; echo '{_HOLD}' >/run/hold.json"),
        sh(f"nohup sh -c 'sleep 6; mv /run/hold.json {KEPT}/holds/fault-java.service.json' >/dev/null 2>&1 & sleep 0.1"),
        service("fault-java", refused("hold", "stopped", says="bob holds fault-java"), wait_timeout=40),
        hold({"changed": True}, name="fault-java", state="absent", owner="bob"),
        service("fault-java", done("running")),
    ),
    scenario(
        "a hold on the host is for the services of its users",
        sh(USER_UNIT),
        hold({"changed": True}, reason="maintenance", owner="ann"),
        service("fault-mine", refused("hold", "stopped", says="ann holds the host"), scope="user", user="lab"),
        hold({"changed": True}, state="absent", owner="ann"),
        service("fault-mine", done("running"), scope="user", user="lab"),
        sh("find ~lab/.local/state/chainops-lifecycle /run/user/1000/chainops-lifecycle -printf '%m %y %u\\n' | sort -u",
           "600 f lab\n700 d lab"),
        service("fault-mine", done("stopped"), scope="user", user="lab", state="stopped"),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def results(make_fleet: t.Callable[..., Fleet], tmp_path_factory: pytest.TempPathFactory) -> dict[t.Any, Result]:
    """Hosts of their own: they are held and filled up."""
    fleet = make_fleet(*(Group(suite, 1, suite) for suite in chosen_suites()))
    fleet.each(lambda host: equip(host, ("java",)))
    return t.cast("dict[t.Any, Result]", play(fleet, SCENARIOS, tmp_path_factory.mktemp("records")))


@pytest.mark.parametrize("of", SCENARIOS, ids=lambda of: of.name)
def test_records(results: dict[t.Any, Result], of: Scenario) -> None:
    wrong = faults_of(of, results)
    assert not wrong, "\n".join(wrong)
