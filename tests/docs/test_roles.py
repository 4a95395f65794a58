# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each role's argument specification, defaults and README say the same."""

from __future__ import annotations

import re
import typing as t

import pytest

from tests.docs.common import ROLES, ROOT, load

TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "path": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
    "raw": (object,),
}


def options(role: str) -> dict[str, dict[str, t.Any]]:
    """The options of all entry points."""
    specs = load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]
    return {name: option for entry in specs.values() for name, option in entry.get("options", {}).items()}


def defaults(role: str) -> dict[str, t.Any]:
    """The role's defaults."""
    return load(f"roles/{role}/defaults/main.yml") or {}


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_an_option(role: str) -> None:
    assert set(defaults(role)) - set(options(role)) == set()


@pytest.mark.parametrize("role", ROLES)
def test_every_documented_default_is_the_real_one(role: str) -> None:
    real = defaults(role)
    documented = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert {name: real.get(name, "(missing in defaults)") for name in documented} == documented


@pytest.mark.parametrize("role", ROLES)
def test_every_plain_default_is_documented(role: str) -> None:
    """A default that is an expression is described in words instead."""
    spec = options(role)
    plain = {name for name, value in defaults(role).items() if "{{" not in str(value)}
    assert {name for name in plain if name in spec and "default" not in spec[name]} == set()


@pytest.mark.parametrize("role", ROLES)
def test_defaults_have_the_documented_type(role: str) -> None:
    spec = options(role)
    for name, value in defaults(role).items():
        if "{{" in str(value):
            continue
        kind = spec[name].get("type", "str")
        assert isinstance(value, TYPES[kind]), name
        assert kind in ("bool", "raw") or not isinstance(value, bool), name


@pytest.mark.parametrize("role", ROLES)
def test_no_option_is_required_and_has_a_default(role: str) -> None:
    real = defaults(role)
    assert {name for name, option in options(role).items() if option.get("required") and name in real} == set()


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_names_every_option(role: str) -> None:
    text = (ROOT / f"roles/{role}/README.md").read_text()
    assert {name for name in options(role) if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("role", ROLES)
def test_yes_and_no_may_be_a_text(role: str) -> None:
    """From a survey of AWX, or with -e name=false, they are; the text false is true to a condition."""
    names = [name for name, option in options(role).items() if option.get("type") == "bool" and name.startswith(role)]
    text = "\n".join(path.read_text() for path in (ROOT / f"roles/{role}").glob("[tv]a[sr]*/*.yml"))
    for name in names:
        used = re.findall(rf"^(?!.*tags:).*\b{name}\b(?!:)(.{{0,7}})", text, re.MULTILINE)
        # A blank answer is looked for before.
        assert " | bool" in used and set(used) <= {" | bool", " | stri", " is non"}, name
