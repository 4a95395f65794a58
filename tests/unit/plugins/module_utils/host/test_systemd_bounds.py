# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemctl prints is taken within bounds, and what it says of an error is neutralised."""

from __future__ import annotations

import time

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed, LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import Systemd

UNITS = ["a.service"]


def systemd(out: bytes = b"", err: bytes = b"", rc: int | None = 0, **how: bool) -> Systemd:
    return Systemd(lambda *_args, **_options: Completed(rc, out, err, **how))


def test_a_flood_of_one_key_is_read_in_time() -> None:
    """It cost 150 s of CPU when every line was added to the text of those before it."""
    flood = b"Id=a.service\n" + b"StatusText=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n" * 100_000
    began = time.process_time()
    (facts,) = systemd(flood).show(UNITS)
    assert len(facts.text("StatusText")) == 41 * 100_000 - 1
    assert time.process_time() - began < 2


def test_a_list_on_several_lines_is_one_value() -> None:
    (facts,) = systemd(b"Id=a.service\nEnvironmentFiles=/a (ignore_errors=no)\nEnvironmentFiles=/b\n").show(UNITS)
    assert facts.text("EnvironmentFiles") == "/a (ignore_errors=no) /b"


def test_more_than_any_unit_has_is_no_answer() -> None:
    with pytest.raises(LifecycleError, match="printed more than 524288 bytes for 1 units, which is no answer"):
        systemd(b"Id=a.service\n", rc=-9, truncated=True).show(UNITS)


@pytest.mark.parametrize(
    "answer",
    [
        systemd(rc=1, err=b"Failed to connect: \x1b[31m{{ 7*7 }}\n token=hunter2"),
        systemd(b"Id=a\n\nId=b\n", err=b"\x1b[31m{{ 7*7 }} token=hunter2"),
    ],
)
def test_what_systemctl_says_is_neutralised(answer: Systemd) -> None:
    with pytest.raises(LifecycleError) as raised:
        answer.show(UNITS)
    assert "{ { 7*7 } }" in raised.value.msg and "\x1b" not in raised.value.msg and "hunter2" not in raised.value.msg
