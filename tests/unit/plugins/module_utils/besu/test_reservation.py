# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reservation: what a host grants, what is enough, and the file that keeps it."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import reservation as r
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import grants

OLD_HOST = 10_000.0
CLOCK = grants.clock


def grant(until=280.0, owner="a", target="v1"):
    return r.Grant(owner, target, until)


@pytest.mark.parametrize(
    ("held", "owner", "target", "alive", "granted"),
    [
        (None, "a", "v1", OLD_HOST, True),
        (None, "a", "v1", 179.0, False),
        (grant(), "a", "v1", OLD_HOST, True),
        (grant(), "a", "v1", 10.0, True),
        (grant(), "a", "v2", OLD_HOST, False),
        (grant(), "b", "v1", OLD_HOST, False),
        (grant(until=100.0), "b", "v2", OLD_HOST, True),
        (grant(until=99.0), "b", "v2", 50.0, False),
    ],
)
def test_one_holder_at_a_time(held, owner, target, alive, granted):
    answer = r.decide(held, owner, target, now=100.0, alive_for=alive)
    assert (not answer.refused) is granted
    if granted:
        assert (answer.grant.owner, answer.grant.target) == (owner, target)
    else:
        assert answer.grant == (held if held and held.left(100.0) > 0 else None)


def test_asking_again_makes_it_no_longer():
    assert r.decide(grant(until=150.0), "a", "v1", now=100.0, alive_for=OLD_HOST).grant.until == 150.0


@pytest.mark.parametrize(
    ("granted", "n", "enough"),
    [(1, 1, True), (1, 2, False), (2, 2, True), (2, 3, True), (2, 4, False), (3, 4, True), (3, 7, False), (4, 7, True)],
)
def test_more_than_half_of_the_set(granted, n, enough):
    members = [f"v{i}" for i in range(n)]
    assert r.enough(members[:granted], members) is enough
    assert r.enough([*members[:granted], "stranger"], members) is enough


def test_two_owners_never_both_have_enough():
    members = [f"v{i}" for i in range(7)]
    for split in range(8):
        assert not (r.enough(members[:split], members) and r.enough(members[split:], members))


@pytest.mark.parametrize(
    ("held", "word"),
    [
        (None, "no grant"),
        (grant(until=90.0), "no grant"),
        (grant(until=159.0), "ends in"),
        (grant(owner="b"), "b has"),
        (grant(target="v2"), "v2"),
        (grant(), ""),
    ],
)
def test_the_step_needs_time_left_of_the_targets_own_grant(held, word):
    why = r.usable(held, "a", "v1", 100.0)
    assert word in why and bool(why) == bool(word)


NETWORK = "0x" + "AB" * 32


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(grants, "host_age", lambda: OLD_HOST)
    return r.Store(NETWORK, str(tmp_path / "run"))


def test_the_file_keeps_a_grant(store):
    assert store.held() is None
    assert store.request("a", "v1").refused == ""
    assert store.held().owner == "a"
    assert "a has the right" in store.request("b", "v2").refused
    store.release("b")
    assert store.held().owner == "a"
    store.release("a")
    assert store.held() is None
    assert store.request("b", "v2").refused == ""


def test_looking_touches_nothing(tmp_path):
    assert r.Store(NETWORK, str(tmp_path / "none")).held() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ['{"owner": "a"', "", "[]", "5", '{"owner": "a", "target": "b", "until": "x"}'])
def test_a_file_that_is_no_grant_grants_nothing(store, text):
    """It is replaced whole, so that this is no crash of a writer: another grant may be in force."""
    store.request("a", "v1")
    with open(store._path, "w", encoding="utf-8") as file:
        file.write(text)
    for ask in (store.held, lambda: store.request("b", "v2")):
        with pytest.raises(LifecycleError, match=f"{store._path}.*move it away"):
            ask()


def test_a_full_run_loses_no_grant(store, monkeypatch):
    store.request("a", "v1")

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(grants, "clock", lambda: CLOCK() + grants.TTL + 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(LifecycleError, match="free some space"):
            store.request("b", "v2")
    assert store.held().owner == "a"


def test_nobody_else_opens_the_files(store, tmp_path):
    store.request("a", "v1")
    folder = os.path.dirname(store._path)
    modes = {oct(os.stat(os.path.join(folder, name)).st_mode & 0o777) for name in os.listdir(folder)}
    assert (modes, oct(os.stat(folder).st_mode & 0o777)) == ({"0o600"}, "0o700")


def test_of_many_at_once_one_gets_it(store):
    answers = []
    threads = [threading.Thread(target=lambda i=i: answers.append(store.request(f"o{i}", f"v{i}"))) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(1 for answer in answers if not answer.refused) == 1


def test_networks_do_not_mix(tmp_path, monkeypatch):
    monkeypatch.setattr(grants, "host_age", lambda: OLD_HOST)
    one, two = r.Store(NETWORK, str(tmp_path)), r.Store("0x" + "cd" * 32, str(tmp_path))
    assert one.request("a", "v1").refused == two.request("b", "v2").refused == ""


@pytest.mark.parametrize("network", ["", "../x", "0x" + "g" * 5 + "/", "a b"])
def test_what_is_no_network(network):
    with pytest.raises(LifecycleError, match="network"):
        r.Store(network)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LifecycleError, match=r"cannot make the folder .*/file/x"):
        r.Store(NETWORK, str(tmp_path / "file" / "x")).request("a", "v1")


def test_the_age_of_the_host_is_that_of_its_first_process():
    assert 0 <= r.host_age() <= r.clock() + 1
