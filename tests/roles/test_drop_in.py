# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role of guide_services: its tasks and its handler with ``listen`` call the module as they are written there."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest

from tests.docs import common

HERE = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
STARTED = {"module": "service", "state": "started", "enabled": True, "daemon_reload": True}


def parts() -> dict[str, str]:
    """The files of the role."""
    text = (common.ROOT / "docs/docsite/rst/guide_services.rst").read_text(encoding="utf-8")
    found = re.findall(r"^\.\. code-block:: yaml\n\n((?:  .*\n|\n)+)", text, re.MULTILINE)
    (block,) = ["\n".join(line[2:] for line in body.splitlines()) for body in found if "# handlers/main.yml" in body]
    tasks, _cut, handlers = block.partition("# handlers/main.yml")
    return {"tasks": tasks, "handlers": handlers}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    answer = common.STUB + 'module.exit_json(changed=options["state"] == "restarted", reached=True)\n'
    found = common.replace_modules(tmp_path, {"service": answer})
    (found / "answers.json").write_text("{}")
    for name, written in parts().items():
        (found / f"roles/shop/{name}").mkdir(parents=True)
        (found / f"roles/shop/{name}/main.yml").write_text(written.replace("/etc/api.json", str(found / "api.json")))
    (found / "roles/shop/templates").mkdir()
    (found / "roles/shop/templates/api.json.j2").write_text('{"port": {{ port }}}')
    return found


def run(folder: Path, port: int, *options: str) -> list[dict[str, t.Any]]:
    """What the module is asked for."""
    (folder / "asked").unlink(missing_ok=True)
    book = {"hosts": "all", "gather_facts": False, "roles": ["shop"], "vars": {"port": port}}
    done = common.play_replaced(folder, book, {"here": HERE}, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return common.asked_of_stubs(folder)


def test_a_changed_file_notifies_the_handler_and_an_unchanged_one_does_not(folder: Path) -> None:
    both = [{**STARTED, "name": name} for name in ("api", "worker")]
    restarted = {"module": "service", "name": "api", "state": "restarted"}
    assert run(folder, 8080, "--check") == [*both, restarted]
    assert not (folder / "api.json").exists()
    assert run(folder, 8080) == [*both, restarted]
    assert json.loads((folder / "api.json").read_text()) == {"port": 8080}
    assert run(folder, 8080) == both
    assert run(folder, 9090) == [*both, restarted]
