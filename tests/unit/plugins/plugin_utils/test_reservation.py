# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the answers of hosts come to for a service, whichever its kind."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _reservation as r

NODE = {"name": "besu", "kind": "besu", "takes_offline": True, "serves": False}
CONNECTOR = {"name": "web", "kind": "cloudflared", "takes_offline": False, "serves": True}
PLAIN = {"name": "api", "kind": "generic", "takes_offline": False, "serves": False}
OTHER = {"owner": "somebody else", "left": 170}
FULL = {"keys", "held", "refused", "granted", "release_now", "again", "attempt", "busy", "last"}


def node(**answer):
    ask = {"host": "a", "validators": 1, "needed": 1, "owner": "me", "round": 0, "last": False}
    return r.reservation_result([{r.ASK: ask, **answer}], ["a/besu"])


def connector(**answer):
    ask = {"key": "a/web", "host": "a", "own": True, "owner": "me", "tunnel": "t", "scope": "system"}
    return r.reservation_result([{r.ASK: ask, **answer}], ["a/web"], tries=2)


GRANTED = ((NODE, node(granted=True)), (CONNECTOR, connector(granted=True, healthy=["second"])))
TAKEN = ((NODE, node(granted=False, holder=OTHER)), (CONNECTOR, connector(granted=False, holder=OTHER)))
LAST = connector(granted=True, healthy=[], observed=True)


@pytest.mark.parametrize("answers", [node(granted=True), LAST, r.reservation_result([], ["a/besu"])])
def test_the_answers_for_each_kind_have_one_shape(answers):
    assert set(answers) == FULL


@pytest.mark.parametrize(("service", "answers"), GRANTED)
def test_what_is_granted_is_held_by_that_service_alone(service, answers):
    found = r.reservation_state(answers, service, "a")
    assert found["needed"] and found["held"] and found["options"] == {"reservation": "me"}
    assert [one["host"] for one in found["grants"]] == ["a"] and answers["release_now"] == []
    other = r.reservation_state(answers, service, "b")
    assert not other["held"] and other["grants"] == [] and other["options"] == {"reservation": "nobody"}


@pytest.mark.parametrize(("service", "answers"), TAKEN)
def test_what_another_run_has_is_asked_for_again(service, answers):
    found = r.reservation_state(answers, service, "a")
    assert found["again"] and found["busy"] and found["next"] == 1 and found["refusal"].startswith("a: ")
    assert found["options"] == {"reservation": "nobody"}


@pytest.mark.parametrize(("service", "answers"), TAKEN)
def test_a_question_takes_what_another_run_has_for_granted(service, answers):
    """It is waited for at its turn."""
    found = r.reservation_state(answers, service, "a", check_mode=True, question=True)
    assert found["granted"] and not found["held"]
    assert found["options"] == ({} if service is NODE else {"healthy_replicas": 1})
    assert not r.reservation_state(answers, service, "a", check_mode=True)["granted"]


@pytest.mark.parametrize(
    ("service", "answers", "reserve", "check_mode", "options"),
    [
        # A node that takes nothing offline now may do so by the time that it is acted on.
        ({**NODE, "takes_offline": False}, {}, True, False, {"reservation": "nobody"}),
        ({**NODE, "takes_offline": False}, {}, True, True, {}),
        (NODE, {}, True, True, {"reservation": "nobody"}),
        (NODE, GRANTED[0][1], True, True, {}),
        (NODE, GRANTED[0][1], False, False, {}),
        (NODE, GRANTED[0][1], "false", False, {}),
        # A survey that leaves it blank has not given it.
        (NODE, {}, " ", False, {"reservation": "nobody"}),
        (CONNECTOR, GRANTED[1][1], True, True, {"healthy_replicas": 1}),
        (CONNECTOR, LAST, True, False, {"reservation": "nobody", "healthy_replicas": 0}),
        (CONNECTOR, LAST, True, True, {"reservation": "nobody", "healthy_replicas": 0}),
        (CONNECTOR, LAST, False, False, {}),
        ({**CONNECTOR, "serves": False}, {}, True, False, {}),
        (PLAIN, {}, True, False, {}),
    ],
)
def test_what_the_module_is_told(service, answers, reserve, check_mode, options):
    assert r.reservation_state(answers, service, "a", reserve, check_mode)["options"] == options


def test_what_does_not_suffice_is_given_back():
    assert [one["host"] for one in LAST["release_now"]] == ["a"] and LAST["held"] == {}


@pytest.mark.parametrize(
    ("run", "node_back", "connector_back"),
    [
        ({}, True, False),
        ({"changed": True, "reached": True}, True, True),
        ({"changed": True, "reached": False}, False, True),
        ({"changed": False, "unreachable": True}, False, False),
    ],
)
def test_when_a_reservation_is_given_back(run, node_back, connector_back):
    found = [r.reservation_state(answers, service, "a", run=run)["release"] for service, answers in GRANTED]
    assert found == [node_back, connector_back]
    assert not r.reservation_state(TAKEN[0][1], NODE, "a", run=run)["release"], "there is none"


@pytest.mark.parametrize(
    ("previous", "ask", "goes_on"),
    [
        ({"skipped": True}, {"own": True, "second": False}, True),
        ({"granted": True, "healthy": []}, {"own": False, "second": True}, True),
        ({"granted": True, "healthy": ["x"]}, {"own": False, "second": True}, False),
        ({"granted": False}, {"own": False, "second": True}, False),
        ({"granted": False}, {"own": False, "second": False}, True),
        ({"granted": True, "healthy": ["x"]}, {"own": False, "second": False}, False),
        # The host of the connector under another name.
        ({"granted": True, "healthy": ["x"], "repeated": True}, {"own": False, "second": False}, True),
        ({"skipped": True}, {"own": False, "second": False}, False),
        ({"unreachable": True}, {"own": False, "second": False}, True),
    ],
)
def test_other_hosts_are_asked_until_one_keeps_the_tunnel_up(previous, ask, goes_on):
    assert r.continues(previous, {"tunnel": "t", **ask}, "a") is goes_on


def test_a_round_of_a_validator_ends_with_the_first_host_that_decides_it():
    taken = node(granted=False, holder=OTHER)
    assert taken["busy"] == ["a/besu"]
    assert r.continues({"results": []}, {"host": "a"}, "a")
    assert not r.continues({r.ASK: {"host": "a"}, "granted": False}, {"host": "b"}, "a")
