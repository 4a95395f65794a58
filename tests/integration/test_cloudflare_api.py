# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that ask the API, run by ansible-playbook, against what an edge knows of real connectors."""

from __future__ import annotations

import json
import os
import subprocess
import time
import typing as t
import uuid
from pathlib import Path

import pytest
import yaml

from ..support.cloudflare_edge.client import EdgeProcess
from ..support.cloudflare_edge.connector import ACCOUNT, LocalConnector, TunnelIdentity
from .canary import API_READ, API_WRITE, API_WRONG, SECRET, Canary

TOKENS = {API_READ: {"account": ACCOUNT}, API_WRITE: {"account": ACCOUNT, "write": True}}
Result = dict[str, t.Any]


class Site:
    """An edge with its API, a tunnel with two real connectors, and ansible-playbook."""

    def __init__(self, folder: Path, edge: EdgeProcess, tunnel: TunnelIdentity, canary: Canary) -> None:
        self.folder, self.edge, self.tunnel, self._canary = folder, edge, tunnel, canary
        self.output = ""

    def module(self, name: str, *, token: str | None = API_READ, options: str = "", **arguments: t.Any) -> Result:
        """One task on this computer; what it returned, on success and on failure."""
        given = {"account_id": ACCOUNT, "base_url": f"{self.edge.base}/client/v4", "api_token": token, **arguments}
        given = {key: value for key, value in given.items() if value is not None}
        result = self.folder / "result.json"
        tasks = [
            {f"chainops.lifecycle.{name}": given, "register": "done", "failed_when": False},
            {
                "ansible.builtin.copy": {"dest": str(result), "content": "{{ done | to_json }}", "mode": "0600"},
                "check_mode": False,
            },
        ]
        play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
        (self.folder / "play.yml").write_text(yaml.safe_dump(play), encoding="utf-8")
        done = subprocess.run(
            ["ansible-playbook", "-vvv", "-i", "localhost,", str(self.folder / "play.yml"), *options.split()],
            capture_output=True, text=True, check=False, timeout=120,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_PYTHON_INTERPRETER": "auto_silent"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        self.output = done.stdout + done.stderr + result.read_text(encoding="utf-8")
        self._canary.hear(f"the output of {name}", self.output)
        return dict(json.loads(result.read_text(encoding="utf-8")))

    def connectors(self) -> dict[str, int]:
        known = self.edge.tunnel(self.tunnel.id)["connectors"]
        return {identity: about["live"] for identity, about in known.items()}


@pytest.fixture(scope="module")
def site(canary: Canary, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    folder = Path(tmp_path_factory.mktemp("site"))
    tunnel = TunnelIdentity(secret=SECRET)
    with EdgeProcess(["127.0.0.1"], folder / "edge", ports=(0,) * 7) as edge:
        edge.declare(tunnel.id, name="web")
        edge.script_api(tokens=TOKENS)
        edge.settings(ghost_seconds=900)
        yield Site(folder, edge, tunnel, canary)


@pytest.fixture
def pair(site: Site) -> t.Iterator[list[LocalConnector]]:
    """Two connectors of the tunnel, all their connections registered."""
    site.edge.script_api(faults=[])
    made = [
        LocalConnector(site.tunnel, site.edge.addresses, site.edge.ca, site.folder / str(n), connections=2)
        for n in (1, 2)
    ]
    with made[0], made[1]:
        site.edge.wait_live(site.tunnel.id, 8)
        yield made
    for identity in site.connectors():
        site.edge.call("DELETE", f"/client/v4/accounts/{ACCOUNT}/cfd_tunnel/{site.tunnel.id}/connections?client_id={identity}",
                       headers={"Authorization": f"Bearer {API_WRITE}"})  # fmt: skip


def connector_id(connector: LocalConnector) -> str:
    return str(connector.said("Generated Connector ID: ")[-1]["message"]).rpartition(" ")[2]


def test_the_view_of_the_edge(site: Site, pair: list[LocalConnector]) -> None:
    first, second = map(connector_id, pair)
    seen = site.module("cloudflare_tunnel_info", tunnels=["web"], hosts={"h1": first, "h2": str(uuid.uuid4())})
    tunnel = seen["tunnels"][0]
    assert (tunnel["id"], tunnel["status"], tunnel["healthy_connectors"]) == (site.tunnel.id, "healthy", 2)
    assert {one["id"]: (one["host"], one["live"]) for one in tunnel["connectors"]} == {
        first: ("h1", 4),
        second: (None, 4),
    }
    assert (tunnel["strangers"], tunnel["ghosts"], seen["lost_hosts"], seen["calls"]) == ([second], [], ["h2"], 2)
    by_id = site.module("cloudflare_tunnel_info", tunnels=[site.tunnel.id])
    assert by_id["tunnels"][0]["name"] == "web"
    assert site.module("cloudflare_tunnel_info")["tunnels"] == by_id["tunnels"]


def test_a_ghost_is_seen_and_forgotten_by_its_id_only(site: Site, pair: list[LocalConnector]) -> None:
    first, second = map(connector_id, pair)
    site.edge.behave("black-hole", select={"connector": first})
    pair[0].__exit__(None, None, None)
    site.edge.reset({"connector": first})
    deadline = time.monotonic() + 20
    while site.connectors()[first] and time.monotonic() < deadline:
        time.sleep(0.1)
    site.edge.clear()
    seen = site.module("cloudflare_tunnel_info", tunnels=["web"], hosts={"h1": first, "h2": second})
    assert (seen["tunnels"][0]["ghosts"], seen["lost_hosts"], seen["tunnels"][0]["healthy_connectors"]) == (
        [first],
        ["h1"],
        1,
    )
    kept = site.module("cloudflare_tunnel_connector", token=API_WRITE, tunnel_id=site.tunnel.id, connector_id=second)
    assert "has 4 connections" in kept["msg"] and site.connectors()[second] == 4
    asked = {"tunnel_id": site.tunnel.id, "connector_id": first}
    assert site.module("cloudflare_tunnel_connector", token=API_WRITE, options="--check", **asked)["changed"]
    assert first in site.connectors()
    assert site.module("cloudflare_tunnel_connector", token=API_WRITE, **asked)["changed"]
    assert site.connectors() == {second: 4}
    assert not site.module("cloudflare_tunnel_connector", token=API_WRITE, **asked)["changed"]
    assert (
        "connector_id"
        in site.module("cloudflare_tunnel_connector", token=API_WRITE, tunnel_id=site.tunnel.id, connector_id="")["msg"]
    )
    deletes = [call for call in site.edge.api_calls() if call["method"] == "DELETE"]
    assert deletes and all(call["query"].get("client_id") for call in deletes)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "status", "status": 500}, "unavailable"),
        ({"kind": "not_json", "status": 502}, "unavailable"),
        ({"kind": "refused"}, "refused"),
        ({"kind": "bare_error", "status": 400}, "refused"),
        ({"kind": "hang"}, "network"),
        ({"kind": "rate_limit", "retry_after": 300}, "rate_limited"),
        ({"kind": "rate_limit", "retry_after": None}, "rate_limited"),
    ],
)
def test_faults_of_the_api_have_a_kind(site: Site, fault: dict[str, t.Any], kind: str) -> None:
    site.edge.script_api(faults=[fault])
    seen = site.module("cloudflare_tunnel_info", tunnels=[site.tunnel.id], timeout=2, deadline=6)
    assert (seen["kind"], seen["failed_when_result"]) == (kind, False), seen


def test_a_rate_limit_is_waited_for(site: Site) -> None:
    site.edge.script_api(faults=[{"kind": "rate_limit", "count": 2, "retry_after": 1}])
    before = len(site.edge.api_calls())
    assert site.module("cloudflare_tunnel_info", tunnels=[site.tunnel.id])["calls"] == 4
    times = [call["status"] for call in site.edge.api_calls(before)]
    assert times == [429, 429, 200, 200]


@pytest.mark.parametrize(
    ("token", "module", "more", "kind"),
    [
        (API_WRONG, "cloudflare_tunnel_info", {}, "auth"),
        (API_READ, "cloudflare_tunnel_info", {"tunnels": [str(uuid.UUID(int=7))]}, "not_found"),
    ],
    ids=["a wrong token", "an unknown tunnel"],
)
def test_refusals(site: Site, token: str, module: str, more: dict[str, t.Any], kind: str) -> None:
    site.edge.script_api(faults=[])
    assert site.module(module, token=token, **more)["kind"] == kind


def test_the_token_is_shown_nowhere(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.edge.script_api(faults=[])
    site.module("cloudflare_tunnel_info", token=API_READ)
    assert "cloudflare_tunnel_info" in site.output and API_READ not in site.output
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", API_READ)
    assert site.module("cloudflare_tunnel_info", token=None)["tunnels"]
    assert API_READ not in site.output
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "")
    assert "CLOUDFLARE_API_TOKEN" in site.module("cloudflare_tunnel_info", token=None)["msg"]
