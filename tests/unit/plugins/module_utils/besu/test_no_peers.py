# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that has no peers."""

from __future__ import annotations

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.responses import Block
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.verdict import NodeOptions, Reference, UnitStatus
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.besu.test_classify import look, still, told


def test_isolated():
    assert told(*still(peers=(), age=30.0)) == ("error", "no_peers")
    assert told(look(age=8.0, peers=()), look(at=1000.9, age=8.9, peers=())) == ("synced", None)


def test_a_young_node_gets_time_to_find_its_peers():
    isolated = {"head": Block(0, 0, "", ""), "peers": ()}
    young = UnitStatus(since=990.0)
    assert told(look(**isolated), look(at=1015.0, **isolated), unit=young) == ("syncing", "no_peers")
    assert told(look(**isolated), look(at=1021.0, **isolated), unit=young) == ("error", "no_peers")
    assert told(look(p2p="disabled", **isolated), unit=young) == ("error", "no_peers")


def test_behind_a_reference_and_without_peers():
    """What others have does not come to a node that has no peers: that is the cause, and not that nothing comes."""
    isolated = {"number": 100, "peers": ()}
    ahead = [Reference("other", 500)]
    looks = look(**isolated), look(at=1019.0, **isolated)
    assert told(*looks, references=ahead) == ("syncing", None)
    assert told(*looks, look(at=1021.0, **isolated), references=ahead) == ("error", "no_peers")
    patient = NodeOptions(peers_timeout=90.0, stall_timeout=30.0)
    assert told(*looks, look(at=1031.0, **isolated), references=ahead, options=patient) == ("error", "no_peers")
    assert told(look(p2p="disabled", **isolated), references=ahead) == ("error", "no_peers")
    back = look(at=1021.0, number=101, peers=(500, 500))
    assert told(*looks, back, references=ahead) == ("syncing", None)
