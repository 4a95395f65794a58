# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The right to take a validator away: one holder at a time in a whole network, without a server of its own.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Two controllers that look at the same time both see enough validators and stop
one each. A lock on one host cannot forbid that, the validators are on
different hosts. So whoever wants to take one away asks the hosts of MORE THAN
HALF of the on-chain set for a grant, the target's own host first. A host
grants one holder at a time, so two holders cannot both have more than half.

* A grant ends by itself after ``TTL``, measured by the granting host alone.
  No two clocks are ever compared: the target's grant was given first, so as
  long as it holds on the target's own clock all the later ones hold as well.
* The step is made only while the target's grant has ``LEFT`` seconds left,
  more than it takes until a stopped validator is seen to be missing. A
  controller that dies after the step leaves grants that end when everybody
  else's guard counts that validator as missing.
* /run forgets a grant when a host boots, so a host grants nothing in the first
  ``TTL`` seconds of its life.

What it guarantees: of any number of controllers that keep to it, one at a
time has a validator down that is not yet seen to be down. It does not bind
those that do not ask (an operator with systemctl), nor clocks of two hosts
that run at rates which differ by more than LEFT to TTL; and where the hosts of
half of the set cannot be reached, nothing is granted.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

TTL = 180.0
# The step is not made with less than this left of the target's own grant.
LEFT = 60.0
FOLDER = "/run/chainops-lifecycle"
_NETWORK = re.compile(r"[0-9a-z]{1,70}")


@dataclass(frozen=True)
class Grant:
    """What a host has granted. ``until``: seconds on that host's own clock (CLOCK_BOOTTIME)."""

    owner: str
    target: str
    until: float

    def left(self, now: float) -> float:
        return max(self.until - now, 0.0)


class Answer(t.NamedTuple):
    """The grant in force after a request, and why it is not the requester's own (empty: it is)."""

    grant: Grant | None
    refused: str


def decide(held: Grant | None, owner: str, target: str, *, now: float, alive_for: float, ttl: float = TTL) -> Answer:
    """Whether a host grants ``owner`` the right to take ``target`` away. Pure.

    A grant is never made longer, so that the order in which grants were given
    is the order in which they end; ``owner`` has to be new for each attempt.
    ``now`` and ``alive_for`` are of this host: its clock, and how long ago it was booted.
    """
    if held is not None and held.left(now) > 0:
        mine = (held.owner, held.target) == (owner, target)
        said = f"{held.owner} has the right to take {held.target} away, for {held.left(now):.0f} s more"
        return Answer(held, "" if mine else said)
    if alive_for < ttl:
        return Answer(
            None, f"the host was booted {alive_for:.0f} s ago and may have forgotten a grant; wait until {ttl:.0f} s"
        )
    return Answer(Grant(owner, target, now + ttl), "")


def enough(granted: t.Collection[str], members: t.Collection[str]) -> bool:
    """Whether the validators (addresses) whose hosts granted are more than half of the set."""
    return len(set(granted) & set(members)) > len(set(members)) // 2


def usable(held: Grant | None, owner: str, target: str, now: float, least: float = LEFT) -> str:
    """Why the step must not be made on the target's own grant; empty where it may."""
    if held is None or held.left(now) <= 0:
        return "no grant is in force on this host: reserve first"
    if (held.owner, held.target) != (owner, target):
        return f"{held.owner} has the right to take {held.target} away, for {held.left(now):.0f} s more"
    if held.left(now) < least:
        return f"its grant ends in {held.left(now):.0f} s, {least:.0f} s are needed: reserve again"
    return ""


class Store:
    """The grant of this host for one network, in a file under a lock. ``network``: the hash of block 0."""

    def __init__(self, network: str, folder: str = FOLDER) -> None:
        name = network.lower()
        if not _NETWORK.fullmatch(name):
            raise LifecycleError(f"network: {network!r} is no hash of a block")
        self._path = os.path.join(folder, f"quorum-{name}.json")

    def request(self, owner: str, target: str) -> Answer:
        """Ask for the grant."""
        return self._change(lambda held, now: decide(held, owner, target, now=now, alive_for=host_age()))

    def release(self, owner: str) -> None:
        """Give back one's own grant; that of another stays."""
        self._change(lambda held, now: Answer(None if held is None or held.owner == owner else held, ""))

    def held(self) -> Grant | None:
        """The grant that was given last, which may have ended. Touches nothing."""
        try:
            with open(self._path, encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_SH)
                return _parse(file.read())
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise LifecycleError(f"cannot read {self._path}: {exc.strerror}; run with become: true") from exc

    def _change(self, rule: t.Callable[[Grant | None, float], Answer]) -> Answer:
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o755, exist_ok=True)
            with open(
                os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+", encoding="utf-8"
            ) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                before = _parse(file.read())
                answer = rule(before, clock())
                if answer.grant != before:
                    file.seek(0)
                    file.truncate()
                    file.write(json.dumps(asdict(answer.grant)) if answer.grant else "")
                return answer
        except OSError as exc:
            raise LifecycleError(
                f"cannot keep a reservation in {self._path}: {exc.strerror}; run with become: true"
            ) from exc


def reserve(module: AnsibleModule) -> None:
    """Run the module ``besu_reservation`` with its options."""
    owner = module.params["owner"]
    try:
        store = Store(module.params["network"])
        held = store.held()
        mine = held is not None and held.owner == owner and held.left(clock()) > 0
        if module.params["state"] == "absent":
            if mine and not module.check_mode:
                store.release(owner)
            module.exit_json(changed=mine, granted=False, reason="")
        target = module.params["target"].lower()
        if module.check_mode:
            answer = decide(held, owner, target, now=clock(), alive_for=host_age())
        else:
            answer = store.request(owner, target)
    except LifecycleError as exc:
        module.fail_json(msg=exc.msg, **exc.details)
    grant = answer.grant
    result: dict[str, t.Any] = {"granted": not answer.refused, "reason": answer.refused}
    if grant is not None:
        result["holder"] = {"owner": grant.owner, "target": grant.target, "left": round(grant.left(clock()), 1)}
    module.exit_json(changed=not answer.refused and not mine, **result)


def _parse(text: str) -> Grant | None:
    try:
        row = json.loads(text)
        return Grant(str(row["owner"]), str(row["target"]), float(row["until"]))
    except (ValueError, KeyError, TypeError):
        return None  # empty, or cut by a crash: a host that crashed has been booted since


def clock() -> float:
    """This host's clock for grants: it goes on while the host sleeps, and nobody sets it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def host_age() -> float:
    """Seconds since this host, or container, was booted: the age of its first process. See proc(5), starttime."""
    with open("/proc/1/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return clock() - int(fields[19]) / os.sysconf("SC_CLK_TCK")
