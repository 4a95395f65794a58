# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults that the laboratory makes for real, and the cause that each must be diagnosed as.

A row is a unit and what is done around it. Nothing here imitates a log: each
line that the diagnosis reads was written by systemd or by a real program.
"""

from __future__ import annotations

from dataclasses import dataclass

SOFT, HARD, FATAL = "soft", "hard", "fatal"


@dataclass(frozen=True)
class Fault:
    """``service`` are the lines of [Service], ``unit`` those of [Unit]; ``before`` and ``after`` run as root around
    the start; ``words`` must be found in the cause; ``also`` are further causes it must name; ``controller`` is one it needs."""

    name: str
    cause: str
    severity: str
    service: str
    unit: str = ""
    before: str = ""
    after: str = ""
    words: str = ""
    also: tuple[str, ...] = ()
    controller: str = ""


def python(code: str) -> str:
    """An ExecStart of a Python program of one line (systemd wants $ and % doubled)."""
    escaped = code.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'ExecStart=/usr/bin/python3 -uc "{escaped}"'


def shell(code: str, key: str = "ExecStart") -> str:
    escaped = code.replace("\\", "\\\\").replace("'", "\\'").replace("%", "%%").replace("$", "$$")
    return f"{key}=/bin/sh -c '{escaped}'"


LISTENER = "import socket,time; s=socket.socket(); s.bind(('127.0.0.1',18080)); s.listen(); time.sleep(3600)"
# A full queue of a listener that never accepts: the kernel drops what comes, as a firewall would.
BLACK_HOLE = (
    "import socket,time; s=socket.socket(); s.bind(('127.0.0.1',18081)); s.listen(0); "
    "c=[socket.socket() for _ in range(4)]; [x.setblocking(False) for x in c]; "
    "[x.connect_ex(('127.0.0.1',18081)) for x in c]; time.sleep(3600)"
)
# What the faults need around them: a listener, a black hole, a TLS server that nobody can trust.
HELPERS = {
    "listener": python(LISTENER),
    "blackhole": python(BLACK_HOLE),
    "tls": "ExecStartPre=/usr/bin/openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=peer.example "
    "-keyout /run/fault-tls.key -out /run/fault-tls.crt -days 2\n"
    "ExecStart=/usr/bin/openssl s_server -accept 127.0.0.1:18082 -key /run/fault-tls.key -cert /run/fault-tls.crt -www",
    "broken": "Type=exec\nExecStart=/opt/no-such-program",
}

CONFIGURATION = (
    Fault("exec", "exec_missing", HARD, "Type=exec\nExecStart=/opt/no-such-program --x", words="/opt/no-such-program"),
    Fault("execsimple", "exec_missing", HARD, "Type=simple\nExecStart=/opt/no-such-program", words="/opt/no-such-program"),
    Fault("execpre", "exec_missing", HARD, "ExecStartPre=/opt/no-such-check\nExecStart=/bin/sleep 99", words="ExecStartPre"),
    Fault("interpreter", "exec_missing", HARD, "ExecStart=/opt/no-interpreter",
          before="printf '#!/opt/no-python\\n' >/opt/no-interpreter; chmod 755 /opt/no-interpreter"),
    Fault("mode", "exec_not_permitted", HARD, "ExecStart=/opt/not-executable",
          before="printf '#!/bin/sh\\n' >/opt/not-executable; chmod 644 /opt/not-executable", words="Permission denied"),
    Fault("format", "exec_format", HARD, "ExecStart=/opt/other-machine",
          before="printf '\\177ELFnot' >/opt/other-machine; chmod 755 /opt/other-machine", words="Exec format error"),
    Fault("user", "user_missing", HARD, "User=no-such-user\nExecStart=/bin/sleep 99", words="217"),
    Fault("group", "group_missing", HARD, "Group=no-such-group\nExecStart=/bin/sleep 99", words="216"),
    Fault("workdir", "working_directory_missing", HARD, "WorkingDirectory=/srv/none\nExecStart=/bin/sleep 99", words="/srv/none"),
    Fault("envfile", "environment_file_missing", HARD, "EnvironmentFile=/etc/none.env\nExecStart=/bin/sleep 99"),
    Fault("namespace", "namespace_failed", HARD, "ReadWritePaths=/srv/none\nProtectSystem=strict\nExecStart=/bin/sleep 99", words="/srv/none"),
    Fault("output", "output_not_opened", HARD, "StandardOutput=file:/srv/none/out.log\nExecStart=/bin/sleep 99", words="STDOUT"),
    Fault("statedir", "directory_not_prepared", HARD, "StateDirectory=fault-file/below\nExecStart=/bin/sleep 99",
          before="touch /var/lib/fault-file", words="STATE_DIRECTORY"),
    Fault("credential", "credentials_missing", HARD, "LoadCredential=key:/etc/none.key\nExecStart=/bin/sleep 99"),
    Fault("netns", "setup_failed", HARD, "NetworkNamespacePath=/run/none\nExecStart=/bin/sleep 99", words="NETWORK"),
    Fault("json", "config_parse_error", HARD, "ExecStart=/usr/bin/python3 -m json.tool /etc/fault-bad.json",
          before="printf '{\"a\": 1,}' >/etc/fault-bad.json", words="line 1 column"),
    Fault("ini", "config_parse_error", HARD, python("import configparser; configparser.ConfigParser().read('/etc/fault-bad.ini')"),
          before="printf 'no section = 1\\n' >/etc/fault-bad.ini", words="section headers"),
    Fault("sshdoption", "bad_option", HARD, "ExecStart=/usr/sbin/sshd -D -e -f /etc/fault-sshd",
          before="mkdir -p /run/sshd; printf 'NoSuchSetting yes\\n' >/etc/fault-sshd", words="NoSuchSetting"),
    Fault("option", "bad_option", HARD, "ExecStart=/usr/bin/curl --no-such-option", words="no-such-option"),
    Fault("argument", "bad_option", HARD, "ExecStart=/usr/bin/python3 -m json.tool --no-such-option", words="no-such-option"),
    Fault("file", "file_missing", HARD, "ExecStart=/usr/sbin/sshd -D -e -f /etc/none-sshd", words="/etc/none-sshd"),
    Fault("command", "command_missing", HARD, shell("no-such-command --run"), words="no-such-command"),
    Fault("module", "library_missing", HARD, python("import no_such_module"), words="no_such_module"),
    Fault("denied", "permission_denied", HARD, "User=nobody\nExecStart=/bin/cat /etc/shadow", words="/etc/shadow"),
    Fault("lowport", "permission_denied", HARD, "User=nobody\n" + python("import socket; socket.socket().bind(('127.0.0.1',81))")
          + "\nPrivateUsers=yes"),
    Fault("badunit", "unit_bad_setting", HARD, "Type=simple"),
    Fault("masked", "unit_masked", FATAL, "ExecStart=/bin/sleep 99", before="rm /etc/systemd/system/fault-masked.service; systemctl mask fault-masked.service"),
    Fault("notfound", "unit_not_found", HARD, ""),
    Fault("assert", "assert_failed", HARD, "ExecStart=/bin/sleep 99", unit="AssertPathExists=/srv/none"),
    Fault("assertkept", "assert_failed", HARD, "ExecStart=/bin/sleep 99\n[Install]\nWantedBy=multi-user.target",
          unit="AssertPathExists=/srv/none", before="systemctl enable fault-assertkept.service"),
    Fault("condition", "condition_unmet", HARD, "ExecStart=/bin/sleep 99\n[Install]\nWantedBy=multi-user.target",
          unit="ConditionPathExists=/srv/none", before="systemctl enable fault-condition.service"),
    Fault("syscall", "syscall_blocked", HARD, "SystemCallFilter=~mkdir mkdirat\nExecStart=/bin/mkdir /run/fault-mkdir", words="SIGSYS"),
    Fault("runtime", "runtime_limit", SOFT, "RuntimeMaxSec=1\nExecStart=/bin/sleep 99"),
)  # fmt: skip

DEPENDENCY = (
    Fault("requires", "dependency_failed", SOFT, "ExecStart=/bin/sleep 99", words="fault-broken.service is failed",
          unit="Requires=fault-broken.service\nAfter=fault-broken.service"),
    Fault("hostname", "host_not_resolved", SOFT, "ExecStart=/usr/bin/curl -sS http://peer.invalid/", words="peer.invalid"),
    Fault("resolve", "host_not_resolved", SOFT, python("import socket; socket.create_connection(('peer.invalid', 80))")),
    Fault("refused", "peer_refused", SOFT, python("import socket; socket.create_connection(('127.0.0.1', 1))"), words="refused"),
    Fault("unreached", "peer_unreachable", SOFT, "ExecStart=/usr/bin/curl -sS http://127.0.0.1:1/", words="127.0.0.1"),
)  # fmt: skip

RESOURCE = (
    Fault("port", "address_in_use", HARD, "ExecStart=/usr/bin/python3 -m http.server 18080 --bind 127.0.0.1"),
    Fault("portheld", "address_in_use", HARD, "ExecStart=/usr/sbin/sshd -D -e -p 18080 -o ListenAddress=127.0.0.1",
          before="mkdir -p /run/sshd", words="fault-listener.service"),
    Fault("disk", "disk_full", HARD, "WorkingDirectory=/srv/fault-disk\nExecStart=/bin/dd if=/dev/zero of=data bs=4k count=64",
          before="mkdir -p /srv/fault-disk; mount -t tmpfs -o size=64k none /srv/fault-disk", words="/srv/fault-disk has 0 KiB"),
    Fault("inodes", "disk_full", HARD, "WorkingDirectory=/srv/fault-inodes\nExecStart=/usr/bin/touch a b c d e f",
          before="mkdir -p /srv/fault-inodes; mount -t tmpfs -o size=1m,nr_inodes=4 none /srv/fault-inodes", words="0 inodes"),
    Fault("readonly", "read_only_filesystem", HARD, "ReadOnlyPaths=/srv\nExecStart=/usr/bin/touch /srv/fault-touch"),
    Fault("memory", "memory_killed", SOFT, "MemoryMax=24M\nMemorySwapMax=0\n" + python("x = bytearray(200_000_000)"), words="24 MiB", controller="memory"),
    Fault("heap", "memory_exhausted", SOFT, "LimitAS=100M\n" + python("x = bytearray(2_000_000_000)"), words="MemoryError"),
    Fault("files", "descriptors_exhausted", SOFT, "LimitNOFILE=16\n" + python("x = [open('/dev/null') for _ in range(99)]")),
    Fault("tasks", "processes_exhausted", SOFT, "User=nobody\nLimitNPROC=4\n" + python(
        "import threading,time; [threading.Thread(target=time.sleep,args=(99,),daemon=True).start() for _ in range(9)]")),
    Fault("forks", "processes_exhausted", SOFT, "User=daemon\nLimitNPROC=3\n" + shell("for i in 1 2 3 4 5 6; do sleep 5 & done; wait")),
)  # fmt: skip

NETWORK = (
    Fault("route", "no_route", SOFT, python("import socket; socket.create_connection(('203.0.113.1', 80))"), words="unreachable"),
    Fault("silentpeer", "network_timeout", SOFT, python("import socket; socket.create_connection(('127.0.0.1', 18081), 1)")),
    Fault("slowpeer", "network_timeout", SOFT, "ExecStart=/usr/bin/curl -sS --connect-timeout 1 http://127.0.0.1:18081/"),
    Fault("untrusted", "tls_failed", HARD, "ExecStart=/usr/bin/curl -sS https://127.0.0.1:18082/", words="certificate"),
    Fault("nottls", "tls_failed", HARD, python("import socket,ssl; s=socket.create_connection(('127.0.0.1',18082)); "
          "ssl.create_default_context().wrap_socket(s, server_hostname='peer.example')"), words="certificate"),
)  # fmt: skip

CRASH = (
    Fault("segv", "crashed", SOFT, python("import ctypes; ctypes.string_at(0)"), words="SIGSEGV"),
    Fault("abort", "aborted", SOFT, python("import os; os.abort()"), words="SIGABRT"),
    Fault("kill", "killed", SOFT, "ExecStart=/bin/sleep 99", after="systemctl kill -s KILL fault-kill.service", words="SIGKILL"),
    Fault("kill137", "killed", SOFT, shell("sleep 99; exit $?"),
          after="pkill -KILL -f -x 'sleep 99' -P $(systemctl show -P MainPID fault-kill137)"),
    Fault("exit143", "terminated", SOFT, shell("trap \"exit 143\" TERM; sleep 99 & wait"),
          after="kill -TERM $(systemctl show -P MainPID fault-exit143)", words="143"),
    Fault("neverready", "start_timeout", SOFT, "Type=notify\nTimeoutStartSec=1\nExecStart=/bin/sleep 99", words="timed out"),
    Fault("slowpre", "start_timeout", SOFT, "TimeoutStartSec=1\nExecStartPre=/bin/sleep 99\nExecStart=/bin/sleep 99"),
    Fault("watchdog", "watchdog", SOFT, "Type=notify\nNotifyAccess=all\nWatchdogSec=1\n"
          + shell("systemd-notify --ready; exec sleep 99")),
    Fault("protocol", "not_ready", SOFT, "Type=notify\nExecStart=/bin/true"),
    Fault("stopkill", "stop_timeout", SOFT, "TimeoutStopSec=1\n" + shell("trap \"\" TERM; while :; do sleep 1; done"),
          after="sleep 0.5; systemctl stop --no-block fault-stopkill.service"),
)  # fmt: skip

LIMIT_AND_UNKNOWN = (
    Fault("limit", "start_limit", SOFT, "Restart=on-failure\nRestartSec=50ms\nExecStart=/bin/false", words="5 starts in 10s"),
    Fault("limitclean", "start_limit", SOFT, "Restart=always\nRestartSec=50ms\nExecStart=/bin/true"),
    Fault("limitroot", "peer_refused", SOFT, "Restart=on-failure\nRestartSec=50ms\n"
          + python("import socket; socket.create_connection(('127.0.0.1', 1))"),
          unit="StartLimitIntervalSec=120", also=("start_limit",)),
    Fault("loop", "user_missing", HARD, "User=no-such-user\nRestart=always\nRestartSec=30\nExecStart=/bin/sleep 99"),
    Fault("silent", "unknown", SOFT, shell("exit 7"), words="status 7"),
    Fault("own203", "unknown", SOFT, shell("echo done; exit 203"), words="status 203"),
    Fault("harmless", "unknown", SOFT, shell(
        "echo \"INFO timeout=30 connect timed out is retried\"; echo \"[info] no space left on device: never\"; "
        "echo level=debug msg=\"connection refused\"; echo \"connection timeout=30 retries=5\"; exit 3"), words="status 3"),
    Fault("oldwords", "killed", SOFT, shell("echo \"ERROR peer 192.0.2.1: Connection refused\"; exec sleep 99"),
          after="sleep 0.3; systemctl kill -s KILL fault-oldwords.service"),
    Fault("hostile", "peer_refused", SOFT, shell(
        "printf \"\\\\033[31m{{ 7*7 }} token=Zx9Qw7Lm3Kp1 <b>connection refused</b>\\\\n\"; exit 1"), words="[redacted]"),
)  # fmt: skip

FAULTS = (*CONFIGURATION, *DEPENDENCY, *RESOURCE, *NETWORK, *CRASH, *LIMIT_AND_UNKNOWN)
