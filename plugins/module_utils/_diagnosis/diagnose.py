# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the evidence of a failure to its causes, each with its lines and the next step. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Diagnose before any reset: ``systemctl reset-failed`` and a new start destroy
the evidence (result, exit status, invocation).
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import (
    ERROR,
    SOFT,
    UNLEVELLED,
    WARNING,
    Cause,
    FailureCase,
    HostFacts,
    Line,
    Rule,
    last_words,
    read_lines,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.rules import GENERIC_RULES
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import journal as j
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Entry
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize

MAX_CAUSES = 5
MAX_EVIDENCE = 4
MAX_LINES = 20
_LINE = 300
_UNREADABLE_LEVELS = ("0", "1", "2", "3", "4", "5")


@dataclass(frozen=True)
class Diagnosis:
    """The causes, the one closest to the root first; what the service logged last; the facts; what is not known.

    ``ports``: those that an address in use is about. ``failed_at``: when the run of a crash loop failed that this is
    about, in seconds since the epoch.
    """

    causes: tuple[Cause, ...] = ()
    lines: tuple[str, ...] = ()
    facts: t.Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    failed_at: float | None = None

    @property
    def primary(self) -> Cause | None:
        return self.causes[0] if self.causes else None

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "causes": [cause.as_dict() for cause in self.causes],
            "lines": list(self.lines),
            "facts": dict(self.facts),
            "notes": list(self.notes),
        }


def diagnose(
    properties: t.Mapping[str, str],
    entries: t.Sequence[Entry] = (),
    *,
    rules: t.Sequence[Rule] = GENERIC_RULES,
    host: HostFacts | None = None,
    failing: bool | None = None,
    notes: t.Sequence[str] = (),
) -> Diagnosis:
    """Why the unit is not as it should be.

    ``properties`` are those of ``systemctl show``; ``entries`` come from
    ``Journal.invocation``. ``rules`` of a kind go before the generic ones:
    the first rule that a line proves takes the line. ``failing`` is for what
    systemd does not know (a service that is active and unhealthy, a start
    that takes too long); without it the state of the unit decides.
    """
    case, own = build_case(properties, entries, host or HostFacts(), failing)
    case = _without_harmless(case, rules)
    proved = _proved(case, rules)
    causes = [_cause(case, rule, evidence, detail) for _rank, rule, evidence, detail in proved[:MAX_CAUSES]]
    if case.failing and not causes:
        causes = [_unknown(case, own)]
    return Diagnosis(tuple(causes), _shown_lines(own), _facts(case), _coverage(case, own, notes), case.host.ports)


def build_case(
    properties: t.Mapping[str, str], entries: t.Sequence[Entry], host: HostFacts, failing: bool | None = None
) -> tuple[FailureCase, tuple[Line, ...]]:
    """The case, and all lines of the failing invocation."""
    invocation = properties.get("InvocationID", "")
    manager = [entry for entry in entries if _by_manager(entry)]
    own = read_lines(_own_of(properties, entries) if invocation else [])
    case = FailureCase(
        properties=properties,
        lines=last_words(own),
        manager=_last_attempt(manager, invocation),
        host=host,
        failing=_is_failing(properties) if failing is None else failing,
    )
    # What it said while it ran is not why it does not run now.
    return (replace(case, lines=()) if host.paused else case), own


def _without_harmless(case: FailureCase, rules: t.Sequence[Rule]) -> FailureCase:
    patterns = [rule.pattern for rule in rules if rule.harmless]
    kept = tuple(
        line for line in case.lines if not any(re.search(pattern, line.text, re.IGNORECASE) for pattern in patterns)
    )
    return replace(case, lines=kept) if len(kept) < len(case.lines) else case


def _own_of(properties: t.Mapping[str, str], entries: t.Sequence[Entry]) -> list[Entry]:
    """What the service's processes wrote in that run; what has no invocation counts from the run's first record on."""
    own: list[Entry] = []
    invocation, unit, pid = (properties.get(key, "") for key in ("InvocationID", "Id", "ExecMainPID"))
    began = False
    for entry in entries:
        began = began or entry.invocation_id == invocation
        if entry.invocation_id not in (invocation, "") or not began or _by_manager(entry):
            continue
        if not entry.invocation_id and entry.unit != unit and str(entry.pid) != pid:
            continue
        if entry.fields.get("_TRANSPORT") not in ("driver", "kernel", "audit"):
            own.append(entry)
    return own


def _by_manager(entry: Entry) -> bool:
    """The service manager, or its child that is to become the service: that one names unit or run in fields, too."""
    return entry.from_manager or entry.from_manager_child


def _last_attempt(manager: t.Sequence[Entry], invocation: str) -> tuple[Entry, ...]:
    """The manager's records of the last start and since."""
    kept: list[Entry] = []
    manager = _until_end_of(manager, invocation)
    for entry in reversed(manager):
        stopped = entry.message_id == j.UNIT_STOPPED and entry.fields.get("JOB_TYPE") == "stop"
        if stopped and any(later.message_id == j.UNIT_JOB_FAILED for later in kept):
            break  # it rested before the job that failed: what lies before is another story
        kept.append(entry)
        if entry.from_manager and entry.message_id in (j.UNIT_STARTED, j.UNIT_STARTING):
            break
    # The child may have said why it failed before the manager said that it began.
    early = [entry for entry in manager[: -len(kept) or None] if entry.invocation_id == invocation != ""]
    return (*[entry for entry in early if not entry.from_manager], *reversed(kept))


def _until_end_of(manager: t.Sequence[Entry], invocation: str) -> t.Sequence[Entry]:
    """Without the records of the runs after this one: a crash loop may be in the next run already."""
    last = max((index for index, entry in enumerate(manager) if entry.invocation_id == invocation != ""), default=None)
    if last is None:
        return manager
    later = (i for i, entry in enumerate(manager) if i > last and entry.invocation_id not in ("", invocation))
    return manager[: next(later, len(manager))]


def _is_failing(properties: t.Mapping[str, str]) -> bool:
    active = properties.get("ActiveState", "")
    if active in ("failed", "activating"):
        return active == "failed" or properties.get("SubState", "").startswith("auto-restart")
    if active == "inactive":
        return properties.get("LoadState") not in ("loaded", "masked", "") or (
            properties.get("Result", "success") not in ("success", "exec-condition", "")
        )
    return False


def _proved(case: FailureCase, rules: t.Sequence[Rule]) -> list[tuple[float, Rule, list[str], str]]:
    """The rules that hold, the closest to the root first."""
    taken: set[int] = set()
    proved: list[tuple[float, Rule, list[str], str]] = []
    known: set[str] = set()
    for rule in rules:
        if not (case.failing or rule.running or not rule.pattern) or rule.cause in known or (rule.ended and case.live):
            continue
        found = None if rule.harmless else _apply(case, rule, taken)
        if found is not None:
            proved.append((found[0], rule, found[1], found[2]))
            known.add(rule.cause)
    proved.sort(key=lambda item: -item[0])
    return proved


def _apply(case: FailureCase, rule: Rule, taken: set[int]) -> tuple[float, list[str], str] | None:
    evidence: list[str] = []
    detail = ""
    rank = float(rule.rank)
    if rule.facts is not None:
        found = rule.facts(case)
        if found is None:
            return None
        evidence += found.evidence
        detail = found.detail
    if rule.manager:
        messages = case.manager_messages(rule.manager)
        if not messages:
            return None
        evidence += messages
    if rule.pattern:
        may_prove = _may_prove(case, rule)
        indexes = [
            index
            for index, line in enumerate(case.lines)
            if index not in taken and may_prove(line) and re.search(rule.pattern, line.text, re.IGNORECASE)
        ]
        if not indexes:
            return None
        taken.update(indexes)
        evidence += [case.lines[index].text for index in indexes]
        rank += _weight(case, indexes)
    if rule.detail is not None:
        detail = rule.detail(case, evidence)
    return rank, evidence, detail


def _may_prove(case: FailureCase, rule: Rule) -> t.Callable[[Line], bool]:
    """Which lines may prove a rule. What runs also logs what its clients got wrong, which must not stand in the way of
    a restart: of that only an error counts, and for a soft cause what has no level."""
    if not case.live or rule not in GENERIC_RULES:
        return lambda _line: True
    return lambda line: line.level == ERROR or (line.level == UNLEVELLED and rule.severity == SOFT)


def _weight(case: FailureCase, indexes: t.Sequence[int]) -> float:
    """Between 0 and 9: an error weighs more than a line without a level, that more than a warning; later ones more."""
    level = min(case.lines[index].level for index in indexes)
    severity = {ERROR: 6.0, UNLEVELLED: 5.0, WARNING: 0.0}.get(level, 0.0)
    return severity + 2.0 * (max(indexes) + 1) / len(case.lines)


def _cause(case: FailureCase, rule: Rule, evidence: t.Sequence[str], detail: str) -> Cause:
    lines = list(dict.fromkeys(sanitize(line, _LINE) for line in evidence))
    # The first lines name the thing, the last ones the end: both matter more than what is between.
    if len(lines) > MAX_EVIDENCE:
        lines = lines[:1] + lines[-(MAX_EVIDENCE - 1) :]
    summary = f"{rule.summary}: {detail}" if detail else rule.summary
    return Cause(rule.cause, rule.category, rule.severity, sanitize(summary), tuple(lines), sanitize(rule.next_step))


def _unknown(case: FailureCase, own: t.Sequence[Line]) -> Cause:
    """No rule knows why: the service's own last words say more than any sentence of ours."""
    ended = [str(case.exit)] if case.exit else []
    words = _last_lines(case, own)
    result = case.text("Result")
    how = f"it failed ({result})" if result not in ("success", "") else f"it is {case.text('ActiveState')}"
    if result in ("success", "") and case.text("ActiveState") == "inactive" and case.exit:
        how = f"it ended by itself ({case.exit})"
    summary = f"{how}; it said last: {words[-1]}" if words else f"{how} and logged no reason"
    return Cause(
        "unknown",
        "unknown",
        "soft",
        sanitize(summary),
        tuple(sanitize(line, _LINE) for line in (*ended, *words)),
        "read the lines and facts of this diagnosis; if they do not help, run the service's command as its user",
    )


def _last_lines(case: FailureCase, own: t.Sequence[Line]) -> list[str]:
    """Its last error, where it called anything one, else the last lines that it wrote, whatever their level."""
    errors = [line.text for line in case.lines if line.level == ERROR]
    lines = [line.text for line in case.lines] or [line.text for line in own]
    if errors:
        return [*[text for text in lines[-2:] if text != errors[-1]], errors[-1]]
    return [text for text in lines if text.strip()][-3:]


def _shown_lines(own: t.Sequence[Line]) -> tuple[str, ...]:
    """The error lines of the invocation, the last ones; where it called nothing an error, its last lines."""
    errors = [line for line in own if line.level == ERROR]
    rest = [line for line in own if line.level in (WARNING, UNLEVELLED)]
    chosen = set(map(id, errors[-MAX_LINES:]))
    chosen |= set(map(id, rest[-max(MAX_LINES - len(chosen), MAX_LINES // 4) :] if rest else []))
    if not chosen:
        chosen = set(map(id, own[-MAX_LINES // 2 :]))
    return tuple(sanitize(line.text, _LINE) for line in own if id(line) in chosen)[-MAX_LINES:]


def _facts(case: FailureCase) -> dict[str, str]:
    keys = {
        "load": "LoadState",
        "active": "ActiveState",
        "sub": "SubState",
        "result": "Result",
        "unit_file": "FragmentPath",
        "unit_file_state": "UnitFileState",
        "invocation": "InvocationID",
        "restart": "Restart",
        "restarts": "NRestarts",
        "status_text": "StatusText",
        "memory_max": "MemoryMax",
        "tasks_max": "TasksMax",
        "open_files_limit": "LimitNOFILE",
        "user": "User",
    }
    facts = {name: sanitize(case.text(key), 200) for name, key in keys.items()}
    facts = {name: value for name, value in facts.items() if value not in ("", "[not set]")}
    if case.exit is not None:
        facts["exit"] = sanitize(str(case.exit), 200)
    for disk in case.host.disks:
        facts[f"disk {sanitize(disk.path, 100)}"] = f"{disk.free // 1048576} MiB and {disk.inodes} inodes free"
    for unit, state in sorted(case.host.dependencies.items()):
        facts[f"dependency {sanitize(unit, 100)}"] = sanitize(state, 50)
    return facts


def _coverage(case: FailureCase, own: t.Sequence[Line], notes: t.Sequence[str]) -> tuple[str, ...]:
    """What the evidence cannot show."""
    found = dict.fromkeys([*notes, *case.host.notes])
    level = case.text("LogLevelMax")
    if level in _UNREADABLE_LEVELS:
        found[f"LogLevelMax={level} keeps the less important messages of this unit out of the journal"] = None
    for key in ("StandardOutput", "StandardError"):
        target = case.text(key)
        if not j.takes(target):
            found[f"{key}={target}: what the service writes there is not in the journal"] = None
    if case.text("LogNamespace"):
        found[f"the service logs to the journal namespace {case.text('LogNamespace')}, which was not read"] = None
    if case.failing and not own and not case.manager:
        found["the journal holds nothing of the failing run (vacuumed, volatile or filtered)"] = None
    elif case.failing and not own and case.text("InvocationID"):
        found["the failing run itself logged nothing"] = None
    return tuple(sanitize(note) for note in found)
