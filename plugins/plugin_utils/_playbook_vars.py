# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of the playbooks, as inventories, ``-e`` and surveys of AWX give them, read and checked. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

A survey gives text or, with ansible-core 2.19 and newer, typed values; an
optional question that is left empty gives a blank or null. Blank and null are
"not given", lists may be text with commas, and lists and dictionaries JSON.
"""

from __future__ import annotations

import datetime
import difflib
import fnmatch
import json
import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.history import parse_window
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.drills import FAULTS, UNDO_AFTER
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._waves import DEFAULT, MAX_SIZES

# What the playbooks themselves keep under these names, or leave for the next node of a workflow.
KEPT = frozenset(f"lifecycle_{one}" for one in ("networks", "observed", "outcome", "plan", "settings", "summary"))
_PREFIXES = ("lifecycle_", "service_recovery_", "rolling_restart_", "service_drill_")
# How alike a name has to be to count as a misspelling.
_ALIKE = 0.8


def is_given(value: t.Any) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def choice(*words: str) -> t.Callable[[t.Any], str]:
    """A reader of one of these words."""

    def read(value: t.Any) -> str:
        text = str(value).strip()
        if text not in words:
            near = difflib.get_close_matches(text, words, 1)
            raise ValueError(f"is unknown{f', did you mean {near[0]}' if near else ''}; give {' or '.join(words)}")
        return text

    return read


def boolean(value: t.Any) -> bool:
    text = str(value).strip().lower()
    if text in ("yes", "true", "on", "1", "1.0"):
        return True
    if text in ("no", "false", "off", "0", "0.0"):
        return False
    raise ValueError("is neither yes nor no; give true or false")


def share(value: t.Any) -> t.Any:
    """A number of hosts, or a percentage such as ``50%``."""
    text = _number(value)
    found = re.fullmatch(r"(\d{1,9})(%?)", text)
    if isinstance(value, bool) or found is None or (found[2] and int(found[1]) > 100):
        raise ValueError("is neither a number of hosts nor a percentage; give 3 or 50%")
    return text if found[2] else int(text)


def series(value: t.Any) -> list[t.Any]:
    """How many hosts at a time: a number, a percentage, or a list of these, whose last item applies to the rest."""
    return [share(one) for one in listed(value)]


def waves(value: t.Any) -> list[t.Any]:
    """The sizes of waves: numbers of hosts or shares of those in need."""
    sizes = series(value)
    if any(str(one).rstrip("%") == "0" for one in sizes):
        raise ValueError("has a wave of no host; give numbers and percentages above 0, such as 1, 10%, 50%")
    if len(sizes) > MAX_SIZES:
        raise ValueError(f"has {len(sizes)} sizes; give at most {MAX_SIZES}, the last wave is the rest")
    return sizes


def span(value: t.Any) -> float:
    """A length of time in seconds, which may be none; text may have a unit, such as ``30 min`` or ``30m``."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*(s|m|min|h|d|)", str(value).strip())
    if isinstance(value, bool) or found is None:
        raise ValueError("is no length of time; give seconds, such as 30, or 30s, 10min, 1h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}[found[2]]


def document(value: t.Any) -> t.Any:
    """Data, as such or as JSON, or the path of a file that holds it."""
    if isinstance(value, t.Mapping):
        return dict(value)
    given = text(value)
    return mapping(given) if given.startswith("{") else given


def seconds(value: t.Any) -> float:
    try:
        number = float(str(value).strip())
    except ValueError:
        number = -1.0
    if isinstance(value, bool) or not 0 < number < 86400:
        raise ValueError("is no length of time; give seconds, such as 3")
    return number


def whole(value: t.Any) -> int:
    text = _number(value)
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}", text):
        raise ValueError("is no whole number; give 3")
    return int(text)


def port(value: t.Any) -> int:
    number = whole(value)
    if not 0 < number < 65536:
        raise ValueError("is no port; give a TCP port of the service, such as 8545")
    return number


def undo_after(value: t.Any) -> float:
    """Seconds after which the host takes a fault away."""
    number, (low, high) = span(value), UNDO_AFTER
    if not low <= number <= high:
        raise ValueError(f"is not from {low:.0f} to {high:.0f} s; give seconds, such as 300, or 5min")
    return number


def at_least_one(value: t.Any) -> int:
    number = whole(value)
    if number < 1:
        raise ValueError("is less than 1; give 1 or more")
    return number


def text(value: t.Any) -> str:
    if isinstance(value, (list, tuple, dict)):
        raise ValueError("is a list or a dictionary; give text")
    return str(value).strip()


def listed(value: t.Any) -> list[t.Any]:
    """A list; text may be JSON, or have commas."""
    if isinstance(value, str):
        given = value.strip()
        value = _json(given) if given[:1] in ("[", "{") else [one.strip() for one in given.split(",") if one.strip()]
    if isinstance(value, t.Mapping):
        raise ValueError('is a dictionary; give a list such as ["a", "b"], or a, b')
    return list(value) if isinstance(value, (list, tuple)) else [value]


def words(*known: str) -> t.Callable[[t.Any], list[str]]:
    """A reader of a list of these words; any where none are named."""

    def read(value: t.Any) -> list[str]:
        return [choice(*known)(one) if known else text(one) for one in listed(value)]

    return read


def chains(value: t.Any) -> list[str]:
    """Genesis hashes, the beginnings of such, or chain ids."""
    found = [_number(one) for one in listed(value)]
    for one in found:
        if not re.fullmatch(r"0x[0-9a-fA-F]{6,64}|[1-9][0-9]{0,18}", one):
            raise ValueError("is no chain; give a genesis hash, the first 6 digits of it or more, or a chain id")
    return found


def since(value: t.Any) -> t.Any:
    """``now``, or a moment in seconds since the epoch."""
    return "now" if str(value).strip() == "now" else instant(value)


def instant(value: t.Any) -> float:
    """A moment in seconds since the epoch, of the name of a run, of a date and time with its zone, or of seconds."""
    given = str(value).strip()
    if re.fullmatch(r"\d{9,11}(\.\d+)?", given) and not isinstance(value, bool):
        return float(given)
    try:
        if re.fullmatch(r"\d{8}T\d{6}Z", given):
            utc = datetime.timezone.utc
            return datetime.datetime.strptime(given, "%Y%m%dT%H%M%SZ").replace(tzinfo=utc).timestamp()
        found = datetime.datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", given))
        if found.tzinfo is not None:
            return found.timestamp()
    except (ValueError, OverflowError):
        pass  # what is accepted is said below
    raise ValueError("is neither a run nor a moment; give 20261129T114000Z, 2026-11-29T12:40:00+01:00 or now")


def hooks(value: t.Any) -> list[str]:
    """Files of tasks, by their absolute paths, and roles."""
    found = [text(one) for one in listed(value)]
    for one in found:
        if one.endswith((".yml", ".yaml")) and not one.startswith("/"):
            raise ValueError("is a relative path; give an absolute one; in an inventory, begin it with inventory_dir")
        if not one.endswith((".yml", ".yaml")) and not re.fullmatch(r"\w+(\.\w+\.\w+)?", one):
            raise ValueError("is neither a file of tasks nor a role; give /srv/hooks/upgrade.yml or acme.ops.upgrade")
    return found


def mapping(value: t.Any) -> dict[str, t.Any]:
    if isinstance(value, str):
        value = _json(value.strip())
    if not isinstance(value, t.Mapping):
        raise ValueError('is no dictionary; give {"key": "value"}')
    return dict(value)


def _json(given: str) -> t.Any:
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        raise ValueError('is no JSON; a list looks like ["a", "b"], a dictionary like {"a": "b"}') from None


def _number(value: t.Any) -> str:
    given = str(value).strip()
    return given[:-2] if re.fullmatch(r"\d+\.0", given) else given


class Variable(t.NamedTuple):
    """A variable of the playbooks: how its value is read, and what holds where it is not given."""

    read: t.Callable[[t.Any], t.Any]
    default: t.Any = None


def window(value: t.Any) -> str:
    """A duration that service_info takes as ``history``."""
    given = str(value).strip()
    try:
        if parse_window(given):
            return given
    except LifecycleError:
        pass  # said in the words of the variable
    raise ValueError("is no duration; give a number with s, m, h, d or w, such as 24h")


DEPTHS = ("never", "restart", "reset_start")
FIXES = ("start_dependency", "free_journal_space", "clear_start_limit", "restore_config")

VARIABLES: t.Mapping[str, Variable] = {
    "lifecycle_target": Variable(text, "all"),
    "lifecycle_waves": Variable(waves, list(DEFAULT)),
    "lifecycle_serial": Variable(series),
    "lifecycle_soak": Variable(span, 10.0),
    "lifecycle_failure_domain": Variable(words(), []),
    "lifecycle_hosts": Variable(at_least_one),
    "lifecycle_plan_file": Variable(text),
    "lifecycle_plan_approved": Variable(document),
    "lifecycle_plan_digest": Variable(text),
    "lifecycle_plan_max_age": Variable(span, 3600.0),
    "lifecycle_max_unhealthy": Variable(share, "50%"),
    "lifecycle_max_failed": Variable(share, 0),
    "lifecycle_host_parallel": Variable(at_least_one, 4),
    "lifecycle_recovery": Variable(choice(*DEPTHS), "reset_start"),
    "lifecycle_quorum_lost": Variable(choice("refuse", "restart_all"), "refuse"),
    "lifecycle_quorum_lost_timeout": Variable(seconds, 300.0),
    "lifecycle_diagnose": Variable(choice("never", "errors", "always"), "errors"),
    "lifecycle_network_host": Variable(text),
    "lifecycle_network_interval": Variable(seconds, 3.0),
    "lifecycle_own_tunnel": Variable(boolean),
    "lifecycle_report_window": Variable(window, "24h"),
    "lifecycle_report_format": Variable(choice("html", "json"), "html"),
    "lifecycle_report_file": Variable(text),
    "lifecycle_only_kind": Variable(words(*KINDS), []),
    "lifecycle_only_chain": Variable(chains, []),
    "lifecycle_only_tunnel": Variable(words(), []),
    "lifecycle_only_name": Variable(words(), []),
    "lifecycle_only_stale": Variable(boolean, False),
    "lifecycle_restart_since": Variable(since),
    "lifecycle_drill_service": Variable(text),
    "lifecycle_drill_fault": Variable(choice(*FAULTS)),
    "lifecycle_drill_path": Variable(text),
    "lifecycle_drill_port": Variable(port),
    "lifecycle_drill_undo_after": Variable(undo_after, 300.0),
    "lifecycle_drill_detect_within": Variable(seconds, 60.0),
    "lifecycle_drill_recover_within": Variable(seconds, 300.0),
    "service_drill_fault": Variable(choice(*FAULTS)),
    "service_drill_path": Variable(text),
    "service_drill_port": Variable(port),
    "service_drill_undo_after": Variable(undo_after, 300.0),
    "service_drill_detect_within": Variable(seconds, 60.0),
    "service_drill_recover_within": Variable(seconds, 300.0),
    "service_drill_owner": Variable(text),
    "service_drill_report": Variable(boolean, True),
    "service_drill_fail": Variable(boolean, True),
    "rolling_restart_before": Variable(hooks, []),
    "rolling_restart_after": Variable(hooks, []),
    "rolling_restart_owner": Variable(text),
    "rolling_restart_run": Variable(text),
    "rolling_restart_labels": Variable(words(), []),
    "rolling_restart_report": Variable(boolean, True),
    "rolling_restart_fail": Variable(boolean, True),
    "service_recovery_parallel": Variable(at_least_one, 4),
    "service_recovery_depth": Variable(choice(*DEPTHS), "reset_start"),
    "service_recovery_fixes": Variable(words(*FIXES), []),
    "service_recovery_accept_causes": Variable(words(), []),
    "service_recovery_hooks": Variable(mapping, {}),
    "service_recovery_journal_size": Variable(text, "100M"),
    "service_recovery_reserve": Variable(boolean, True),
    "service_recovery_reserve_tries": Variable(whole, 3),
    "service_recovery_report": Variable(boolean, True),
    "service_recovery_fail": Variable(boolean, True),
    "service_recovery_owner": Variable(text),
    "service_recovery_quorum_lost": Variable(choice("refuse", "restart_all"), "refuse"),
    "service_recovery_quorum_lost_timeout": Variable(seconds, 300.0),
}
# What the extra variables begin with that a controller gives its jobs.
_CONTROLLERS = ("awx", "tower")
# What is said where one that has to be given is not.
_WANTED: t.Mapping[str, str] = {
    "lifecycle_drill_service": "name a service that is marked with drill: true, such as web1/api",
    "lifecycle_drill_fault": f"give {' or '.join(FAULTS)}",
    "lifecycle_drill_path": "name a directory on the file system to fill, such as /srv/data",
    "lifecycle_drill_port": "give a TCP port of the service, such as 8545",
}
# Read per service by other means, so that a wrong entry costs itself only.
_SERVICES = frozenset(
    (
        "lifecycle_services",
        "service_recovery_services",
        "service_recovery_service",
        "service_recovery_result",
        "service_recovery_observed",
        "service_recovery_step",
        "rolling_restart_services",
        "rolling_restart_service",
        "rolling_restart_result",
        "rolling_restart_asked",
        "rolling_restart_state_before",
        "rolling_restart_state_after",
        "service_drill_name",
        "service_drill_services",
        "service_drill_result",
    )
)


def read(given: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Every variable, as ``given`` or by its default. Raises FleetError naming the first that means nothing."""
    found = {name: variable.default for name, variable in VARIABLES.items()}
    for name in VARIABLES:
        if is_given(given.get(name)):
            found[name] = read_one(name, given[name])
    return found


def require(names: t.Sequence[str], settings: t.Mapping[str, t.Any]) -> None:
    """Raise FleetError naming the first variable that has to be given and is not."""
    for name in names:
        if settings.get(name) is None:
            raise FleetError(f"{name}: not given; {_WANTED.get(name, 'give it')}")


def read_one(name: str, value: t.Any) -> t.Any:
    """One variable that is given. Raises FleetError naming it."""
    try:
        return VARIABLES[name].read(value)
    except ValueError as exc:
        raise FleetError(f"{name}: {value!r} {exc}") from None


def failure_domains(
    variables: t.Sequence[str], hosts: t.Mapping[str, t.Mapping[str, t.Any]]
) -> dict[str, dict[str, list[str]]]:
    """host -> variable -> the failure domains of the host, none where it does not say.

    ``hosts``: host -> its variables. Raises FleetError where no host has a variable, which is a misspelling.
    """
    found = {host: {name: _domains(name, host, given.get(name)) for name in variables} for host, given in hosts.items()}
    for name in variables:
        if found and not any(one[name] for one in found.values()):
            raise FleetError(
                f"lifecycle_failure_domain: no host with services has the variable {name!r}; name a variable of the "
                f"hosts, such as one for their rack"
            )
    return found


def _domains(name: str, host: str, value: t.Any) -> list[str]:
    if isinstance(value, t.Mapping):
        raise FleetError(f"lifecycle_failure_domain: {name} of {host} is a dictionary; give text, or a list of it")
    return [str(one) for one in listed(value)] if is_given(value) else []


def slice_doubt(known: t.Mapping[str, t.Any]) -> str:
    """Why a run may have a slice of the inventory, by the extra variables of its job; empty where it has none.

    AWX tells no job that it is a slice. What follows is from the source of AWX 24.6.1, in ``awx/main``:

    - The extra variables of a job are its own and, over these, those of ``awx_meta_vars``
      (``RunJob.build_extra_vars_file`` in ``tasks/jobs.py``), each by two prefixes (``JOB_VARIABLE_PREFIXES`` in
      ``constants.py``). None has the number of a slice, or how many there are (``UnifiedJob.awx_meta_vars`` in
      ``models/unified_jobs.py``, ``Job.awx_meta_vars`` in ``models/jobs.py``): only the inventory goes by these
      (``Inventory.get_script_data`` in ``models/inventory.py``).
    - Slices are the nodes of a workflow job (``JobTemplate.create_unified_job`` in ``models/jobs.py``), and are
      launched as such (``WorkflowJobNode.get_job_kwargs`` in ``models/workflow.py``), so that each has
      ``awx_workflow_job_id``.
    - One that is launched again, on failed hosts or on all, remains a slice (``Job.copy_unified_job``) and is none of
      the workflow any more: its launch type is ``relaunch`` (``UnifiedJob.copy_unified_job``).
    """
    for prefix in _CONTROLLERS:
        if known.get(f"{prefix}_workflow_job_id"):
            return "one of a workflow"
        if known.get(f"{prefix}_job_launch_type") == "relaunch":
            return "one that was launched again"
    return ""


def check_slice(variables: t.Sequence[str], hosts: int, whole: int | None, doubt: str = "") -> None:
    """Raises FleetError where the run has, or may have, a slice of the inventory, and is to keep failure domains apart.

    ``hosts``: of this run's inventory. ``whole``: of the whole one, where that is known. ``doubt``: see slice_doubt.
    """
    if variables and whole is None and doubt:
        raise FleetError(
            f"lifecycle_failure_domain: this job is {doubt} and may be a slice, so that another one may work on the "
            f"same {' or '.join(variables)} at the same time; give lifecycle_hosts, the number of hosts of the whole "
            f"inventory"
        )
    if variables and whole is not None and hosts < whole:
        raise FleetError(
            f"lifecycle_failure_domain: the inventory of this run has {hosts} of {whole} hosts (lifecycle_hosts), so "
            f"that another slice may work on the same {' or '.join(variables)} at the same time; run it in one slice, "
            f"or correct lifecycle_hosts"
        )


def misspelt(names: t.Iterable[str]) -> dict[str, str]:
    """Misspelt names of variables of the collection: name -> the nearest right one."""
    known = {*VARIABLES, *KEPT, *_SERVICES}
    # Such as lifecycle_plan_aproved, without which a run would be bound to no plan.
    bases = known - {"lifecycle_plan"}
    found: dict[str, str] = {}
    for name in sorted(set(names) - known):
        # Lists that an inventory adds up have names such as lifecycle_services_web.
        if not name.startswith(_PREFIXES) or any(name.startswith(f"{one}_") for one in bases):
            continue
        near = difflib.get_close_matches(name, sorted(known - KEPT), 1, _ALIKE)
        if near:
            found[name] = near[0]
    return found


def unmatched(target: str, hosts: t.Iterable[str], groups: t.Mapping[str, t.Sequence[str]], limit: str = "") -> str:
    """Why a target matches no host, in one sentence; empty where it matches."""
    names = {*groups, *(host for members in groups.values() for host in members), "localhost"}
    for term in filter(None, (one.strip() for one in re.split(r"[,;]|(?<!:):(?!:)", target))):
        plain = term.lstrip("&!")
        if plain.startswith("~") or "[" in plain or plain in names or plain in ("all", "*"):
            continue
        if not any(fnmatch.fnmatchcase(name, plain) for name in names):
            near = difflib.get_close_matches(plain, sorted(names), 1)
            return f"lifecycle_target: {plain!r} is neither a host nor a group" + (
                f"; did you mean {near[0]}" if near else ""
            )
    if any(True for _host in hosts):
        return ""
    within = f" within --limit {limit}" if limit else ""
    return f"lifecycle_target: {target!r} matches no host{within}; ansible-inventory --graph shows hosts and groups"


def host_pattern(target: t.Any) -> str:
    """One pattern of Ansible for what names the hosts of a run; ``all`` where nothing does."""
    try:
        patterns = listed(target)
    except ValueError:  # a pattern may begin with a bracket as well
        patterns = [target]
    return ",".join(str(one).strip() for one in patterns if is_given(one)) or "all"


def matching(target: str, hosts: t.Iterable[str], groups: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    """The hosts of the run that a pattern names, as Ansible reads it; a regular expression counts as matching all."""
    chosen: dict[str, None] = {}
    everyone = list(hosts)
    for term in filter(None, (one.strip() for one in re.split(r"[,;]|(?<!:):(?!:)", target))):
        plain = term.lstrip("&!")
        found = [host for host in everyone if _names(plain, host, groups)]
        if term.startswith("!"):
            chosen = {host: None for host in chosen if host not in found}
        elif term.startswith("&"):
            chosen = {host: None for host in chosen if host in found}
        else:
            chosen |= dict.fromkeys(found)
    return list(chosen)


def _names(term: str, host: str, groups: t.Mapping[str, t.Sequence[str]]) -> bool:
    if term.startswith("~") or "[" in term or fnmatch.fnmatchcase(host, "*" if term == "all" else term):
        return True
    return any(host in members for group, members in groups.items() if fnmatch.fnmatchcase(group, term))


def services_of(described: t.Any, kind: str | None = None) -> list[t.Any]:
    """The entries of one host, of one kind."""
    entries = described if isinstance(described, (list, tuple)) else [described] if is_given(described) else []
    return [one for one in entries if not kind or (isinstance(one, t.Mapping) and one.get("kind") == kind)]
