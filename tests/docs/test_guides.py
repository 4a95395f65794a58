# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guides say what the code has."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.options import DRIVE_OPTIONS, WATCH_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import describe
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.alerts import ALERTS, Alert
from ansible_collections.chainops.lifecycle.plugins.module_utils._probes import options as probes
from ansible_collections.chainops.lifecycle.plugins.module_utils._probes.run import parse_probes
from tools.generate_docs import GUIDES, PARTS, generated

BLOCK_OF_YAML = r"^\.\. code-block:: yaml\n\n((?:  .*\n|\n)+)"
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


def test_every_option_of_an_entry_has_its_meaning() -> None:
    """Of all kinds, and of each kind of probe."""
    text = (GUIDES / "guide_services.rst").read_text(encoding="utf-8")
    rows = re.findall(r"^  \* - ``(\w+)``\n    - (.*)\n    - (.*)\n    - (.*)$", text, re.MULTILINE)
    told = {name for name, _type, _default, meaning in rows if len(meaning.split()) > 1}
    specs = [WATCH_OPTIONS, DRIVE_OPTIONS, probes.ALL_OPTIONS, *(kind.options for kind in KINDS.values())]
    assert {name for spec in specs for name in spec} - told == set()
    assert not re.search(r"\b(?:RV|[VOCM])\(", text), "markup of modules"


def test_the_probes_of_the_guide_are_taken() -> None:
    text = (GUIDES / "guide_services.rst").read_text(encoding="utf-8")
    (block,) = [one for one in re.findall(BLOCK_OF_YAML, text, re.MULTILINE) if one.lstrip().startswith("probes:")]
    (entry,) = describe([{"name": "shop", **yaml.safe_load(block)}], KINDS)
    assert [probe["kind"] for probe in entry["probes"]] == list(probes.OF_KIND)
    assert parse_probes(entry["probes"])


def test_what_becomes_of_services_of_several_groups(tmp_path: Path) -> None:
    """The inventory of the guide adds them up; a variable that two groups define is that of one of them."""
    text = (GUIDES / "guide_services.rst").read_text(encoding="utf-8")
    (block,) = [one for one in re.findall(BLOCK_OF_YAML, text, re.MULTILINE) if "services_of_db" in one]
    summed = yaml.safe_load(block)
    taken = yaml.safe_load(block)
    del taken["all"]["vars"]["lifecycle_services"]
    for group, own in taken["all"]["children"].items():
        own["vars"] = {"lifecycle_services": own["vars"][f"services_of_{group}"]}
    seen = "{{ groups.all | sort | map('extract', hostvars) | map(attribute='lifecycle_services') | list | to_json }}"
    tasks = [
        {"chainops.lifecycle.check_variables": {"target": "all"}, "run_once": True},
        {"ansible.builtin.copy": {"content": seen, "dest": f"{tmp_path}/{{{{ out }}}}"}, "run_once": True},
    ]
    book = [{"hosts": "all", "gather_facts": False, "connection": "local", "tasks": tasks}]
    (tmp_path / "book.yml").write_text(yaml.safe_dump(book))
    found = {}
    for name, inventory in (("summed", summed), ("taken", taken)):
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
        argv = ["ansible-playbook", "-i", "hosts.yml", "book.yml", "-e", f"out={name}"]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        lists = json.loads((tmp_path / name).read_text())
        names = [[one if isinstance(one, str) else one["name"] for one in services] for services in lists]
        found[name] = dict(zip(("both", "one", "two"), names, strict=True))
    assert found["summed"] == {
        "both": ["cron", "api", "postgresql"],
        "one": ["cron", "api"],
        "two": ["cron", "postgresql"],
    }
    assert found["taken"]["both"] == ["api"], "web is the last of the two by its name"
