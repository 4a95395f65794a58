# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's metadata agree with what is in the tree."""

from __future__ import annotations

import ast
import fnmatch
import importlib

import pytest

from ansible_collections.chainops.lifecycle.plugins.filter.filters import FilterModule
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_action import HostAction
from tests.docs.common import FILES, MODULES, PLAYBOOKS, ROLES, ROOT, load, names

MODULE_CODE_LINES = 60
# These apply the defaults of the module that they run instead.
GROUPED = [name for name in MODULES if name not in ("service_drive", "service_drive_all")]
DOCUMENTATION_NAMES = {"DOCUMENTATION", "EXAMPLES", "RETURN"}


def test_there_is_something_to_check() -> None:
    assert MODULES
    assert PLAYBOOKS
    assert ROLES


def test_the_action_group_is_the_list_of_modules() -> None:
    assert load("meta/runtime.yml")["action_groups"] == {"lifecycle": GROUPED}


@pytest.mark.parametrize("name", GROUPED)
def test_a_module_says_which_action_group_it_is_in(name: str) -> None:
    text = (ROOT / f"plugins/modules/{name}.py").read_text()
    assert "chainops.lifecycle._attributes.actiongroup_lifecycle" in text


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_documentation_and_a_call(name: str) -> None:
    text = (ROOT / f"plugins/modules/{name}.py").read_text()
    documentation = {
        line
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and {getattr(target, "id", "") for target in node.targets} & DOCUMENTATION_NAMES
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    code = [
        line
        for number, line in enumerate(text.splitlines(), 1)
        if number not in documentation and line.strip() and not line.startswith("#")
    ]
    assert len(code) <= MODULE_CODE_LINES


# They ask no host.
ON_THE_CONTROLLER = {"check_variables", "fleet_report", "host_outcome", "monitoring_program", "show_report"}


@pytest.mark.parametrize("name", sorted({*MODULES, *names("plugins/action", ".py")} - ON_THE_CONTROLLER))
def test_what_a_host_returns_comes_in_through_one_place(name: str) -> None:
    plugin = importlib.import_module(f"ansible_collections.chainops.lifecycle.plugins.action.{name}").ActionModule
    assert issubclass(plugin, HostAction)
    assert plugin._execute_module is HostAction._execute_module


def test_each_filter_is_documented_and_in_the_one_file() -> None:
    assert names("plugins/filter", ".py") == ["filters"], "a process that needs one filter looks into each file"
    assert sorted(FilterModule().filters()) == sorted(names("plugins/filter", ".yml"))


@pytest.mark.parametrize("name", sorted(FilterModule().filters()))
def test_a_filter_neutralises_what_came_from_hosts(name: str) -> None:
    function = FilterModule().filters()[name]
    assert function.__code__.co_name == "edge", "wrap it in from_hosts, naming the arguments that hold host text"


def test_the_changelog_names_what_is_new() -> None:
    releases = load("changelogs/changelog.yaml")["releases"]
    version = load("galaxy.yml")["version"]
    assert version in releases
    listed: dict[str, set[str]] = {"module": set(), "role": set(), "playbook": set()}
    for release in releases.values():
        listed["module"] |= {entry["name"] for entry in release.get("modules", [])}
        for kind in ("role", "playbook"):
            listed[kind] |= {entry["name"] for entry in release.get("objects", {}).get(kind, [])}
    assert listed == {"module": set(MODULES), "role": set(ROLES), "playbook": set(PLAYBOOKS)}


def test_no_dependency_reaches_an_execution_environment() -> None:
    environment = load("meta/execution-environment.yml")
    assert sorted(environment["dependencies"]) == ["python", "system"]
    for path in environment["dependencies"].values():
        lines = (ROOT / path).read_text().splitlines()
        assert [line for line in lines if line.strip() and not line.startswith("#")] == []


def test_no_sanity_test_is_switched_off() -> None:
    assert [str(path) for path in FILES if fnmatch.fnmatch(str(path), "tests/sanity/ignore*")] == []


def test_nothing_that_runs_needs_a_file_outside_the_runtime_folders() -> None:
    """Galaxy's rule: a collection works with meta, plugins, roles and playbooks alone."""
    outside = {"tests/", "tools/", "extensions/", "../docs", "requirements/"}
    for path in FILES:
        if path.parts[0] in ("playbooks", "roles") and path.suffix in (".yml", ".j2") and "molecule" not in path.parts:
            text = (ROOT / path).read_text()
            lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
            assert [line for line in lines for word in outside if word in line] == [], path
