# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics program as one file, and its configuration."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _monitoring_config as c
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._monitoring_program import build_program

BESU = {"name": "node", "kind": "besu"}
OPTIONS = {"version": "1.0.0", "build": "b", "interval": 30, "directory": "/srv/text", "output_format": "prometheus"}


def configure(*services, **more):
    return c.monitoring_config(services, **{**OPTIONS, **more})


def test_the_same_code_gives_the_same_bytes():
    one = build_program()
    build_program.cache_clear()
    assert one == build_program()
    with zipfile.ZipFile(io.BytesIO(one.content)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.namelist() == sorted(archive.namelist())


def test_it_holds_nothing_that_acts():
    with zipfile.ZipFile(io.BytesIO(build_program().content)) as archive:
        names = {name.rpartition("module_utils/")[2] for name in archive.namelist()}
    assert "_entry/exporter.py" in names and "_besu/kind.py" in names and "_cloudflared/kind.py" in names
    assert names.isdisjoint({"_lifecycle/engine.py", "_lifecycle/actions.py", "_entry/drive.py"})


def program(tmp_path, *arguments, **environment):
    path = tmp_path / "program.pyz"
    path.write_bytes(build_program().content)
    argv = [sys.executable, "-I", str(path), *map(str, arguments)]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("cached", [False, True])
def test_it_runs_with_the_standard_library_alone(tmp_path, cached):
    config = tmp_path / "config.json"
    made = {**configure(), "state_directory": str(tmp_path), "output": str(tmp_path / "out.prom")}
    config.write_text(json.dumps(made))
    environment = {"CACHE_DIRECTORY": str(tmp_path)} if cached else {}
    for _run in range(2):
        done = program(tmp_path, config, PATH="/usr/bin:/bin", **environment)
        # Where there is no systemd and no journal, it says so and writes what it knows.
        assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr
    assert "chainops_exporter_runs_total 2" in (tmp_path / "out.prom").read_text()
    assert (tmp_path / "code").exists() is cached


@pytest.mark.parametrize("damage", [b"", b"\x00", b"not a cache", b"\xe9\x00"])
def test_a_damaged_cache_is_made_anew(tmp_path, damage):
    (tmp_path / "code").write_bytes(damage)
    done = program(tmp_path, CACHE_DIRECTORY=str(tmp_path))
    assert done.returncode == 2 and done.stderr == "usage: chainops-state-monitoring CONFIG\n"
    assert (tmp_path / "code").stat().st_size > 100_000


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path):
    done = program(tmp_path, CACHE_DIRECTORY=str(tmp_path / "gone"))
    assert done.returncode == 2 and "the next run compiles again" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "JSONDecodeError"), ("{}", "KeyError"), (None, "FileNotFoundError")],
)
def test_a_wrong_configuration_is_named(tmp_path, text, said):
    config = tmp_path / "config.json"
    if text is not None:
        config.write_text(text)
    done = program(tmp_path, config)
    assert done.returncode == 2 and str(config) in done.stderr and said in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_only_driving_needs_is_left_out():
    (service,) = configure({**BESU, "known_good": {"/etc/a": "/b"}, "besu": {"rpc_token": "secret"}})["services"]
    assert "known_good" not in service and "besu" not in service
    assert service["rpc_token"] == "secret" and service["max_attempts"] == 3


def test_the_same_services_give_the_same_text():
    one = c.config_text(configure({"name": "api", "start_timeout": 5.0}))
    assert one == c.config_text(configure({"start_timeout": 5.0, "name": "api"})) and json.loads(one)


@pytest.mark.parametrize(
    ("service", "allowed"),
    [
        ("api", ["localhost"]),
        (BESU, ["localhost"]),
        ({"name": "a", "probes": [{"kind": "http", "url": "http://127.0.0.1:80/"}]}, ["localhost"]),
        ({"name": "a", "probes": [{"kind": "http", "url": "https://[2001:db8::1]:80/"}]}, ["localhost", "2001:db8::1"]),
        ({"name": "a", "probes": [{"kind": "tcp", "host": "10.0.0.7", "port": 1}]}, ["localhost", "10.0.0.7"]),
        ({"name": "a", "probes": [{"kind": "http", "url": "http://db.example.org/"}]}, ["any"]),
        ({"name": "a", "probes": [{"kind": "command", "argv": ["true"]}]}, ["any"]),
        ({**BESU, "besu": {"reference_urls": ["http://10.0.0.8:8545"]}}, ["localhost", "10.0.0.8"]),
        ({**BESU, "besu": {"rpc_url": "http://node1:8545"}}, ["any"]),
        ({"name": "t", "kind": "cloudflared"}, ["any"]),
    ],
)
def test_the_network_that_it_needs(service, allowed):
    assert c.allowed_addresses(configure(service)) == allowed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"interval": 4}, "interval: 4 is not between 5 and 3600"),
        ({"interval": 3601}, "interval: 3601 is not"),
        ({"directory": "text"}, "directory: 'text' is no absolute path"),
        ({"directory": "/srv/a b"}, "directory: '/srv/a b' is no"),
        ({"directory": "/srv/%i"}, "directory: '/srv/%i' is no"),
        ({"directory": "/srv/x\nExecStartPre=/bin/sh"}, "directory: "),
    ],
)
def test_wrong_options_are_refused(change, said):
    with pytest.raises(LifecycleError, match=said.replace("(", r"\(")):
        configure("api", **change)


def test_a_service_of_a_user_is_refused():
    with pytest.raises(LifecycleError, match=r"services\[1\].scope: mine is a service of a user"):
        configure("api", {"name": "mine", "scope": "user"})
