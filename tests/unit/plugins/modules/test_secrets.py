# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No module writes a secret to the host's journal or into its result, however its options are made.

Each runs as a process of its own with the invocation in its result, and with a journal that a file stands for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils import basic

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.api_modules import API_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.options import DRIVE_OPTIONS, WATCH_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import entry_secrets
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import secret_options
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS

COLLECTION = "ansible_collections.chainops.lifecycle.plugins"
ROOT = Path(__file__).parents[6]
# The first is known to those versions of ansible-core only that leave the invocation out unless they are asked for it.
INTERNAL = {
    **({"_ansible_inject_invocation": True} if hasattr(basic, "_PARSED_MODULE_ARGS") else {}),
    "_ansible_check_mode": True,
}
DRIVER = """
import importlib, sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = sys.stdin.buffer.read(), "legacy"
importlib.import_module(sys.argv[1]).main()
"""
# What python3-systemd is on a host. Its fields get the options one by one, beside the message.
JOURNAL = """
import json, os
def sendv(*fields): raise NotImplementedError
def send(**fields):
    with open(os.environ["JOURNAL"], "a") as file: file.write(json.dumps(fields, ensure_ascii=False))
"""
# Python writes these characters in another way where it shows what a list holds.
SECRET = "it's \"CANARY\\so"
CLOSED = "http://127.0.0.1:9"
HEADERS = {"kind": "http", "url": CLOSED, "headers": {"Authorization": SECRET}}
BESU = {"name": "besu", "kind": "besu", "besu": {"rpc_username": "u", "rpc_password": SECRET, "rpc_url": CLOSED}}
URL = "http://u:CANARY@127.0.0.1:9"
IN_PATH = "http://127.0.0.1:9/v3/CANARY0a1b2c3d4e5f"
IN_QUERY = "http://127.0.0.1:9/?verbose=1&apikey=CANARY"
ENCODED = "http://127.0.0.1:9/rpc%2FCANARY0a1b2c3d4e5f/x"
LOGIN = "http://u:CANARY0a@127.0.0.1:9/"
API = {"account_id": "0" * 32, "base_url": CLOSED, "api_token": SECRET, "deadline": 0.1}

SERVICES = [
    [BESU],
    [{**BESU, "kind": "generic"}],
    [{**BESU, "colour": 1}, BESU],
    [{"colour": 1}, BESU],
    [5, BESU],
    [[BESU]],
    [{**BESU, "besu": [{"rpc_password": SECRET}]}],
    [{**BESU, "besu": {"rpc_password": {"value": SECRET}}}],
    [{**BESU, "besu": {"rpc_token": [SECRET]}}],
    [{**BESU, "besu": {"rpc_pasword": SECRET}}],
    [{**BESU, "besu": f"rpc_password: {SECRET}"}],
    [{**BESU, "rpc_password": SECRET}],
    [f"besu rpc_password={SECRET}"],
    [{"name": "api", "probes": [HEADERS]}],
    [{"name": "api", "probes": [{**HEADERS, "headers": f"Authorization={SECRET}"}]}],
    [{"name": "api", "probes": {"headers": SECRET}}],
    [{"name": "api", "probes": [{"kind": "http", "url": URL, "colour": 1}]}],
    *([{"name": "api", "probes": [{"kind": "http", "url": url}]}] for url in (IN_PATH, IN_QUERY, ENCODED, LOGIN)),
    [{"name": "besu", "kind": "besu", "besu": {"rpc_url": IN_PATH, "reference_urls": [IN_QUERY, ENCODED]}}],
    json.dumps([BESU]),
    str([BESU]),
    {"besu": BESU},
]
ENDPOINTS = [
    [{"url": CLOSED, "rpc_username": "u", "rpc_password": SECRET}],
    [{"url": CLOSED, "rpc_token": SECRET}],
    [{"url": CLOSED, "rpc_token": SECRET, "rpc_timeout": "soon"}],
    [{"url": CLOSED, "colour": 1}, {"url": CLOSED, "rpc_token": SECRET}],
    [{"url": CLOSED, "rpc_token": {"value": SECRET}}],
    [{"url": CLOSED, "rpc_pasword": SECRET}],
    [{"url": {"url": CLOSED, "rpc_token": SECRET}}],
    [["rpc_password", SECRET, {"rpc_token": SECRET}]],
    [URL],
    [IN_PATH, IN_QUERY, ENCODED, LOGIN],
    [{"url": IN_PATH, "name": "n1"}, {"url": IN_QUERY}],
    [f"{CLOSED} rpc_token={SECRET}"],
    json.dumps([{"url": CLOSED, "rpc_token": SECRET}]),
    str([{"url": CLOSED, "rpc_token": SECRET}]),
    {"url": CLOSED, "rpc_token": SECRET},
]
CASES = [
    *(("service_info", {"services": services}) for services in SERVICES),
    ("service_info", {"services": [BESU], "diagnose": "perhaps"}),
    ("service_info", {"service": [BESU]}),
    *(("besu_network_info", {"endpoints": endpoints, "interval": 0}) for endpoints in ENDPOINTS),
    ("besu_network_info", {"endpoints": [{"url": CLOSED, "rpc_token": SECRET}], "interval": "soon"}),
    ("besu_network_info", {"endpoints": [CLOSED], "rpc_token": SECRET, "lag_blocks": -1}),
    ("service", {"name": "no/unit", "probes": [HEADERS]}),
    ("service", {"name": "no/unit", "probes": [{**HEADERS, "headers": f"Authorization={SECRET}"}]}),
    ("service", {"name": "no/unit", "probes": json.dumps([HEADERS])}),
    ("service", {"name": "no/unit", "probes": [{**HEADERS, "timeout": "soon"}]}),
    ("service", {"name": "no/unit", "probes": [{**HEADERS, "colour": 1}]}),
    ("service", {"name": "no/unit", "probes": [{"kind": "http", "url": URL}]}),
    ("besu_node", {"name": "no/unit", "rpc_username": "u", "rpc_password": SECRET, "probes": [HEADERS]}),
    ("besu_node", {"name": "no/unit", "rpc_token": SECRET, "state": "perhaps"}),
    ("besu_node", {"name": "no/unit", "rpc_pasword": SECRET}),
    ("besu_node", {"name": "no/unit", "rpc_url": URL, "reference_urls": [CLOSED, URL]}),
    ("besu_node", {"name": "besu", "reference_urls": [{"url": CLOSED, "rpc_token": SECRET}]}),
    ("cloudflared_tunnel", {"name": "no/unit", "probes": [HEADERS], "tunnel_url": URL}),
    (
        "besu_node",
        {"name": "no/unit", "rpc_url": IN_PATH, "metrics_url": IN_QUERY, "reference_urls": [ENCODED, IN_PATH]},
    ),
    ("besu_node", {"name": "besu", "rpc_url": IN_PATH, "metrics_url": IN_QUERY, "reference_urls": [ENCODED, IN_PATH]}),
    ("service", {"name": "api", "probes": [{"kind": "http", "url": IN_PATH}, {"kind": "http", "url": IN_QUERY}]}),
    ("cloudflared_tunnel", {"name": "no/unit", "tunnel_url": IN_QUERY}),
    ("cloudflared_tunnel", {"name": "no/unit", "tunnel_url": IN_PATH}),
    ("cloudflare_tunnel_info", {**API, "base_url": IN_PATH}),
    ("cloudflare_tunnel_info", {**API}),
    ("cloudflare_tunnel_info", {**API, "tunnel": "x"}),
    ("cloudflare_tunnel_connector", {**API, "tunnel_id": "x", "connector_id": "x"}),
]


@pytest.fixture
def run(tmp_path):
    package = tmp_path / "path" / "systemd"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "daemon.py").write_text("def booted(): return True\n")
    (package / "journal.py").write_text(JOURNAL)
    journal = tmp_path / "journal"
    path = os.pathsep.join([str(package.parent), str(ROOT), *filter(None, sys.path)])

    def run_module(module, options):
        ended = subprocess.run(
            [sys.executable, "-c", DRIVER, f"{COLLECTION}.modules.{module}"],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": {**options, **INTERNAL}}),
            env={**os.environ, "PYTHONPATH": path, "JOURNAL": str(journal)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return ended, journal.read_text() if journal.exists() else ""

    return run_module


@pytest.mark.parametrize(("module", "options"), CASES)
def test_a_secret_stays_where_it_is(run, module, options):
    ended, journal = run(module, options)
    assert "Traceback" not in ended.stderr
    assert json.loads(ended.stdout)["invocation"]["module_args"]
    for said in (ended.stdout, ended.stderr, journal):
        assert "CANARY" not in said, said


@pytest.mark.parametrize(
    ("module", "options", "shown"),
    [
        ("service_info", {"services": [BESU], "diagnose": "errors"}, "diagnose=errors"),
        ("besu_network_info", {"endpoints": [URL], "interval": 0, "chain_id": 7}, "chain_id=7"),
        ("besu_node", {"name": "no/unit", "reference_urls": [CLOSED]}, CLOSED),
    ],
)
def test_what_is_no_secret_is_logged(run, module, options, shown):
    _ended, journal = run(module, options)
    assert "Invoked with" in journal
    assert shown in journal


def test_what_is_wrong_is_named(run):
    ended, _journal = run("besu_network_info", {"endpoints": [{"url": CLOSED, "rpc_token": SECRET, "colour": 1}]})
    assert json.loads(ended.stdout)["msg"].startswith("endpoints[0]: unknown keys colour; known are url, name, rpc_")


def marked(spec):
    for name, option in spec.items():
        if option.get("no_log"):
            yield name
        yield from marked(option.get("options", {}))


def test_every_option_that_is_a_secret_is_known():
    specs = [WATCH_OPTIONS, DRIVE_OPTIONS, *(kind.options for kind in KINDS.values())]
    assert {name for spec in specs for name in marked(spec)} == entry_secrets(KINDS)
    assert entry_secrets(KINDS) == {"headers", "rpc_password", "rpc_token"}
    assert secret_options(API_OPTIONS) == {"api_token"}
