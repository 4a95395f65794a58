# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP client and TLS: who is trusted, and peers that hang, drip and flood inside it."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess
import time

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import HttpClient, TlsSettings
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.hostile import OK, ask, fail, hang, servers


@pytest.fixture
def serve():
    with servers() as start:
        yield start


def openssl(*args, cwd):
    subprocess.run(["openssl", *args], cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA, and certificates of it: for the loopback, for another name, expired, for a client."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is needed to make certificates")
    where = tmp_path_factory.mktemp("tls")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test ca", cwd=where)
    for name, names, days in [
        ("good", "DNS:localhost,IP:127.0.0.1", "2"),
        ("other", "DNS:other.example", "2"),
        ("expired", "DNS:localhost,IP:127.0.0.1", "-1"),
        ("client", "DNS:client.example", "2"),
    ]:
        (where / "names").write_text(f"subjectAltName={names}\n")
        openssl("req", *new_key, "-keyout", f"{name}.key", "-out", "csr", "-subj", f"/CN={name}", cwd=where)
        signer = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", days)
        openssl("x509", "-req", "-in", "csr", "-out", f"{name}.pem", *signer, cwd=where)
    openssl("ec", "-in", "good.key", "-aes256", "-passout", "pass:x", "-out", "locked.key", cwd=where)
    return where


@pytest.fixture
def tls_server(serve, certificates):
    def start(name="good", client_ca=False, after=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(certificates / f"{name}.pem"), str(certificates / f"{name}.key"))
        if client_ca:
            context.load_verify_locations(str(certificates / "ca.pem"))
            context.verify_mode = ssl.CERT_REQUIRED

        def handle(server, sock):
            with context.wrap_socket(sock, server_side=True) as wrapped:
                if after is not None:
                    after(server, wrapped)
                    return
                while server.read_request(wrapped):
                    wrapped.sendall(OK)

        server = serve(handle)
        return server, f"https://127.0.0.1:{server.port}/"

    return start


class TestTls:
    def ca(self, certificates, **kwargs):
        return TlsSettings(ca_path=str(certificates / "ca.pem"), **kwargs)

    def pin(self, certificates, name="good"):
        der = ssl.PEM_cert_to_DER_cert((certificates / f"{name}.pem").read_text())
        return hashlib.sha256(der).hexdigest()

    def test_trusted(self, tls_server, certificates):
        _server, url = tls_server()
        assert ask(url, tls=self.ca(certificates)).body == b"ok"
        assert ask(url.replace("127.0.0.1", "localhost"), tls=self.ca(certificates)).body == b"ok"

    @pytest.mark.parametrize(("name", "word"), [("other", "IP address mismatch"), ("expired", "expired")])
    def test_not_trusted(self, tls_server, certificates, name, word):
        error = fail(tls_server(name)[1], tls=self.ca(certificates))
        assert error.kind == "tls" and word in error.msg
        assert ask(tls_server(name)[1], tls=TlsSettings(verify=False)).body == b"ok"

    def test_authority_not_known(self, tls_server):
        assert fail(tls_server()[1]).kind == "tls"

    def test_other_name_on_request(self, tls_server, certificates):
        settings = self.ca(certificates, server_hostname="other.example")
        assert ask(tls_server("other")[1], tls=settings).body == b"ok"

    def test_pinned(self, tls_server, certificates):
        _server, url = tls_server("expired")
        pin = self.pin(certificates, "expired")
        colons = ":".join(pin[i : i + 2] for i in range(0, 64, 2)).upper()
        for settings in (
            TlsSettings(fingerprint_sha256=pin),
            TlsSettings(fingerprint_sha256=colons),
            TlsSettings(fingerprint_sha256=pin, verify=False),
        ):
            assert ask(url, tls=settings).body == b"ok"
        assert fail(url, tls=TlsSettings(fingerprint_sha256=self.pin(certificates), verify=False)).kind == "tls"
        assert "expired" in fail(url, tls=self.ca(certificates, fingerprint_sha256=pin)).msg

    def test_client_certificate(self, tls_server, certificates):
        _server, url = tls_server(client_ca=True)
        files = {"client_cert": str(certificates / "client.pem"), "client_key": str(certificates / "client.key")}
        assert ask(url, tls=self.ca(certificates, **files)).body == b"ok"
        assert fail(url, tls=self.ca(certificates)).kind in ("tls", "reset")

    @pytest.mark.parametrize(
        "settings",
        [
            {"ca_path": "/nonexistent/ca.pem"},
            {"ca_path": "names"},
            {"client_cert": "/nonexistent"},
            {"client_cert": "good.pem", "client_key": "other.key"},
            {"client_cert": "good.pem", "client_key": "locked.key"},
            {"client_key": "good.key"},
            {"fingerprint_sha256": "abc"},
        ],
    )
    def test_unusable_settings_ask_nobody(self, tls_server, certificates, settings):
        server, url = tls_server()
        is_file = {"names", "good.pem", "good.key", "other.key", "locked.key"}
        found = {key: str(certificates / value) if value in is_file else value for key, value in settings.items()}
        error = fail(url, tls=TlsSettings(**found))
        assert error.kind == "tls_settings" and server.accepted == 0
        assert "fingerprint_sha256" in settings or next(iter(found.values())) in error.msg or "without" in error.msg

    def test_plain_server(self, serve, certificates):
        def plain(_server, sock):
            sock.recv(1000)
            sock.sendall(b"HTTP/1.1 400 Bad\r\n\r\n")

        url = serve(plain).url.replace("http:", "https:")
        assert fail(url, tls=self.ca(certificates)).kind in ("tls", "reset")

    def test_handshake_that_hangs(self, serve):
        assert fail(serve(hang).url.replace("http:", "https:"), timeout=0.4).kind == "timeout"

    def test_handshake_that_is_cut(self, serve):
        def cut(_server, sock):
            sock.recv(100)

        assert fail(serve(cut).url.replace("http:", "https:")).kind == "reset"

    def test_drip_inside_tls(self, tls_server, certificates):
        def drip(server, sock):
            server.read_request(sock)
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"x" * 9999:
                sock.sendall(bytes([byte]))
                if server.over.wait(0.01):
                    return

        assert fail(tls_server(after=drip)[1], timeout=0.6, tls=self.ca(certificates)).kind == "timeout"

    def test_flood_inside_tls(self, tls_server, certificates):
        def flood(server, sock):
            server.read_request(sock)
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                sock.sendall(b"x" * 65536)

        assert fail(tls_server(after=flood)[1], max_bytes=10000, tls=self.ca(certificates)).kind == "too_large"

    def test_connection_is_kept(self, tls_server, certificates):
        server, url = tls_server()
        connection = HttpClient().connection(url, tls=self.ca(certificates))
        for _number in range(3):
            assert connection.request("GET", timeout=5).body == b"ok"
            time.sleep(0.02)  # session tickets arrive meanwhile and must not look like an answer
        assert server.accepted == 1

    def test_context_is_made_once(self, certificates):
        client = HttpClient()
        assert client.context(self.ca(certificates)) is client.context(self.ca(certificates))
