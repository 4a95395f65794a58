# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks of the tree share."""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

import yaml

from tools import tree

ROOT = tree.ROOT
FILES = tree.known_files()
HEADER = (ROOT / "pyproject.toml").read_text().split("\n\n", 1)[0].splitlines()


def names(folder: str, suffix: str) -> list[str]:
    """The stems of the files with this suffix right in ``folder``."""
    found = (path for path in FILES if path.parent == Path(folder) and path.suffix == suffix)
    return sorted(path.stem for path in found if path.stem != "__init__")


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
        timeout=180,
        stdin=subprocess.DEVNULL,
    )


MODULES = names("plugins/modules", ".py")
PLAYBOOKS = names("playbooks", ".yml")
ROLES = roles()
