# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No string of a host is a template on the controller, alone or joined to another, whatever it holds."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import neutralise

# What ansible-core asks before it templates a string (is_possibly_template), and its header that changes delimiters.
MARKS = ("{{", "{%", "{#")
HOSTILE = st.text(alphabet="{}%#<jinja2: \n\u200bx", max_size=40)


def acts(text: str) -> bool:
    return any(mark in text for mark in MARKS) or text.startswith("#jinja2:")


@settings(deadline=None)  # the machine may be busy
@given(HOSTILE, HOSTILE)
def test_nothing_acts_alone_or_joined(one: str, other: str) -> None:
    first, second = neutralise(one), neutralise(other)
    assert not acts(first) and not acts(first + second)
    assert Environment().from_string(first + second).render() in (first + second, (first + second).removesuffix("\n"))


@settings(deadline=None)  # the machine may be busy
@given(
    st.recursive(
        HOSTILE | st.integers() | st.booleans() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(HOSTILE, inner),
    )
)
def test_at_any_depth_and_in_keys(value: object) -> None:
    found = neutralise(value)
    assert not any(mark in json.dumps(found) for mark in ("{{ ", "{%", "{#", '"#jinja2:'))
    assert neutralise(found) == found
