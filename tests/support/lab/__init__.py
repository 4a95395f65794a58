# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A laboratory of real systemd hosts: see README.md in this folder."""

from __future__ import annotations

from .check import problems
from .fleet import Fleet
from .host import Completed, Host, until
from .record import Group
from .settings import SUITES, LabError

__all__ = ["SUITES", "Completed", "Fleet", "Group", "Host", "LabError", "problems", "until"]
