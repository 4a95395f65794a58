# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What descriptions of services are taken, and what is said of the others."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.options import WATCH_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import describe
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS


@pytest.mark.parametrize(
    ("kind", "state", "possible"),
    [
        ("generic", "stoped", "reset, restarted, running, stopped, succeeded"),
        ("generic", "synced", "reset, restarted, running, stopped, succeeded"),
        ("besu", "connected", "consensus, reset, restarted, running, stopped, synced"),
        ("cloudflared", "consensus", "connected, reconnected, reset, restarted, running, stopped"),
    ],
)
def test_a_state_that_the_kind_does_not_have_is_refused(kind: str, state: str, possible: str) -> None:
    described = ["api", {"name": "db", "kind": kind, "state": state}]
    with pytest.raises(LifecycleError) as refused:
        describe(described, KINDS)
    assert refused.value.msg == f"services[1].state: {state} is none of kind {kind}; give one of {possible}"


@pytest.mark.parametrize(
    ("kind", "state"), [("generic", "stopped"), ("besu", "consensus"), ("cloudflared", "connected")]
)
def test_a_state_that_the_kind_has_is_taken(kind: str, state: str) -> None:
    (found,) = describe([{"name": "db", "kind": kind, "state": state}], KINDS)
    assert found["state"] == state


def test_a_default_is_the_same_after_a_description_was_read():
    """Ansible's validator fills suboptions into the default itself."""
    describe(["api"], KINDS)
    assert WATCH_OPTIONS["alert_after"]["default"] == {}


class Lazy(dict):
    """As a dictionary that ansible-core templates lazily: a deep copy of it copies the plugin loaders."""

    def __deepcopy__(self, memo: object) -> Lazy:
        raise AssertionError("it was copied deeply")


def test_what_is_templated_lazily_is_read_and_not_copied_deeply() -> None:
    probe = Lazy(kind="tcp", port=8080)
    (found,) = describe([Lazy(name="api", probes=[probe])], KINDS)
    assert (found["name"], found["probes"][0]["port"]) == ("api", 8080)
