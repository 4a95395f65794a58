# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees on a terminal of a width, and where there is none: tables that fit, and colour as Ansible has it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
import threading
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.docs import common

from .test_recover_playbook import HERE, INFO, folder, seen

__all__ = ["folder"]  # the fixture

WHY = " ".join(f"word{number}" for number in range(40)) + " and that is why"


def on_terminal(folder: Path, columns: int, environment: t.Mapping[str, str], *argv: str) -> str:
    """What a command prints on a terminal that is so wide."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    found: list[bytes] = []

    def read() -> None:
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # nobody has the terminal open any more
                return
            if not data:
                return
            found.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    with subprocess.Popen(
        argv, cwd=folder, env=environment, stdout=its, stderr=its, stdin=subprocess.DEVNULL
    ) as process:
        os.close(its)
        process.wait(600)
    reader.join()
    os.close(ours)
    return b"".join(found).decode().replace("\r\n", "\n")


def status(folder: Path, columns: int | None, **given: str) -> str:
    row = {**seen("x"), "reasons": [WHY], "cause": None, "diagnosis": {}}
    info = common.STUB + f"ROW = {row!r}\n" + INFO
    common.write_module(folder, "service_info", info)
    (folder / "answers.json").write_text(json.dumps({}))
    (folder / "inventory.yml").write_text(
        yaml.safe_dump({"all": {"hosts": {"here": HERE | {"lifecycle_services": ["api"]}}}})
    )
    names = ("NO_COLOR", "ANSIBLE_NOCOLOR", "ANSIBLE_FORCE_COLOR", "COLUMNS")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    paths = {"ANSIBLE_COLLECTIONS_PATH": str(folder), "ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "TERM": "xterm"}
    argv = ["ansible-playbook", "-i", "inventory.yml", "chainops.lifecycle.status"]
    environment = {**environment, **paths, **given}
    if columns is not None:
        return on_terminal(folder, columns, environment, *argv)
    return subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=600
    ).stdout


@pytest.mark.parametrize(
    ("columns", "given", "width", "colour"),
    [
        (80, {}, 80, True),
        (80, {"NO_COLOR": "1"}, 80, False),
        (120, {"ANSIBLE_NOCOLOR": "1"}, 120, False),
        (None, {}, 100, False),
        (None, {"ANSIBLE_FORCE_COLOR": "1"}, 100, True),
    ],
)
def test_tables_fit_the_terminal_and_colour_is_as_ansible_has_it(
    folder: Path, columns: int | None, given: dict[str, str], width: int, colour: bool
) -> None:
    said = status(folder, columns, **given)
    assert ("\x1b[" in said) == colour, said
    table = said.split("\nSTATUS\n", 1)[1].split("1 service on 1 host", 1)[0]
    assert "\x1b" not in table and "word0 word1" in table and "that is why" in table
    longest = max(map(len, table.splitlines()))
    assert width - 12 <= longest <= width, table
