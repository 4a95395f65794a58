# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No string of a host is a template on the controller, alone or joined to another."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import (
    MAX_DEPTH,
    from_hosts,
    neutralise,
)


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("{{ lookup('pipe', 'id') }}", "{ { lookup('pipe', 'id') } }"),
        ("{{{{ x", "{ { { { x"),
        ("{% raw %}", "{ % raw % }"),
        ("{#", "{ #"),
        ("a{", "a{ "),
        ("#jinja2: variable_start_string: '[['\n[[ x ]]", "# jinja2: variable_start_string: '[['\n[[ x ]]"),
        ("#jinja2:x", "# jinja2:x"),
        ("{\u200b{ x", "{\\u200b{ x"),
        ("\x1b[31mred\x1b[0m\x07", "red\\x07"),
        ("50% of {'a': 1}", "50% of {'a': 1}"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_a_string(text: str, harmless: str) -> None:
    assert neutralise(text) == harmless
    assert neutralise(harmless) == harmless, "what is harmless stays as it is"


def test_nesting_ends() -> None:
    deep: object = "{{ x }}"
    for _level in range(5000):
        deep = [deep]
    found = neutralise(deep)
    for _level in range(MAX_DEPTH):
        (found,) = found
    assert found == "[nested too deep]"


def test_values_of_other_types_stay() -> None:
    given_values = {"a": 1, "b": 1.5, "c": True, "d": None, "e": ["x"], "f": b"{{ x }}"}
    assert neutralise(given_values) == {**given_values, "f": "{ { x } }"}


def test_a_filter_neutralises_what_came_from_hosts_and_nothing_else() -> None:
    def both(seen: str, described: str = "", more: str = "") -> list[str]:
        return [seen, described, more]

    edge = from_hosts(both, "seen", "more")
    assert edge("{{ a }}", "{{ b }}", more="{{ c }}") == ["{ { a } }", "{{ b }}", "{ { c } }"]
    assert edge("x") == ["x", "", ""]
    with pytest.raises(TypeError, match="no argument nobody"):
        from_hosts(both, "nobody")
