# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at services of every kind, with their probes, and says why something is wrong.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils import _machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis import Diagnosis
from ansible_collections.chainops.lifecycle.plugins.module_utils._full_scope import FullHost
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._info import Glance
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds.registry import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._observer import Watched
from ansible_collections.chainops.lifecycle.plugins.module_utils._scope import Host


class FullLook(Glance):
    """Everything that can be known of a service."""

    def __init__(self) -> None:
        super().__init__(KINDS, FullHost)

    def _row(
        self,
        host: Host,
        watched: Watched,
        seen: Observation,
        params: t.Mapping[str, t.Any],
        options: t.Mapping[str, t.Any],
    ) -> dict[str, t.Any]:
        row = super()._row(host, watched, seen, params, options)
        wanted = options["diagnose"]
        if isinstance(host, FullHost) and (wanted == "always" or (wanted == "errors" and seen.state in m.TROUBLED)):
            row["diagnosis"] = self._why(host, watched, seen).as_dict()
        return row

    def _why(self, host: FullHost, watched: Watched, seen: Observation) -> Diagnosis:
        try:
            return host.diagnose(watched, seen)
        except LifecycleError as exc:  # what is known of it and of the others is worth more than nothing
            return Diagnosis(notes=(exc.msg,))
