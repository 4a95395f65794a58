# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The right to take a connector offline: which replica counts, what the guard demands, what the module does."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import replicas
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry import connector_grant
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import grants
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation

TUNNEL = "8ff4db4e-3c1d-4f5f-9c36-2f1f4a7d0c11"


def seen(state="running", tunnel=TUNNEL, job="0", cause=None):
    facts = UnitFacts("c.service", {"Job": job})
    return Observation(
        "c", "c.service", "cloudflared", state, state, ("why",), cause, facts=facts, details={"tunnel_id": tunnel}
    )


@pytest.mark.parametrize(
    ("observed", "worked_on", "said"),
    [
        (seen(), "", ""),
        (seen("connected"), "", ""),
        (seen("connected", cause="edge_closed"), "", ""),
        (seen("connected", cause="unauthorized"), "", "does not regain the connections that it loses: unauthorized"),
        (seen("reconnecting"), "", "it is reconnecting: why"),  # fewer than min_connections is this state as well
        (seen("error"), "", "it is error"),
        (seen("unknown"), "", "it is unknown"),
        (seen(tunnel="11111111-3c1d-4f5f-9c36-2f1f4a7d0c11"), "", "another tunnel"),
        (seen(tunnel=None), "", "not known"),
        (seen(), "ann (pid 7) for 3 s", "ann (pid 7) for 3 s works on it"),
        (seen(job="12"), "", "systemd has a job"),
    ],
)
def test_which_replica_can_be_relied_on(observed, worked_on, said):
    why = replicas.doubt(observed, TUNNEL.upper(), worked_on)
    assert said in why and bool(why) == bool(said)


@pytest.mark.parametrize(
    ("held", "service", "tunnel", "said"),
    [
        (grants.Grant("me", "a/cloudflared", 200.0), "cloudflared", TUNNEL, ""),
        (grants.Grant("me", "a/cloudflared", 200.0), "cloudflared.service", TUNNEL, ""),
        (grants.Grant("me", "a/cloudflared", 159.0), "cloudflared", TUNNEL, "ends in"),
        (grants.Grant("me", "a/other", 200.0), "cloudflared", TUNNEL, "take a/other offline"),
        (grants.Grant("you", "a/cloudflared", 200.0), "cloudflared", TUNNEL, "you has the right"),
        (None, "cloudflared", TUNNEL, "no grant"),
        (grants.Grant("me", "a/cloudflared", 200.0), "cloudflared", "", "id of its tunnel is not known"),
    ],
)
def test_what_the_guard_demands(held, service, tunnel, said):
    refusal = replicas.not_reserved(held, "me", service, tunnel, 100.0)
    assert (refusal is None) == (said == "")
    assert refusal is None or (said in refusal.reason and refusal.guard == "reservation" and refusal.hint)


@pytest.mark.parametrize("tunnel", ["", "../x", "web"])
def test_what_is_no_tunnel(tunnel):
    with pytest.raises(LifecycleError, match="tunnel"):
        replicas.store_of(tunnel, False)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(grants, "host_age", lambda: 1e6)
    return grants.GrantStore("t", str(tmp_path), replicas.TTL)


def ask(store, owner="me", own=False, doubts=None, check=False, own_host="", this_host=""):
    params = {"owner": owner, "target": "a/c", "own": own, "own_host": own_host}
    look = {"c": ""} if doubts is None else doubts
    return connector_grant.request(store, params, lambda _params: look, check, this_host)


def test_a_host_with_a_healthy_replica_grants_one_owner(store):
    assert ask(store)["granted"] and ask(store)["changed"] is False
    refused = ask(store, "you", own=True)
    assert not refused["granted"] and refused["holder"]["owner"] == "me" and "me has the right" in refused["reason"]
    assert connector_grant.release(store, "me", False)["changed"]
    assert ask(store, "you")["granted"]


@pytest.mark.parametrize(
    ("doubts", "said"), [({"c": "it is error"}, "c: it is error"), ({}, "no connector is described")]
)
def test_a_host_without_a_healthy_replica_grants_for_its_own_connector_only(store, doubts, said):
    refused = ask(store, doubts=doubts)
    assert not refused["granted"] and said in refused["reason"] and "holder" not in refused
    assert store.held() is None
    own = ask(store, own=True, doubts=doubts)
    assert own["granted"] and own["healthy"] == []


def test_a_host_that_is_asked_under_two_names_says_so(store):
    """Its own connector would pass for the replica that stays."""
    assert ask(store, own=True)["repeated"] is False
    assert ask(store)["repeated"] is True
    connector_grant.release(store, "me", False)
    assert ask(store, "again", own=True)["repeated"] is False


@pytest.mark.parametrize("check", [False, True])
def test_the_answers_tell_the_host_of_the_connector(store, tmp_path, check):
    """Each passes on what the first has said, so that it is known in check mode as well."""
    own = ask(store, own=True, check=check, this_host="1")
    assert (own["own_host"], own["repeated"]) == ("1", False)
    other = ask(grants.GrantStore("t", str(tmp_path / "2"), replicas.TTL), check=check, own_host="1", this_host="2")
    assert (other["own_host"], other["repeated"], other["granted"]) == ("1", False, True)
    alias = ask(store, check=check, own_host=other["own_host"], this_host="1")
    assert (alias["own_host"], alias["repeated"], alias["granted"]) == ("1", True, True)
    # That its connector is ill under the other name as well takes nothing away.
    ill = ask(store, check=check, doubts={"c": "it is error"}, own_host="1", this_host="1")
    assert not ill["granted"] and (store.held() is None) is check


def test_a_host_is_told_from_others_without_its_machine_id():
    one = connector_grant.host_id()
    assert one == connector_grant.host_id() and len(one) == 32
    with contextlib.suppress(FileNotFoundError):
        assert one not in Path("/etc/machine-id").read_text()


def test_a_look_that_fails_leaves_no_grant(store):
    def fails(_params):
        raise LifecycleError("services[0]: bad")

    with pytest.raises(LifecycleError):
        connector_grant.request(store, {"owner": "me", "target": "a/c", "own": True}, fails, False)
    assert store.held() is None


def test_check_mode_stores_nothing(store):
    assert ask(store, check=True)["granted"] and store.held() is None
    ask(store)
    assert connector_grant.release(store, "me", True)["changed"] and store.held() is not None
