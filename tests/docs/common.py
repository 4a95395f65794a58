# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks of the tree share."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from pathlib import Path

import yaml

from tools import tree

ROOT = tree.ROOT
FILES = tree.known_files()


def names(folder: str, suffix: str) -> list[str]:
    """The stems of the files with this suffix right in ``folder``."""
    found = (path for path in FILES if path.parent == Path(folder) and path.suffix == suffix)
    return sorted(path.stem for path in found if not path.stem.startswith("__"))


def roles() -> list[str]:
    """The names of the collection's roles."""
    return sorted({path.parts[1] for path in FILES if path.parts[0] == "roles" and len(path.parts) > 2})


def load(path: str | Path) -> t.Any:
    """The data of a YAML file of the tree."""
    return yaml.safe_load((ROOT / path).read_text())


def play(
    folder: Path, book: str, hosts: t.Mapping[str, t.Any], *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a playbook in ``folder``; ``hosts``: name -> variables."""
    (folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": dict(hosts)}}))
    return subprocess.run(
        ["ansible-playbook", "-i", "inventory.yml", book, *options],
        cwd=folder,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,  # a bound, not a measure: the machine may be busy
        stdin=subprocess.DEVNULL,
    )


# The first lines of a module that writes down its options; its last ones choose of ``answers``, for its ``name``. It takes
# them as a file (WANT_JSON): the way of modules that import AnsibleModule costs 0.5 s of CPU time for each run.
STUB = """#!/usr/bin/python
# WANT_JSON
import json, os, sys
with open(sys.argv[1]) as stream:
    given = json.load(stream)
options = {key: value for key, value in given.items() if not key.startswith("_ansible")}
folder = os.path.dirname(os.environ["ANSIBLE_CONFIG"])
name = given["_ansible_module_name"].rpartition(".")[2]
with open(os.path.join(folder, "asked"), "a") as asked:
    asked.write(json.dumps({"module": name, **options}) + chr(10))
class Module:
    check_mode = given["_ansible_check_mode"]
    def exit_json(self, **result):
        print(json.dumps(result))
        sys.exit(0)
    def fail_json(self, **result):
        print(json.dumps({**result, "failed": True}))
        sys.exit(1)
module = Module()
with open(os.path.join(folder, "answers.json")) as stream:
    answers = json.load(stream)
"""


# Stands for service_drive_all: each service is written down and answered as one of the module service.
SEVERAL = (
    STUB.replace('    asked.write(json.dumps({"module": name, **options}) + chr(10))', '    for one in given["services"]:\n'
                 '        asked.write(json.dumps({"module": "service", **one["service"]}) + chr(10))')
    + """
def answer(service):
    name = str(service.get("name"))
    becomes = {} if module.check_mode else answers.get("service " + name, {}).get("becomes", {})
    for other, state in becomes.items():
        with open(os.path.join(folder, "state of " + other), "w") as file:
            file.write(state)
    for key in ("service" + (" check" if module.check_mode else "") + " " + name, "service " + name, "service"):
        if key in answers:
            return {"name": name, "begun": True, **answers[key]}
results = [answer(one["service"]) for one in given["services"]]
module.exit_json(changed=any(one.get("changed") for one in results), results=results)
"""
)  # fmt: skip


def write_module(folder: Path, name: str, text: str) -> None:
    """Put a module into the collection of ``replace_modules``."""
    (folder / f"ansible_collections/chainops/lifecycle/plugins/modules/{name}.py").write_text(text)


def replace_modules(folder: Path, modules: t.Mapping[str, str], *parts: str, config: str = "") -> Path:
    """Put the collection into ``folder`` with other modules, name -> text, and with ``parts`` of its own."""
    tree = folder / "ansible_collections/chainops/lifecycle"
    (tree / "plugins/modules").mkdir(parents=True)
    for part in {"galaxy.yml", "meta", "plugins/plugin_utils", "plugins/module_utils", "plugins/filter", *parts}:
        (tree / part).parent.mkdir(parents=True, exist_ok=True)
        (tree / part).symlink_to(ROOT / part)
    for name, text in modules.items():
        write_module(folder, name, text)
    (folder / "ansible.cfg").write_text(config)
    return folder


def play_replaced(
    folder: Path, book: t.Mapping[str, t.Any], hosts: t.Mapping[str, t.Any], *options: str
) -> subprocess.CompletedProcess[str]:
    """Run one play in a folder of ``replace_modules``."""
    (folder / "book.yml").write_text(yaml.safe_dump([dict(book)]))
    given = {"ANSIBLE_COLLECTIONS_PATH": str(folder), "ANSIBLE_CONFIG": str(folder / "ansible.cfg")}
    return play(folder, "book.yml", hosts, *options, **given)


def asked_of_stubs(folder: Path) -> list[dict[str, t.Any]]:
    """The options that modules with ``STUB`` were given, with the ``module``."""
    return [json.loads(line) for line in (folder / "asked").read_text().splitlines()]


MODULES = names("plugins/modules", ".py")
PLAYBOOKS = names("playbooks", ".yml")
ROLES = roles()
