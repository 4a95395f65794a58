# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts in waves, and the hosts of a wave in batches of which no two members may be offline together. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

A wave is what a recovery does before it observes the fleet again, a batch what
it does in parallel. Everything here takes time in proportion to its input.
"""

from __future__ import annotations

import math
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError

# The playbook has a play for each wave; Ansible knows no loop over plays.
MAX_SIZES = 4
DEFAULT = (1, "10%", "50%")


class Key(t.NamedTuple):
    """What members of a batch must not share: a chain, a tunnel, a failure domain.

    ``value`` is None where it is not known: it may then be that of any other member.
    """

    sort: str
    value: str | None


def domain_keys(values: t.Mapping[str, t.Any]) -> list[Key]:
    """The failure domains of a host; one whose value is not known may be in any."""
    return [
        Key(f"domain {variable}", one)
        for variable, given in values.items()
        for one in (given if isinstance(given, (list, tuple)) and given else [None])
    ]


def allowed_unhealthy(limit: t.Any, hosts: int) -> int:
    """How many hosts may be in need: a number, or a percentage such as ``50%`` (rounded up, at least one)."""
    text = str(limit).strip()
    if re.fullmatch(r"\d+", text):
        return int(text)
    share = re.fullmatch(r"(\d{1,3})%", text)
    if share is None or int(share[1]) > 100:
        raise FleetError(f"max_unhealthy: {limit!r} is neither a number of hosts nor a percentage; give 3 or 50%")
    return max(math.ceil(hosts * int(share[1]) / 100), 1)


@dataclass(frozen=True)
class WaveMember:
    """A host that needs recovery. ``last``: it is taken only when the members of its wave before it are done."""

    host: str
    keys: tuple[Key, ...] = ()
    last: bool = False


Batch = list[str]
Wave = list[Batch]


class _Taken:
    """In which batch each key was used last, so that the next member with it gets a later one."""

    def __init__(self) -> None:
        self._of_key: dict[Key, int] = {}
        self._of_sort: dict[str, int] = {}
        self._unknown: dict[str, int] = {}

    def first_free(self, keys: t.Iterable[Key]) -> int:
        return max((self._used(key) + 1 for key in keys), default=0)

    def _used(self, key: Key) -> int:
        if key.value is None:
            return self._of_sort.get(key.sort, -1)
        return max(self._of_key.get(key, -1), self._unknown.get(key.sort, -1))

    def use(self, keys: t.Iterable[Key], batch: int) -> None:
        for key in keys:
            self._of_key[key] = batch
            self._of_sort[key.sort] = max(self._of_sort.get(key.sort, -1), batch)
            if key.value is None:
                self._unknown[key.sort] = batch


def in_batches(members: t.Sequence[WaveMember]) -> Wave:
    """The hosts of one wave in as few batches as their keys need, those that are ``last`` after all others.

    Members that share a key keep their order. A host that has to wait for another holds up no third one.
    """
    taken = _Taken()
    found: Wave = []
    floor = 0
    for some in ([one for one in members if not one.last], [one for one in members if one.last]):
        for member in some:
            batch = max(taken.first_free(member.keys), floor)
            taken.use(member.keys, batch)
            found += [[] for _more in range(batch + 1 - len(found))]
            found[batch].append(member.host)
        floor = len(found)
    return [batch for batch in found if batch]


def in_waves(members: t.Sequence[WaveMember], sizes: t.Sequence[t.Any]) -> list[Wave]:
    """The hosts in waves of these ``sizes``, numbers or percentages of all of them, and the rest in a last one."""
    left = list(members)
    found: list[Wave] = []
    for given in sizes:
        size = wave_size(given, len(members))
        found.append(in_batches(left[:size]))
        left = left[size:]
    return [wave for wave in (*found, in_batches(left)) if wave]


def in_series(members: t.Sequence[WaveMember], serial: t.Any) -> Wave:
    """The hosts in their order, so many at a time as ``serial`` says, fewer where they share a key.

    ``serial`` as in a play: a number, a percentage such as ``30%``, or a list of these of which the last goes on.
    """
    given = list(serial) if isinstance(serial, (list, tuple)) else [serial]
    sizes = [serial_size(one, len(members)) for one in given or [1]]
    found: Wave = []
    taken = _Taken()
    for member in members:
        mine = taken.first_free(member.keys)
        if not found or mine >= len(found) or len(found[-1]) >= sizes[min(len(found), len(sizes)) - 1]:
            found.append([])
        taken.use(member.keys, len(found) - 1)
        found[-1].append(member.host)
    return found


def wave_size(given: t.Any, hosts: int) -> int:
    """How many hosts a wave has, at least one. Raises FleetError."""
    size, share = _number(given, "waves")
    if not size or (share and size > 100):
        raise FleetError(
            f"waves: {given!r} is neither a number of hosts above 0 nor a percentage up to 100%; give 1 or 10%"
        )
    return max(size * hosts // 100, 1) if share else size


def serial_size(given: t.Any, hosts: int) -> int:
    """How many hosts go at a time; 0 is all of them, as in a play. Raises FleetError."""
    size, share = _number(given, "serial")
    if share:
        return max(size * hosts // 100, 1)
    return size or hosts


def _number(given: t.Any, option: str) -> tuple[int, bool]:
    found = re.fullmatch(r"(\d{1,9})(%?)", str(given).strip())
    if found is None:
        raise FleetError(f"{option}: {given!r} is neither a number of hosts nor a percentage; give 2 or 30%")
    return int(found[1]), bool(found[2])
