#!/usr/bin/env python3
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small web service: reads its configuration, says that it is ready, answers /health."""

import http.server
import json
import os
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


def main() -> int:
    try:
        with open(sys.argv[1], encoding="utf-8") as stream:
            config = json.load(stream)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", config["port"]), Handler)
    except (OSError, ValueError) as exc:
        print(f"ERROR: {type(exc).__name__}: {exc} ({sys.argv[1]})", file=sys.stderr)
        return 3
    if os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
