# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports come from the address of the failing call, and from nothing else in a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.addresses import ports_in, ports_of

IN_USE = "address already in use"


@pytest.mark.parametrize(
    ("line", "ports"),
    [
        (f"listen tcp 127.0.0.1:7099: bind: {IN_USE}", (7099,)),
        (f"listen tcp :8080: bind: {IN_USE}", (8080,)),
        (f"listen tcp 0.0.0.0:22: bind: {IN_USE}", (22,)),
        (f"listen tcp4 0.0.0.0:80: bind: {IN_USE}", (80,)),
        (f"listen tcp [::]:443: bind: {IN_USE}", (443,)),
        (f"listen udp 127.0.0.1:30303: bind: {IN_USE}", (30303,)),
        (f"Error: listen EADDRINUSE: {IN_USE} :::3000", (3000,)),
        (f"Error: listen EADDRINUSE: {IN_USE} 127.0.0.1:3000", (3000,)),
        (f"[Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): {IN_USE}", (8000,)),
        (f"[Errno 98] error while attempting to bind on address ('::', 8000, 0, 0): {IN_USE}", (8000,)),
        ("[ERROR] Connection in use: ('0.0.0.0', 8000)", (8000,)),
        ("nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)", (80,)),
        ("nginx: [emerg] bind() to [::]:443 failed (98: Address already in use)", (443,)),
        ("(98)Address already in use: AH00072: make_sock: could not bind to address [::]:80", (80,)),
        ("error: Bind to port 22 on 0.0.0.0 failed: Address already in use.", (22,)),
        ("Could not create server TCP listening socket *:6379: bind: Address already in use", (6379,)),
        ("Caused by: java.net.BindException: Address already in use: /0:0:0:0:0:0:0:0:9000", (9000,)),
        ("java.io.IOException: Failed to bind to /0.0.0.0:8080", (8080,)),
        ("Failed to bind to address localhost:9092: Address already in use", (9092,)),
        ("Web server failed to start. Port 8080 was already in use.", (8080,)),
        ("Port(s) '[8545]' already in use. Check for other processes using the port(s).", (8545,)),
        ("Port(s) '[8545, 8546]' already in use.", (8545, 8546)),
        ("Bind for 0.0.0.0:8443 failed: port is already allocated", (8443,)),
        ("Starting frontend web: cannot bind socket (Address already in use) [0.0.0.0:81]", (81,)),
        ("failed to create listening socket for port 53: Address already in use", (53,)),
        ('HINT: Is another postmaster already running on port 5432? If not, wait a few seconds and retry.', (5432,)),
        ("Do you already have another mysqld server running on port: 3306 ?", (3306,)),
        (f"ERR Error opening metrics server listener error=\"listen tcp 127.0.0.1:20241: bind: {IN_USE}\"", (20241,)),
        (f"ERROR http://127.0.0.1:4000 {IN_USE}", (4000,)),
        (f'Error: Os {{ code: 98, kind: AddrInUse, message: "{IN_USE}" }} addr=0.0.0.0:4321', (4321,)),
        (f"proxy for 10.0.0.7:9000: listen tcp 127.0.0.1:8081: bind: {IN_USE}", (8081,)),
        # times, places in sources, versions, dates, counts
        (f"2026-11-29 10:41:22,123 ERROR java.net.BindException: {IN_USE} (Bind failed)", ()),
        (f"2026-11-29T10:41:22+00:00 lvl=eror msg=\"listen tcp :7098: bind: {IN_USE}\"", (7098,)),
        (f"2026-11-29 10:22:45 ERROR c.e.Main - listen tcp 127.0.0.1:7099: bind: {IN_USE}", (7099,)),
        (f"12:22:41 {IN_USE}", ()),
        (f"12:22 {IN_USE}", ()),
        (f"[12:22:41] {IN_USE}", ()),
        (f"thread 'main' panicked at src/main.rs:53:22: {IN_USE}", ()),
        (f"at main.rs:53 {IN_USE}", ()),
        (f"\tat sun.nio.ch.Net.bind(Net.java:455) {IN_USE}", ()),
        (f"Main.java:25 {IN_USE}", ()),
        (f"server.go:3000: {IN_USE}", ()),
        (f"on app.py:443 {IN_USE}", ()),
        (f"/srv/app/index.js:22:7 {IN_USE}", ()),
        (f"myapp 1.2.3:22 {IN_USE}", ()),
        (f"error 98: {IN_USE}", ()),
        (f"pid 4242: {IN_USE}", ()),
        (f"0.0.0.0:99999 {IN_USE}", ()),
        (f"nginx/1.22.1 {IN_USE}", ()),
    ],
)  # fmt: skip
def test_ports_of_a_line(line: str, ports: tuple[int, ...]) -> None:
    assert ports_of(line) == ports


def test_ports_of_several_lines_are_each_named_once() -> None:
    assert ports_in(["bind() to 0.0.0.0:80 failed", "bind() to [::]:80 failed", "bind() to [::]:81 failed"]) == (80, 81)


@given(hour=st.integers(0, 23), minute=st.integers(0, 59), second=st.integers(0, 59), port=st.integers(1, 65535))
def test_no_time_is_ever_a_port(hour: int, minute: int, second: int, port: int) -> None:
    stamps = (
        f"{hour:02}:{minute:02}:{second:02}",
        f"2026-11-29T{hour:02}:{minute:02}:{second:02}.250Z",
        f"{hour}:{minute:02}",
    )
    for stamp in stamps:
        assert ports_of(f"{stamp} FATAL bind: {IN_USE}") == ()
        assert ports_of(f"{stamp} FATAL listen tcp 127.0.0.1:{port}: bind: {IN_USE}") == (port,)
        assert ports_of(f"{stamp} FATAL {IN_USE} :::{port}") == (port,)
