# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP: batches, malformed requests, API groups, host allowlist, authentication, TLS - byte for byte as recorded."""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.chainops.lifecycle.tests.support.besu_standin import auth
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.conftest import MakeNetwork
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.harness import (
    Answer,
    Node,
    http_request,
    until,
)
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.recorded import (
    keys_in_order,
    recording,
    shape,
)

LOCAL = {"Host": "localhost"}


def _same(label: str, ours: Answer, theirs: dict[str, Any], exact: bool = True) -> None:
    assert ours.status == theirs["status"], label
    assert ours.type == theirs.get("type"), label
    assert ours.reason == theirs.get("reason", ours.reason), label
    if exact:
        assert ours.text == theirs["body"], label
    else:
        assert shape(ours.json) == shape(json.loads(theirs["body"])), label
        assert keys_in_order(ours.json) == keys_in_order(json.loads(theirs["body"])), label


@pytest.fixture(scope="module")
def plain(make_shared_network: MakeNetwork) -> Iterator[Node]:
    """Default API groups and host allowlist, no block but the first, two peers that cannot make any."""
    nodes = make_shared_network(4, 2)
    defaults = {"rpc-http-api": None, "host-allowlist": None}
    for name in ("b5", "b6", "b1"):
        nodes[name].options.update(defaults)
        nodes[name].start()

    def peers() -> int:
        answer = nodes["b5"].post({"jsonrpc": "2.0", "id": 1, "method": "net_peerCount"}, LOCAL).json
        assert isinstance(answer, dict)
        return int(answer["result"], 16)

    def ready() -> bool:
        try:
            return peers() == 2
        except OSError:
            return False

    until(ready)
    yield nodes["b5"]


def _recorded(label: str) -> dict[str, Any]:
    answer: dict[str, Any] = recording("api_groups_and_host_allowlist")["answers"][label]
    return answer


METHODS = {
    "eth_syncing": True, "eth_blockNumber": True, "eth_getBlockByNumber": False, "net_peerCount": True,
    "admin_peers": True, "admin_nodeInfo": True, "qbft_getValidatorsByBlockNumber": True, "qbft_getSignerMetrics": True,
    "eth_chainId": True, "rpc_modules": True, "web3_clientVersion": True,
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_default_groups(method: str, plain: Node) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": ["latest", False]}
    label = f"default API groups, Host: localhost: {method}"
    _same(label, plain.post(body, LOCAL), _recorded(label), METHODS[method])


@pytest.mark.parametrize("path", ["/liveness", "/readiness", "/readiness?minPeers=1&maxBlocksBehind=10"])
def test_host_allowlist_of_health_endpoints(path: str, plain: Node) -> None:
    # An address of the loopback network is no host that the default list has.
    label = f"default host allowlist, Host is the address: GET {path}"
    _same(label, plain.get(path, headers={"Host": f"{plain.host}:8545"}), _recorded(label))


def test_host_allowlist(plain: Node) -> None:
    label = "default host allowlist, Host is the address: eth_blockNumber"
    _same(label, plain.post({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber"}), _recorded(label))
    refused = plain.get("/metrics", 9545)
    theirs = _recorded("default: /metrics, Host is the address")
    assert (refused.status, refused.reason, refused.type) == (theirs["status"], theirs["reason"], theirs["type"])
    assert plain.get("/metrics", 9545, LOCAL).status == 200
    assert plain.get("/liveness", headers={"Host": "LOCALHOST:8545"}).status == 200


CALL = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}
BATCH = [
    {"jsonrpc": "2.0", "id": i, "method": m, "params": []}
    for i, m in enumerate(("eth_blockNumber", "admin_peers", "net_peerCount"))
]
BODIES: dict[str, object] = {
    "batch of three, one not enabled": BATCH,
    "empty batch": [],
    "no JSON": "this is no JSON",
    "batch of 1025": [CALL] * 1025,
    "no method": {"jsonrpc": "2.0", "id": 1, "params": []},
    "id is a string": {**CALL, "id": "x"},
    "no params": {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber"},
    "notification: no id": {"jsonrpc": "2.0", "method": "eth_blockNumber", "params": []},
    "empty body": "",
}


@pytest.mark.parametrize("label", BODIES)
def test_bodies(label: str, plain: Node) -> None:
    _same(label, plain.post(BODIES[label], LOCAL), _recorded(label))


@pytest.mark.parametrize(
    ("label", "method", "body"),
    [("GET on /", "GET", None), ("PUT", "PUT", "{}"), ("Content-Type text/plain", "POST", json.dumps(CALL))],
)
def test_verbs(label: str, method: str, body: str | None, plain: Node) -> None:
    headers = {**LOCAL, "Content-Type": "text/plain"}
    _same(label, http_request(plain.host, 8545, method, "/", body, headers), _recorded(label))


def test_several_requests_on_one_connection(plain: Node) -> None:
    import http.client

    connection = http.client.HTTPConnection(plain.host, 8545, timeout=5)
    for number in range(3):
        connection.request("POST", "/", json.dumps({**CALL, "id": number}), LOCAL)
        assert json.loads(connection.getresponse().read())["id"] == number
    connection.close()


def _hash(password: str) -> str:
    import ctypes

    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    made: bytes = library.crypt(password.encode(), b"$2a$04$CCCCCCCCCCCCCCCCCCCCC.")
    return made.decode()


@pytest.fixture
def guarded(make_network: MakeNetwork) -> Node:
    """A node that asks for tokens; users as in the recording."""
    node = make_network(4, 1)["b5"]
    credentials = node.directory / "auth.toml"
    credentials.write_text(
        f'[Users.operator]\npassword = "{_hash("secret")}"\n'
        'permissions = ["eth:blockNumber", "eth:syncing", "net:*"]\n'
        f'[Users.root]\npassword = "{_hash("root")}"\npermissions = ["*:*"]\n'
    )
    node.options.update({
        "rpc-http-authentication-enabled": True, "rpc-http-authentication-credentials-file": str(credentials),
    })  # fmt: skip
    return node


def _started(node: Node) -> Node:
    node.start()

    def alive() -> bool:
        try:
            return node.get("/liveness").status == 200
        except OSError:
            return False

    until(alive)
    return node


def _login(node: Node, user: str, password: str) -> Answer:
    body = json.dumps({"username": user, "password": password})
    return http_request(node.host, 8545, "POST", "/login", body)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _call(method: str) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": []}


def test_authentication(guarded: Node) -> None:
    said = recording("authentication")["answers"]
    node = _started(guarded)
    _same("no token", node.post(CALL), said["no token"])
    _same("liveness", node.get("/liveness"), said["GET /liveness without token"])
    _same("wrong", _login(node, "operator", "no"), said["login, wrong password"])
    _same("unknown", _login(node, "nobody", "secret"), said["login, unknown user"])
    _same("empty", http_request(node.host, 8545, "POST", "/login", ""), said["login, empty body"])
    answer = _login(node, "operator", "secret")
    assert (answer.status, answer.type) == (200, "application/json")
    token = str(json.loads(answer.text)["token"])
    assert len(token) == 531, "as long as the recorded token"
    parts = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]
    claims = said["claims of the token"]
    assert parts[0] == claims["header"]
    assert list(parts[1]) == [key for key in claims if key not in ("header", "seconds until it expires")]
    assert parts[1]["permissions"] == claims["permissions"]
    assert parts[1]["exp"] - parts[1]["iat"] == claims["seconds until it expires"]
    say = "token of operator: eth_blockNumber (permitted)"
    _same(say, node.post(CALL, _bearer(token)), said[say])
    off = json.loads(node.post(_call("ibft_getSignerMetrics"), _bearer("no token at all")).text)
    assert off["error"]["code"] == -32604, "that a method is off is told before the token is looked at"
    say = "token of operator: admin_peers (not permitted)"
    _same(say, node.post(_call("admin_peers"), _bearer(token)), said[say])
    _same("cut", node.post(CALL, _bearer(token[:-10])), said["token cut short"])
    _same("none", node.post(CALL, _bearer("nonsense")), said["not a token"])
    _same("basic", node.post(CALL, {"Authorization": "Basic b3A6cHc="}), said["Basic instead of Bearer"])
    batch = [CALL, {**_call("admin_peers"), "id": 2}]
    _same("batch", node.post(batch, _bearer(token)), said["batch, one method not permitted"])
    root = str(json.loads(_login(node, "root", "root").text)["token"])
    until(lambda: node.post(_call("net_listening"), _bearer(root)).json["result"] is True)
    assert node.post(_call("admin_nodeInfo"), _bearer(root)).text.startswith(
        '{"jsonrpc":"2.0","id":1,"result":{"enode":'
    )
    node.stop()
    _started(node)
    _same("old", node.post(CALL, _bearer(token)), said["token from before a restart of the node"])


def test_a_token_expires() -> None:
    now = 1_800_000_000.0
    tokens = auth.OwnTokens({"u": auth.User("u", _hash("p"), ("*:*",))}, lambda: now)
    token = tokens.login("u", "p")
    now += auth.LIFETIME - 1
    assert tokens.permissions(token) == ["*:*"]
    now += 1
    with pytest.raises(auth.Refused):
        tokens.permissions(token)


def _jwt(key: Path, claims: dict[str, object]) -> str:
    def encode(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    text = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    signed = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", str(key)], input=text.encode(), capture_output=True, check=True
    )
    return f"{text}.{encode(signed.stdout)}"


def test_own_issuer(guarded: Node, tmp_path: Path) -> None:
    import time

    said = recording("authentication")["answers"]
    key, other, public = tmp_path / "key.pem", tmp_path / "other.pem", tmp_path / "public.pem"
    for file in (key, other):
        subprocess.run(["openssl", "genrsa", "-out", str(file), "2048"], capture_output=True, check=True)
    subprocess.run(["openssl", "rsa", "-in", str(key), "-pubout", "-out", str(public)], capture_output=True, check=True)
    guarded.options["rpc-http-authentication-credentials-file"] = None
    guarded.options["rpc-http-authentication-jwt-public-key-file"] = str(public)
    node = _started(guarded)
    soon = int(time.time()) + 100
    everything: dict[str, object] = {"permissions": ["*:*"], "exp": soon}
    tokens = {
        "own JWT: valid": _jwt(key, everything),
        "own JWT: expired": _jwt(key, {**everything, "exp": soon - 200}),
        "own JWT: no expiry": _jwt(key, {"permissions": ["*:*"]}),
        "own JWT: signed by another key": _jwt(other, everything),
        "own JWT: permission for net only": _jwt(key, {**everything, "permissions": ["net:*"]}),
    }
    for label, token in tokens.items():
        _same(label, node.post(CALL, _bearer(token)), said[label])
    _same("login", _login(node, "operator", "secret"), said["own JWT: /login"])


def test_tls(make_network: MakeNetwork, tmp_path: Path) -> None:
    said = recording("rpc_tls")["answers"]
    if shutil.which("curl") is None:
        pytest.skip("curl is not there")
    key, certificate, store = tmp_path / "key.pem", tmp_path / "cert.pem", tmp_path / "store.p12"
    node = make_network(4, 1)["b5"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate),
         "-days", "2", "-subj", "/CN=node", "-addext", f"subjectAltName=IP:{node.host}"],
        capture_output=True, check=True,
    )  # fmt: skip
    subprocess.run(
        ["openssl", "pkcs12", "-export", "-inkey", str(key), "-in", str(certificate), "-out", str(store),
         "-passout", "pass:changeit"],
        capture_output=True, check=True,
    )  # fmt: skip
    (tmp_path / "password").write_text("changeit")
    node.options.update({
        "rpc-http-tls-enabled": True, "rpc-http-tls-keystore-file": str(store),
        "rpc-http-tls-keystore-password-file": str(tmp_path / "password"),
    })  # fmt: skip
    node.start()
    url = f"https://{node.host}:8545"
    context = ssl.create_default_context(cafile=str(certificate))

    def served() -> bool:
        request = urllib.request.Request(url, json.dumps(CALL).encode())
        try:
            with urllib.request.urlopen(request, context=context, timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    until(served)
    assert any("started and listening on" in line and line.endswith("with TLS enabled.") for line in node.lines())
    commands = {
        "https, certificate not checked": ["-k", url],
        "https, certificate unknown": [url],
        "plain http to the TLS port": [url.replace("https", "http")],
    }
    for label, arguments in commands.items():
        done = subprocess.run(
            ["curl", "-sS", "-w", "\\n%{http_code}", "-d", json.dumps(CALL), *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stdout == said[label]["out"], label
        assert done.stderr.partition("\n")[0] == said[label]["err"].partition("\n")[0], label
