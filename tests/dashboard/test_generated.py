# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard is what the code makes, and each part of it is what Grafana's own types allow."""

from __future__ import annotations

import json
import types
import typing as t
from enum import Enum

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.cog.runtime import UnknownDataquery
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel, RowPanel

from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring import families as f
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.families import FAMILIES
from tools import generate_dashboard
from tools.generate_dashboard import FILE

Found = t.Iterator[str]
WRITTEN = json.loads(FILE.read_text("utf-8"))
# What the panels have no need of: alerts are made of these.
NOT_SHOWN = {
    f.SERVICE_INFO,
    f.THRASHING_START,
    f.STARTING_START,
    f.ALERT_THRESHOLD,
    f.EXPORTER_RUNS,
}


@pytest.fixture(autouse=True, scope="module")
def known_panels() -> None:
    register_default_plugins()


def read(data: t.Any) -> Dashboard:
    return Dashboard.from_json(data)


def encoded(made: t.Any) -> t.Any:
    return json.loads(json.dumps(made, cls=JSONEncoder))


def mistakes(value: t.Any, hint: t.Any, where: str = "dashboard") -> Found:
    """Where a value is not what the type says. An object of the builder is checked attribute by attribute."""
    origin, arguments = t.get_origin(hint), t.get_args(hint)
    if hint in (t.Any, object) or isinstance(value, UnknownDataquery):
        yield from _untyped(value, where)
    elif origin in (t.Union, types.UnionType):
        yield from _of_several(value, arguments, where)
    elif origin is t.Literal:
        if value not in arguments:
            yield f"{where}: {value!r} is none of {arguments}"
    elif origin in (list, dict):
        if not isinstance(value, origin):
            yield f"{where}: {value!r} is no {origin.__name__}"
            return
        items = value.items() if origin is dict else enumerate(value)
        for key, item in items:
            yield from mistakes(item, arguments[-1], f"{where}.{key}")
    elif isinstance(value, dict) and hasattr(hint, "from_json"):
        # The builder leaves some lists of objects as they were read.
        made = hint.from_json(value)
        yield from mistakes(made, hint, where)
        if encoded(made) != value:
            yield f"{where}: {value!r} has a key that {hint.__name__} has not"
    elif issubclass(hint, Enum):
        if value not in [member.value for member in hint]:
            yield f"{where}: {value!r} is no {hint.__name__}"
    elif not isinstance(value, (int, float) if hint is float else hint) or (
        hint is not bool and isinstance(value, bool)
    ):
        yield f"{where}: {value!r} is no {hint.__name__}"
    else:
        yield from _attributes(value, where)


def _of_several(value: t.Any, hints: t.Sequence[t.Any], where: str) -> Found:
    if value is None and types.NoneType in hints:
        return
    tried = [list(mistakes(value, one, where)) for one in hints if one is not types.NoneType]
    if all(tried):
        yield from tried[0]


def _untyped(value: t.Any, where: str) -> Found:
    """What has no type of its own in its place still has one where the builder read it as an object."""
    if isinstance(value, UnknownDataquery):
        yield f"{where}: a query of no kind that is known"
    else:
        yield from _attributes(value, where)


def _attributes(value: t.Any, where: str) -> Found:
    if type(value).__module__.startswith("grafana_foundation_sdk."):
        for name, hint in t.get_type_hints(type(value)).items():
            yield from mistakes(getattr(value, name), hint, f"{where}.{name}")


def panels(made: Dashboard) -> list[Panel]:
    return [panel for panel in made.panels or () if isinstance(panel, Panel)]


def test_the_file_is_what_the_code_makes() -> None:
    assert FILE.read_text("utf-8") == generate_dashboard.text(), "run 'make guides'"


def test_grafanas_types_have_everything_that_is_written() -> None:
    """A key that the types do not have would be lost on the way."""
    assert encoded(read(WRITTEN)) == WRITTEN


def test_each_value_is_of_its_type() -> None:
    assert list(mistakes(read(WRITTEN), Dashboard)) == []


def test_options_queries_and_rows_are_read_as_objects() -> None:
    """Of these the types say nothing where they stand: what is read as an object has been checked."""
    made = read(WRITTEN)
    assert {type(panel.options).__name__ for panel in panels(made)} == {"Options"}
    assert {type(one).__module__.rpartition(".")[2] for panel in panels(made) for one in panel.targets or ()} == {
        "prometheus"
    }
    assert [panel.title for panel in made.panels or () if isinstance(panel, RowPanel)] == list(generate_dashboard.ROWS)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["panels", 1, "gridPos", "w"], "wide", "panels.1.grid_pos.w: 'wide' is no int"),
        (["panels", 1, "options", "graphMode"], "bars", "panels.1.options.graph_mode: 'bars' is no BigValueGraphMode"),
        (["panels", 1, "targets", 0, "expr"], 1, "panels.1.targets.0.expr: 1 is no str"),
        (["templating", "list", 1, "multi"], "no", "templating.list_val.1.multi: 'no' is no bool"),
        (["refresh"], 60, "refresh: 60 is no str"),
    ],
)
def test_a_wrong_value_is_found(path: list[str | int], value: t.Any, said: str) -> None:
    data = json.loads(json.dumps(WRITTEN))
    *outer, last = path
    place = data
    for key in outer:
        place = place[key]
    assert place[last] != value
    place[last] = value
    assert list(mistakes(read(data), Dashboard)) == [f"dashboard.{said}"]


def test_a_key_that_grafana_does_not_know_is_found() -> None:
    data = json.loads(json.dumps(WRITTEN))
    data["panels"][1]["hieght"] = 4
    assert encoded(read(data)) != data
    data = json.loads(json.dumps(WRITTEN))
    (table,) = (panel for panel in data["panels"] if panel["title"] == "Holds")
    table["transformations"][0]["enabled"] = True
    (said,) = mistakes(read(data), Dashboard)
    assert said.endswith("has a key that DataTransformerConfig has not")


def test_panels_are_numbered_and_do_not_overlap() -> None:
    numbers = [panel["id"] for panel in WRITTEN["panels"]]
    assert sorted(set(numbers)) == numbers
    taken = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in WRITTEN["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, dummy in taken) < 24


def test_every_metric_is_shown_or_not_for_a_reason() -> None:
    queries = " ".join(target["expr"] for panel in WRITTEN["panels"] for target in panel.get("targets", ()))
    assert {family for family in FAMILIES if family.sample_name + "{" not in queries} == NOT_SHOWN


def test_a_stale_file_is_told_and_rewritten(tmp_path: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = tmp_path / "dashboard.json"
    stale.write_text("{}")
    monkeypatch.setattr(generate_dashboard, "FILE", stale)
    monkeypatch.setattr("sys.argv", ["generate_dashboard", "--check"])
    assert generate_dashboard.main() == 1
    assert stale.read_text() == "{}"
    monkeypatch.setattr("sys.argv", ["generate_dashboard"])
    assert generate_dashboard.main() == 0
    assert stale.read_text() == FILE.read_text()
