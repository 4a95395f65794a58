# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import time
import typing as t
from dataclasses import asdict
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _approved_plan, _playbook_vars
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._all_filters import load_filters
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet import NO_SERVICES
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._fleet_error import FleetError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._tables import line_width, terminal_columns

# Asked as Ansible loads this plugin in its main process: the processes that run tasks have no terminal. Ansible's own
# figure cannot tell a terminal of 80 columns from none.
_COLUMNS = terminal_columns()
# The services of one kind alone may also be described for the role of their playbook.
_OWN_SERVICES = {"besu": "besu_sync_wait_services", "cloudflared": "tunnel_reconnect_services"}

load_filters()


class ActionModule(ActionBase):
    """Checks the variables of a playbook on the controller, before any host is touched."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _checked, given = self.validate_argument_spec(
            argument_spec={
                "target": {"type": "str", "default": "all"},
                "kind": {"type": "str"},
                "playbook": {
                    "type": "str",
                    "choices": list(_approved_plan.SETTINGS),
                    "default": _approved_plan.RECOVER,
                },
                "required": {"type": "list", "elements": "str", "default": []},
            }
        )
        known = task_vars or {}
        try:
            settings = self._settings(known)
            _playbook_vars.require(given["required"], settings)
            self._check_services(given["target"], given["kind"], known)
            everyone = (known.get("groups") or {}).get("all") or ()
            _playbook_vars.check_slice(
                settings["lifecycle_failure_domain"],
                len(everyone),
                settings["lifecycle_hosts"],
                doubt=_playbook_vars.slice_doubt(known),
            )
            domains = self._domains(settings["lifecycle_failure_domain"], known)
            approved = self._approved(settings, known, given["playbook"])
        except FleetError as exc:
            raise AnsibleActionFail(str(exc)) from None
        found = {
            "settings": settings,
            "width": line_width(_COLUMNS),
            "domains": domains,
            "approved": approved,
            "began": time.time(),
            "again": "lifecycle_settings" in known,
        }
        return {**result, "changed": False, **found}

    def _settings(self, known: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        every = known.get("hostvars") or {}
        used = {name for host in known.get("ansible_play_hosts_all") or () for name in every[host]}
        wrong = _playbook_vars.misspelt(used | set(known))
        if wrong:
            problems = [
                f"{name} is no variable of this collection; did you mean {near}?" for name, near in wrong.items()
            ]
            raise FleetError("; ".join(problems))
        names = [name for name in _playbook_vars.VARIABLES if name in known]
        return _playbook_vars.read({name: self._templar.template(known[name]) for name in names})

    def _check_services(self, target: str, kind: str | None, known: t.Mapping[str, t.Any]) -> None:
        within = known.get("ansible_play_hosts_all") or ()
        hosts = _playbook_vars.matching(target, within, known.get("groups") or {})
        problem = _playbook_vars.unmatched(
            target, hosts, known.get("groups") or {}, str(known.get("ansible_limit") or "")
        )
        if problem:
            raise FleetError(problem)
        every = known.get("hostvars") or {}
        described = [_playbook_vars.services_of(every[host].get("lifecycle_services"), kind) for host in hosts]
        own = _OWN_SERVICES.get(kind or "")
        if any(described) or (own and any(own in every[host] for host in hosts)):
            return
        named = f"No host has services of kind {kind}" if kind else "No host has services"
        raise FleetError(NO_SERVICES.replace("No host has services", named, 1))

    def _domains(self, variables: t.Sequence[str], known: t.Mapping[str, t.Any]) -> dict[str, dict[str, list[str]]]:
        """Of all hosts of the inventory that have services: this run may be one of a part of them."""
        every = (known.get("hostvars") or {}) if variables else {}
        with_services = [host for host in every if _playbook_vars.services_of(every[host].get("lifecycle_services"))]
        return _playbook_vars.failure_domains(variables, {host: every[host] for host in with_services})

    def _approved(self, settings: dict[str, t.Any], known: t.Mapping[str, t.Any], playbook: str) -> dict[str, t.Any]:
        """The plan that was approved, empty where none is given. Of the settings its path or data are taken out."""
        given = settings.pop("lifecycle_plan_approved")
        if given is None:
            return {}
        plan = _approved_plan.read_approved(
            _read_file(given) if isinstance(given, str) else given,
            now=time.time(),
            max_age=settings["lifecycle_plan_max_age"],
            hosts=set((known.get("groups") or {}).get("all") or ()),
            settings=settings,
            expected_digest=settings["lifecycle_plan_digest"],
            playbook=playbook,
        )
        return asdict(plan)


def _read_file(path: str) -> t.Any:
    try:
        return json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise FleetError(
            f"lifecycle_plan_approved: {path!r} is no file of this controller that holds a plan ({exc}); give the file "
            f"that lifecycle_plan_file wrote, or the plan itself"
        ) from None
