# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a sync still takes."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.classify import eta_seconds


@pytest.mark.parametrize(
    ("rate", "gap", "period", "eta"),
    [(10.0, 95, 2.0, 10.0), (0.5, 95, 2.0, None), (0.0, 95, 2.0, None), (None, 95, None, None), (2.0, 10, None, 5.0)],
)
def test_eta(rate, gap, period, eta):
    assert eta_seconds(rate, gap, period) == eta
