# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules as pytest-ansible calls them. What they do to a host is tested in tests/integration."""

from __future__ import annotations

import socket
import typing as t

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def answer(called: t.Any) -> dict[str, t.Any]:
    assert set(called.contacted) == {"here"}, called.dark
    return dict(called.contacted["here"])


def test_the_host_answers(localhost: t.Any) -> None:
    assert answer(localhost.ping())["ping"] == "pong"


def test_a_bad_option_is_named(localhost: t.Any) -> None:
    said = answer(getattr(localhost, "chainops.lifecycle.service")(name="called", max_attempts=0))
    assert said["failed"] and said["msg"] == "max_attempts: 0 is less than 1; give 1 or more"


def test_a_report_is_printed_on_the_controller(localhost: t.Any) -> None:
    show = getattr(localhost, "chainops.lifecycle.show_report")
    assert not answer(show(lines=["a fleet that is well"])).get("failed")


def test_an_endpoint_that_nobody_listens_on_is_told(localhost: t.Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        seen = answer(getattr(localhost, "chainops.lifecycle.besu_network_info")(endpoints=[{"url": url}]))
    assert not seen["changed"], seen
    assert seen["networks"] == [], seen
    assert seen["unobserved"] == [f"{url}/"], seen
