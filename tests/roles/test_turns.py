# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A play that restarts validators takes its hosts one after the other: it runs with a module that only takes its time."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from tests.docs.common import play_replaced, replace_modules

HERE = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
HOSTS = {f"n{number}": HERE for number in range(1, 4)}
STUB = """
import os, time
from ansible.module_utils.basic import _load_params, AnsibleModule
options = [key for key in _load_params() if not key.startswith("_ansible")]
module = AnsibleModule({key: {"type": "raw"} for key in options}, supports_check_mode=True)
def write(word):
    with open(os.path.join(os.path.dirname(os.environ["ANSIBLE_CONFIG"]), "acts"), "a") as acts:
        acts.write(word + chr(10))
write("begins")
time.sleep(1.5)
write("ends")
if module.params.get("name") == "fails":
    module.fail_json(msg="as told")
module.exit_json(reached=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A playbook's folder, with the collection and another module."""
    return replace_modules(tmp_path, {"besu_node": STUB}, "plugins/action")


def acts(folder: Path, *options: str, **arguments: t.Any) -> tuple[list[str], str]:
    """What the hosts did in which order, and the output."""
    task = {"chainops.lifecycle.besu_node": {"name": "besu", "state": "restarted", **arguments}}
    book = {"hosts": "all", "gather_facts": False, "tasks": [task]}
    done = play_replaced(folder, book, HOSTS, *options)
    return (folder / "acts").read_text().split(), done.stdout + done.stderr


@pytest.mark.parametrize("name", ["besu", "fails"])
def test_one_after_the_other(folder: Path, name: str) -> None:
    order, output = acts(folder, name=name)
    assert order == ["begins", "ends"] * 3, output
    assert output.count(f"{name}: waits until another host of the play is done") == 2, output


@pytest.mark.parametrize(
    ("options", "arguments"), [((), {"reservation": "me"}), (("--check",), {}), ((), {"quorum_guard": "off"})]
)
def test_side_by_side(folder: Path, options: tuple[str, ...], arguments: dict[str, t.Any]) -> None:
    order, output = acts(folder, *options, **arguments)
    assert sorted(order) == ["begins"] * 3 + ["ends"] * 3 and order != ["begins", "ends"] * 3, output
    assert "waits until" not in output
