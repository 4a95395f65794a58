# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restart of all validators of a stalled chain at the same time: the rounds of votes, and what they decide. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

Start the missing nodes. Then, in rounds that all hosts make together: observe
the node and the chain, and report that to the other hosts (the vote). Once
enough are observed to take part, ask each validator what forbids its restart,
observe once more, and restart those that agreed. Invariant: the validators are
restarted only if as many as the quorum agree and are shown to vote, the chain
is still stalled after they agreed, and nobody is against it.
"""

from __future__ import annotations

import json
import shlex
import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._besu_networks import find_network
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._results import (
    ObservationView,
    ServiceResult,
    as_mapping,
    as_mappings,
    as_number,
    as_text,
    as_texts,
)

Vote = t.Mapping[str, t.Any]

# A node with one of these runs, and a start of it alone helps nobody.
_OF_THE_CHAIN = ("chain_stalled", "no_peers")
# Objections that no second question changes.
_LASTING = ("hold", "cause", "precondition", "config_check")
_PLAYBOOK = "ansible-playbook chainops.lifecycle.recover -e lifecycle_quorum_lost=restart_all"
_LONGEST_LOOK, _LOOK = 10, 2


@dataclass(frozen=True)
class Stage:
    """The progress of the restart of a chain on one host, and the next step. ``interval``: seconds between samples."""

    stalled: bool
    start: bool
    observe: bool
    ask: bool
    vote: Vote
    waits: bool
    interval: int
    restart: bool
    verify: bool
    step: t.Mapping[str, t.Any]
    reason: str
    hint: str

    def as_dict(self) -> dict[str, t.Any]:
        return {**vars(self)}


def has_run(result: t.Any) -> bool:
    """Whether a task was executed: its registered result is neither empty nor that of a skipped one."""
    given = as_mapping(result)
    return bool(given) and not given.get("skipped")


def stage(
    network_info: t.Mapping[str, t.Any],
    service: t.Mapping[str, t.Any],
    so_far: t.Mapping[str, t.Any],
    check_mode: bool = False,
) -> dict[str, t.Any]:
    """The stage after ``network_info``, the newest result of besu_network_info. Its first node is the host's own.

    ``so_far``: the registered results ``start``, ``observed`` (of service_info)
    and ``asked`` (of a dry run of the restart), the ``votes`` of all hosts and
    the ``vote`` of this one, which may be of an earlier turn, the ``turn``, the
    ``host`` and the ``obstacle`` that restart_all_check found; the seconds that
    have ``elapsed`` since the starts, and the ``limit``.
    """
    own = as_mapping(so_far.get("vote"))
    own = own if own.get("turn") == so_far.get("turn") else {}
    number = int(as_number(own.get("round")) or 0) + 1
    here = _Here(network_info, service, so_far, check_mode)
    poll = _poll(own, as_mappings(so_far.get("votes")))
    restart = here.acts and poll.restart and bool(own.get("agrees"))
    refused = here.acts_on_chain and bool(poll.reason) and not poll.waits
    return Stage(
        stalled=here.counts_as_stalled,
        start=here.is_to_be_started,
        observe=here.acts and here.answers,
        ask=here.may_be_asked and (check_mode or poll.ready),
        vote=here.vote(number),
        waits=here.acts_on_chain and poll.waits,
        interval=min(_LOOK + number, _LONGEST_LOOK),
        restart=restart,
        verify=here.acts and not restart and not refused,
        step=_restart(own),
        reason=poll.reason if refused else "",
        hint=poll.hint if refused else "",
    ).as_dict()


def _restart(vote: Vote) -> dict[str, t.Any]:
    known = as_text(vote.get("invocation"))
    return {"state": "restarted", "quorum_guard": "off", "together": True, "expected_invocation": known}


class _Here:
    """What is known on one host."""

    def __init__(
        self,
        network_info: t.Mapping[str, t.Any],
        service: t.Mapping[str, t.Any],
        so_far: t.Mapping[str, t.Any],
        check: bool,
    ) -> None:
        self._look, self._so_far, self._check = network_info, so_far, check
        self._service = service
        self._observed = ObservationView.from_dict(service.get("observation"))
        self._network = find_network(network_info, as_text(self._observed.details.get("genesis")) or None) or {}
        self._start = as_mapping(so_far.get("start"))
        self._obstacle = bool(as_text(so_far.get("obstacle")))

    @property
    def counts_as_stalled(self) -> bool:
        """If no node answers, none can be taken offline: the chain counts as stalled."""
        return self._is_stalled if self._network else not as_mappings(self._look.get("networks"))

    @property
    def _is_stalled(self) -> bool:
        return bool(self._network.get("stalled"))

    @property
    def is_to_be_started(self) -> bool:
        down = self._is_stalled or self._observed.process_is_down
        return not self._obstacle and self._observed.cause not in _OF_THE_CHAIN and down

    @property
    def _was_started(self) -> bool:
        return has_run(self._start) and bool(self._start.get("reached"))

    @property
    def came_up(self) -> bool:
        """In check mode nothing has been started, so that nothing follows."""
        return not has_run(self._start) or (self._was_started and not self._check)

    @property
    def acts_on_chain(self) -> bool:
        return not self._obstacle and not self._check

    @property
    def acts(self) -> bool:
        return self.acts_on_chain and self.came_up

    @property
    def may_be_asked(self) -> bool:
        return not self._obstacle and self.came_up and self._is_stalled and self._is_validator and self.answers

    @property
    def _own_node(self) -> t.Mapping[str, t.Any]:
        return next(iter(as_mappings(self._look.get("nodes"))), {})

    @property
    def _head(self) -> float | None:
        return as_number(self._own_node.get("head"))

    @property
    def answers(self) -> bool:
        """Whether the node answered in both samples: a new JVM listens long before it answers."""
        return self._head is not None

    @property
    def _address(self) -> str:
        return as_text(self._own_node.get("address")) or as_text(self._observed.details.get("address"))

    @property
    def _is_validator(self) -> bool:
        return self._address in as_texts(self._network.get("validators"))

    def vote(self, number: int) -> dict[str, t.Any]:
        """What this host tells the others in this round, counted from 1."""
        rows = as_mappings(as_mapping(self._so_far.get("observed")).get("services"))
        newest = ObservationView.from_dict(rows[0]).details if rows else {}
        limit = as_number(self._so_far.get("limit"))
        return {
            "host": self._so_far.get("host"),
            "unit": as_text(self._service.get("name")),
            "turn": self._so_far.get("turn"),
            "round": number,
            "genesis": as_text(self._network.get("genesis")),
            "quorum": as_number(self._network.get("quorum")) or 0,
            "members": len(as_texts(self._network.get("validators"))),
            "address": self._address,
            "validator": self._is_validator,
            "may_vote": self._service.get("may_vote") is not False,
            "head": self._head,
            "forks": bool(self._network.get("forks")),
            "stalled": self._is_stalled,
            "advances": bool(self._network.get("advances")),
            "starting": self.came_up and not self.answers,
            "failed": "" if self.came_up else as_text(self._start.get("msg")) or "it did not start",
            "voted": newest.get("voted") is True,
            "age": as_number(newest.get("process_age")),
            "heard": dict(as_mapping(newest.get("heard"))),
            "limit": limit,
            "late": limit is not None and (as_number(self._so_far.get("elapsed")) or 0.0) >= limit,
            **_answer(as_mapping(self._so_far.get("asked"))),
        }


def _answer(asked: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What the dry run of this validator's restart says."""
    if not has_run(asked):
        return {"asked": False, "agrees": False}
    run = ServiceResult.from_dict(asked)
    refusal = next(iter(run.refusals), None)
    return {
        "asked": True,
        "agrees": run.reached,
        "msg": run.msg or "no answer",
        "guard": refusal.guard if refusal else "",
        "hint": refusal.hint if refusal else "",
        "invocation": run.after.invocation if run.after else "",
    }


class Poll(t.NamedTuple):
    """The result of the votes of one round. ``ready``: enough take part, so that they are asked."""

    ready: bool = False
    waits: bool = False
    restart: bool = False
    reason: str = ""
    hint: str = ""


def _poll(own: Vote, votes: t.Sequence[Vote]) -> Poll:
    """What the round of this host's vote decides. Votes of earlier rounds, other turns and other chains do not count.

    Hosts go on in step, also where another chain of the same turn is the one that waits: each round observes again.
    """
    if not own:
        return Poll()
    now = [one for one in votes if (one.get("turn"), one.get("round")) == (own.get("turn"), own.get("round"))]
    lost = [one for one in now if not one.get("genesis")]
    ours: dict[str, list[Vote]] = {as_text(own.get("genesis")): []}
    for one in now:
        if one.get("genesis"):
            ours.setdefault(as_text(one.get("genesis")), []).append(one)
    chains = {genesis: _StalledChain(cast, lost) for genesis, cast in ours.items()}
    mine = chains[as_text(own.get("genesis"))]
    waits = any(one.waits for genesis, one in chains.items() if genesis or len(chains) == 1)
    return Poll(mine.ready, waits, mine.agreed and not waits, "" if mine.agreed else mine.reason, mine.hint)


@dataclass(frozen=True)
class _StalledChain:
    """The votes of one chain, and of nodes that do not answer yet, which may be of this chain as well."""

    votes: list[Vote]
    lost: t.Sequence[Vote]

    @property
    def _all(self) -> list[Vote]:
        return [*self.votes, *self.lost]

    @property
    def _quorum(self) -> float:
        return max((as_number(one.get("quorum")) or 0 for one in self.votes), default=0)

    @property
    def _late(self) -> bool:
        return any(one.get("late") for one in self._all)

    @property
    def _advances(self) -> bool:
        return any(one.get("advances") for one in self.votes)

    @property
    def _starting(self) -> list[Vote]:
        return [one for one in self._all if one.get("starting") and one.get("may_vote")]

    @property
    def _top(self) -> float:
        return max((as_number(one.get("head")) or 0 for one in self.votes), default=0)

    def _is_level(self, one: Vote) -> bool:
        return as_number(one.get("head")) == self._top and not one.get("forks")

    def _is_shown_to_vote(self, one: Vote) -> bool:
        """By its own log and blocks, or by what another validator has heard since it was started."""
        age = as_number(one.get("age"))
        heard = [as_number(as_mapping(other.get("heard")).get(as_text(one.get("address")))) for other in self.votes]
        since = age is not None and any(ago is not None and ago <= age for ago in heard)
        return bool(one.get("voted")) or since

    def _why_not(self, one: Vote) -> str:
        """Why a vote does not count; empty where it does."""
        if one.get("failed"):
            return as_text(one.get("failed"))
        if one.get("starting"):
            return "its RPC does not answer"
        if not one.get("validator"):
            return "no validator"
        if not self._is_level(one):
            return f"at block {as_number(one.get('head')) or 0:.0f}, while others have block {self._top:.0f}"
        if not one.get("stalled"):
            return "the chain was not seen to be stalled from here"
        return "" if self._is_shown_to_vote(one) else "it answers, and has sent no round since it was started"

    @property
    def _voting(self) -> list[Vote]:
        """One for each address, whichever host reports it."""
        return list({as_text(one.get("address")): one for one in self.votes if not self._why_not(one)}.values())

    @property
    def _against(self) -> list[Vote]:
        return [one for one in self.votes if one.get("asked") and not one.get("agrees")]

    @property
    def _is_complete(self) -> bool:
        """Whether every validator that runs answers and has the newest block, which one of them may have alone."""
        ours = [one for one in self.votes if one.get("validator") and not one.get("failed")]
        return not self._starting and all(self._is_level(one) for one in ours)

    @property
    def _can_be_enough(self) -> bool:
        if not self._quorum:
            return bool(self._starting)  # the validators are not known yet
        able = [one for one in self._all if one.get("validator") or one.get("starting")]
        return sum(1 for one in able if not one.get("failed")) >= self._quorum

    @property
    def ready(self) -> bool:
        """Whether the validators that are proved to vote are the quorum, and no other is waited for."""
        enough = 0 < self._quorum <= len(self._voting)
        return not self._advances and enough and (self._is_complete or self._late)

    @property
    def agreed(self) -> bool:
        yes = [one for one in self._voting if one.get("agrees")]
        return self.ready and not self._against and 0 < self._quorum <= len(yes)

    @property
    def waits(self) -> bool:
        """Whether another round may change something."""
        lasting = any(one.get("guard") in _LASTING for one in self._against)
        over = self._advances or self.agreed or lasting or not self._can_be_enough
        # Those who are ready late are asked in one more round.
        return not over and (not self._late or (self.ready and not any(one.get("asked") for one in self.votes)))

    @property
    def reason(self) -> str:
        """Why they are not restarted; empty where the chain advances by itself."""
        if self._advances:
            return ""
        total = max((as_number(one.get("members")) or 0 for one in self.votes), default=0)
        message = f"{len(self._voting)} of {total:.0f} validators are shown to vote, quorum {self._quorum:.0f}"
        against = [f"{one.get('host')}: {one.get('msg')}" for one in self._against]
        why = [(one, self._why_not(one)) for one in self._all]
        missing = [f"{one.get('host')}: {reason}" for one, reason in why if reason and reason != "no validator"]
        return "; ".join([f"not restarted at the same time: {message}", *against, *missing])

    @property
    def hint(self) -> str:
        """What to run next, as it can be copied into a shell."""
        if self._against:
            hints = [as_text(one.get("hint")) for one in self._against]
            return "; then: ".join([*dict.fromkeys(filter(None, hints)), _PLAYBOOK])
        down = [as_text(one.get("host")) for one in self._all if one.get("failed")]
        if down:
            return f"repair {', '.join(down)}; then: {_PLAYBOOK}"
        if not self._can_be_enough:
            return f"bring back the hosts of the other validators; then: {_PLAYBOOK}"
        limit = max((as_number(one.get("limit")) or 0 for one in self._all), default=0)
        longer = f"give them more time: {_PLAYBOOK} -e lifecycle_quorum_lost_timeout={2 * limit:.0f}"
        by_hand = self._by_hand()
        return f"{longer}; or restart them by hand: {by_hand}" if by_hand else longer

    def _by_hand(self) -> str:
        """An ad-hoc command that restarts all validators, where they are all in this run and have one name."""
        ours = [one for one in self.votes if one.get("validator")]
        units = {as_text(one.get("unit")) for one in ours}
        if len(units) != 1 or len(ours) < self._quorum:
            return ""
        hosts = ",".join(as_text(one.get("host")) for one in ours)
        arguments = json.dumps({"name": units.pop(), "state": "restarted"})
        return (
            f"ansible {shlex.quote(hosts)} --become --forks {len(ours)} -m ansible.builtin.systemd_service "
            f"-a {shlex.quote(arguments)}"
        )
