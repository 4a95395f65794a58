# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Predicates over a failure, for the causes that systemd knows: its states, results and exit statuses. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Sources: systemd.exec(5) "Process Exit Codes" for 200 to 245, systemd.service(5)
for the results.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import FailureCase, Match, signal_name
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import journal as j

# Signals that have a rule of their own.
KNOWN_SIGNALS = (2, 4, 5, 6, 7, 8, 9, 11, 15, 31)

# Steps before the program runs, by the status that systemd gives them.
STEPS = {
    201: "NICE", 202: "FDS", 204: "MEMORY", 205: "LIMITS", 206: "OOM_ADJUST", 207: "SIGNAL_MASK", 208: "STDIN",
    209: "STDOUT", 210: "CHROOT", 211: "IOPRIO", 212: "TIMERSLACK", 213: "SECUREBITS", 214: "SETSCHEDULER",
    215: "CPUAFFINITY", 218: "CAPABILITIES", 219: "CGROUP", 220: "SETSID", 221: "CONFIRM", 222: "STDERR", 224: "PAM",
    225: "NETWORK", 226: "NAMESPACE", 227: "NO_NEW_PRIVILEGES", 228: "SECCOMP", 229: "SELINUX_CONTEXT",
    230: "PERSONALITY", 231: "APPARMOR", 232: "ADDRESS_FAMILIES", 233: "RUNTIME_DIRECTORY", 235: "CHOWN",
    236: "SMACK_PROCESS_LABEL", 237: "KEYRING", 238: "STATE_DIRECTORY", 239: "CACHE_DIRECTORY", 240: "LOGS_DIRECTORY",
    241: "CONFIGURATION_DIRECTORY", 242: "NUMA_POLICY", 243: "CREDENTIALS", 245: "BPF",
}  # fmt: skip
_START_TIMED_OUT = re.compile(r"start(?:-pre|-post)? operation timed out", re.IGNORECASE)


def unit_unknown(case: FailureCase) -> Match | None:
    """A unit that systemd does not know, and of which no run is known either."""
    return None if case.text("InvocationID") else load("not-found")(case)


def forgotten(case: FailureCase) -> Match | None:
    """A unit that systemd does not know any more, with how its last run ended."""
    known = load("not-found")(case)
    if known is None or not case.text("InvocationID"):
        return None
    result = case.text("Result")
    ended = "ended by itself" if result in ("success", "") else f"ended as it failed ({result})"
    last = [line.text for line in case.lines if line.text.strip()][-1:]
    words = f", and said last: {last[0]}" if last else ""
    return Match([*known.evidence, *last], f"its last run {ended}{words}")


def paused(why: str) -> t.Callable[[FailureCase], Match | None]:
    """The process is there and does not run, for this reason."""

    def facts(case: FailureCase) -> Match | None:
        if case.host.paused != why:
            return None
        shown = f"FreezerState={case.text('FreezerState')}" if why == "frozen" else "the main process is in state T"
        return Match([f"{shown}, ActiveState={case.text('ActiveState')}"])

    return facts


def load(*states: str) -> t.Callable[[FailureCase], Match | None]:
    def facts(case: FailureCase) -> Match | None:
        if case.text("LoadState") not in states or case.text("ActiveState") not in ("inactive", "failed"):
            return None
        messages = [entry.message for entry in case.manager if "CONFIG_FILE" in entry.fields]
        error = case.text("LoadError")
        return Match([f"LoadState={case.text('LoadState')}", *([error] if error else []), *messages[-3:]])

    return facts


def _messages_of_step(case: FailureCase) -> list[str]:
    """It is the manager's child that says why, before it becomes the service."""
    messages = [entry.message for entry in case.manager if not entry.from_manager]
    return messages or case.manager_messages(r"Failed at step|Failed to (?:locate|execute)|Unable to locate executable")


def _fits(words: str, without: str, only: str) -> bool:
    if without and re.search(without, words, re.IGNORECASE):
        return False
    return not only or bool(re.search(only, words, re.IGNORECASE))


def step(
    *statuses: int, without: str = "", only: str = "", setting: str = ""
) -> t.Callable[[FailureCase], Match | None]:
    """A step of systemd's own before the program ran. The words of the step decide between its reasons."""

    def facts(case: FailureCase) -> Match | None:
        ended = case.exit
        if ended is None or ended.how != "exited" or ended.status not in statuses:
            return None
        messages = _messages_of_step(case)
        if not messages and case.lines:
            return None  # the program ran and chose this number itself
        words = " ".join(messages)
        if not _fits(words, without, only):
            return None
        name = STEPS.get(ended.status, "")
        named = f"Supplementary{setting}s" if setting == "Group" and "supplementary" in words else setting
        set_to = [f"{named}={case.text(named)}"] if named and case.text(named) else []
        detail = set_to[0] if set_to else f"step {name}" if name else ""
        return Match([*messages[-2:], *set_to, str(ended)], detail)

    return facts


def result(*results: str) -> t.Callable[[FailureCase], Match | None]:
    def facts(case: FailureCase) -> Match | None:
        result = case.text("Result")
        if not case.failing or result not in results:
            return None
        return Match([f"Result={result}", *([str(case.exit)] if case.exit else [])])

    return facts


def signals(*numbers: int, others: bool = False) -> t.Callable[[FailureCase], Match | None]:
    """The main process died of a signal, or a shell around it reported that (128 + its number)."""

    def facts(case: FailureCase) -> Match | None:
        ended = case.exit
        if ended is None or not case.failing or case.text("Result") not in ("signal", "core-dump", "exit-code"):
            return None
        number = ended.status - 128 if ended.how == "exited" else ended.status
        if others:
            fits = ended.how != "exited" and number not in KNOWN_SIGNALS
        else:
            fits = number in numbers
        if not fits:
            return None
        return Match([str(ended)], signal_name(number))

    return facts


def memory_killed(case: FailureCase) -> Match | None:
    record = case.record(j.UNIT_OUT_OF_MEMORY) or case.record(j.UNIT_OOMD_KILL)
    pid = case.number("ExecMainPID")
    kernel = [entry.message for entry in case.host.kernel if pid and f"Killed process {pid} " in entry.message]
    if not case.failing or (case.text("Result") != "oom-kill" and record is None and not kernel):
        return None
    limit = case.text("MemoryMax")
    limited = limit.isdigit() and int(limit) < 2**63
    detail = f"its limit is MemoryMax={int(limit) // 1048576} MiB" if limited else "the unit itself has no limit"
    return Match([*([record.message] if record else []), *kernel[-2:], f"Result={case.text('Result')}"], detail)


def job(result: str) -> t.Callable[[FailureCase], Match | None]:
    """The last job for the unit ended so, before the unit itself did anything."""

    def facts(case: FailureCase) -> Match | None:
        record = case.record(j.UNIT_JOB_FAILED)
        if record is None or record.fields.get("JOB_RESULT") != result:
            return None
        if case.text("ActiveState") not in ("inactive", "failed"):
            return None
        down = [f"{unit} is {state}" for unit, state in sorted(case.host.dependencies.items())]
        return Match([record.message, *down], ", ".join(down))

    return facts


def check(result: str, stamp: str) -> t.Callable[[FailureCase], Match | None]:
    """A Condition or an Assert of the unit did not hold. The result means nothing before the first check."""

    def facts(case: FailureCase) -> Match | None:
        if case.text("ActiveState") not in ("inactive", "failed") or case.text(result) != "no":
            return None
        messages = case.manager_messages(r"[Cc]ondition (?:check|failed)|[Aa]ssertion failed|unmet condition")
        return Match([f"{result}=no", *messages]) if case.number(stamp) else None

    return facts


def timeout(phase: str) -> t.Callable[[FailureCase], Match | None]:
    def facts(case: FailureCase) -> Match | None:
        if not case.failing:
            return None
        messages = case.manager_messages(r"timed out|time limit")
        between = case.text("SubState").startswith("auto-restart") or case.text("Result") not in ("success", "")
        slow = case.text("ActiveState") == "activating" and not between
        if slow and phase == "start":
            return Match([f"still in {case.text('SubState')}", *messages])
        if case.text("Result") != "timeout":
            return None
        limit = any("time limit" in line for line in messages)
        was_active = case.number("ActiveEnterTimestampMonotonic") >= case.number("InactiveExitTimestampMonotonic") > 0
        # With RestartMode=direct the moments are those of an earlier run: the manager's word goes first.
        starting = any(_START_TIMED_OUT.search(line) for line in messages)
        actual = "runtime" if limit else "stop" if was_active and not starting else "start"
        return Match(["Result=timeout", *messages]) if actual == phase else None

    return facts


def step_before(command: str) -> t.Callable[[FailureCase], Match | None]:
    """A command of the unit's own that runs before or after the program, and not the program, ended badly."""

    def facts(case: FailureCase) -> Match | None:
        ended = case.exit
        if not case.failing or ended is None or ended.command != command:
            return None
        if ended.how == "exited" and (ended.status == 0 or 200 <= ended.status <= 245):
            return None  # it ended well, or it is systemd that could not run it, which has causes of its own
        return Match([str(ended)], str(ended))

    return facts


def start_limit(case: FailureCase) -> Match | None:
    if case.text("ActiveState") != "failed":
        return None
    messages = case.manager_messages(r"Start request repeated too quickly")
    burst, restarts = case.number("StartLimitBurst"), case.number("NRestarts")
    # Before systemd 260 the result of the last run hides the limit; the record may be gone.
    counted = case.text("Restart") not in ("no", "") and burst > 0 and restarts >= burst
    if case.text("Result") != "start-limit-hit" and not messages and not counted:
        return None
    limit = f"{burst} starts in {case.text('StartLimitIntervalUSec') or 'its interval'}"
    return Match([*messages, f"NRestarts={restarts}", *([str(case.exit)] if case.exit else [])], limit)


def disk_was_full(case: FailureCase) -> Match | None:
    full = case.host.full_disks
    return Match(full, full[0]) if full and case.failing else None
