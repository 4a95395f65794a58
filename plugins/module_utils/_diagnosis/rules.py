# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The causes that any service can have, as data. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Sources: systemd.exec(5) and systemd.service(5) for what systemd says, errno(3)
for the phrases that the libraries of every language repeat. Patterns ask for
whole phrases: ``timeout=30`` is a setting, not a time-out. Where a line fits
two rules of ``said`` the earlier one takes it.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis import predicates as p
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import Rule

CONFIGURATION, DEPENDENCY, RESOURCE = "configuration", "dependency", "resource"
NETWORK, CRASH, START_LIMIT = "network", "crash", "start_limit"
SOFT, HARD, FATAL = "soft", "hard", "fatal"

_NO_FILE = r"no such file or directory|\bENOENT\b|FileNotFoundException|NoSuchFileException|file not found"
_DENIED = r"permission denied|operation not permitted|\bEACCES\b|\bEPERM\b|AccessDeniedException|access is denied"
ADDRESS_IN_USE = (
    r"address (?:is )?already in use|\bEADDRINUSE\b|BindException|port\S{0,3} .{0,60}already (?:in use|allocated)"
)

_DIRECTORY, _STREAM = (233, 235, 238, 239, 240, 241), (208, 209, 222)

# What systemd knows before the program runs.
_UNIT: tuple[Rule, ...] = (
    Rule(
        "unit_masked", CONFIGURATION, FATAL, "the unit is masked: somebody decided that it must not start",
        "ask who masked it and why (ls -l its unit file); only then systemctl unmask it",
        facts=p.load("masked"), rank=100,
    ),
    Rule(
        "unit_not_found", CONFIGURATION, HARD, "systemd knows no such unit",
        "check the name; install or deploy the service; then systemctl daemon-reload",
        facts=p.load("not-found"), rank=100,
    ),
    Rule(
        "unit_bad_setting", CONFIGURATION, HARD, "systemd refuses the unit file",
        "run systemd-analyze verify on the unit file, correct it, then systemctl daemon-reload",
        facts=p.load("bad-setting", "error"), rank=100,
    ),
    Rule(
        "dependency_failed", DEPENDENCY, SOFT, "a unit that it requires did not start",
        "diagnose and start the required unit first (systemctl list-dependencies shows it), then this one",
        facts=p.job("dependency"), rank=95,
    ),
    Rule(
        "assert_failed", CONFIGURATION, HARD, "an Assert of the unit file does not hold on this host",
        "systemctl show -p Asserts names it; provide what it asks for",
        facts=p.check("AssertResult", "AssertTimestampMonotonic"), rank=95,
    ),
    Rule(
        "assert_failed", CONFIGURATION, HARD, "an Assert of the unit file does not hold on this host",
        "systemctl show -p Asserts names it; provide what it asks for",
        facts=p.job("assert"), rank=95,
    ),
    Rule(
        "condition_unmet", CONFIGURATION, HARD, "a Condition of the unit file does not hold, so that systemd skips it",
        "systemctl show -p Conditions names it; provide what it asks for",
        facts=p.check("ConditionResult", "ConditionTimestampMonotonic"), rank=95,
    ),
    Rule(
        "exec_missing", CONFIGURATION, HARD, "the program (or its interpreter) is not there",
        "install it, or correct ExecStart in the unit file",
        facts=p.step(203, without=r"permission denied|exec format error"), rank=90,
    ),
    Rule(
        "exec_format", CONFIGURATION, HARD, "the program is not made for this machine, or is a script without #!",
        "install the build for this architecture (uname -m), or give the script its first line",
        facts=p.step(203, only=r"exec format error"), rank=90,
    ),
    Rule(
        "exec_not_permitted", CONFIGURATION, HARD, "the program may not be executed",
        "check its mode (chmod +x), its owner, a noexec mount and SELinux or AppArmor",
        facts=p.step(203, only=r"permission denied"), rank=90,
    ),
    Rule(
        "user_missing", CONFIGURATION, HARD, "the user that it runs as does not exist",
        "create the user, or correct User= in the unit file", facts=p.step(217, setting="User"), rank=90,
    ),
    Rule(
        "group_missing", CONFIGURATION, HARD, "the group that it runs as does not exist",
        "create the group, or correct Group= in the unit file", facts=p.step(216, setting="Group"), rank=90,
    ),
    Rule(
        "working_directory_missing", CONFIGURATION, HARD, "its working directory is not there or may not be entered",
        "create the directory for the service's user (is a mount missing?), or correct WorkingDirectory=",
        facts=p.step(200, setting="WorkingDirectory"), rank=90,
    ),
    Rule(
        "directory_not_prepared", CONFIGURATION, HARD, "systemd could not prepare a directory of the unit",
        "check owner, mode, type and free space of the directory that the evidence names",
        facts=p.step(*_DIRECTORY), rank=90,
    ),
    Rule(
        "output_not_opened", CONFIGURATION, HARD, "the file or device for its input or output could not be opened",
        "check StandardInput=, StandardOutput= and StandardError= of the unit file",
        facts=p.step(*_STREAM), rank=90,
    ),
    Rule(
        "namespace_failed", CONFIGURATION, HARD, "systemd could not set up its file system view",
        "a path in ReadWritePaths=, BindPaths= or the like is missing: create it, or write it with a leading -",
        facts=p.step(226), rank=90,
    ),
    Rule(
        "credentials_missing", CONFIGURATION, HARD, "a credential of the unit could not be read",
        "provide the file or credential that LoadCredential= names", facts=p.step(243), rank=90,
    ),
    Rule(
        "setup_failed", CONFIGURATION, HARD, "systemd could not prepare the process",
        "correct the setting of the unit file that the step in the evidence stands for (systemd.exec(5))",
        facts=p.step(*sorted(set(p.STEPS) - {*_DIRECTORY, *_STREAM, 226, 243})), rank=90,
    ),
    Rule(
        "environment_file_missing", CONFIGURATION, HARD, "a file that EnvironmentFile= names is not there",
        "create the file, or write its path with a leading - if it may be missing",
        manager=r"Failed to load environment files: No such file", rank=90,
        detail=lambda case, evidence: case.text("EnvironmentFiles"),
    ),
    Rule(
        "permission_denied", CONFIGURATION, HARD, "systemd may not read a file of the unit",
        "correct owner and mode of the file that the evidence names",
        manager=r"Failed to load environment files: Permission denied", rank=90,
    ),
)  # fmt: skip

# How the process ended, where that says more than its words.
_ENDINGS: tuple[Rule, ...] = (
    Rule(
        "memory_killed", RESOURCE, SOFT, "the kernel killed it for want of memory",
        "compare its need with MemoryMax= and with the host's memory; raise the limit or give it less to hold",
        facts=p.memory_killed, rank=92,
    ),
    Rule(
        "watchdog", CRASH, SOFT, "it stopped answering systemd's watchdog and was ended",
        "a restart helps once; if it comes back look for what blocks it (disk, lock, memory) in its last lines",
        facts=p.result("watchdog"), rank=91,
    ),
    Rule(
        "syscall_blocked", CONFIGURATION, HARD, "it made a system call that its sandbox forbids",
        "find the call (journalctl -k, or ausearch) and allow it in SystemCallFilter=", facts=p.signals(31), rank=91,
    ),
    Rule(
        "crashed", CRASH, SOFT, "it crashed",
        "a restart helps once; keep the core (coredumpctl) or hs_err file for its makers and check its version",
        facts=p.signals(4, 5, 7, 8, 11), rank=90,
    ),
    Rule(
        "aborted", CRASH, SOFT, "it gave up on itself (abort)",
        "its last lines say what it found wrong; keep the core (coredumpctl) for its makers",
        facts=p.signals(6), rank=69,
    ),
    Rule(
        "killed", CRASH, SOFT, "something killed it (SIGKILL)",
        "nothing of its own did that: look for an operator, a memory guard or a container manager; then restart it",
        facts=p.signals(9), rank=90,
    ),
    Rule(
        "terminated", CRASH, SOFT, "it was asked to end, ended, and reported that as a failure",
        "no failure: start it again; SuccessExitStatus=143 in the unit file makes systemd see it so",
        facts=p.signals(2, 15), rank=90,
    ),
    Rule("signal", CRASH, SOFT, "a signal ended it", "find what sent the signal; then restart it",
         facts=p.signals(others=True), rank=88),
    Rule(
        "start_timeout", CRASH, SOFT, "it did not become ready in time",
        "see its last lines for what it waits for; if it only needs longer raise TimeoutStartSec=",
        facts=p.timeout("start"), rank=55,
    ),
    Rule(
        "stop_timeout", CRASH, SOFT, "it did not end when asked to and was killed",
        "raise TimeoutStopSec= if it has much to write when it ends; then start it",
        facts=p.timeout("stop"), rank=91,
    ),
    Rule(
        "runtime_limit", CONFIGURATION, SOFT, "it ran for as long as RuntimeMaxSec= allows",
        "start it again, or raise RuntimeMaxSec=", facts=p.timeout("runtime"), rank=91,
    ),
    Rule(
        "not_ready", CRASH, SOFT, "it ended before it said that it was ready",
        "see its last lines; check that it supports the unit's Type= (notify needs READY=1, forking a PID file)",
        facts=p.result("protocol"), rank=54,
    ),
)  # fmt: skip

# What the service itself said, most specific first: a line that one rule takes proves no other.
_WORDS: tuple[Rule, ...] = (
    Rule(
        "address_in_use", RESOURCE, HARD, "an address that it wants to listen on is in use",
        "stop what holds the port (ss -ltnp), or give one of the two another port",
        said=ADDRESS_IN_USE, detail=p.holder,
    ),
    Rule(
        "disk_full", RESOURCE, HARD, "there is no space left to write",
        "free space or enlarge the file system (df -h, df -i); a restart before that may harm its data",
        said=r"no space left on device|\bENOSPC\b|disk quota exceeded|\bEDQUOT\b|disk full", detail=p.disk_detail,
    ),
    Rule(
        "read_only_filesystem", RESOURCE, HARD, "the file system that it writes to is read-only",
        "dmesg says whether the disk had errors; else check the mount, ProtectSystem= and ReadWritePaths=",
        said=r"read-only file ?system|\bEROFS\b",
    ),
    Rule(
        "descriptors_exhausted", RESOURCE, SOFT, "it has used up its file descriptors",
        "raise LimitNOFILE= in the unit file; a restart helps until they are used up again",
        said=r"too many open files|\bEMFILE\b|\bENFILE\b",
    ),
    Rule(
        "processes_exhausted", RESOURCE, SOFT, "it could not create another process or thread",
        "raise TasksMax= (or LimitNPROC=), and look for what holds so many (systemctl status)",
        said=r"fork\w{0,8}\W.{0,40}resource temporarily unavailable"
        r"|can(?:'t|not) (?:start|create) (?:a )?new (?:native )?thread"
        r"|unable to create (?:a )?(?:new )?native thread|cannot fork|fork failed"
        r"|pthread_create failed|BlockingIOError: \[Errno 11\]|newosproc",
    ),
    Rule(
        "memory_exhausted", RESOURCE, SOFT, "it ran out of memory",
        "give it more memory (Java: -Xmx, and the unit's MemoryMax=), or less to hold",
        said=r"OutOfMemoryError|cannot allocate memory|\bENOMEM\b|\bMemoryError\b|std::bad_alloc|out of memory",
    ),
    Rule(
        "library_missing", CONFIGURATION, HARD, "a part of the program is missing or of the wrong version",
        "install the package or version that the evidence names",
        said=r"error while loading shared libraries|symbol lookup error|\bModuleNotFoundError\b|\bImportError\b"
        r"|ClassNotFoundException|NoClassDefFoundError|UnsupportedClassVersionError|version [`']GLIBC",
    ),
    Rule(
        "command_missing", CONFIGURATION, HARD, "a program that it calls is not there",
        "install it, or correct the path", said=r"command not found|: not found$|executable file not found",
    ),
    Rule(
        "host_not_resolved", DEPENDENCY, SOFT, "a host name cannot be resolved",
        "check the name, /etc/resolv.conf and the name server (getent hosts NAME)",
        said=r"name or service not known|temporary failure in name resolution|no address associated with hostname"
        r"|could not resolve host|UnknownHostException|no such host|\bEAI_AGAIN\b|\bENOTFOUND\b|\bNXDOMAIN\b"
        r"|nodename nor servname|unable to resolve host|lookup \S{1,100}.{0,60}(?:i/o timeout|server misbehaving)",
    ),
    Rule(
        "tls_failed", NETWORK, HARD, "a TLS connection could not be trusted or agreed on",
        "check the certificate's dates and names, the CA that is trusted here, and this host's clock",
        said=r"certificate.{0,20} verif\w{1,10} failed"
        r"|certificate (?:has expired|is not yet valid|signed by unknown|problem|unknown)"
        r"|x509: |SSLHandshakeException|PKIX path|self[- ]signed certificate|unable to get local issuer"
        r"|tls: (?:failed|bad|first record|handshake|protocol|unknown)|remote error: tls"
        r"|handshake[ _]failure|SSL_ERROR|SSL: certificate|certificate .{0,80}does not match"
        r"|\[SSL: |wrong version number",
    ),
    Rule(
        "peer_refused", DEPENDENCY, SOFT, "a peer refuses the connection: nothing listens there",
        "start the service at the address that the evidence names, or correct the address",
        said=r"connection (?:was )?refused|\bECONNREFUSED\b",
    ),
    Rule(
        "no_route", NETWORK, SOFT, "there is no route to a peer",
        "check the interfaces, routes (ip route get ADDRESS) and the firewall of this host",
        said=r"no route to host|(?:network|host) is (?:unreachable|down)|\bEHOSTUNREACH\b|\bENETUNREACH\b",
    ),
    Rule(
        "network_timeout", NETWORK, SOFT, "a peer does not answer in time",
        "check that the peer runs and that no firewall drops the packets on the way",
        said=r"(?:connect\w{0,5}|read|operation|request|handshake|dial\b.{0,60}) ?timed[ -]?out"
        r"|i/o timeout|\bETIMEDOUT\b|timeout was reached|socket\.timeout: "
        r"|SocketTimeoutException|ConnectTimeoutException|TimeoutError\b.{0,20}timed out|context deadline exceeded"
        r"|timed out (?:after|while connecting|waiting for (?:connection|response))|connect timed? ?out",
    ),
    Rule(
        "peer_unreachable", DEPENDENCY, SOFT, "a peer could not be reached",
        "check that the service at the address that the evidence names runs and that this host has a way to it",
        said=r"could(?:n't| not) connect to server",
    ),
    Rule(
        "bad_option", CONFIGURATION, HARD, "it does not know an option that it is given",
        "compare the option with the manual of the version that is installed",
        said=r"(?:unrecogni[sz]ed|unknown|unexpected) (?:command[- ]line )?"
        r"(?:options?|arguments?|flag|parameter|directive|key)\b"
        r"|(?:invalid|illegal|no such|bad configuration) option|flag provided but not defined"
        r"|\boption \S{1,60} is unknown|unsupported (?:option|parameter)|bad configuration options",
    ),
    Rule(
        "file_missing", CONFIGURATION, HARD, "a file that it needs is not there",
        "create or restore the file that the evidence names (is a mount missing?), or correct its path", said=_NO_FILE,
    ),
    Rule(
        "permission_denied", CONFIGURATION, HARD, "it lacks a permission",
        "correct owner and mode of what the evidence names; a port below 1024 needs CAP_NET_BIND_SERVICE", said=_DENIED,
    ),
    Rule(
        "config_parse_error", CONFIGURATION, HARD, "a file of its configuration cannot be read",
        "correct the file at the place that the evidence names, or restore the last good copy",
        said=r"(?:syntax|pars(?:e|er|ing)|scanner|decod(?:e|er|ing)) ?error|JSONDecodeError|JsonParseException"
        r"|(?:cannot|can't|could not|failed to|unable to|error) (?:pars|decod|unmarshal|deserializ)\w{0,6}"
        r"|invalid (?:configuration|config|yaml|json|toml|xml)\b|yaml: (?:line|unmarshal)|TomlParseError"
        r"|mapping values are not allowed|expecting (?:property name|value|'[,:]')|unexpected end of (?:file|json)"
        r"|configparser\.\w{1,40}Error|unexpected token|not well-formed"
        r"|(?:error|fail\w{0,3}|invalid|bad) .{0,40}\bconfig(?:uration)?\b"
        r"|config(?:uration)?\b.{0,40} (?:is )?(?:invalid|malformed)"
        r"|\bline \d{1,6},? col(?:umn)? \d|\bline \d{1,6}:? .{0,40}(?:error|unexpected|invalid|missing)",
    ),
    Rule(
        "panic", CRASH, SOFT, "it hit an error of its own and gave up",
        "a restart helps once; keep the lines for its makers and check its version",
        said=r"^panic: |^fatal error: |thread '.{1,80}' panicked|A fatal error has been detected by the Java Runtime",
        rank=58,
    ),
)  # fmt: skip

_LAST: tuple[Rule, ...] = (
    Rule(
        "start_resources", RESOURCE, SOFT, "systemd lacked a resource to start it",
        "see the evidence; free memory, processes or space on the host",
        facts=p.result("resources"), rank=50,
    ),
    Rule(
        "start_limit", START_LIMIT, SOFT, "it failed so often that systemd gave up starting it",
        "mend what made it fail; then systemctl reset-failed (or recovery: reset_start) and start it",
        facts=p.start_limit, rank=40,
    ),
    Rule(
        "disk_full", RESOURCE, HARD, "a file system that it uses is full",
        "free space or enlarge the file system (df -h, df -i)", facts=p.disk_seen_full, rank=30,
    ),
)  # fmt: skip

GENERIC_RULES: t.Sequence[Rule] = (*_UNIT, *_ENDINGS, *_WORDS, *_LAST)
