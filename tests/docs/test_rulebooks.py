# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rulebooks act on alerts that exist, both on the same ones, and as their guide says. ansible-lint knows their schema."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.alerts import ALERTS_BY_ID

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS, TEMPLATES = "alertmanager_playbooks", "alertmanager_job_templates"
GUIDE = ROOT / "docs/docsite/rst/guide_event_driven.rst"
# These say that a person has decided, has to decide, or that nothing is known.
NO_ORDERS = {
    "hold_ending", "hold_forgotten", "attempts_exhausted", "metrics_late", "metrics_failing", "not_observed",
    "no_validator_may_stop", "stop_overdue", "tunnel_replicas_low",
}  # fmt: skip


def rules(rulebook: str) -> list[dict[str, t.Any]]:
    (ruleset,) = yaml.safe_load((ROOT / f"extensions/eda/rulebooks/{rulebook}.yml").read_text())
    return list(ruleset["rules"])


def alerts_of(condition: str) -> set[str]:
    listed = re.search(r'alert_id in \[([^\]]*)\]|alert_id == ("\w+")', condition)
    return set(re.findall(r'"(\w+)"', listed[0])) if listed else set()


@pytest.mark.parametrize("rulebook", [PLAYBOOKS, TEMPLATES])
def test_they_name_alerts_that_exist_and_that_call_for_an_act(rulebook: str) -> None:
    named = set().union(*(alerts_of(rule["condition"]) for rule in rules(rulebook)))
    assert named | NO_ORDERS == set(ALERTS_BY_ID) and not named & NO_ORDERS


def test_they_differ_in_where_alerts_come_from_and_in_what_is_started() -> None:
    def rest(rulebook: str) -> list[tuple[str, str, t.Any]]:
        return [
            (
                rule["name"],
                rule["condition"].replace("event.alert.", "event."),
                str(rule["throttle"]).replace("event.alert.", "event."),
            )
            for rule in rules(rulebook)
        ]

    assert rest(PLAYBOOKS) == rest(TEMPLATES)


def test_every_rule_about_a_host_lets_no_text_pass_that_means_more_than_a_name() -> None:
    patterns = {
        pattern
        for rule in rules(PLAYBOOKS)
        if "labels.instance" in str(rule["action"])
        for pattern in re.findall(r'labels\.instance is match\("(.*?)", ignorecase=false\)', rule["condition"])
    }
    (pattern,) = patterns
    assert all(re.match(pattern, name) for name in ("host1", "host1:9100", "a.example.org:9100", "10.0.0.1", "a_b-c"))
    bad = ("{{ 1 }}", "a,all", "a:b", "!a", "all:!a", "*", "a b", "", "@file", "~a.*", "-a", "a[0]", "a\nb", "a&b")
    assert not [name for name in bad if re.match(pattern, name)]


def test_the_guide_has_every_alert_that_starts_something() -> None:
    guide = GUIDE.read_text()
    for rule in rules(PLAYBOOKS):
        assert all(f"``{name}``" in guide for name in alerts_of(rule["condition"]))
    variables = {name for text in (PLAYBOOKS, TEMPLATES) for name in _variables(text)}
    assert variables == set(re.findall(r"^  \* - ``(chainops_\w+)``$", guide, re.MULTILINE))


def _variables(rulebook: str) -> set[str]:
    text = (ROOT / f"extensions/eda/rulebooks/{rulebook}.yml").read_text()
    return set(re.findall(r"(?:\{\{ |vars\.)(chainops_\w+)", text))


class Loader(yaml.SafeLoader):
    """Reads a text that Ansible must not template as the text that it is."""


Loader.add_constructor("!unsafe", lambda _loader, node: node.value)


def launches() -> list[tuple[str, t.Any, t.Any]]:
    """Each job template that is launched: its name, the questions of its survey, the answers."""
    text = (ROOT / "extensions/awx/objects/job_templates.yml").read_text()
    (templates,) = yaml.load(text, Loader).values()
    surveys = {one["name"]: one["questions"] for one in templates}
    actions = [rule["action"]["run_job_template"] for rule in rules(TEMPLATES) if "run_job_template" in rule["action"]]
    return [(one["name"], surveys[one["name"]], one["job_args"]["extra_vars"]) for one in actions]


@pytest.mark.parametrize(("template", "questions", "answers"), launches())
def test_a_launch_answers_every_question_of_the_survey(template: str, questions: t.Any, answers: t.Any) -> None:
    """AWX fills in no default, and refuses an answer of another type (HTTP 400)."""
    assert {question["variable"] for question in questions} == set(answers), template
    for question in questions:
        answer = answers[question["variable"]]
        assert isinstance(answer, int if question["type"] == "integer" else str), question
        assert answer in question.get("choices", [answer]), question
        # The controller's own templates make a number of a text that looks like one.
        assert "{{" not in str(answer) or str(answer).startswith("'{{"), answer


def test_the_workflow_is_launched_without_variables() -> None:
    (workflow,) = [one["action"]["run_workflow_template"] for one in rules(TEMPLATES) if "run_workflow" in str(one)]
    assert workflow["include_events"] is False and "job_args" not in workflow
