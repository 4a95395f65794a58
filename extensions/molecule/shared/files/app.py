#!/usr/bin/env python3
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that fails as services do: reads its settings, reaches its peer, writes its data, listens, is ready.

Settings: port; peer (an address and a port that have to answer first); data and size (a file, and its bytes);
ignore_term (does not end when asked to).
"""

import http.server
import json
import os
import signal
import socket
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"status": "UP"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def write(path, size):
    try:
        with open(path, "wb") as stream:
            stream.write(bytes(size))
    except OSError:
        os.unlink(path)
        raise


def prepare(settings):
    unknown = set(settings) - {"port", "peer", "data", "size", "ignore_term"}
    if unknown:
        raise ValueError(f"unrecognized option: {min(unknown)}")
    if settings.get("ignore_term"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "peer" in settings:
        socket.create_connection(tuple(settings["peer"]), timeout=3).close()
    if "data" in settings:
        write(settings["data"], settings["size"])
    return http.server.ThreadingHTTPServer(("127.0.0.1", settings["port"]), Handler)


def main() -> int:
    path = sys.argv[1]
    try:
        with open(path, encoding="utf-8") as stream:
            settings = json.load(stream)
    except (OSError, ValueError) as exc:
        print(f"ERROR: {type(exc).__name__}: {exc} ({path})", file=sys.stderr)
        return 3
    try:
        server = prepare(settings)
    except (OSError, ValueError) as exc:
        print(f"ERROR: {exc} (settings: {settings})", file=sys.stderr)
        return 4
    if os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
