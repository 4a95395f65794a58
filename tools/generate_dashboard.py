# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the dashboard of Grafana, made with Grafana's own builders, from the metrics and the states that there are.

generate_dashboard            rewrite it
generate_dashboard --check    say whether it differs, and fail
"""

from __future__ import annotations

import json
import sys
import typing as t
from pathlib import Path

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as m_common
from grafana_foundation_sdk.models import dashboard as m
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as states
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring import alerts as a
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring import families as f
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.families import Family

FILE = Path(__file__).parent.parent / "roles" / "prometheus_alerts" / "files" / "chainops-lifecycle.dashboard.json"
SOURCE = m.DataSourceRef(type_val="prometheus", uid="${datasource}")

# The colours of the report, by base state.
_COLOURS = {
    states.RUNNING: "green",
    states.STARTING: "blue",
    states.STOPPING: "purple",
    states.STOPPED: "#7b8695",
    states.RESTARTING: "orange",
    states.ERROR: "red",
    states.UNKNOWN: "yellow",
}
# Severities as numbers, for a timeline.
_SEVERITIES = {a.CRITICAL: (3, "red"), a.WARNING: (2, "orange"), a.INFO: (1, "blue")}
_OF_SERVICE = "{{instance}} {{service}}"
# A chain is named by the hash of its genesis block, which is too long for a legend.
_OF_CHAIN = "{{short}}"
_SAME_SERVICE = "on (job, instance, service, kind)"

Panel = stat.Panel | statetimeline.Panel | timeseries.Panel | table.Panel | bargauge.Panel
Colours = t.Mapping[float, tuple[str, str]]


class Query(t.NamedTuple):
    """A query and the name of each of its series.

    ``now``: its value at the end of the range only; ``format``: what Grafana makes of the answer.
    """

    expression: str
    legend: str = ""
    now: bool = False
    format: PromQueryFormat = PromQueryFormat.TIME_SERIES


# -- expressions


def of(family: Family, *matchers: str) -> str:
    """The series of a metric that the variables of the dashboard select."""
    chosen = ("instance", *(name for name in ("kind", "service", "chain", "tunnel") if name in family.labels))
    return f"{family.sample_name}{{{', '.join([*(f'{name}=~"${name}"' for name in chosen), *matchers])}}}"


def elapsed(family: Family) -> str:
    """Seconds since the instant that a metric holds; nothing where it holds 0."""
    return f"time() - ({of(family)} > 0)"


def gained(family: Family, labels: str, window: str, step: str, *matchers: str) -> str:
    """By how much a counter of a service, summed over ``labels``, grew within ``window``.

    The series of a counter begins with its first event, not with 0, so that
    increase() alone would miss that event: the state of the service, which is
    always exported, lends it the 0.
    """
    total = f"sum without ({labels}) ({of(family, *matchers)}) or 0 * {of(f.STATE_INDEX)}"
    return f"increase(({total})[{window}:{step}])"


def by_chain(aggregation: str, expression: str) -> str:
    return f'label_replace({aggregation} by (chain) ({expression}), "short", "$1", "chain", "(.{{0,10}}).*")'


def in_states(*bases: str) -> str:
    names = {one.name for kind in KINDS.values() for one in kind.machine.states.values() if one.base in bases}
    return f'state=~"{"|".join(sorted(names))}"'


def alerts(*matchers: str) -> str:
    """The alerts that fire. Those of a chain or a host have no service: an absent label matches as well."""
    chosen = (f'{name}=~"${name}|"' for name in ("instance", "kind", "service"))
    return f"ALERTS{{{', '.join(['alertname=~"Chainops.+"', 'alertstate="firing"', *chosen, *matchers])}}}"


# -- panels


def _common[P: (stat.Panel, statetimeline.Panel, timeseries.Panel, table.Panel, bargauge.Panel)](
    panel: P, title: str, about: str, size: tuple[int, int], queries: t.Sequence[Query]
) -> P:
    """``size``: width, of 24, and height."""
    panel.title(title).description(about).datasource(SOURCE).span(size[0]).height(size[1])
    for at, query in enumerate(queries):
        target = prometheus.Dataquery().expr(query.expression).legend_format(query.legend or "__auto")
        target.ref_id(chr(ord("A") + at)).datasource(SOURCE).format(query.format)
        panel.with_target(target.instant() if query.now else target.range())
    # No point is closer than the metrics are written.
    return panel.interval("1m")


def _thresholds(steps: Colours) -> dashboard.ThresholdsConfig:
    """``steps``: the colour from each value on; the first is that of all below."""
    found = [m.Threshold(value, colour) for value, (_text, colour) in sorted(steps.items())]
    found[0].value = None
    return dashboard.ThresholdsConfig().mode(m.ThresholdsMode.ABSOLUTE).steps(found)


def _values(values: Colours) -> list[m.ValueMapping]:
    named = {f"{value:g}": m.ValueMappingResult(text, colour) for value, (text, colour) in sorted(values.items())}
    return [m.ValueMap(named)]


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(True).placement(m_common.LegendPlacement.BOTTOM)
    return legend.display_mode(m_common.LegendDisplayMode.LIST)


GOOD_AT_0: Colours = {0: ("", "green"), 1: ("", "red")}
NEUTRAL: Colours = {0: ("", "text")}


def number(title: str, about: str, expression: str, steps: Colours = GOOD_AT_0, unit: str = units.Short) -> stat.Panel:
    panel = _common(stat.Panel(), title, about, (3, 4), [Query(expression, now=True)])
    panel.unit(unit).thresholds(_thresholds(steps)).graph_mode(m_common.BigValueGraphMode.NONE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return panel.decimals(2 if unit == units.PercentUnit else 0)


def timeline(title: str, about: str, values: Colours, *queries: Query, height: int = 8) -> statetimeline.Panel:
    """``values``: what each value means, and its colour."""
    panel = _common(statetimeline.Panel(), title, about, (24, height), queries)
    panel.mappings(_values(values)).show_value(m_common.VisibilityMode.AUTO).merge_values(True).row_height(0.85)
    panel.color_scheme(dashboard.FieldColor().mode(m.FieldColorModeId.THRESHOLDS)).fill_opacity(80).line_width(0)
    panel.legend(_legend())
    return panel.tooltip(common.VizTooltipOptions().mode(m_common.TooltipDisplayMode.SINGLE))


def graph(title: str, about: str, unit: str, *queries: Query, width: int = 12) -> timeseries.Panel:
    panel = _common(timeseries.Panel(), title, about, (width, 8), queries).unit(unit).min(0)
    panel.legend(_legend())
    panel.fill_opacity(5).show_points(m_common.VisibilityMode.NEVER)
    if unit == units.Short:
        panel.decimals(0)  # a count; increase() extrapolates to parts of one
    return panel.tooltip(common.VizTooltipOptions().mode(m_common.TooltipDisplayMode.MULTI))


def bars(title: str, about: str, unit: str, query: Query) -> bargauge.Panel:
    panel = _common(bargauge.Panel(), title, about, (12, 8), [query._replace(now=True)]).unit(unit).min(0)
    panel.orientation(m_common.VizOrientation.HORIZONTAL).thresholds(_thresholds(GOOD_AT_0))
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return panel.display_mode(m_common.BarGaugeDisplayMode.BASIC)


def rows(
    title: str, about: str, columns: t.Mapping[str, tuple[str, str]], hidden: str = "", width: int = 24
) -> table.Panel:
    """A table. ``columns``: the expression and the unit of each column; ``hidden``: names that are none."""
    queries = [Query(expression, now=True, format=PromQueryFormat.TABLE) for expression, _unit in columns.values()]
    panel = _common(table.Panel(), title, about, (width, 8), queries)
    names = ["Value"] if len(columns) == 1 else [f"Value #{chr(ord('A') + at)}" for at in range(len(columns))]
    panel.with_transformation(m.DataTransformerConfig("merge", options={}))
    panel.with_transformation(
        m.DataTransformerConfig(
            "organize",
            options={
                "excludeByName": dict.fromkeys(["Time", "__name__", "job", *hidden.split()], True),
                "renameByName": {old: new for old, new in zip(names, columns, strict=True) if old != new},
            },
        )
    )
    panel.align(m_common.FieldTextAlignment.AUTO).cell_height(m_common.TableCellHeight.SM)
    for name, (_expression, unit) in columns.items():
        panel.override_by_name(name, [m.DynamicConfigValue("unit", unit)])
    return panel


def _fleet() -> list[Panel]:
    failed = gained(f.ERRORS, "cause", "$__range", "$__interval")
    in_error = gained(f.STATE_SECONDS, "state", "$__range", "$__interval", in_states(states.ERROR))
    all_time = gained(f.STATE_SECONDS, "state", "$__range", "$__interval")
    late = f"time() - {of(f.EXPORTER_TIME)} > {a.METRICS_LATE.default:g} * {of(f.EXPORTER_INTERVAL)}"
    return [
        number("Services", "Services that are monitored.", f"count({of(f.STATE_INDEX)})", NEUTRAL),
        number("In error", "Services that are in error now.", f"sum({of(f.STATE, in_states(states.ERROR))})"),
        number("Not observed", "Services whose state is not known.", f"sum({of(f.STATE, in_states(states.UNKNOWN))})"),
        number("Alerts", "Alerts of this collection that fire now.", f"count({alerts()}) or vector(0)"),
        number("Late metrics", "Hosts that do not write their metrics any more.", f"count({late}) or vector(0)"),
        number("Held", "Services that nobody may act on now.", f"sum({of(f.HOLD)})", NEUTRAL),
        number("Failures", "Failures of all services within the range.", f"sum({failed})"),
        number(
            "Part of the time in error",
            "The part of the time of all services, within the range, that they spent in error.",
            f"sum({in_error}) / sum({all_time})",
            {0: ("", "green"), 0.001: ("", "orange"), 0.01: ("", "red")},
            units.PercentUnit,
        ),
    ]


def _services() -> list[Panel]:
    kinds = [one for kind in KINDS.values() for one in kind.machine.states.values()]
    names: Colours = {one.index: (one.name, _COLOURS[one.base]) for one in kinds}
    state_age = f"({of(f.STATE)} == 1) * {_SAME_SERVICE} group_left () (time() - {of(f.STATE_START)})"
    before = f"last_over_time({of(f.ERRORS)}[$__range] offset $__range)"
    return [
        timeline("State", "The state of each service. A gap: nothing is known.", names,
                 Query(of(f.STATE_INDEX), _OF_SERVICE), height=10),
        rows(
            "Services now",
            "The state of each service, how long it lasts, and what recovery may still do.",
            {
                "For": (state_age, units.DurationSeconds),
                "Not well for": (elapsed(f.TROUBLE_START), units.DurationSeconds),
                "Attempts left": (of(f.ATTEMPTS_LEFT), units.Short),
                "Last recovery before": (f"time() - {of(f.LAST_ATTEMPT)}", units.DurationSeconds),
                "Observed before": (f"time() - {of(f.OBSERVED_AT)}", units.DurationSeconds),
            },
        ),
        bars(
            "Time in error",
            "Seconds in error within the range, the worst 20. A crash loop also spends time in other states.",
            units.Seconds,
            Query(
                f"topk(20, {gained(f.STATE_SECONDS, 'state', '$__range', '$__interval', in_states(states.ERROR))} > 0)",
                _OF_SERVICE,
            ),
        ),
        rows(
            "Failures by cause",
            "How often each service failed within the range, and why.",
            {"Failures": (f"(({of(f.ERRORS)} - {before}) or {of(f.ERRORS)}) > 0", units.Short)},
            width=12,
        ),
        graph("Changes of state per hour", "Transitions of each service within the hour before.", units.Short,
              Query(gained(f.TRANSITIONS, "from, to, trigger", "1h", "1m"), _OF_SERVICE)),
        graph("Failures per hour", "Failures of each service within the hour before.", units.Short,
              Query(gained(f.ERRORS, "cause", "1h", "1m"), _OF_SERVICE)),
        graph("Restarts by systemd per hour", "Within the hour before, after the service ended by itself.", units.Short,
              Query(f"increase({of(f.RESTARTS)}[1h])", _OF_SERVICE)),
        graph("Probe duration", "How long each probe took.", units.Seconds,
              Query(of(f.PROBE_DURATION), f"{_OF_SERVICE} {{{{probe}}}}")),
        timeline("Probes", "Whether each probe succeeded.", {0: ("failed", "red"), 1: ("succeeded", "green")},
                 Query(of(f.PROBE), f"{_OF_SERVICE} {{{{probe}}}}")),
        rows(
            "Holds",
            "Services that nobody may act on.",
            {
                "Held for": (f"time() - {of(f.HOLD_START)}", units.DurationSeconds),
                "Ends in": (f"{of(f.HOLD_END)} - time()", units.DurationSeconds),
            },
        ),
    ]  # fmt: skip


def _chains() -> list[Panel]:
    size = f"max by (chain) ({of(f.BESU_VALIDATORS)})"
    stalled = f"avg by (chain) ({of(f.BESU_STALLED)}) > bool 0.5"
    return [
        timeline("Chains", "Whether each chain makes blocks, by most of its nodes.",
                 {0: ("makes blocks", "green"), 1: ("stalled", "red")},
                 Query(by_chain("max", stalled), _OF_CHAIN), height=5),
        timeline("Validators", "Whether each validator takes part in the consensus.",
                 {0: ("left out", "red"), 1: ("takes part", "green")},
                 Query(of(f.BESU_TAKES_PART), _OF_SERVICE)),
        graph("Quorum margin", "How many more validators may stop, as the most cautious node sees it.", units.Short,
              Query(by_chain("min", of(f.BESU_MAY_STOP)), _OF_CHAIN)),
        graph("Validators and quorum", "Validators in the set, those taking part, and how many have to.", units.Short,
              Query(by_chain("max", of(f.BESU_VALIDATORS)), f"{_OF_CHAIN} in the set"),
              Query(by_chain("max", of(f.BESU_TAKING_PART)), f"{_OF_CHAIN} taking part"),
              Query(by_chain("max", f"ceil(2 * {size} / 3)"), f"{_OF_CHAIN} quorum"),
              Query(by_chain("sum", of(f.BESU_VALIDATOR)), f"{_OF_CHAIN} monitored here")),
        graph("Lag", "Blocks that each node is behind.", units.Short, Query(of(f.BESU_LAG), _OF_SERVICE), width=8),
        graph("Age of the head", "Age of the newest block of each node.", units.Seconds,
              Query(of(f.BESU_HEAD_AGE), _OF_SERVICE), width=8),
        graph("Peers", "Peers of each node.", units.Short, Query(of(f.BESU_PEERS), _OF_SERVICE), width=8),
    ]  # fmt: skip


def _tunnels() -> list[Panel]:
    connections, down = of(f.TUNNEL_CONNECTIONS), of(f.TUNNEL_DOWN_SINCE)
    connected = f"{connections} >= bool {of(f.TUNNEL_EXPECTED)}"
    return [
        timeline("Connectors", "Whether each connector has the connections that it should have.",
                 {0: ("none", "red"), 1: ("some", "orange"), 2: ("all", "green")},
                 Query(f"({connections} > bool 0) + ({connected})", _OF_SERVICE)),
        graph("Connections", "Connections of each connector to the edge.", units.Short,
              Query(connections, _OF_SERVICE),
              Query(of(f.TUNNEL_EXPECTED), f"{_OF_SERVICE} expected"), width=8),
        graph("Connectors that serve", "How many connectors of each tunnel have a connection.", units.Short,
              Query(f"sum by (tunnel) ({connections} > bool 0)", "{{tunnel}}"), width=8),
        graph("Time without a connection", "For how long each connector has been without any.", units.Seconds,
              Query(f"(time() - ({down} > 0)) or 0 * {down}", _OF_SERVICE), width=8),
    ]  # fmt: skip


def _alerts() -> list[Panel]:
    subject = "{{alertname}} {{instance}} {{service}}{{chain}}{{tunnel}}"
    lines = (
        Query(f"{alerts(f'severity="{name}"')} * {value}", subject) for name, (value, dummy) in _SEVERITIES.items()
    )
    return [
        timeline("Alerts", "When each alert fired, and how grave it is.",
                 {value: (name, colour) for name, (value, colour) in _SEVERITIES.items()}, *lines),
        rows("Alerts now", "The alerts that fire now. The guide to alerts says what to do about each.",
             {"Value": (alerts(), units.Short)}, hidden="Value alertstate alert_id"),
    ]  # fmt: skip


def _program() -> list[Panel]:
    return [
        graph("Age of the metrics", "Time since the metrics of each host were written.", units.Seconds,
              Query(f"time() - {of(f.EXPORTER_TIME)}", "{{instance}}"), width=8),
        graph("Duration of a run", "How long the last run took, and the CPU time that it used.", units.Seconds,
              Query(of(f.EXPORTER_DURATION), "{{instance}}"),
              Query(of(f.EXPORTER_CPU), "{{instance}} CPU"), width=8),
        graph("What runs could not do, per hour", "Within the hour before, by step.", units.Short,
              Query(f"increase({of(f.EXPORTER_ERRORS)}[1h])", "{{instance}} {{step}}"), width=8),
        rows("Versions", "The version of the program on each host.",
             {"Value": (of(f.EXPORTER_INFO), units.Short)}, hidden="Value"),
    ]  # fmt: skip


ROWS: t.Mapping[str, t.Callable[[], list[Panel]]] = {
    "Fleet": _fleet,
    "Alerts": _alerts,
    "Services": _services,
    "Chains": _chains,
    "Tunnels": _tunnels,
    "Metrics program": _program,
}

# The label that each variable lists, of which series.
_VARIABLES = {
    "instance": f.EXPORTER_TIME.sample_name,
    "kind": f'{f.STATE_INDEX.sample_name}{{instance=~"$instance"}}',
    "service": f'{f.STATE_INDEX.sample_name}{{instance=~"$instance", kind=~"$kind"}}',
    "chain": f'{f.BESU_STALLED.sample_name}{{instance=~"$instance"}}',
    "tunnel": f'{f.TUNNEL_EXPECTED.sample_name}{{instance=~"$instance"}}',
}


def _variable(name: str, series: str) -> dashboard.QueryVariable:
    query: dict[str, object] = {"qryType": 1, "query": f"label_values({series}, {name})", "refId": name}
    found = dashboard.QueryVariable(name).label(name.capitalize()).datasource(SOURCE).query(query)
    # Variables that a chosen time has no values of would select nothing of it.
    found.refresh(m.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(m.VariableSort.NATURAL_ASC)
    return found.multi(True).include_all(True).all_value(".*").current(m.VariableOption(True, ["All"], ["$__all"]))


def make_dashboard() -> m.Dashboard:
    """The dashboard, as Grafana's own types have it."""
    found = (
        dashboard.Dashboard("Services, chains and tunnels (chainops.lifecycle)")
        .uid("chainops-lifecycle")
        .description("States, failures and alerts of the services that chainops.lifecycle monitors.")
        .tags(["chainops", "ansible"])
        .time("now-24h", "now")
        .refresh("1m")
        .timezone(m_common.TimeZoneBrowser)
        .tooltip(m.DashboardCursorSync.CROSSHAIR)
        .link(dashboard.DashboardLink("What to do about alerts").type(m.DashboardLinkType.LINK).url(a.RUNBOOK))
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for name, series in _VARIABLES.items():
        found.with_variable(_variable(name, series))
    for title, panels in ROWS.items():
        found.with_row(dashboard.Row(title))
        for builder in panels():
            found.with_panel(builder)
    made = found.build()
    for position, panel in enumerate(made.panels or (), start=1):
        panel.id_val = position
    return made


def text() -> str:
    return json.dumps(make_dashboard(), cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    made = text()
    stale = not FILE.exists() or FILE.read_text("utf-8") != made
    if "--check" in sys.argv and stale:
        print(f"{FILE.name} is not as the code has it; run 'make guides'")
        return 1
    if stale:
        FILE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
