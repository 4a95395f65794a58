# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a playbook leaves of a host, which outlives it where a site.yml imports another one after it."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import yaml

from .common import ROOT, load

FILES = [*sorted(ROOT.glob("playbooks/**/*.yml")), *sorted(ROOT.glob("roles/*/tasks/*.yml"))]
VARIABLES = [*sorted(ROOT.glob("roles/*/vars/*.yml")), *sorted(ROOT.glob("roles/*/defaults/*.yml"))]
FORGET = "playbooks/tasks/forget.yml"
# How a playbook or a role reads what other hosts have.
_OF_OTHERS = re.compile(r"""attribute='(\w+)'|'extract', hostvars, '(\w+)'|hostvars\[.*?\]\.(\w+)""")


def found(node: t.Any, key: str) -> t.Iterator[t.Any]:
    """Every value of ``key`` in a tree of YAML."""
    if isinstance(node, dict):
        yield from ([node[key]] if key in node else [])
    for one in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from found(one, key)


def facts(path: Path) -> set[str]:
    """What the tasks of a file set or register."""
    tree = yaml.safe_load(path.read_text())
    return {*found(tree, "register"), *(name for one in found(tree, "ansible.builtin.set_fact") for name in one)}


def forgotten() -> set[str]:
    return facts(ROOT / FORGET)


LEFT = {name for path in FILES if path != ROOT / FORGET for name in facts(path)}


def test_what_is_read_of_other_hosts_is_forgotten_before_the_next_playbook() -> None:
    """A host has it from an earlier playbook where its turn has not come, or where it takes part in no play any more."""
    text = "".join(path.read_text() for path in (*FILES, *VARIABLES))
    read = {name for match in _OF_OTHERS.findall(text) for name in match if name in LEFT}
    assert {"lifecycle_observed", "service_recovery_result", "__lifecycle_planned"} <= read
    assert read - forgotten() == set()


def test_what_is_forgotten_is_left_by_something() -> None:
    assert forgotten() - LEFT == set()


def test_no_name_is_both_a_variable_and_a_fact() -> None:
    """A fact that one playbook has left goes before a variable of the same name, of this playbook or of the next."""
    given = {name for path in FILES for one in found(load(path.relative_to(ROOT)), "vars") for name in one or ()}
    given |= {name for path in VARIABLES for name in load(path.relative_to(ROOT)) or ()}
    assert given & LEFT == set()


def test_the_statistics_of_a_playbook_take_the_place_of_those_of_an_earlier_one() -> None:
    """By default Ansible puts both texts together, and keeps of two dictionaries what the second does not have."""
    given = [one for path in FILES for one in found(load(path.relative_to(ROOT)), "ansible.builtin.set_stats")]
    assert given and all(one["aggregate"] is False for one in given)
