# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guides say what the code has."""

from __future__ import annotations

import re

import pytest
import yaml

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import describe
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.alerts import ALERTS, Alert
from tools.generate_docs import GUIDES, PARTS, generated

NAMES = sorted(path.name for path in GUIDES.glob("*.rst"))


@pytest.mark.parametrize("name", NAMES)
def test_the_generated_parts_are_those_of_the_code(name: str) -> None:
    text = (GUIDES / name).read_text(encoding="utf-8")
    assert generated(text) == text, "run 'make guides'"


@pytest.mark.parametrize("alert", ALERTS, ids=[alert.id for alert in ALERTS])
def test_the_runbook_of_every_alert_is_a_section_of_the_guide(alert: Alert) -> None:
    """The anchor of a section is its title in small letters, with hyphens."""
    text = (GUIDES / "guide_alerts.rst").read_text(encoding="utf-8")
    sections = {title.lower().replace(" ", "-"): title for title in re.findall(r"^(.+)\n-+$", text, re.MULTILINE)}
    page, _hash, anchor = alert.runbook().partition("#")
    assert page.endswith("docs/docsite/rst/guide_alerts.rst") and sections.get(anchor) == alert.title
    section = text.partition(f"\n{alert.title}\n---")[2].partition("\n\n1. ")
    assert section[2], "it says what to do"


def test_every_part_is_in_a_guide() -> None:
    text = "".join((GUIDES / name).read_text(encoding="utf-8") for name in NAMES)
    assert [part for part in PARTS if f".. begin generated: {part}\n" not in text] == []


@pytest.mark.parametrize(
    ("guide", "names"),
    [
        ("guide_services", ["api", "worker", "cron"]),
        ("guide_besu", ["besu"]),
        ("guide_besu_recovery", ["besu"]),
        ("guide_tunnels", ["cloudflared"]),
        ("guide_monitoring", ["api"]),
    ],
)
def test_the_inventory_of_the_guide_describes_services(guide: str, names: list[str]) -> None:
    text = (GUIDES / f"{guide}.rst").read_text(encoding="utf-8")
    blocks = re.findall(r"^\.\. code-block:: yaml\n\n((?:  .*\n|\n)+)", text, re.MULTILINE)
    services = yaml.safe_load(blocks[0])["all"]["vars"]["lifecycle_services"]
    assert [service["name"] for service in describe(services, KINDS)] == names
