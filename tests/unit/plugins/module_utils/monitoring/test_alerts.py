# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alerts that an observation proves: each fires, does not fire, and at its threshold."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.options import WATCH_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._monitoring.alerts import AFTER, ALERTS, firing

NOW = 1_000_000.0
HOLD = {"owner": "ann", "reason": "work", "since": NOW - 10, "expires": None}
VALIDATOR = {"validator": True, "head": 7}


def row(state="running", for_=5000.0, **more):
    since = None if for_ is None else NOW - for_
    own = {"state": state, "since": since, "cause": None, "flags": [], "hold": None, "attempts": {}}
    return {**own, **more}


def history(*changes, trouble=None):
    """Transitions, each (seconds ago, to, trigger)."""
    found = [{"at": NOW - ago, "to": to, "trigger": trigger} for ago, to, trigger in changes]
    return {"transitions": found, "trouble_since": None if trouble is None else NOW - trouble}


def loop(times, every=3, trigger="service"):
    """A crash loop: restarted so often, and running in between."""
    changes = [(every * n, state, trigger) for n in range(times, 0, -1) for state in ("restarting", "running")]
    return history(*changes, trouble=every * times)


def attempts(used, allowed=3):
    return {"used": used, "allowed": allowed, "window": 3600.0, "next_in": 0.0}


def tunnel(connections, expected=4):
    return {"connections": connections, "expected_connections": expected}


CASES = [
    ("it runs", row(), []),
    ("it was just stopped", row("stopped", 5), []),
    ("in error", row("error", 301), ["in_error"]),
    ("in error: exactly the threshold", row("error", 300), []),
    ("in error, nobody knows since when", row("error", None), []),
    ("in error while held", row("error", 4000, hold=HOLD), []),
    ("restarted on purpose", row("restarting", 4000), []),
    ("a restart on purpose in the history", row(history=history((4, "restarting", "operator"))), []),
    ("in error by its history", row("restarting", 1, history=history(trouble=301)), ["in_error"]),
    ("met running in a slow loop", row("running", 1, history=history(trouble=301)), ["in_error"]),
    ("in error by its history: exactly", row("restarting", 1, history=history(trouble=300)), []),
    ("a crash loop, by its cause", row("error", 1, cause="crash_loop"), ["thrashing"]),
    ("a crash loop, by its flag, once", row("error", 4000, cause="exit_code", flags=["crash_loop"]), ["thrashing"]),
    ("a crash loop, met running", row("running", 1, history=loop(5)), ["thrashing"]),
    ("a crash loop of 3 s for long: one alert", row("running", 1, history=loop(500)), ["thrashing"]),
    ("one failure less", row("running", 1, history=loop(4)), []),
    ("failures before the window", row("running", 1, history=loop(5, every=150)), ["in_error"]),
    ("restarted five times on purpose", row("running", 1, history=loop(5, trigger="collection")), []),
    ("fixed on purpose", row("running", 1, history=history(*[(50 + n, "error", "service") for n in range(9, 0, -1)],
                                                           (9, "running", "collection"))), []),
    ("a crash loop while held", row("error", 1, cause="crash_loop", hold=HOLD), []),
    ("starting", row("starting", 601), ["start_overdue"]),
    ("starting: exactly", row("starting", 600), []),
    ("a start that is an error already, once", row("error", 4000, cause="start_timeout"), ["start_overdue"]),
    ("a Besu that syncs for days", row("syncing", 400_000, besu={**VALIDATOR, "validator": False}), []),
    ("stopping", row("stopping", 121), ["stop_overdue"]),
    ("stopping: exactly", row("stopping", 120), []),
    ("unknown", row("unknown", None), ["not_observed"]),
    ("a stalled chain, and no trouble of the node", row("error", 4000, cause="chain_stalled"), ["chain_stalled"]),
    ("a validator outside", row("running", 601, besu=VALIDATOR), ["validator_left_out"]),
    ("a validator outside: exactly", row("running", 600, besu=VALIDATOR), []),
    ("a validator that takes part", row("consensus", 4000, besu=VALIDATOR), []),
    ("no validator", row("running", 4000, besu={**VALIDATOR, "validator": False}), []),
    ("no connection", row("reconnecting", 121, cloudflared=tunnel(0)), ["tunnel_disconnected"]),
    ("no connection: exactly", row("reconnecting", 120, cloudflared=tunnel(0)), []),
    ("fewer connections", row("connected", 601, cloudflared=tunnel(3)), ["tunnel_degraded"]),
    ("fewer connections: exactly", row("connected", 600, cloudflared=tunnel(3)), []),
    ("stopped on purpose", row("stopped", 4000, cloudflared=tunnel(0), unit_facts={"main_pid": 0}), []),
    ("all connections", row("running", 4000, cloudflared=tunnel(4)), []),
    ("a connector that does not answer", row("running", 4000, cloudflared=tunnel(None)), []),
    ("attempts used up", row("error", 10, attempts=attempts(3)), ["attempts_exhausted"]),
    ("one attempt left", row("error", 10, attempts=attempts(2)), []),
    ("attempts used up, and it runs", row(attempts=attempts(3)), []),
    ("the gravest first", row("error", 4000, attempts=attempts(3)), ["in_error", "attempts_exhausted"]),
    ("a hold that ends soon", row(hold={**HOLD, "expires": NOW + 899}), ["hold_ending"]),
    ("a hold that ends soon: exactly", row(hold={**HOLD, "expires": NOW + 900}), []),
    ("a forgotten hold", row(hold={**HOLD, "since": NOW - 86_401}), ["hold_forgotten"]),
    ("a forgotten hold: exactly", row(hold={**HOLD, "since": NOW - 86_400}), []),
    ("a long hold with an end", row(hold={**HOLD, "since": NOW - 90_000, "expires": NOW + 9000}), []),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "ids"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_alerts_of_an_observation(seen, ids):
    assert [alert["id"] for alert in firing(seen, {}, NOW)] == ids


@pytest.mark.parametrize(
    ("seen", "options", "ids"),
    [
        (row("error", 61), {"alert_after": {"error": 60.0}}, ["in_error"]),
        (row("error", 4000), {"alert_after": {"error": 9000.0}}, []),
        (row("starting", 11), {"start_timeout": 10.0}, ["start_overdue"]),
        (row("stopping", 299), {"stop_timeout": 300.0}, []),
        (row("running", 1, history=loop(3)), {"thrash_restarts": 3, "thrash_window": 60.0}, ["thrashing"]),
        (row("reconnecting", 11, cloudflared=tunnel(0)), {"alert_after": {"disconnected": 10.0}}, ["tunnel_disconnected"]),
    ],
)  # fmt: skip
def test_a_service_has_thresholds_of_its_own(seen, options, ids):
    assert [alert["id"] for alert in firing(seen, options, NOW)] == ids


def test_an_alert_says_since_when_and_what_to_do():
    [alert] = firing(row("error", 301), {}, NOW)
    assert alert["since"] == NOW - 301 and alert["severity"] == "critical"
    assert alert["next_step"] and alert["runbook"].endswith("guide_alerts.rst#in-error")


def test_the_option_of_a_service_has_every_threshold_of_the_table():
    assert set(WATCH_OPTIONS["alert_after"]["options"]) == set(AFTER)


def test_every_option_that_the_table_names_exists():
    options = {alert.option.partition(".")[0] for alert in ALERTS if alert.option}
    assert options <= set(WATCH_OPTIONS)
    defaults = {alert.option: alert.default for alert in ALERTS if alert.option in WATCH_OPTIONS}
    assert defaults == {name: WATCH_OPTIONS[name]["default"] for name in defaults}
