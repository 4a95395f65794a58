# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the manager's records prove, and whose records count."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis import diagnose
from ansible_collections.chainops.lifecycle.plugins.module_utils._journal import UNIT_STARTING
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.test_diagnosis import (
    FAILED,
    entry,
    manager,
    primary,
)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("x.service: start operation timed out. Terminating.", "start_timeout"),
        ("x.service: start-pre operation timed out. Terminating.", "start_timeout"),
        ("x.service: State 'stop-sigterm' timed out. Killing.", "stop_timeout"),
    ],
)
def test_with_the_moments_of_an_earlier_run_the_managers_word_tells_a_start_from_a_stop(words: str, cause: str) -> None:
    """RestartMode=direct renews no InactiveExit: an ActiveEnter of hours ago is after it."""
    moments = {"InactiveExitTimestampMonotonic": "9", "ActiveEnterTimestampMonotonic": "10"}
    failed = {**FAILED, **moments, "Result": "timeout", "RestartMode": "direct", "NRestarts": "1"}
    assert primary(diagnose(failed, [manager(words)])) == cause


def test_a_loop_that_is_seen_in_the_middle_of_a_start_is_diagnosed_by_the_run_that_failed() -> None:
    """Its result is put in the place of that of the start under way."""
    starting = {**FAILED, "ActiveState": "activating", "SubState": "start"}
    found = diagnose(starting, [manager("", UNIT_STARTING), entry("ERROR db: connection refused")], failing=True)
    assert [cause.id for cause in found.causes] == ["peer_refused"]
