# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind: connectors behind a wrapper, and several on one host."""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Environment
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.cloudflared import (
    test_connector as connector,
)

make = connector.make


def test_a_wrapper_is_looked_through(make):
    world = make()
    wrapper = world.proc / "5"
    wrapper.mkdir()
    (wrapper / "cmdline").write_bytes(b"/bin/sh\0-c\0cloudflared\0")
    asked = []

    class Manager:
        def processes(self, group):
            asked.append(group)
            return (5, 7)

    world.kind._environment = Environment("c", world.clock, None, Manager(), lambda: t.cast(t.Any, world))
    assert world.see({**connector.UP, "MainPID": "5", "ControlGroup": "/x"}).details["pid"] == 7
    assert asked == ["/x"]


def test_further_connectors_are_told(make):
    world = make()
    (world.proc / "9").mkdir()
    (world.proc / "9" / "comm").write_text("cloudflared\n")
    assert world.see().details["other_connectors"] == [9]
