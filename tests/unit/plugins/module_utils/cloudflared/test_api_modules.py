# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that ask the API: what they gather, and what they refuse to remove."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import api_modules as account
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.api import (
    ApiError,
    EdgeConnection,
    EdgeConnector,
    Tunnel,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError

TUNNEL = "8ff4db4e-3c1d-4f5f-9c36-2f1f4a7d0c11"
A, B, C, FOREIGN = (f"{digit}9dfd5eb-87fc-4f30-ad94-bc189e47f0bc" for digit in "1234")


class Api:
    """The calls that the modules make, answered from memory."""

    def __init__(self, **connectors):
        self.known = {
            identity: EdgeConnector(identity, "2026.6.0", "t", 1, conns) for identity, conns in connectors.items()
        }
        self.removed, self.calls = [], 0

    def tunnels(self, name=""):
        self.calls += 1
        named = [Tunnel(TUNNEL, "web", "healthy", True, "", "", ""), Tunnel(A, "twin", "down", True, "", "", "")]
        named.append(Tunnel(B, "twin", "down", False, "", "", ""))
        return [one for one in named if name in ("", one.name)]

    def tunnel(self, tunnel_id):
        self.calls += 1
        if tunnel_id == FOREIGN:
            raise ApiError("not_found", f"tunnel {tunnel_id}", "status 404")
        return self.tunnels()[0]

    def connectors(self, tunnel_id):
        self.calls += 1
        return list(self.known.values()) if tunnel_id == TUNNEL else []

    def remove_connector(self, tunnel_id, connector):
        self.removed.append((tunnel_id, connector.text))


def living(*pending):
    return tuple(EdgeConnection("lax01", one, "t", "192.0.2.1") for one in pending)


@pytest.fixture
def api():
    return Api(**{A: living(False, False), B: living(True), C: living(False)})


def test_connectors_are_mapped_to_hosts(api):
    seen = account.tunnel_report(api, ["web"], {"h1": A.upper(), "h2": B, "h3": None, "h4": TUNNEL})
    tunnel = seen["tunnels"][0]
    assert (tunnel["name"], tunnel["healthy_connectors"], tunnel["ghosts"], tunnel["strangers"]) == ("web", 2, [B], [C])
    assert {one["id"]: one["host"] for one in tunnel["connectors"]} == {A: "h1", B: "h2", C: None}
    assert (seen["lost"], seen["lost_hosts"]) == (sorted([B, TUNNEL]), ["h2", "h4"])


def test_one_call_for_each_tunnel_that_is_asked_for_twice(api):
    account.tunnel_report(api, [TUNNEL.upper(), TUNNEL.upper()], {})
    assert api.calls == 3  # the tunnel (which lists here), and its connectors


def test_all_tunnels_of_the_account(api):
    assert [tunnel["name"] for tunnel in account.tunnel_report(api, [], {})["tunnels"]] == ["web", "twin", "twin"]


def test_a_name_has_to_mean_one_tunnel(api):
    with pytest.raises(LifecycleError, match="there are 2 tunnels"):
        account.tunnel_report(api, ["twin"], {})


@pytest.mark.parametrize("missing", [FOREIGN, "none"])
def test_a_tunnel_that_is_not_there_hides_no_other_and_has_no_lost_connectors(api, missing):
    hosts = {"h1": A, "h2": B, "h3": FOREIGN, "h4": TUNNEL}
    of = {"h1": TUNNEL, "h2": TUNNEL, "h3": missing.upper() if missing == FOREIGN else missing}
    seen = account.tunnel_report(api, [missing, TUNNEL, "web"], hosts, of)
    assert [tunnel["id"] for tunnel in seen["tunnels"]] == [TUNNEL]
    assert (seen["not_found"], seen["lost_hosts"]) == ([missing], ["h2", "h4"])
    assert seen["lost"] == sorted([B, TUNNEL])


@pytest.mark.parametrize("missing", [FOREIGN, "none"])
def test_an_account_without_any_of_them_is_a_failure(api, missing):
    with pytest.raises(ApiError, match="check account_id"):
        account.tunnel_report(api, [missing], {})


def options(identity, **more):
    return {"connector_id": identity, "tunnel_id": TUNNEL, "force": False, **more}


def test_a_ghost_is_forgotten_once(api):
    found, changed = account.remove(api, options(B.upper()), False)
    assert (found.id, changed, api.removed) == (B, True, [(TUNNEL, B)])
    del api.known[B]
    assert account.remove(api, options(B), False) == (None, False)


def test_check_mode_removes_nothing(api):
    assert account.remove(api, options(B), True)[1] is True and api.removed == []


def test_a_living_connector_is_kept_unless_forced(api):
    with pytest.raises(LifecycleError, match="has 2 connections"):
        account.remove(api, options(A), False)
    assert api.removed == []
    assert account.remove(api, options(A, force=True), False)[1] and api.removed == [(TUNNEL, A)]


@pytest.mark.parametrize("identity", ["", "all", "*"])
def test_no_connector_is_no_call(api, identity):
    with pytest.raises(LifecycleError, match="connector_id"):
        account.remove(api, options(identity), False)
    assert api.removed == [] and api.calls == 0


GIVEN = {
    "account_id": "0" * 32,
    "api_token": "t" * 20,
    "base_url": "https://h/v4",
    "ca_path": None,
    "timeout": 1.0,
    "deadline": 1.0,
}


@pytest.mark.parametrize(
    ("more", "option"),
    [({"timeout": 0}, "timeout"), ({"deadline": -1}, "deadline"), ({"api_token": None}, "api_token")],
)
def test_wrong_options_are_named(more, option):
    account.client(GIVEN)
    with pytest.raises(LifecycleError, match=option):
        account.client({**GIVEN, **more})
