# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host context with everything: it runs the probes of services, and names the cause of a crash loop.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.explain import name_loop
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.host_context import HostContext
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock, run_command
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observer import HealthCheck


def whole_host(scope: str, clock: Clock | None = None) -> HostContext:
    """The host of a scope, for a module that has use for more than systemd's own view."""
    return HostContext(scope, clock, make_health=_make_health, name_loop=name_loop)


def _make_health(probes: t.Sequence[t.Mapping[str, t.Any]], clock: Clock) -> HealthCheck:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import HttpClient
    from ansible_collections.chainops.lifecycle.plugins.module_utils._probes.run import ServiceHealth, parse_probes

    return ServiceHealth(parse_probes(probes), http=HttpClient(), runner=run_command, clock=clock)
