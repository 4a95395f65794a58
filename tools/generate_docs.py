# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the parts of the guides that follow from the code: states, guards, causes, options, alerts, metrics.

generate_docs            rewrite them
generate_docs --check    say which differ, and fail
"""

from __future__ import annotations

import importlib
import re
import sys
import typing as t
from functools import partial
from pathlib import Path

import yaml

from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.rules import GENERIC_RULES
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.words import CLOCK_IS_BEHIND
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry import options as _args
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.guards import GUARDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import (
    GENERIC,
    CauseText,
    ServiceKind,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.timeline import TRIGGERS
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.alerts import ALERTS
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.families import FAMILIES
from ansible_collections.chainops.lifecycle.plugins.module_utils._probes import options as probes
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._outcomes import MEANING

GUIDES = Path(__file__).parent.parent / "docs" / "docsite" / "rst"
BLOCK = re.compile(r"(?<=\.\. begin generated: )(\w+)\n.*?(?=\.\. end generated)", re.DOTALL)


def table(header: t.Sequence[str], rows: t.Iterable[t.Sequence[str]]) -> str:
    """A list-table."""
    lines = [".. list-table::", "  :header-rows: 1", ""]
    for row in [header, *rows]:
        lines += [f"  {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def states() -> str:
    """Every state once, with the machine that has it."""
    rows = []
    for machine in (kind.machine for kind in KINDS.values()):
        for state in machine.states.values():
            if machine is m.GENERIC or state.name not in m.GENERIC.states:
                kind = "all" if machine is m.GENERIC else machine.name
                rows.append(
                    (f"``{state.name}``", kind, f"``{state.base}``", str(state.index), state.meaning,
                     state.typical, state.verified_by)
                )  # fmt: skip
    return table(("State", "Kinds", "Base state", "Index", "Meaning", "Typical duration", "Verified by"), rows)


def outcomes() -> str:
    """The identifiers of outcomes, in the order in which they are counted."""
    return table(("Outcome", "Meaning"), [(f"``{name}``", meaning) for name, meaning in MEANING.items()])


def diagram(machine: m.Machine) -> str:
    """The machine as text: each state, and where its edges lead."""
    lines = ["::", ""]
    for state in machine.states:
        leaving = [e for e in machine.edges if e.source == state]
        for i, edge in enumerate(leaving):
            arrow = f"--{edge.trigger}-->" if edge.who == m.OPERATOR else f"..{edge.trigger}..>"
            lines.append(f"  {state if i == 0 else '':<13}{arrow:<28} {edge.target}")
    return "\n".join(lines) + "\n"


def diagrams() -> str:
    """The machine of every kind, under a heading of its own."""
    parts = []
    for kind in KINDS.values():
        title = "All services" if kind is GENERIC else f"The kind {kind.name}"
        parts.append(f"{title}\n{'-' * len(title)}\n\n{diagram(kind.machine)}")
    return "\n".join(parts)


def guards() -> str:
    """The guards in their order, in the words of their docstrings."""
    rows = [(f"``{name}``", " ".join((guard.__doc__ or "").split())) for name, guard in GUARDS]
    rows.append(("``config_check``", "The configured check ends with 0."))
    rows.append(("``enabled``", "A unit that is to be enabled or disabled can be: it is neither masked nor static."))
    rows += [(f"``{name}``", f"{kind.name}: {text}") for kind in KINDS.values() for name, text in kind.guards.items()]
    return table(("Guard", "Passes when"), rows)


def causes() -> str:
    """The causes that a diagnosis can name."""
    return cause_table((rule.cause, rule) for rule in GENERIC_RULES if rule is not CLOCK_IS_BEHIND)


def kind_causes(kind: ServiceKind) -> str:
    """The causes that a diagnosis of this kind can name besides."""
    return cause_table(kind.causes())


def cause_table(named: t.Iterable[tuple[str, CauseText]]) -> str:
    """Each cause once."""
    seen: dict[str, tuple[str, str, str, str, str]] = {}
    for name, rule in named:
        seen.setdefault(name, (f"``{name}``", rule.category, rule.severity, rule.summary, rule.next_step))
    return table(("Cause", "Category", "Class", "Meaning", "Next step"), seen.values())


def documented(fragment: str, *parts: str) -> dict[str, t.Any]:
    """The options that parts of a documentation fragment describe."""
    found = importlib.import_module(f"ansible_collections.chainops.lifecycle.plugins.doc_fragments.{fragment}")
    texts = [getattr(found.ModuleDocFragment, part) for part in parts]
    return {name: told for text in texts for name, told in yaml.safe_load(text)["options"].items()}


def meaning(told: t.Mapping[str, t.Any]) -> str:
    """The first paragraph of an option's description, in the markup of the guides."""
    given = told["description"]
    first = given if isinstance(given, str) else given[0]
    return re.sub(r"\b(?:RV|[VOCM])\((?:ignore:|probes\[\]\.)?([^)]*)\)", r"``\1``", " ".join(first.split()))


def option_table(specs: t.Mapping[str, t.Mapping[str, t.Any]], told: t.Mapping[str, t.Any]) -> str:
    """Options with their types, defaults and meanings."""
    rows = []
    for name, spec in specs.items():
        default, choices = spec.get("default"), ", ".join(f"``{choice}``" for choice in spec.get("choices", ()))
        shown = "required" if spec.get("required") else "" if default is None else f"``{default}``"
        of_type = f"{spec['type']}: {choices}" if choices else spec["type"]
        rows.append((f"``{name}``", of_type, shown, meaning(told[name])))
    return table(("Option", "Type", "Default", "Meaning"), rows)


def options() -> str:
    """The options that every service may have in the inventory."""
    told = documented("_service", "DOCUMENTATION", "DRIVE")
    return option_table({**_args.WATCH_OPTIONS, **_args.DRIVE_OPTIONS}, told)


def probe_options() -> str:
    """The options of a probe, those of all kinds first, then those of each kind."""
    told = documented("_service", "DOCUMENTATION")["probes"]["suboptions"]
    parts = [f"Every probe has\n\n{option_table(probes.COMMON, told)}"]
    for kind, own in probes.OF_KIND.items():
        needed = {name: {**spec, "required": probes.REQUIRED[kind] == name} for name, spec in own.items()}
        parts.append(f"``kind: {kind}`` has\n\n{option_table(needed, told)}")
    return "\n".join(parts)


def kind_options(kind: ServiceKind) -> str:
    """The options that an entry nests under the name of its kind."""
    parts = {"besu": ("_besu", "DOCUMENTATION", "NODE"), "cloudflared": ("_cloudflared", "CONNECTOR")}[kind.name]
    return option_table(kind.options, documented(*parts))


def alerts() -> str:
    """The alerts, with what sets their thresholds."""
    rows = [
        (
            f"``{alert.id}``",
            f"``{alert.rule_name}``",
            alert.severity,
            f"{alert.summary[0].upper()}{alert.summary[1:]}.",
            f"{alert.default:g} {alert.unit}",
            f"``{alert.option}`` of the service" if alert.option else "",
        )
        for alert in ALERTS
    ]
    return table(("Alert", "In Prometheus", "Severity", "Meaning", "Threshold", "Set by"), rows)


def metrics() -> str:
    """Every metric, in the order in which it is written."""
    rows = [
        (f"``{family.sample_name}``", family.type, ", ".join(f"``{label}``" for label in family.labels), family.help)
        for family in FAMILIES
    ]
    return table(("Metric", "Type", "Labels", "Meaning"), rows)


def triggers() -> str:
    """The values of the label ``trigger``."""
    return ", ".join(f"``{trigger}``" for trigger in TRIGGERS) + "\n"


PARTS: dict[str, t.Callable[[], str]] = {
    "states": states,
    "diagrams": diagrams,
    **{f"{kind.name}_causes": partial(kind_causes, kind) for kind in KINDS.values() if kind.causes()},
    "outcomes": outcomes,
    "guards": guards,
    "causes": causes,
    "options": options,
    "probe_options": probe_options,
    **{f"{kind.name}_options": partial(kind_options, kind) for kind in KINDS.values() if kind.options},
    "alerts": alerts,
    "metrics": metrics,
    "triggers": triggers,
}


def generated(text: str) -> str:
    """The guide with its generated parts made anew. Raises KeyError for a part that nothing makes."""
    return BLOCK.sub(lambda found: f"{found[1]}\n\n{PARTS[found[1]]()}\n", text)


def main() -> int:
    stale = []
    for guide in sorted(GUIDES.glob("*.rst")):
        text = guide.read_text(encoding="utf-8")
        fresh = generated(text)
        if fresh != text:
            stale.append(guide.name)
            if "--check" not in sys.argv:
                guide.write_text(fresh, encoding="utf-8")
    if stale and "--check" in sys.argv:
        print(f"not as the code has it: {', '.join(stale)}; run 'make guides'")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
