# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks of stand-ins on loopback addresses."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.besu_standin import network
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.harness import Node

_NUMBERS = itertools.count(1)

MakeNetwork = Callable[..., dict[str, Node]]


def _maker(directory: Path, made: list[Node]) -> MakeNetwork:
    def make(
        validators: int,
        others: int = 0,
        *,
        scale: float = 0.05,
        block_scale: float = 0.1,
        version: str = "26.8.0",
        **options: object,
    ) -> dict[str, Node]:
        subnet = f"127.{10 + os.getpid() % 200}.{next(_NUMBERS) % 250}"
        names = [f"b{i + 1}" for i in range(validators + others)]
        hosts = {name: f"{subnet}.{i + 1}" for i, name in enumerate(names)}
        plan = network.plan(hosts, names[:validators], **options)  # type: ignore[arg-type]
        environment = {
            "BESU_STANDIN_SCALE": str(scale),
            "BESU_STANDIN_BLOCK_SCALE": str(block_scale),
            "BESU_STANDIN_VERSION": version,
        }
        nodes = {name: Node(name, plan, directory / f"{subnet}-{name}", environment) for name in names}
        made.extend(nodes.values())
        return nodes

    return make


def _end(made: list[Node]) -> None:
    for node in made:
        if node.process is not None and node.process.poll() is None:
            node.process.kill()
            node.process.wait()


@pytest.fixture
def make_network(tmp_path: Path) -> Iterator[MakeNetwork]:
    """Nodes that are not started: ``make_network(validators, others, scale=..., block_scale=..., **plan options)``."""
    made: list[Node] = []
    yield _maker(tmp_path, made)
    _end(made)


@pytest.fixture(scope="module")
def make_shared_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeNetwork]:
    """The same, for all tests of a module."""
    made: list[Node] = []
    yield _maker(tmp_path_factory.mktemp("network"), made)
    _end(made)
