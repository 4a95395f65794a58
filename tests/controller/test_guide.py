# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide leads from an empty controller to the first approved recovery in ten commands."""

from __future__ import annotations

import re
import shlex

import yaml

from tests.docs import common

GUIDE = (common.ROOT / "docs/docsite/rst/guide_awx.rst").read_text()
COMMANDS = re.findall(r"^  \$ (.+)$", GUIDE, re.MULTILINE)


def test_it_takes_ten_commands() -> None:
    assert len(COMMANDS) == 10


def test_the_settings_of_the_guide_are_settings() -> None:
    block = GUIDE.split("``mine.yml`` has", 1)[1].split(".. code-block:: yaml\n\n", 1)[1]
    mine = yaml.safe_load(re.match(r"(?:  .*\n|\n)+", block)[0])  # type: ignore[index]
    known = common.load("extensions/awx/settings.yml")
    assert set(mine) <= set(known)
    assert mine["lifecycle_awx_groups"].keys() == {known["lifecycle_awx_canary"]}
    named = set(re.findall(r"\blifecycle_awx_\w+", GUIDE))
    assert named <= set(known)


def test_the_files_of_the_guide_are_there() -> None:
    named = {word for command in COMMANDS for word in shlex.split(command) if word.startswith("awx/")}
    assert named == {"awx/execution-environment.yml", "awx/project", "awx/apply.yml"}
    for name in named:
        assert (common.ROOT / "extensions" / name).exists()
