# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that leaves a host: secrets are gone, markup is harmless, sizes are bounded."""

from __future__ import annotations

import base64
import json
import time

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import (
    REDACTED,
    escape_all,
    escape_control,
    redact,
    redact_data,
    sanitize,
)

SECRET = "Zx9Qw7Lm3Kp1Vb5N"
TUNNEL_TOKEN = base64.b64encode(
    json.dumps({"a": "0" * 32, "t": "3f1c2a9e-7a1b-4f52-9d0e-0123456789ab", "s": "c2VjcmV0" * 5}).encode()
).decode()
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpYXQiOjE3OTU0ODg5NjV9.bGV0J3MtcHJldGVuZC10aGlzLWlzLWEtbWFj"
HEX_KEY = "c87509a1c067bbde78beb793e6fa76530b6382a4c0241e5e4a9ec0a0f44dc0d3"

SECRETS = [
    (f"jwt {JWT} refused", JWT),
    (f"got Authorization: Bearer {SECRET} from", SECRET),
    (f'{{"Authorization": "Basic {SECRET}", "status": 401}}', SECRET),
    (f"authorization={SECRET}", SECRET),
    (f"Authorization: Digest username=x, response={SECRET}", SECRET),
    (f"sent bearer {SECRET}", SECRET),
    (f"Cookie: a=b; session={SECRET}", SECRET),
    (f"run --token {SECRET} --metrics x", SECRET),
    (f"run --tunnel-token={SECRET}", SECRET),
    (f"--db-password '{SECRET} with spaces' next", SECRET),
    (f"token={SECRET}", SECRET),
    (f"TUNNEL_TOKEN: {SECRET}", SECRET),
    (f'{{\\"api_key\\":\\"{SECRET}\\"}}', SECRET),
    (f"apikey={SECRET}", SECRET),
    (f"Api key: {SECRET}", SECRET),
    (f"the access key = {SECRET}", SECRET),
    (f'{{"token" => "{SECRET}"}}', SECRET),
    (f"token := {SECRET}", SECRET),
    (f"if password == {SECRET}", SECRET),
    (f"client_secret: {SECRET}", SECRET),
    (f"PASSWORD = {SECRET}", SECRET),
    (f'passwd:"{SECRET} \\" x"', SECRET),
    (f"https://user:{SECRET}@api.example/path", SECRET),
    (f"postgres://u:p@{SECRET}@db/x", SECRET),
    (f"https://{SECRET}@api.example/path", SECRET),
    (f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}\n-----END EC PRIVATE KEY-----\n", SECRET),
    (f"-----BEGIN PRIVATE KEY-----\n{SECRET}", SECRET),
    ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj", "MIIEvQIBADANBgkqhkiG9w0"),
    (f"tunnel run {TUNNEL_TOKEN}", TUNNEL_TOKEN[:40]),
    (f"cloudflared /path/{TUNNEL_TOKEN}", TUNNEL_TOKEN[:40]),
    (f"private key 0x{HEX_KEY}", HEX_KEY),
    (f"node-key={HEX_KEY}", HEX_KEY),
    (f'{{"AccountTag":"x","TunnelSecret":"{SECRET}","TunnelID":"y"}}', SECRET),
    (f"mnemonic: test test {SECRET} junk", SECRET),
    (f"ghp_{SECRET}{SECRET} pushed", SECRET),
    (f"https://hooks.slack.com/services/T0/B0/{SECRET}", SECRET),
    (f"\x1b[36mtoken=\x1b[0m{SECRET}", SECRET),
    (f"to\x1b[1mken={SECRET}", SECRET),
    ("password: hunter", "hunter"),
    ("password: hunter for user admin", "hunter"),
    ("password=no such word", "=no"),
    (f"token: {SECRET} is not valid", SECRET),
    ("passphrase: correct horse battery staple", "correct"),
    (f"--token {SECRET} is refused", SECRET),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_secret_is_redacted(text: str, secret: str) -> None:
    clean = redact(text)
    assert secret not in clean
    assert REDACTED in clean


@pytest.mark.parametrize(
    "text",
    [
        "Failed to read token file: /etc/cloudflared/token",
        "--token-file /etc/cloudflared/token --metrics 127.0.0.1:20241",
        "password-file=/etc/x",
        "enode://" + "ab" * 64 + "@192.0.2.7:30303",
        "git+ssh://git.example/x and ssh://git@git.example",
        "Imported block 0x" + "0f" * 32,
        "0x" + "0f" * 32,
        "0f" * 32,
        "public key " + "ab" * 32,
        "Provided Tunnel token is not valid.",
        "basic authentication failed",
        "bearer of bad news",
        "/opt/besu/lib/org/hyperledger/besu/ethereum/core/DATA1/abcdefghijkl",
        "KeyJsonParserConfigurationFactory failed",
        "http://127.0.0.1:8545/liveness answered 503",
        # cloudflared
        "error reading token: no such file or directory",
        "invalid token: signature mismatch",
        "failed to read token: open /etc/cloudflared/token: no such file or directory",
        "cannot use credentials and token: only one of them may be given",
        "token: /etc/cloudflared/token",
        "Failed to parse token: illegal base64 data at input byte 4",
        'Register tunnel error from server side error="Unauthorized: Invalid tunnel secret" connIndex=0',
        "tunnel token: Provided Tunnel token is not valid.",
        "flag --token is required",
        "option --token requires an argument",
        # Besu
        "Unable to read node private key: file not found in /var/lib/besu",
        "Failed to load the private-key: does not contain valid keyPair",
        "rpc-http-authentication: the credentials file has no user",
        "Invalid password: must not be empty",
        # OpenSSH
        "git@git.example: Permission denied (publickey,password).",
        'Load key "/root/.ssh/id_ed25519": error in libcrypto',
        "Failed password for invalid user admin from 192.0.2.4 port 4222 ssh2",
        "userauth_pubkey: private_key: incorrect passphrase supplied to decrypt it",
        "passphrase: bad decrypt while loading the key",
        # PostgreSQL
        'FATAL:  password authentication failed for user "app"',
        "FATAL:  could not load private_key: permission denied for the service's user",
        "pg_hba: password: authentication failed for user app",
        "DETAIL:  User does not have a valid SCRAM secret: password is missing from the catalogue",
        "http: authorization: failed to decode the header",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_data_is_redacted_at_any_depth() -> None:
    data = {
        "TunnelSecret": SECRET,
        "tokens": 7,
        "token_file": "/etc/token",
        "enabled_token": True,
        "argv": ["run", "--token", SECRET, "--no-autoupdate"],
        "nested": [{"env": (f"TUNNEL_TOKEN={SECRET}", "HOME=/root")}, None, 3.5, f"password={SECRET}".encode()],
        f"token={SECRET}": "key",
    }
    clean = redact_data(data)
    assert SECRET not in json.dumps(clean)
    assert clean["token_file"] == "/etc/token"
    assert clean["enabled_token"] is True
    assert clean["argv"] == ["run", "--token", REDACTED, "--no-autoupdate"]
    assert clean["nested"][0]["env"][1] == "HOME=/root"
    assert clean["nested"][1:3] == [None, 3.5]


def test_data_nested_too_deep_ends() -> None:
    data: list[object] = []
    data.append(data)
    assert "[nested too deep]" in json.dumps(redact_data(data))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain text", "plain text"),
        ("a\nb\r\tc", "a\\nb\\r c"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x\x1b]8;;http://evil\x1b\\link", "xlink"),
        ("\x1b]0;unfinished", "\\x1b]0;unfinished"),
        ("\x9b31m", "\\x9b31m"),
        ("\x00\x07\x08\x7f", "\\x00\\x07\\x08\\x7f"),
        ("user\u202eexe", "user\\u202eexe"),
        ("a\u200bb\u2066c\ufeff", "a\\u200bb\\u2066c\\ufeff"),
        ("a\u00a0b\u3000c", "a b c"),
        ("a\u2028b", "a\\u2028b"),
        ("\udc80", "\\udc80"),
        ("x\ufe0f\u3164", "x\\ufe0f\\u3164"),
        ("\U000e0041", "\\U000e0041"),
        ("{{ lookup('pipe', 'id') }}", "{ { lookup('pipe', 'id') } }"),
        ("{% raw %}{# c #}", "{ % raw % }{ # c # }"),
        ("{{{a}}}", "{ { {a} } }"),
        ("{%}", "{ % }"),
        ("{\x1b[0m{ x }\x1b[0m}", "{ { x } }"),
        ('{"a": {"b": 1} }', '{"a": {"b": 1} }'),
        ("<script>alert(1)</script>", "< script>alert(1)< /script>"),
        ("<!channel> <@U1>", "< !channel> < @U1>"),
        ("height < 5 > 3", "height < 5 > 3"),
        ("Zürich 区块 ✓", "Zürich 区块 ✓"),
    ],
)
def test_neutralise(text: str, clean: str) -> None:
    assert escape_control(text) == clean
    assert escape_control(clean) == clean


def test_a_cut_is_visible_and_exact() -> None:
    assert escape_control("x" * 501) == "x" * 499 + "…"
    assert escape_control("x" * 500) == "x" * 500
    assert escape_control("xyz", limit=0) == "…"


def test_redaction_comes_before_the_cut() -> None:
    line = "x" * 20 + f" token={SECRET}"
    assert SECRET[:4] not in sanitize(line, limit=32)


def test_escape_all_reaches_every_string() -> None:
    given = {"a{{": ["{{ x }}", ("\x1b[31mred", 5, None, True)], "plain": "50% of it", "#jinja2:x": "#jinja2:y"}
    shown = {"a{ {": ["{ { x } }", ["red", 5, None, True]], "plain": "50% of it", "# jinja2:x": "# jinja2:y"}
    assert escape_all(given) == shown
    assert escape_all(shown) == shown
    deep: object = "x"
    for _level in range(2000):
        deep = [deep]
    assert "nested too deep" in str(escape_all(deep))


def test_a_very_long_text_is_not_looked_through_to_its_end() -> None:
    began = time.process_time()
    assert len(sanitize("token=a " * 4_000_000, 300)) == 300
    assert time.process_time() - began < 2
