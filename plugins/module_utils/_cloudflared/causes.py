# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The causes of connector failures, as data. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Hard causes are those that no restart fixes; what the connector says of them is in ``words``.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.log_patterns import (
    EDGE_HANDSHAKE,
    HARD,
    HARMLESS,
    PATTERNS,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis import predicates as p
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import (
    CONFIGURATION,
    CRASH,
    DEPENDENCY,
    NETWORK,
    RESOURCE,
    SOFT,
    FailureCase,
    Match,
    Rule,
)

# Exit code of a cloudflared that has replaced its own program (cmd/cloudflared/updater).
UPDATED = 11


def _updated(case: FailureCase) -> Match | None:
    ended = case.exit
    if ended is None or ended.how != "exited" or ended.status != UPDATED:
        return None
    return Match([str(ended), f"Restart={case.text('Restart')}"])


def _ended_at_once(case: FailureCase) -> Match | None:
    """Exit 0 without READY=1: so it ends at a flag, or at the value of a variable, that it cannot use."""
    ended = case.exit
    if ended is None or (ended.how, ended.status) != ("exited", 0) or case.text("Result") != "protocol":
        return None
    return Match([str(ended), "Result=protocol"])


def _rule(cause: str, category: str, rank: int, summary: str, next_step: str, **more: t.Any) -> Rule:
    severity = "hard" if cause in HARD else SOFT
    return Rule(cause, category, severity, summary, next_step, rank=rank, **more)


def _spoken(cause: str, category: str, rank: int, summary: str, next_step: str, **more: t.Any) -> Rule:
    return _rule(cause, category, rank, summary, next_step, pattern=PATTERNS[cause], **more)


CLOCK_IS_BEHIND = _rule(
    "edge_certificate",
    NETWORK,
    68,
    "the certificate at the edge is not yet valid by the clock of this host",
    "check the clock of this host first (timedatectl); it comes back by itself when the clock is right",
    pattern=rf"{EDGE_HANDSHAKE}.{{0,200}}not yet valid: current time \S{{10,40}} is before",
)
# The one that says most first: a line belongs to the first rule that it fits.
RULES: tuple[Rule, ...] = (
    Rule("harmless", NETWORK, SOFT, "it may not ping", "nothing: no tunnel needs it", pattern=HARMLESS, harmless=True),
    _spoken(
        "unauthorized", CONFIGURATION, 69, "the edge refuses its token",
        "compare the tunnel id with the dashboard, write the current token where the unit has it, then restart it",
    ),
    _spoken(
        "token_unreadable", CONFIGURATION, 69, "its token or credentials file cannot be read",
        "restore the file that the evidence names, readable for the unit's user only",
    ),
    _spoken(
        "token_malformed", CONFIGURATION, 69, "its token or credentials are damaged",
        "write the token again, whole and alone in its file (cloudflared tunnel token)",
    ),
    _spoken(
        "unknown_flag", CONFIGURATION, 69, "it ended with 0 at once: it does not know an option that it is given",
        "move the option to its level (cloudflared tunnel OPTIONS run OPTIONS) or remove it; see cloudflared --version",
    ),
    _spoken(
        "address_in_use", RESOURCE, 69, "its metrics port is taken",
        "stop the process that holds the port (a second cloudflared?), or give TUNNEL_METRICS another one",
        detail=FailureCase.port_holders,
    ),
    _spoken(
        "no_edge_address", NETWORK, 68, "it finds no edge address that it may use",
        "set edge-ip-version to the family that this host has (4, 6 or auto); check the resolver",
    ),
    _spoken(
        "dns", NETWORK, 68, "the names of the edge cannot be looked up",
        "fix the resolver of this host (/etc/resolv.conf): region1.v2.argotunnel.com has to resolve",
    ),
    _spoken(
        "config_invalid", CONFIGURATION, 68, "its configuration cannot be used",
        "correct what the evidence names; cloudflared tunnel ingress validate checks the rules",
    ),
    CLOCK_IS_BEHIND,
    _spoken(
        "edge_certificate", NETWORK, 68, "it does not trust the certificate at the edge",
        "something between here and the edge intercepts TLS (proxy, firewall): let port 7844 pass untouched",
    ),
    _spoken(
        "edge_unreachable_tcp", NETWORK, 67, "the edge cannot be reached over TCP",
        "let TCP to port 7844 out of this host and its network; it comes back by itself when the edge can be reached",
    ),
    _spoken(
        "edge_unreachable_udp", NETWORK, 67, "the edge cannot be reached over UDP (quic)",
        "let UDP to port 7844 out, or set TUNNEL_TRANSPORT_PROTOCOL=http2",
    ),
    _spoken(
        "edge_silent", NETWORK, 67, "its log says that the edge accepts connections and answers no registration",
        "see the status page of the edge; wait, then reconnect",
    ),
    _spoken(
        "registration_refused", NETWORK, 66, "the edge refuses to register it",
        "the evidence has the edge's words; look the tunnel up in the dashboard",
    ),
    _spoken(
        "duplicate_connection", NETWORK, 64, "the edge says that it is connected already",
        "wait: the edge forgets the old connection, and cloudflared tries other addresses",
    ),
    _spoken(
        "edge_closed", NETWORK, 63, "the edge closes its connections",
        "see the status page of the edge and any firewall in between; wait, then reconnect",
    ),
    _rule(
        "auto_update", CRASH, 80, "it has replaced its program by a newer one and ended for that (exit 11)",
        "start it; let the unit have Restart=on-failure, or updates off (--no-autoupdate)", facts=_updated,
    ),
    _rule(
        "unknown_flag", CONFIGURATION, 66, "it ended with 0 at once, before it began",
        "run its command by hand: an option or the value of a TUNNEL_ variable is one that it cannot use",
        facts=_ended_at_once,
    ),
    _rule(
        "start_timeout", NETWORK, 69, "it had no connection within TimeoutStartSec, so systemd ended it",
        "set TimeoutStartSec to 90 s or more: the unit that cloudflared writes has 15 s, too short for a slow edge",
        facts=p.timeout("start"),
    ),
)  # fmt: skip

# Told from what it answers, not from its log.
OBSERVED: tuple[Rule, ...] = (
    _rule(
        "protocol_blocked", NETWORK, 60, "UDP to the edge is blocked, and its protocol is fixed to quic",
        "set TUNNEL_TRANSPORT_PROTOCOL to http2 or auto, or let UDP to port 7844 out; then restart it",
    ),
    _rule(
        "token_replaced", CONFIGURATION, 60, "the edge refuses the token that it started with, and there is a new one",
        "restart it: it reads its token file at the start only",
    ),
    _rule(
        "half_open", NETWORK, 60, "it says that it is connected, and the edge does not know it",
        "reconnect it: under http2 a dropped path goes undetected for minutes",
    ),
    _rule(
        "flapping", NETWORK, 60, "its connections come and go: all of them are lost again and again",
        "find what cuts them: a firewall or proxy in between, the load of this host, the status page of the edge",
    ),
    _rule(
        "edge_mute", NETWORK, 60, "the edge has not let it register since its start, and its log says no reason",
        "see the status page of the edge; wait, then reconnect",
    ),
    _rule(
        "metrics_unreachable", NETWORK, 60, "its metrics server does not answer",
        "see reasons; give its address with metrics, or become root",
    ),
)  # fmt: skip
BY_ID: t.Mapping[str, Rule] = {
    rule.cause: rule for rule in reversed((*RULES, *OBSERVED)) if rule is not CLOCK_IS_BEHIND
}


def observed_rule(cause: str, evidence: t.Sequence[str]) -> Rule | None:
    """A rule that holds for a connector that was seen to be in trouble, so that state and diagnosis agree."""
    matching = [rule for rule in RULES if rule.cause == cause and rule.pattern]
    fitting = (rule for rule in matching if any(re.search(rule.pattern, line) for line in evidence))
    rule = next(fitting, BY_ID.get(cause))
    if rule is None:
        return None
    return replace(rule, pattern="", detail=None, facts=lambda _case: Match(tuple(evidence)), rank=85, running=True)


def unhealthy_rule(reasons: t.Sequence[str]) -> Rule:
    """A connector that is connected while a probe of the operator's fails: the trouble is behind it."""
    return Rule(
        "unhealthy", DEPENDENCY, SOFT, f"a probe fails while it is connected: {reasons[0]}",
        "check what the probe tests: the service behind the tunnel, or the probe itself",
        facts=lambda _case: Match(tuple(reasons)), rank=85, running=True,
    )  # fmt: skip
