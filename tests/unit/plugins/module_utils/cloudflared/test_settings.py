# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a connector was told to do, and which tunnel it belongs to."""

from __future__ import annotations

import base64
import json
import os
import pwd

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared import settings as s
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.tunnel_identity import identify

TUNNEL = "8ff4db4e-3c1d-4f5f-9c36-2f1f4a7d0c11"
ACCOUNT = "0123456789abcdef0123456789abcdef"
SECRET = base64.b64encode(b"CANARY-secret-of-32-bytes-000000").decode()
TOKEN = base64.b64encode(json.dumps({"a": ACCOUNT, "t": TUNNEL, "s": SECRET}).encode()).decode()
CREDENTIALS = json.dumps({"AccountTag": ACCOUNT, "TunnelSecret": SECRET, "TunnelID": TUNNEL})


def files(**named):
    known = {path.replace("__", "/"): text for path, text in named.items()}
    return {"/" + path: text for path, text in known.items()}.get


def nothing(_path):
    return None


@pytest.mark.parametrize(
    ("argv", "values", "tunnel"),
    [
        (["cloudflared", "tunnel", "run"], {}, ""),
        (["cloudflared", "--no-autoupdate", "tunnel", "run", "--token-file", "/t"], {"token_file": "/t"}, ""),
        (["cloudflared", "tunnel", "--metrics=:9", "run", "web"], {"metrics": ":9"}, "web"),
        (["cloudflared", "tunnel", "-metrics", ":9", "run", "--token", "x"], {"metrics": ":9", "token": "x"}, ""),
        (["cloudflared", "tunnel", "--edge-ip-version", "4", "run", "-p", "quic", "web"], {"protocol": "quic"}, "web"),
        (["cloudflared", "tunnel", "--label", "run", "run", "web"], {}, "web"),
        (["cloudflared", "tunnel", "--loglevel", "warn", "run", "web"], {"log_level": "warn"}, "web"),
        (["cloudflared", "tunnel", "--metrics"], {"metrics": ""}, ""),
    ],
)
def test_arguments(argv, values, tunnel):
    assert s.read_arguments(argv) == (values, tunnel)


def test_precedence_is_argument_environment_file():
    read = files(etc__cloudflared__config_yml=None)
    text = "metrics: 127.0.0.1:3\nretries: 3\ngrace-period: 3s\n"
    read = {"/etc/cloudflared/config.yml": text}.get
    argv = ["cloudflared", "tunnel", "--metrics", "127.0.0.1:1", "run"]
    found = s.settings_of(argv, {"TUNNEL_METRICS": "127.0.0.1:2", "TUNNEL_RETRIES": "2"}, read)
    assert (found.text("metrics"), found.retries, found.grace_period) == ("127.0.0.1:1", 2, 3.0)
    assert found.sources == {"metrics": "argument", "retries": "environment", "grace_period": "file"}
    assert found.config_path == "/etc/cloudflared/config.yml"


def test_defaults_are_those_of_cloudflared():
    found = s.settings_of(["cloudflared", "tunnel", "run"], {}, nothing)
    assert (found.expected, found.retries, found.grace_period, found.protocol) == (4, 5, 30.0, "auto")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("1m30s", 90),
        ("1.5h", 5400),
        ("0", 0),
        ("250ms", 0.25),
        ("", None),
        ("30", None),
        ("30 s", None),
        ("s", None),
        ("-3s", None),
    ],
)
def test_durations_of_go(text, seconds):
    assert s.duration(text) == seconds


@pytest.mark.parametrize(("value", "grace"), [("10m", 180.0), ("0", 0.0), ("soon", 30.0)])
def test_grace_period_is_bounded(value, grace):
    assert s.Settings({"grace_period": value}).grace_period == grace


@pytest.mark.parametrize("value", ["-1", "x", "9" * 30, "", "١"])
def test_a_number_that_is_none_is_the_default(value):
    assert s.Settings({"retries": value, "connections": value}).retries == 5


def test_top_level_of_a_configuration():
    text = """
# a comment
tunnel: 8ff4db4e-3c1d-4f5f-9c36-2f1f4a7d0c11   # the tunnel
credentials-file: '/etc/cloudflared/it''s.json'
metrics: "127.0.0.1:20300"
retries: 2
retries: 9
protocol: &anchor quic
ingress:
  - hostname: a.example
    service: http://localhost
  metrics: 9
originRequest: {noTLSVerify: true}
no-value:
\tmetrics: 1
"""
    found = s.top_level(text)
    assert found["tunnel"] == "8ff4db4e-3c1d-4f5f-9c36-2f1f4a7d0c11"
    assert found["metrics"] == "127.0.0.1:20300"
    assert found["retries"] == "2"
    assert found["ingress"] == ""
    assert "protocol" not in found and "originRequest" not in found


def test_remote_needs_a_token_and_no_ingress_of_its_own():
    assert s.Settings({"token_file": "/t"}).remote
    assert not s.Settings({"token_file": "/t"}, ingress=True).remote
    assert not s.Settings({"token_file": "/t", "origin": "http://localhost"}).remote
    assert not s.Settings({"credentials_file": "/t"}).remote


def test_unit_files_with_drop_ins(tmp_path):
    unit, drop_in, environment = tmp_path / "a.service", tmp_path / "b.conf", tmp_path / "env"
    unit.write_text(
        "[Unit]\nExecStart=/bin/wrong\n[Service]\nEnvironment=TUNNEL_RETRIES=1 'TUNNEL_LABEL=a b'\n"
        "ExecStart=/usr/bin/cloudflared tunnel \\\n  --metrics 127.0.0.1:1 run\n"
    )
    drop_in.write_text(
        f"[Service]\n; a comment\nEnvironmentFile=-{environment}\nEnvironment=TUNNEL_TOKEN_FILE=%d/%i\nExecStart=\n"
        "ExecStart=-/usr/bin/cloudflared tunnel run ${NAME}\n"
    )
    environment.write_text('# comment\nNAME="web"\nTUNNEL_RETRIES=2\n')
    properties = {"FragmentPath": str(unit), "DropInPaths": str(drop_in), "Id": "cloudflared@eu.service"}
    argv, environ = s.unit_command(properties)
    assert argv == ["/usr/bin/cloudflared", "tunnel", "run", "web"]
    assert environ == {
        "TUNNEL_RETRIES": "2",
        "TUNNEL_LABEL": "a b",
        "TUNNEL_TOKEN_FILE": "/run/credentials/cloudflared@eu.service/eu",
        "NAME": "web",
    }


def test_a_process_is_read_from_proc(tmp_path):
    process = tmp_path / "7"
    (process / "root" / "etc").mkdir(parents=True)
    (process / "cmdline").write_bytes(b"cloudflared\0tunnel\0run\0--token-file\0/etc/token\0")
    (process / "environ").write_bytes(b"TUNNEL_METRICS=127.0.0.1:5\0TUNNEL_RETRIES=1\0")
    (process / "root" / "etc" / "token").write_text(TOKEN + "\n")
    seen = s.Process(7, str(tmp_path))
    found = seen.settings()
    assert (found.text("metrics"), found.retries) == ("127.0.0.1:5", 1)
    assert identify(found, seen.read).tunnel_id == TUNNEL
    (process / "environ").unlink()
    assert "become root" in seen.settings().notes[0]


@pytest.mark.parametrize("environ", [b"LANG=C\0", b"HOME=\0", b"HOME={home}\0", b"HOME=/elsewhere\0"])
def test_a_process_without_a_home_has_that_of_its_user(tmp_path, environ):
    home = pwd.getpwuid(os.getuid()).pw_dir
    folder = tmp_path / "7" / "root" / home.strip("/") / ".cloudflared"
    folder.mkdir(parents=True)
    (folder / "config.yml").write_text("protocol: http2\n")
    (tmp_path / "7" / "cmdline").write_bytes(b"cloudflared\0tunnel\0run\0")
    (tmp_path / "7" / "environ").write_bytes(environ.replace(b"{home}", home.encode()))
    found = s.Process(7, str(tmp_path)).settings().protocol
    assert found == ("auto" if b"elsewhere" in environ else "http2")


def test_only_a_regular_file_is_read(tmp_path):
    """Who opens a pipe waits for its writer, and takes from the service what is in it."""
    os.mkfifo(tmp_path / "pipe")
    assert s.read_file(str(tmp_path / "pipe")) is None
    assert s.read_file(str(tmp_path)) is None and s.read_file(str(tmp_path / "none")) is None
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert s.read_file("/link", str(tmp_path)) == "x"


@pytest.mark.parametrize(
    ("values", "source"),
    [
        ({"token": TOKEN}, "token (argument)"),
        ({"token_file": "/t"}, "token file"),
        ({"credentials": CREDENTIALS}, "credentials in the environment"),
        ({"credentials_file": "/c"}, "credentials file"),
    ],
)
def test_the_tunnel_is_known_from_what_names_it(values, source):
    given = s.Settings(values, dict.fromkeys(values, "argument"))
    found = identify(given, {"/t": TOKEN + "\n", "/c": CREDENTIALS}.get)
    assert (found.tunnel_id, found.account, found.source, found.problem) == (TUNNEL, ACCOUNT, source, "")


def test_credentials_are_found_by_the_name_of_the_tunnel():
    given = s.Settings(tunnel=TUNNEL)
    found = identify(given, {f"/etc/cloudflared/{TUNNEL}.json": CREDENTIALS}.get)
    assert (found.tunnel_id, found.path) == (TUNNEL, f"/etc/cloudflared/{TUNNEL}.json")
    assert identify(given, nothing).tunnel_id == TUNNEL
    assert identify(s.Settings(tunnel="web"), nothing).name == "web"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "garbage!!",
        "eyJ",
        base64.b64encode(b"[]").decode(),
        base64.b64encode(b"{}").decode(),
        TOKEN[:-4],
        TOKEN.rstrip("=") + "\x00",
        base64.b64encode(json.dumps({"t": TUNNEL, "s": ""}).encode()).decode(),
        base64.b64encode(json.dumps({"t": "web", "s": SECRET}).encode()).decode(),
        base64.b64encode(b"[" * 100000).decode(),
        base64.b64encode(b"\xff\xfe").decode(),
    ],
)
def test_a_damaged_token_is_told(token):
    found = identify(s.Settings({"token_file": "/t"}), {"/t": token}.get)
    assert (found.tunnel_id, found.problem) == ("", "token_malformed")


def test_a_token_file_that_cannot_be_read_is_told():
    found = identify(s.Settings({"token_file": "/t"}), nothing)
    assert (found.problem, found.path) == ("token_unreadable", "/t")


def test_a_token_given_as_the_name_of_the_tunnel_is_no_name():
    given = s.settings_of(["cloudflared", "tunnel", "run", TOKEN], {}, nothing)
    found = identify(given, nothing)
    assert (found.tunnel_id, found.name, found.problem) == ("", "", "unknown")
    assert identify(s.Settings(tunnel="{{ web }}\n"), nothing).name == "{ { web } }\\n"


def test_no_secret_leaves():
    given = s.Settings({"token": TOKEN, "credentials": CREDENTIALS}, {"token": "argument"})
    shown = repr(given) + repr(identify(given, nothing))
    assert SECRET not in shown and TOKEN not in shown and "CANARY" not in shown
