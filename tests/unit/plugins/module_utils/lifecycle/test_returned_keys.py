# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RETURN of the modules that act documents every key that a result of the engine has, and no other."""

from __future__ import annotations

import importlib

import pytest
import yaml

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis import resolved
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.lifecycle.test_engine import (
    UNIT,
    Bench,
    Cause,
)
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import Unit

# Every module has these, as Ansible documents them.
COMMON = {"changed", "msg", "diff", "failed"}
# What the engine returns only where a kind adds it, or where a task waits in slices; the rest is of what is around it.
OF_KINDS = {
    "besu_node": {"progress", "waiting", "enablement"},
    "service": {"enablement", "results"},
    "cloudflared_tunnel": {"handover", "progress", "enablement"},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results of all sorts: reached, refused, failed, planned, a part of a wait, a cause that was dealt with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resolved, "resolution_of", lambda *_args: "port 80 is free now")
        bench = Bench(tmp_path_factory.mktemp("bench"), Unit(UNIT, start_takes=25.0), cause=Cause("in_use", "hard"))
        bench.unit.start_fails = True
        made = [bench.run(check_mode=True), bench.run(wait_timeout=60)]
        bench.unit.start_fails = False
        bench.clock.sleep(60)
        made += [bench.run(wait_id="w", slice_length=5.0, recovery="reset_start"), bench.run(wait_timeout=90)]
        bench.unit.load = "masked"
        made += [bench.run("restarted"), bench.run("stopped"), bench.run()]
        return [outcome.as_dict() for outcome in made]


def documented(module):
    text = importlib.import_module(f"ansible_collections.chainops.lifecycle.plugins.modules.{module}").RETURN
    return yaml.safe_load(text)


def keys_of(value):
    rows = value if isinstance(value, list) else [value]
    return {key for row in rows if isinstance(row, dict) for key in row}


def test_the_results_are_of_all_sorts(results):
    assert {"resolved", "diagnosis", "msg", "waiting"} <= set().union(*results)
    assert any(result["blocked_by"] for result in results) and any(result["transitions"] for result in results)


@pytest.mark.parametrize("module", OF_KINDS)
def test_every_key_is_documented_and_every_documented_key_is_there(results, module):
    described, found = documented(module), set().union(*results)
    assert found - COMMON - {"waiting"} - described.keys() == set()
    assert described.keys() - found - COMMON - OF_KINDS[module] - {module.partition("_")[0]} == set()


def test_what_is_nested_is_documented(results):
    described = documented("service")
    for key in ("transitions", "blocked_by", "attempts"):
        found = set().union(*(keys_of(result[key]) for result in results))
        assert found == set(described[key]["contains"]), key
