# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The causes that any service can have, as data. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Sources: systemd.exec(5) and systemd.service(5). What services say of
themselves is in words.py.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis import predicates as p
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import (
    CONFIGURATION,
    CRASH,
    DEPENDENCY,
    FATAL,
    HARD,
    RESOURCE,
    SOFT,
    START_LIMIT,
    Rule,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.words import WORDS

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
        facts=p.unit_unknown, rank=100,
    ),
    # Behind what ended the run, such as a disk that is full.
    Rule(
        "unit_not_found", CONFIGURATION, HARD, "systemd has forgotten the unit",
        "find what ended its last run; write a unit file if it is to be started again; then systemctl daemon-reload",
        facts=p.forgotten, rank=1,
    ),
    Rule(
        "unit_bad_setting", CONFIGURATION, HARD, "systemd refuses the unit file",
        "run systemd-analyze verify on the unit file, correct it, then systemctl daemon-reload",
        facts=p.load("bad-setting", "error"), rank=100,
    ),
    Rule(
        "frozen", CRASH, SOFT, "the unit is frozen, so that none of its processes runs",
        "find out who froze it and why; systemctl thaw lets it go on",
        facts=p.paused("frozen"), rank=100,
    ),
    Rule(
        "suspended", CRASH, SOFT, "its main process is stopped by a signal (SIGSTOP)",
        "find out who stopped it and why; kill -CONT with its process id lets it go on, and a restart replaces it",
        facts=p.paused("suspended"), rank=100,
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
        "condition_unmet", CONFIGURATION, HARD, "a Condition of the unit file does not hold, so systemd skips it",
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
        "exec_not_permitted", CONFIGURATION, HARD, "executing the program is not permitted",
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
        "working_directory_missing", CONFIGURATION, HARD,
        "its working directory is not there, or entering it is not permitted",
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
        "permission_denied", CONFIGURATION, HARD, "systemd is not permitted to read a file of the unit",
        "correct owner and mode of the file that the evidence names",
        manager=r"Failed to load environment files: Permission denied", rank=90,
    ),
)  # fmt: skip

# How the process ended, where that says more than its words.
_ENDINGS: tuple[Rule, ...] = (
    Rule(
        "memory_killed", RESOURCE, SOFT, "the kernel killed it because memory ran out",
        "compare its need with MemoryMax= and with the host's memory; raise the limit or reduce its use",
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
        "a restart helps once; keep the core (coredumpctl) or hs_err file for its developers and check its version",
        facts=p.signals(4, 5, 7, 8, 11), rank=90,
    ),
    Rule(
        "aborted", CRASH, SOFT, "it aborted itself (SIGABRT)",
        "its last lines say what it found wrong; keep the core (coredumpctl) for its developers",
        facts=p.signals(6), rank=69,
    ),
    Rule(
        "killed", CRASH, SOFT, "something killed it (SIGKILL)",
        "it did not do that itself: look for an operator, a memory guard or a container manager; then restart it",
        facts=p.signals(9), rank=90,
    ),
    Rule(
        "terminated", CRASH, SOFT, "it was asked to end, ended, and reported that as a failure",
        "no failure: start it again; SuccessExitStatus=143 in the unit file makes systemd treat it as success",
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

_LAST: tuple[Rule, ...] = (
    Rule(
        "start_resources", RESOURCE, SOFT, "systemd lacked a resource to start it",
        "see the evidence; free memory, processes or space on the host",
        facts=p.result("resources"), rank=50,
    ),
    Rule(
        "pre_start_failed", CONFIGURATION, SOFT, "a command that has to succeed before the program starts failed",
        "run the command of ExecStartPre= by hand as the service's user; the program itself was not started",
        facts=p.step_before("ExecStartPre"), rank=52,
    ),
    Rule(
        "post_start_failed", CONFIGURATION, SOFT, "a command that has to succeed after the program's start failed",
        "run the command of ExecStartPost= by hand; the program itself had started",
        facts=p.step_before("ExecStartPost"), rank=52,
    ),
    Rule(
        "start_limit", START_LIMIT, SOFT, "it failed so often that systemd gave up starting it",
        "fix what made it fail; then systemctl reset-failed (or recovery: reset_start) and start it",
        facts=p.start_limit, rank=40,
    ),
    Rule(
        "disk_full", RESOURCE, HARD, "a file system that it uses is full",
        "free space or enlarge the file system (df -h, df -i)", facts=p.disk_was_full, rank=30,
    ),
)  # fmt: skip

GENERIC_RULES: t.Sequence[Rule] = (*_UNIT, *_ENDINGS, *WORDS, *_LAST)
