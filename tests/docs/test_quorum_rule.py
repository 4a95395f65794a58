# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule that opens quorum_guard.py names functions that there are."""

from __future__ import annotations

import ast
import re

import pytest

from .common import FILES, ROOT

GUARD = "plugins/module_utils/_besu/quorum_guard.py"
RULE = ast.get_docstring(ast.parse((ROOT / GUARD).read_text())) or ""
NAMED = [
    name
    for line in re.findall(r"^\d+\. .*: (``.*)\.$", RULE, re.MULTILINE)
    for name in re.findall(r"``([^`]+)``", line)
]
DEFINED = {
    node.name
    for path in FILES
    if path.suffix == ".py" and path.parts[:2] in (("plugins", "module_utils"), ("plugins", "plugin_utils"))
    for node in ast.walk(ast.parse((ROOT / path).read_text()))
    if isinstance(node, (ast.FunctionDef, ast.ClassDef))
}


def test_every_line_of_the_rule_names_what_decides_it() -> None:
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", RULE, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 8
    assert len(re.findall(r"^\d+\. .*: ``.*``\.$", RULE, re.MULTILINE)) == len(numbers)


@pytest.mark.parametrize("name", NAMED)
def test_it_exists(name: str) -> None:
    assert name.rpartition(".")[2] in DEFINED
