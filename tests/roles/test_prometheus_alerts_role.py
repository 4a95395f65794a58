# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role prometheus_alerts with a real Prometheus on this machine."""

from __future__ import annotations

import json
import socket
import subprocess
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from tests.docs.common import ROOT, play
from tools.generate_monitoring import contents

HERE = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
FILE = "chainops-lifecycle.rules.yml"


class Prometheus:
    """A Prometheus that scrapes nothing, with its folder of rules."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rules = folder, folder / "rules"
        self.rules.mkdir()
        self.config = folder / "prometheus.yml"
        self.configure(f"{self.rules}/*.yml")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self._log = (folder / "log").open("w")
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={self.config}",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={self.url.removeprefix('http://')}",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def configure(self, pattern: str, **more: t.Any) -> None:
        self.config.write_text(yaml.safe_dump({"rule_files": [pattern], **more}))

    def groups(self) -> list[str]:
        with urllib.request.urlopen(f"{self.url}/api/v1/rules", timeout=10) as answer:
            return [group["name"] for group in json.load(answer)["data"]["groups"]]

    def is_up(self) -> bool:
        try:
            return bool(urllib.request.urlopen(f"{self.url}/-/ready", timeout=10).status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def run(self, *arguments: str, check: bool = False, **variables: t.Any) -> subprocess.CompletedProcess[str]:
        """One run of the role. ``check``: whether the tasks are in check mode, and the play is not."""
        given = {
            "prometheus_alerts_directory": str(self.rules),
            "prometheus_alerts_config": str(self.config),
            "prometheus_alerts_url": self.url,
            "prometheus_alerts_reload_command": ["kill", "-HUP", str(self.process.pid)],
            **variables,
        }
        role: dict[str, t.Any] = {"ansible.builtin.import_role": {"name": "chainops.lifecycle.prometheus_alerts"}}
        role |= {"check_mode": True} if check else {}
        book = [{"hosts": "all", "gather_facts": False, "vars": given, "tasks": [role]}]
        (self.folder / "book.yml").write_text(yaml.safe_dump(book))
        return play(self.folder, "book.yml", {"here": HERE}, *arguments)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        self._log.close()


@pytest.fixture
def prometheus(tmp_path: Path) -> t.Iterator[Prometheus]:
    found = Prometheus(tmp_path)
    waiting = subprocess.run(
        ["curl", "-sf", "--retry", "60", "--retry-delay", "1", "--retry-connrefused", f"{found.url}/-/ready"],
        capture_output=True,
        check=False,
    )
    try:
        assert waiting.returncode == 0 and found.is_up(), (tmp_path / "log").read_text()
        yield found
    finally:
        found.stop()


def changes(done: subprocess.CompletedProcess[str]) -> bool:
    assert done.returncode == 0, done.stdout + done.stderr
    return "changed=0" not in done.stdout


def test_rules_are_put_in_place_changed_and_taken_away(prometheus: Prometheus) -> None:
    written = prometheus.rules / FILE
    assert changes(prometheus.run("--check", check=True)) and changes(prometheus.run(check=True))
    assert not written.exists()
    assert changes(prometheus.run())
    assert prometheus.groups() == ["chainops-lifecycle"]
    assert not changes(prometheus.run()), "it is idempotent"
    assert changes(prometheus.run(check=True, prometheus_alerts_state="absent")) and written.exists()
    assert changes(prometheus.run(prometheus_alerts_labels={"team": "chain"}))
    assert "team: chain" in written.read_text() and "{{ $labels.service }}" in written.read_text()
    assert changes(prometheus.run(prometheus_alerts_state="absent"))
    assert not written.exists() and prometheus.groups() == []
    assert not changes(prometheus.run(prometheus_alerts_state="absent"))


def test_what_fails_is_rolled_back(prometheus: Prometheus) -> None:
    written = prometheus.rules / FILE
    prometheus.configure("/nowhere/*.yml")
    done = prometheus.run()
    assert done.returncode != 0 and "to its rule_files" in done.stdout
    assert list(prometheus.rules.iterdir()) == [], "nothing was there before"
    prometheus.configure(f"{prometheus.rules}/*.yml")
    assert changes(prometheus.run())
    before = written.read_text()
    prometheus.configure(f"{prometheus.rules}/*.yml", nonsense=True)
    done = prometheus.run(prometheus_alerts_labels={"team": "chain"})
    assert done.returncode != 0 and "nonsense" in done.stdout and "as they were before" in done.stdout
    assert written.read_text() == before and prometheus.groups() == ["chainops-lifecycle"]


def test_a_wrong_threshold_names_the_option(prometheus: Prometheus) -> None:
    done = prometheus.run(prometheus_alerts_thresholds={"hold_ending": "soon"})
    assert done.returncode != 0 and "thresholds.hold_ending: 'soon' is no number above 0" in done.stdout
    assert list(prometheus.rules.iterdir()) == []


@pytest.mark.parametrize("path", contents(), ids=lambda path: path.name)
def test_what_is_generated_for_prometheus_is_as_the_code_has_it(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == contents()[path], f"{path.relative_to(ROOT)}: run 'make guides'"
