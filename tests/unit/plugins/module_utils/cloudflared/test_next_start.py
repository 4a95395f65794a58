# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connector that lives is not ended where its next start would fail; what cannot be told is no reason to refuse."""

from __future__ import annotations

import base64
import json
import os
import pwd

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import next_start
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.settings import (
    of_unit_files,
    read_file,
    unit_command,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.tunnel_identity import identify, place_of
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed

TOKEN = base64.b64encode(
    json.dumps({"a": "0" * 32, "t": "8ff4db4e-3c1d-4f5f-9c36-2f1f4a7d0c11", "s": "c2VjcmV0"}).encode()
).decode()


@pytest.fixture
def host(tmp_path):
    program = tmp_path / "cloudflared"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "env").write_text("TUNNEL_RETRIES=3\n")
    (tmp_path / "config.yml").write_text("ingress:\n  - service: http_status:404\n")
    return tmp_path


def refused(host, command="{0}/cloudflared tunnel run --token-file {0}/token", more="", rc=0, user="", err="bad rule"):
    ran = []

    def runner(argv, **_options):
        ran.append(argv)
        return Completed(rc, b"", err.encode() if rc else b"")

    (host / "c.service").write_text(f"[Service]\nExecStart={command.format(host)}\n{more.format(host)}")
    properties = {"Id": "c.service", "FragmentPath": str(host / "c.service"), "User": user}
    found = next_start.refusal(properties, False, runner)
    return (found.reason if found else ""), ran


def test_what_is_whole_is_no_reason_to_refuse(host):
    assert refused(host, more="EnvironmentFile={0}/env\n") == ("", [])


@pytest.mark.parametrize(
    ("gone", "more", "said"),
    [
        ("cloudflared", "", "its program"),
        ("token", "", "its token file"),
        ("env", "EnvironmentFile={0}/env\n", "its environment file"),
        ("env", "EnvironmentFile=-{0}/env\n", ""),
        ("token", "BindReadOnlyPaths=/srv/token:{0}/token\n", ""),
        ("cloudflared", "RootDirectory=/srv/root\n", ""),
        ("env", "EnvironmentFile={0}/env\nBindPaths=/srv/x:{0}/env\n", "its environment file"),
    ],
)
def test_what_is_gone_is_named(host, gone, more, said):
    os.unlink(host / gone)
    reason, _ran = refused(host, more=more)
    assert bool(reason) == bool(said) and reason.startswith(said)
    assert not said or str(host / gone) in reason


@pytest.mark.parametrize("text", ["not a token", "", "e30="])
def test_a_damaged_token_is_named_and_not_shown(host, text):
    (host / "token").write_text(text)
    reason, _ran = refused(host)
    assert ("damaged" in reason) == bool(text)
    assert not text or text not in reason


def test_a_token_in_the_environment_file_is_looked_at_as_well(host):
    (host / "env").write_text("TUNNEL_TOKEN=broken\n")
    reason, _ran = refused(host, "{0}/cloudflared tunnel run", "EnvironmentFile={0}/env\n")
    assert "damaged" in reason and "environment" in reason and "broken" not in reason


def test_a_credential_is_looked_at_where_systemd_reads_it(host):
    command = "{0}/cloudflared tunnel run --token-file %d/token"
    assert refused(host, command, "LoadCredential=token:{0}/token\n")[0] == ""
    os.unlink(host / "token")
    assert refused(host, command, "LoadCredential=token:{0}/token\n")[0] == f"its token file {host}/token is not there"


@pytest.mark.parametrize(
    ("command", "more"),
    [
        (
            "{0}/cloudflared tunnel run --token-file ${{CREDENTIALS_DIRECTORY}}/token",
            "LoadCredential=token:{0}/token\n",
        ),
        (
            "{0}/cloudflared tunnel --config ${{CONFIGURATION_DIRECTORY}}/config.yml run",
            "ConfigurationDirectory=../{0}\n",
        ),
    ],
)
def test_a_folder_that_systemd_names_in_the_environment_is_known(host, command, more):
    assert refused(host, command, more)[0] == ""


def test_an_encrypted_credential_is_no_damaged_token(host):
    command = "{0}/cloudflared tunnel run --token-file %d/token"
    (host / "token").write_text("Whxqht+dQJax1aZeCGLxmiAAAAABAAAADAAAABAAAAC=\n")
    assert refused(host, command, "LoadCredentialEncrypted=token:{0}/token\n")[0] == ""
    assert "damaged" in refused(host, command, "LoadCredential=token:{0}/token\n")[0]
    os.unlink(host / "token")
    assert "is not there" in refused(host, command, "LoadCredentialEncrypted=token:{0}/token\n")[0]


def test_a_file_that_the_user_of_the_unit_may_not_read_is_named(host):
    other = next(one.pw_name for one in pwd.getpwall() if one.pw_uid not in (0, os.getuid()))
    (host / "token").chmod(0o600)
    reason, _ran = refused(host, user=other)
    assert f"may not be read by {other}" in reason
    (host / "token").chmod(0o644)
    assert refused(host, user=other)[0] == ""


@pytest.mark.parametrize(("rc", "said"), [(0, ""), (1, "ended with 1: bad rule"), (None, "")])
def test_the_rules_of_ingress_are_validated_by_cloudflared_itself(host, rc, said):
    reason, ran = refused(host, "{0}/cloudflared tunnel --config {0}/config.yml run", rc=rc)
    assert ran == [[f"{host}/cloudflared", "tunnel", "--config", f"{host}/config.yml", "ingress", "validate"]]
    assert said in reason and bool(reason) == bool(said)
    properties = {"Id": "c.service", "FragmentPath": str(host / "c.service")}
    assert next_start.refusal(properties, False, pytest.fail, validate=False) is None, "config_check takes its place"


@pytest.mark.parametrize(
    ("command", "more", "place"),
    [
        ("c tunnel run --token x", "", "the command line of c.service (ExecStart=)"),
        ("c tunnel run", "Environment=TUNNEL_TOKEN=x\n", "Environment= of c.service"),
        ("c tunnel run", "EnvironmentFile={0}/env\nEnvironment=TUNNEL_TOKEN=y\n", "{0}/env"),
        ("c tunnel run --token ${{TOKEN}}", "EnvironmentFile={0}/env\n", "{0}/env"),
        ("c tunnel run --token=$TOKEN", "Environment=TOKEN=x\n", "Environment= of c.service"),
        ("c tunnel run --token-file {0}/token", "", "{0}/token"),
        ("c tunnel run --token-file %d/t", "LoadCredential=t:{0}/token\n", "{0}/token (LoadCredential= of c.service)"),
    ],
)
def test_where_the_token_of_this_unit_is(host, command, more, place):
    (host / "env").write_text("TUNNEL_TOKEN=z\nTOKEN=z\n")
    (host / "c.service").write_text(f"[Service]\nExecStart={command.format(host)}\n{more.format(host)}")
    properties = {"Id": "c.service", "FragmentPath": str(host / "c.service")}
    settings = of_unit_files(properties)
    assert place_of(identify(settings, read_file), properties) == place.format(host)


@pytest.mark.parametrize(
    ("command", "quick"),
    [
        ("c tunnel --url http://localhost:8080", True),
        ("c tunnel --hello-world", True),
        ("c tunnel --url http://localhost:8080 run --token x", False),
        ("c tunnel --url http://localhost:8080 run web", False),
        ("c tunnel run --token-file {0}/token", False),
    ],
)
def test_a_quick_tunnel_has_one_connection(host, command, quick):
    (host / "c.service").write_text(f"[Service]\nExecStart={command.format(host)}\n")
    settings = of_unit_files({"Id": "c.service", "FragmentPath": str(host / "c.service")})
    assert (settings.quick, settings.expected) == (quick, 1 if quick else 4)


def test_a_wrapper_is_not_judged(host):
    assert refused(host, "/usr/bin/env {0}/cloudflared tunnel run --token-file /gone") == ("", [])


def test_the_specifiers_of_a_user_s_unit(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/77")
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    account = pwd.getpwuid(os.getuid())
    unit = tmp_path / "web@a-b.service"
    unit.write_text("[Service]\nExecStart=c %h %t %E %S %C %L %u %U %d %i %I %p %% %Z\n")
    properties = {"Id": unit.name, "FragmentPath": str(unit)}
    home = account.pw_dir
    assert unit_command(properties, user=True)[0][1:] == [
        home, "/run/user/77", f"{home}/.config", f"{home}/.local/state", f"{home}/.cache", f"{home}/.local/state/log",
        account.pw_name, str(account.pw_uid), f"/run/user/77/credentials/{unit.name}", "a-b", "a/b", "web", "%", "%Z",
    ]  # fmt: skip
    assert unit_command(properties)[0][1:7] == ["/root", "/run", "/etc", "/var/lib", "/var/cache", "/var/log"]
