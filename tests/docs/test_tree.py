# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for every file of the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.common import FILES, ROOT

WRITTEN_BY_TOOLS = {"CHANGELOG.rst", "changelog.yaml", "COPYING"}
RECORDED = {"recordings", "LICENSES"}

TEXTS = [path for path in FILES if not RECORDED & set(path.parts) and path.name not in WRITTEN_BY_TOOLS]

FORBIDDEN = {
    "a home folder": re.compile(r"(?<![\w.{}])/(?:home|Users)/[\w.-]+/"),
    "the place of this very checkout": re.compile(re.escape(str(ROOT)) + r"\b"),
    "a package registry": re.compile(r"https?://(?:[\w-]+\.)*(?:pypi|pythonhosted|npmjs|crates|golang|maven)\b"),
    "a package mirror": re.compile(r"https?://(?:deb|ftp|security|mirrors?)\.(?!example)[\w.-]+/"),
}


def read(path: Path) -> str:
    return (ROOT / path).read_text(errors="replace")


def test_the_sources_were_found() -> None:
    assert {Path("Makefile"), Path("plugins/module_utils/_host/runtime.py"), Path(".ci/run")} <= set(TEXTS)


@pytest.mark.parametrize("path", TEXTS, ids=str)
def test_a_file_names_nothing_of_one_machine(path: Path) -> None:
    text = read(path)
    found = {what: match.group() for what, pattern in FORBIDDEN.items() if (match := pattern.search(text))}
    if path.parts[:2] == ("tests", "integration") or path.parts[:3] == ("tests", "support", "lab"):
        found.pop("a home folder", None)  # that of a user on the hosts that these make
    assert found == {}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("/home/" + "ann/x", "a home folder"),
        ("see https://files." + "pythonhosted.org/x", "a package registry"),
        ("http://deb." + "some-vendor.org/debian", "a package mirror"),
        (f"{ROOT}" + "/tests", "the place of this very checkout"),
    ],
)
def test_the_patterns_find_what_they_are_for(text: str, what: str) -> None:
    assert FORBIDDEN[what].search(text)
