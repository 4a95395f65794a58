# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of the text rules over any input."""

from __future__ import annotations

import time

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import (
    escape_control,
    redact,
    redact_data,
    sanitize,
)

MARKUP = st.lists(st.sampled_from(list("{}%#<>/!\x1b[0m]\x07\n\u202e\u200b-a ")), max_size=60).map("".join)
ANY_TEXT = st.one_of(st.text(alphabet=st.characters(), max_size=300), MARKUP)
SECRET = st.text(
    alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!$%^*_+.~", min_size=8, max_size=40
)
KEYS = st.sampled_from(
    ["token", "--token", "PASSWORD", "api_key", "api-key", "client_secret", "TunnelSecret", "passphrase"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(ANY_TEXT, st.integers(min_value=1, max_value=600))
def test_neutral_text_is_one_bounded_printable_line(text: str, limit: int) -> None:
    clean = escape_control(text, limit)
    assert clean.isprintable()
    assert len(clean) <= limit
    clean.encode("utf-8")


@given(ANY_TEXT)
def test_neutral_text_is_stable(text: str) -> None:
    assert escape_control(escape_control(text, 10_000), 10_000) == escape_control(text, 10_000)


@given(ANY_TEXT)
def test_a_template_of_neutral_text_renders_to_itself(text: str) -> None:
    clean = escape_control(text)
    assert jinja2.Environment(autoescape=False).from_string(clean).render() == clean


@given(ANY_TEXT)
def test_neutral_text_opens_no_tag(text: str) -> None:
    clean = escape_control(text)
    following = [clean[index + 1 : index + 2] for index, char in enumerate(clean) if char == "<"]
    assert not any(char.isascii() and (char.isalpha() or char in "/!?") for char in following if char)


@given(KEYS, st.sampled_from(["=", ": ", " = ", ":"]), SECRET, st.text(alphabet="ab {}\n'\",", max_size=20))
def test_an_assigned_secret_never_survives(key: str, separator: str, secret: str, before: str) -> None:
    assert secret not in sanitize(f"{before} {key}{separator}{secret}").replace(before, "")


@given(KEYS.filter(lambda key: not key.startswith("-")), SECRET, ANY_TEXT)
def test_a_named_secret_in_data_never_survives(key: str, secret: str, other: str) -> None:
    assert redact_data({key: secret, "other": [other]})[key] == "[redacted]"


@given(ANY_TEXT)
def test_redaction_never_raises_and_is_stable(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@given(JSON)
def test_any_data_is_accepted(value: object) -> None:
    redact_data(value)


ADVERSARIES = [
    "a", "eyJ", "eyJ.", "-----BEGIN PRIVATE KEY-----", "--token", "token=", 'token="', "token: ", "://", "a://b",
    "password ", "\x1b[", "\x1b]", "\x1b[0", "{", "{%", "<", "Authorization: ", "bearer ", "key ", "0", "-", "=", " ",
    "-token", "token_", "\\", "cookie:", "http://a:", "A1b",
]  # fmt: skip


@pytest.mark.parametrize("unit", ADVERSARIES)
def test_time_grows_with_length_and_no_faster(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        best = 1e9
        for _unused in range(3):
            started = time.process_time()
            sanitize(text)
            best = min(best, time.process_time() - started)
        return best

    short, long = seconds(20_000), seconds(160_000)
    # Eight times the text: linear gives 8, quadratic 64.
    assert long < 24 * short + 0.02
