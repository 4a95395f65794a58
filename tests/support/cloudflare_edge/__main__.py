# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python3 -m cloudflare_edge serve``: an edge until SIGTERM or SIGINT; ``python3 -m cloudflare_edge binary``: where cloudflared is."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import signal
import sys
from pathlib import Path

from .assembly import running
from .behaviour import ScriptError
from .cloudflared_binary import BinaryError, cloudflared
from .control import parse_address
from .edge import Address


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve until a signal; prints one line of JSON when it is up")
    serve.add_argument("--listen", default="127.0.0.1", metavar="IP[,IP...]", help="addresses for connectors")
    serve.add_argument("--port", default="7844", metavar="PORT[,PORT...]", help="ports, for each of the addresses")
    serve.add_argument("--api", default="127.0.0.1:8780", metavar="IP:PORT", help="control interface and v4 API")
    serve.add_argument("--ca-dir", type=Path, required=True, help="certificates; made where there are none")
    serve.add_argument("--event-log", type=Path, help="JSON lines of what happens")
    serve.add_argument("--location", default="tst01", help="name of the place, as connectors see it")
    serve.add_argument("--until-eof", action="store_true", help="end when standard input does, as with its parent")
    commands.add_parser("binary", help="get the official cloudflared and print its path")
    return parser


def _addresses(hosts: str, ports: str) -> list[Address]:
    """All pairs. ScriptError for what is no port."""
    for port in ports.split(","):
        if not port.isdigit() or int(port) > 65535:
            raise ScriptError(f"--port: {port!r} is no port; give numbers from 0 to 65535, separated by commas")
    return [(host, int(port)) for host, port in itertools.product(hosts.split(","), ports.split(","))]


def _watch_input(over: asyncio.Event) -> None:
    def readable() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            asyncio.get_running_loop().remove_reader(sys.stdin)
            over.set()

    asyncio.get_running_loop().add_reader(sys.stdin, readable)


async def _serve(options: argparse.Namespace) -> int:
    addresses = _addresses(options.listen, options.port)
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    if options.until_eof:
        _watch_input(over)
    api = parse_address(options.api, "--api")
    async with running(addresses, api, options.ca_dir, diary=options.event_log, location=options.location) as up:
        print(json.dumps(up.as_dict()), flush=True)
        await over.wait()
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "binary":
            print(cloudflared())
            return 0
        return asyncio.run(_serve(options))
    except (OSError, ValueError, ScriptError, BinaryError) as exc:
        print(f"edge: {exc}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
