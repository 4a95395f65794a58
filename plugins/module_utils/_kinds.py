# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of services that there are. A new one is a folder with a ``KIND``, and its line here.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.kind import KIND as BESU
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.kind import KIND as CLOUDFLARED
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import GENERIC, ServiceKind

KINDS: t.Mapping[str, ServiceKind] = {kind.name: kind for kind in (GENERIC, BESU, CLOUDFLARED)}
