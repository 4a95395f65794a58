# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reservations to take a validator offline: one owner at a time in a network, without a server.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Two controllers that observe at the same time both see enough validators and stop
one each. A lock on one host cannot forbid that, the validators are on
different hosts. So a controller that wants to take one offline asks the hosts of MORE THAN
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

import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.grants import (
    FOLDER,
    LEFT,
    TTL,
    Answer,
    Grant,
    GrantStore,
    clock,
    decide,
    host_age,
    usable,
)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

__all__ = ["LEFT", "TTL", "Answer", "Grant", "Store", "clock", "decide", "enough", "host_age", "reserve", "usable"]

_NETWORK = re.compile(r"[0-9a-z]{1,70}")


def enough(granted: t.Collection[str], members: t.Collection[str]) -> bool:
    """Whether the validators (addresses) whose hosts granted are more than half of the set."""
    return len(set(granted) & set(members)) > len(set(members)) // 2


class Store(GrantStore):
    """The grant of this host for one network. ``network``: the hash of block 0."""

    def __init__(self, network: str, folder: str = FOLDER) -> None:
        name = network.lower()
        if not _NETWORK.fullmatch(name):
            raise LifecycleError(f"network: {network!r} is no hash of a block")
        super().__init__(f"quorum-{name}", folder)


def reserve(module: AnsibleModule) -> None:
    """Run the module ``besu_reservation`` with its options."""
    owner = module.params["owner"]
    try:
        store = Store(module.params["network"])
        mine = store.is_held_by(owner)
        if module.params["state"] == "absent":
            if mine and not module.check_mode:
                store.release(owner)
            module.exit_json(changed=mine, granted=False, reason="")
        target = module.params["target"].lower()
        if module.check_mode:
            answer = store.would_answer(owner, target)
        else:
            answer = store.request(owner, target)
    except LifecycleError as exc:
        module.fail_json(msg=exc.msg, **exc.details)
    grant = answer.grant
    result: dict[str, t.Any] = {"granted": not answer.refused, "reason": answer.refused}
    if grant is not None:
        result["holder"] = grant.as_dict()
    module.exit_json(changed=not answer.refused and not mine, **result)
