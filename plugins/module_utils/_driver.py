# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the parts together for a module that acts: from its options to the engine and back to a result.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils import _args
from ansible_collections.chainops.lifecycle.plugins.module_utils._actor import Tools
from ansible_collections.chainops.lifecycle.plugins.module_utils._engine import Engine
from ansible_collections.chainops.lifecycle.plugins.module_utils._full_scope import FullHost
from ansible_collections.chainops.lifecycle.plugins.module_utils._host import LifecycleError, requester, run_command
from ansible_collections.chainops.lifecycle.plugins.module_utils._scope import MakeKind, plain

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def drive(module: AnsibleModule, make_kind: MakeKind = plain) -> None:
    """Run the engine as a module's options say, and end the module with the result."""
    try:
        host = FullHost(module.params["scope"])
        watched = host.watched(module.params, make_kind)
        request = _args.request(module.params, requester(), module.check_mode)
        unknown = [state for state in request.expected_state if state not in watched.kind.machine.states]
        if unknown:
            states = ", ".join(watched.kind.machine.states)
            raise LifecycleError(f"expected_state: {unknown[0]!r} is not a state; there are {states}")
        tools = Tools(host.systemd, host.ledger, host.clock, run_command)
        engine = Engine(watched, request, host.observer, tools, lambda seen: host.diagnose(watched, seen))
        outcome = engine.run()
    except LifecycleError as exc:
        module.fail_json(msg=exc.msg, **exc.details)
    result = outcome.as_dict()
    if not outcome.failed:
        module.exit_json(**result)
    # A dry run before the unit is there: what would refuse is said, and is no failure of the run.
    missing = outcome.after.facts is not None and outcome.after.facts.load == "not-found"
    if module.check_mode and missing:
        module.warn(f"{watched.unit} does not exist on this host (yet): {outcome.msg}")
        module.exit_json(**result)
    module.fail_json(**result)
