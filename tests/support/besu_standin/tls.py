# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS for JSON-RPC: a key store of PKCS#12, as Besu takes it, or PEM."""

from __future__ import annotations

import ssl
import subprocess
import tempfile
from pathlib import Path

from .failures import StartFailure
from .options import Options


def _pem(store: Path, password_file: Path | None) -> bytes:
    """Key and certificates as PEM. ``StartFailure`` when the store cannot be read."""
    try:
        data = store.read_bytes()
        if data.startswith(b"-----BEGIN"):
            return data
        secret = f"file:{password_file}" if password_file is not None else "pass:"
        command = ["openssl", "pkcs12", "-in", str(store), "-passin", secret, "-nodes"]
        done = subprocess.run(command, capture_output=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        raise StartFailure(f"Unable to initialize TLS: key store {store} cannot be loaded") from None
    return done.stdout


def server_context(options: Options) -> ssl.SSLContext | None:
    """The TLS settings of the JSON-RPC port, ``None`` without TLS."""
    if not options.flag("rpc-http-tls-enabled"):
        return None
    store = options.path("rpc-http-tls-keystore-file")
    if store is None:
        raise StartFailure("Keystore file is required when TLS is enabled for JSON-RPC HTTP endpoint")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(_pem(store, options.path("rpc-http-tls-keystore-password-file")))
        file.flush()
        context.load_cert_chain(file.name)
    trust = options.path("rpc-http-tls-truststore-file")
    if options.flag("rpc-http-tls-client-auth-enabled") and trust is not None:
        pem = _pem(trust, options.path("rpc-http-tls-truststore-password-file"))
        context.load_verify_locations(cadata=pem.decode("ascii"))
        context.verify_mode = ssl.CERT_REQUIRED
    return context
