# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings of real nodes, told by the code that tells live ones: the state in every window, the cause where named."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.tests.property.besu_replay import Replay, load, manifest, mistakes, words

MANIFEST = manifest()
ALLOWED = {
    "active": {"starting", "syncing", "synced", "running", "consensus", "error", "restarting", "unknown"},
    "reloading": {"starting", "syncing", "synced", "running", "consensus", "error", "unknown"},
    "activating": {"starting", "restarting", "error"},
    "deactivating": {"stopping", "restarting", "error"},
    "failed": {"error", "stopped"},
    "inactive": {"stopped", "error"},
}
HOSTS = [(name, host) for name, entry in MANIFEST.items() for host in sorted({w["host"] for w in entry["windows"]})]
SERVING = {"synced", "running", "consensus"}


@pytest.mark.parametrize(("scenario", "host"), HOSTS, ids=str)
def test_state_and_cause_in_every_window(scenario: str, host: str) -> None:
    assert mistakes(scenario, host, Replay(scenario, host).run()) == []


@pytest.mark.parametrize(("scenario", "host"), [pair for pair in HOSTS if "rpc_off" not in pair[0]], ids=str)
@pytest.mark.parametrize("without", ["metrics", "net_peerCount"])
def test_neither_metrics_nor_the_peer_count_are_needed(scenario: str, host: str, without: str) -> None:
    assert mistakes(scenario, host, Replay(scenario, host, without=(without,)).run()) == []


@pytest.mark.parametrize(("scenario", "host"), HOSTS, ids=str)
def test_a_slower_pace_of_looking_tells_the_same(scenario: str, host: str) -> None:
    seen = Replay(scenario, host, every=3).run()
    kept = [m for m in mistakes(scenario, host, seen) if not m.startswith("no sample")]
    assert kept == []


@pytest.mark.parametrize("scenario", [name for name in MANIFEST if "samples" in load(name)])
def test_no_state_contradicts_systemd(scenario: str) -> None:
    for host in load(scenario)["hosts"]:
        for one in Replay(scenario, host).run():
            active = one.picture["systemd"]["ActiveState"]
            assert one.observation.state in ALLOWED[active], (one.t, active, one.observation)


@pytest.mark.parametrize(("scenario", "host"), HOSTS, ids=str)
def test_one_look_alone_never_says_synced(scenario: str, host: str) -> None:
    """Whatever moment a run begins at: its first look is no proof, and the kind asks for another."""
    every = Replay(scenario, host).run()
    for moment in range(0, len(every), 5):
        replay = Replay(scenario, host, start=moment)
        first = replay.run(limit=1)[0].observation
        assert first.state != "synced"
        if first.state in SERVING:
            assert replay.kind.resample_after() > 0


@pytest.mark.parametrize(
    "missing", [("admin_peers", "admin_nodeInfo"), ("qbft_getValidatorsByBlockNumber", "qbft_getSignerMetrics")]
)
def test_without_an_api_group_less_is_claimed(missing: tuple[str, ...]) -> None:
    """A node that may not be asked everything is never called worse, nor a validator."""
    for scenario in ("consensus_validator", "running_nonvalidator", "full_sync_1600_blocks"):
        host = next(iter(load(scenario)["hosts"]))
        for one in Replay(scenario, host, without=missing).run():
            assert one.observation.state not in ("consensus", "error"), (scenario, one)


@pytest.mark.parametrize("scenario", [name for name in MANIFEST if "samples" in load(name)])
def test_the_own_address_follows_from_the_public_key(scenario: str) -> None:
    for host, known in load(scenario)["hosts"].items():
        told = {one.observation.details.get("address") for one in Replay(scenario, host).run()}
        assert told <= {known["address"], None}


def test_the_manifest_covers_what_the_kind_claims() -> None:
    told = {state for entry in MANIFEST.values() for window in entry["windows"] for state in words(window["state"])}
    assert {"consensus", "running", "syncing", "starting", "stopped", "error", "restarting"} <= told
