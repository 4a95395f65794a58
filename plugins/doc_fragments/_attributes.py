# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.

from __future__ import annotations


class ModuleDocFragment:
    """What users may expect of a module, in the words that ansible-doc knows."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return the changes that it would make, without making them.
  diff_mode:
    description: Returns the state before and after, or what they would be, when in C(diff) mode.
  idempotent:
    description:
      - When run twice in a row with the same arguments while nothing else changes, the second run reports no change.
  platform:
    description: The systems on which the module works.
    support: full
    platforms: linux
"""

    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module changes nothing.
  diff_mode:
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    support: full
    details:
      - This module changes nothing.
"""

    ACTIONGROUP_LIFECYCLE = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/chainops.lifecycle.lifecycle) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - chainops.lifecycle.lifecycle
"""
