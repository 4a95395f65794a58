# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failure lines of real programs (failure_lines.tsv), each diagnosed alone, and the precision of that.

A wrong hard cause keeps a service down that a restart would have brought back: it counts double.
"""

from __future__ import annotations

import typing as t
from collections import Counter
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.causes import START_RULES
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.causes import RULES
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import diagnose
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.rules import GENERIC_RULES
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import journal as j

RUN = "a" * 32
FAILED = {
    "Id": "x.service",
    "LoadState": "loaded",
    "ActiveState": "failed",
    "SubState": "failed",
    "Result": "exit-code",
    "InvocationID": RUN,
    "ExecMainCode": "1",
    "ExecMainStatus": "1",
    "Restart": "no",
}
RULES_OF = {"besu": START_RULES, "cloudflared": RULES}


class Row(t.NamedTuple):
    program: str
    cause: str
    severity: str
    line: str


def read_rows() -> list[Row]:
    text = Path(__file__).with_name("failure_lines.tsv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("# ")]
    return [Row(*line.split("\t")) for line in lines if line != "#"][1:]


ROWS = read_rows()


def entry(message: str, **fields: str) -> j.Entry:
    return j.Entry(
        timestamp=1000.0,
        monotonic=0.0,
        boot_id="b",
        invocation_id=RUN,
        priority=6,
        message=message,
        unit="x.service",
        identifier="x",
        pid=7,
        message_id=fields.pop("MESSAGE_ID", ""),
        cursor="",
        fields={"_TRANSPORT": "stdout", **fields},
    )


def diagnosed(row: Row) -> tuple[str, str]:
    program, _slash, status = row.program.partition("/")
    entries, properties = [entry(row.line)], FAILED
    if status == "manager":
        entries = [entry(row.line, _PID="1", UNIT="x.service", _TRANSPORT="journal")]
        properties = {**FAILED, "Result": "resources", "ExecMainCode": "0"}
    elif status:
        entries = [entry(row.line, UNIT="x.service", _TRANSPORT="journal")]
        properties = {**FAILED, "ExecMainStatus": status}
    found = diagnose(properties, entries, rules=(*RULES_OF.get(program, ()), *GENERIC_RULES)).primary
    assert found is not None
    return found.id, found.severity


def test_the_corpus_is_large_and_covers_every_runtime() -> None:
    counts = Counter(row.program.partition("/")[0] for row in ROWS)
    assert len({row.line for row in ROWS}) >= 300
    wanted = {"jvm", "go", "rust", "node", "python", "postgresql", "nginx", "besu", "cloudflared", "systemd"}
    assert wanted <= set(counts), counts


def test_the_precision_on_the_corpus(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = [(row, found) for row in ROWS for found in [diagnosed(row)] if found != (row.cause, row.severity)]
    hard = sum(1 for row, found in wrong if found[1] == "hard" and row.severity != "hard")
    precision = (len(ROWS) - len(wrong)) / (len(ROWS) + hard)
    with capsys.disabled():
        print(f"\nprecision {precision:.1%}: {len(ROWS)} lines, {len(wrong)} wrong, of these {hard} a wrong hard cause")
    listed = [f"{row.program}: {row.cause}/{row.severity}, found {'/'.join(found)}: {row.line}" for row, found in wrong]
    assert not wrong, "\n".join(listed)
