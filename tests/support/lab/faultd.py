#!/usr/bin/python3 -IS
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service whose faults are asked for: faultd UNIT [setting=value]...

Settings come from the command line, then from /etc/faultd/UNIT.json, then
from /run/faultd/UNIT.json, the later the stronger. The last one may change
while the service runs: SIGHUP makes it read at once, else it is noticed
within a second; times then count from the change. What happened is appended
to /var/lib/faultd/UNIT.events, a line for each: MONOTONIC PID EVENT.
Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
import typing as t

CONFIG, CONTROL, STATE = "/etc/faultd", "/run/faultd", "/var/lib/faultd"

# Times are seconds; -1 means never.
DEFAULTS: dict[str, t.Any] = {
    "before": 0.0,  # work before anything else, as a slow start does
    "start_log": [],  # lines to print at the start
    "start_exit": 0,  # not 0: end with this before being ready
    "start_failures": -1,  # how many starts end so, counted since the host's boot; -1: every one
    "ready": True,  # false: never say so (Type=notify), never leave the parent (Type=forking)
    "status": "",  # STATUS= text
    "exit_after": -1.0,  # end so long after being ready
    "exit_code": 0,
    "exit_log": [],  # lines to print before that end
    "exit_signal": "",  # end by this signal instead, for example SEGV
    "ignore_term": False,
    "term_delay": 0.0,  # take so long to stop
    "term_code": 0,  # exit code after SIGTERM
    "log": [],  # lines to print every log_every seconds
    "log_every": 1.0,
    "memory_mib": 0,
    "open_files": 0,
    "children": 0,
    "children_ignore_term": False,
    "watchdog": False,  # send WATCHDOG=1 as often as systemd asks for
    "listen": [],  # TCP ports that accept and say nothing
    "http": 0,  # port of an HTTP server
    "http_bind": "0.0.0.0",
    "http_status": 200,
    "http_body": '{"status": "up"}',
    "http_type": "application/json",
    "http_hang": False,  # accept, read, never answer
    "http_delay": 0.0,
    "pid_file": "",  # become a daemon, as Type=forking expects
}


class Settings(dict):  # type: ignore[type-arg]  # a subscript is evaluated on Python 3.9
    """The settings in force. Unknown names and wrong types are refused."""

    def put(self, name: str, value: t.Any, origin: str) -> None:
        default = DEFAULTS.get(name)
        if default is None:
            raise SystemExit(f"faultd: {origin}: no setting {name}; there are {', '.join(DEFAULTS)}")
        if isinstance(default, float) and isinstance(value, int):
            value = float(value)
        if type(value) is not type(default):
            raise SystemExit(f"faultd: {origin}: {name} must be {type(default).__name__}, not {value!r}")
        self[name] = value

    def read(self, path: str) -> None:
        try:
            with open(path, encoding="utf-8") as handle:
                values = json.load(handle)
        except FileNotFoundError:
            return
        for name, value in values.items():
            self.put(name, value, path)


def parse_word(word: str) -> tuple[str, t.Any]:
    name, _unused, text = word.partition("=")
    if isinstance(DEFAULTS.get(name), str):
        return name, text
    try:
        return name, json.loads(text)
    except ValueError:
        raise SystemExit(f"faultd: {word}: the value must be JSON") from None


class Faultd:
    def __init__(self, unit: str, words: list[str]) -> None:
        self.unit = unit
        self.words = [parse_word(word) for word in words]
        self.settings = Settings(DEFAULTS)
        self.control = f"{CONTROL}/{unit}.json"
        self.stamp: t.Any = None
        self.since = time.monotonic()
        self.terminated = self.reload_asked = False
        self.held: list[t.Any] = []
        self.load()

    # -- what it is told and what it tells -----------------------------------------------------

    def load(self) -> None:
        self.stamp = self.control_stamp()
        settings = Settings(DEFAULTS)
        for name, value in self.words:
            settings.put(name, value, "command line")
        settings.read(f"{CONFIG}/{self.unit}.json")
        settings.read(self.control)
        self.settings = settings
        self.since = time.monotonic()

    def control_stamp(self) -> t.Any:
        try:
            found = os.stat(self.control)
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino

    def event(self, what: str) -> None:
        os.makedirs(STATE, exist_ok=True)
        line = f"{time.monotonic():.6f} {os.getpid()} {what}\n"
        with open(f"{STATE}/{self.unit}.events", "a", encoding="ascii") as handle:
            handle.write(line)

    def say(self, lines: t.Iterable[str]) -> None:
        for line in lines:
            print(line, flush=True)

    def notify(self, *lines: str) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        if address:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.sendto("\n".join(lines).encode(), "\0" + address[1:] if address[0] == "@" else address)

    # -- its life ------------------------------------------------------------------------------

    def run(self) -> int:
        self.event("start")
        signal.signal(signal.SIGTERM, lambda *_unused: setattr(self, "terminated", True))
        signal.signal(signal.SIGHUP, lambda *_unused: setattr(self, "reload_asked", True))
        wake, waker = socket.socketpair()
        waker.setblocking(False)
        wake.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self.held += [wake, waker]
        self.say(self.settings["start_log"])
        if not self.pause(self.settings["before"], wake):
            return self.stop(wake)
        if self.settings["start_exit"] and self.start_fails():
            self.event(f"exit {self.settings['start_exit']}")
            return int(self.settings["start_exit"])
        if self.settings["pid_file"]:
            self.daemonise()
        self.take_resources()
        if self.settings["ready"]:
            self.notify("READY=1", f"STATUS={self.settings['status']}")
            self.event("ready")
        return self.serve(wake)

    def start_fails(self) -> bool:
        limit = self.settings["start_failures"]
        if limit < 0:
            return True
        os.makedirs(CONTROL, exist_ok=True)
        with open(f"{CONTROL}/{self.unit}.failures", "a+", encoding="ascii") as handle:
            handle.seek(0)
            count = len(handle.read())
            if count < limit:
                handle.write(".")
        return bool(count < limit)

    def daemonise(self) -> None:
        """Leave the parent once the child is ready; the child goes on."""
        reader, writer = os.pipe()
        if os.fork():
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        os.setsid()
        path = self.settings["pid_file"]
        with open(f"{path}.new", "w", encoding="ascii") as handle:
            handle.write(f"{os.getpid()}\n")
        os.rename(f"{path}.new", path)
        if self.settings["ready"]:
            os.close(writer)
        else:
            self.held.append(writer)

    def take_resources(self) -> None:
        want = self.settings
        if want["memory_mib"]:
            self.held.append(b"\1" * (want["memory_mib"] << 20))
        if want["open_files"]:
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            self.held += [os.open("/dev/null", os.O_RDONLY) for _unused in range(want["open_files"])]
        for _unused in range(want["children"]):
            if os.fork() == 0:
                ignore = want["children_ignore_term"]
                signal.signal(signal.SIGTERM, signal.SIG_IGN if ignore else signal.SIG_DFL)
                while True:
                    time.sleep(3600)
        for port in want["listen"]:
            self.held.append(socket.create_server(("0.0.0.0", port), reuse_port=False))
        if want["http"]:
            self.serve_http()

    def serve(self, wake: socket.socket) -> int:
        next_log = 0.0
        usec = int(os.environ.get("WATCHDOG_USEC", "0"))
        while True:
            now = time.monotonic()
            want = self.settings
            if self.terminated:
                self.terminated = False
                self.event("term")
                if not want["ignore_term"]:
                    return self.stop(wake)
            if self.reload_asked or self.control_stamp() != self.stamp:
                self.reread()
                continue
            if want["exit_after"] >= 0 and now >= self.since + want["exit_after"]:
                return self.end()
            if want["log"] and now >= next_log:
                next_log = now + want["log_every"]
                self.say(want["log"])
            waits = [1.0]
            if want["exit_after"] >= 0:
                waits.append(self.since + want["exit_after"] - now)
            if want["log"]:
                waits.append(next_log - now)
            if usec and want["watchdog"]:
                self.notify("WATCHDOG=1")
                waits.append(usec / 2e6)
            self.doze(max(min(waits), 0.0), wake)

    def reread(self) -> None:
        if self.reload_asked:
            self.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        asked, self.reload_asked = self.reload_asked, False
        self.load()
        self.event("reload")
        if asked:
            self.notify("READY=1", f"STATUS={self.settings['status']}")

    def doze(self, seconds: float, wake: socket.socket) -> None:
        if select.select([wake], [], [], seconds)[0]:
            wake.recv(4096)

    def pause(self, seconds: float, wake: socket.socket) -> bool:
        """Whether the time passed without SIGTERM that counts."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.terminated and not self.settings["ignore_term"]:
                return False
            self.doze(until - time.monotonic(), wake)
        return True

    def stop(self, wake: socket.socket) -> int:
        until = time.monotonic() + self.settings["term_delay"]
        while time.monotonic() < until:
            self.doze(until - time.monotonic(), wake)
        self.event(f"exit {self.settings['term_code']}")
        return int(self.settings["term_code"])

    def end(self) -> int:
        want = self.settings
        self.say(want["exit_log"])
        if want["exit_signal"]:
            number = signal.Signals[f"SIG{want['exit_signal'].upper().removeprefix('SIG')}"]
            self.event(f"signal {number.name}")
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.event(f"exit {want['exit_code']}")
        return int(want["exit_code"])

    # -- HTTP ----------------------------------------------------------------------------------

    def serve_http(self) -> None:
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # only where asked for: it costs 60 ms

        daemon = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                want = daemon.settings
                while daemon.settings["http_hang"]:
                    time.sleep(0.1)
                time.sleep(want["http_delay"])
                body = want["http_body"].encode()
                self.send_response(want["http_status"])
                self.send_header("Content-Type", want["http_type"])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_HEAD = do_POST = do_GET

            def log_message(self, *_unused: t.Any) -> None:
                pass  # the journal of a probed service would be full of it

        ThreadingHTTPServer.daemon_threads = True
        server = ThreadingHTTPServer((self.settings["http_bind"], self.settings["http"]), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 60}, daemon=True).start()


def main(argv: list[str]) -> int:
    if len(argv) < 2:
        raise SystemExit(__doc__)
    return Faultd(argv[1], argv[2:]).run()


if __name__ == "__main__":
    code = main(sys.argv)
    sys.stdout.flush()
    os._exit(code)  # at once: threads and children of a fault must not hold up its end
