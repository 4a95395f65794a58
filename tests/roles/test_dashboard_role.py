# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard is put where a Grafana reads it, and taken away; the guide's provider is the one that is written."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import yaml

from tests.docs.common import ROOT, play

HERE = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
FILE = "chainops-lifecycle.dashboard.json"
SOURCE = ROOT / "roles/prometheus_alerts/files" / FILE


def run(folder: Path, *options: str, times: int = 1, check: bool = False, **variables: t.Any) -> int:
    """Run the role so many times, as the guide has it; how many tasks changed something.

    ``check``: whether the tasks are in check mode, and the play is not.
    """
    guide = (ROOT / "docs/docsite/rst/guide_monitoring.rst").read_text()
    (block,) = re.findall(r"code-block:: yaml\n\n((?:  .*\n|\n)+)", guide.partition("A dashboard for Grafana")[2])[:1]
    (book,) = yaml.safe_load(block)
    book |= {"hosts": "all", "become": False, "vars": variables, **({"check_mode": True} if check else {})}
    (folder / "book.yml").write_text(yaml.safe_dump([book] * times))
    done = play(folder, "book.yml", {"here": HERE}, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    (changed,) = re.findall(r"changed=(\d+)", done.stdout)
    return int(changed)


def test_the_dashboard_is_put_in_place_and_taken_away(tmp_path: Path) -> None:
    dashboards, provider = tmp_path / "a: folder", tmp_path / "provider.yml"
    given: dict[str, t.Any] = {
        "prometheus_alerts_dashboard_directory": str(dashboards),
        "prometheus_alerts_dashboard_provider": str(provider),
    }
    assert run(tmp_path, "--check", **given) and run(tmp_path, check=True, **given)
    assert not dashboards.exists() and not provider.exists()
    assert run(tmp_path, times=2, **given) == 3, "the second time changes nothing"
    assert (dashboards / FILE).read_bytes() == SOURCE.read_bytes()
    assert yaml.safe_load(provider.read_text())["providers"][0]["options"] == {"path": str(dashboards)}
    assert run(tmp_path, prometheus_alerts_state="absent", **given)
    assert not (dashboards / FILE).exists() and not provider.exists()


def test_the_provider_of_the_guide_is_that_of_the_role() -> None:
    guide = (ROOT / "docs/docsite/rst/guide_monitoring.rst").read_text().partition("A dashboard for Grafana")[2]
    (shown,) = (block for block in re.findall(r"code-block:: yaml\n\n((?:  .*\n|\n)+)", guide) if "apiVersion" in block)
    tasks = yaml.safe_load((ROOT / "roles/prometheus_alerts/tasks/dashboard_present.yml").read_text())
    (written,) = (task["ansible.builtin.copy"]["content"] for task in tasks if "content" in str(task))
    defaults = yaml.safe_load((ROOT / "roles/prometheus_alerts/defaults/main.yml").read_text())
    folder = defaults["prometheus_alerts_dashboard_directory"]
    assert yaml.safe_load(shown) == yaml.safe_load(re.sub(r"\{\{.*\}\}", folder, written))
