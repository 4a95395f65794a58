# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No function of the collection has more than 15 ways through it, without an exception.

Counted as radon does: ruff's C901 leaves out comprehensions, conditional expressions and boolean operators.
"""

from __future__ import annotations

import ast
import typing as t
from pathlib import Path

import pytest

from .common import FILES, ROOT

MOST = 15
SOURCES = [path for path in FILES if path.parts[0] == "plugins" and path.suffix == ".py"]
ONE_MORE = (ast.If, ast.IfExp, ast.For, ast.While, ast.AsyncFor, ast.ExceptHandler, ast.Assert)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def own(node: ast.AST) -> t.Iterator[ast.AST]:
    """What is in a function, without the functions in it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, FUNCTIONS):
            yield child
            yield from own(child)


def ways(function: ast.AST) -> int:
    """Its cyclomatic complexity."""
    found = 1
    for node in own(function):
        if isinstance(node, ONE_MORE):
            found += 1
        elif isinstance(node, ast.BoolOp):
            found += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            found += 1 + len(node.ifs)
        elif isinstance(node, ast.Match):
            found += len(node.cases)
        if isinstance(node, (ast.For, ast.While, ast.Try)):
            found += bool(node.orelse)
    return found


def functions(text: str) -> dict[str, int]:
    return {
        f"{node.name}:{node.lineno}": ways(node) for node in ast.walk(ast.parse(text)) if isinstance(node, FUNCTIONS)
    }


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_function_can_be_followed(path: Path) -> None:
    assert {name: count for name, count in functions((ROOT / path).read_text()).items() if count > MOST} == {}


def test_what_is_counted() -> None:
    text = """
def f(a):
    if a and a.b or a.c:
        return [x for x in a if x if x.y]
    for x in a:
        assert x
    else:
        return lambda: 1 if a else 2
    def g(b):
        return b or a
"""
    assert functions(text) == {"f:2": 11, "g:9": 2}
