# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds that there are.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.kind import make_besu
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.options import NODE_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.states import BESU
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.kind import make_cloudflared
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.monitor import CONNECTOR_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.states import CLOUDFLARED
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import PLAIN_KINDS, KindEntry
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.state_machine import Machine

KINDS: t.Mapping[str, KindEntry] = {
    **PLAIN_KINDS,
    "besu": KindEntry(BESU, NODE_OPTIONS, make_besu),
    "cloudflared": KindEntry(CLOUDFLARED, CONNECTOR_OPTIONS, make_cloudflared),
}
MACHINES: t.Mapping[str, Machine] = {name: kind.machine for name, kind in KINDS.items()}
