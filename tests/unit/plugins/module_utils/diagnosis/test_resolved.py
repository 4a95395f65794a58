# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What shows that a person has been at the cause of a failure."""

from __future__ import annotations

import time

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import Cause
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.resolved import resolution_of

HOUR = 3600.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("FragmentPath", "{}"),
        ("DropInPaths", "/none.conf {}"),
        ("EnvironmentFiles", "{} (ignore_errors=no)"),
        ("EnvironmentFiles", "/none (ignore_errors=yes) {} (ignore_errors=yes)"),
    ],
)
@pytest.mark.parametrize(("failed_ago", "changed"), [(HOUR, True), (-HOUR, False)])
def test_a_change_of_what_the_unit_reads_is_worth_an_attempt(tmp_path, key, value, failed_ago, changed):
    path = tmp_path / "read"
    path.write_text("x")
    cause = Cause("unauthorized", "configuration", "hard", "refused", ("token (environment)",), "write it anew")
    found = resolution_of(cause, {key: value.format(path)}, time.time() - failed_ago)
    assert found == (f"{path} was changed since it failed" if changed else None)
