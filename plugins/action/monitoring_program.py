# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import tempfile
import typing as t

import yaml
from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.plugin_utils import _monitoring_config as config
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._monitoring_program import ROOT, build_program
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._service_entry import without_secrets


class ActionModule(ActionBase):
    """Builds the metrics program and its configuration in Ansible's temporary directory on the controller."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _checked, given = self.validate_argument_spec(
            argument_spec={
                "services": {"type": "list", "elements": "raw", "required": True},
                "interval": {"type": "int", "default": 30},
                "directory": {"type": "str", "required": True},
                "format": {"type": "str", "choices": list(config.FORMATS), "default": "prometheus"},
            }
        )
        program = build_program()
        try:
            made = config.monitoring_config(
                given["services"],
                version=collection_version(),
                build=program.build,
                interval=given["interval"],
                directory=given["directory"],
                output_format=given["format"],
            )
        except LifecycleError as exc:
            raise AnsibleActionFail(without_secrets(exc.msg, given)) from None
        return {
            **result,
            "changed": False,
            "program": put(program.content),
            # It holds secrets, so that it is no part of the result.
            "config": put(config.config_text(made).encode()),
            "build": program.build,
            "output": made["output"],
            "allowed_addresses": config.allowed_addresses(made),
        }


def put(content: bytes) -> str:
    """The path of a file with this content, which nobody else may read and which Ansible removes at its end."""
    folder = str(vars(constants)["DEFAULT_LOCAL_TMP"])
    path = os.path.join(folder, f"chainops-{hashlib.sha256(content).hexdigest()[:32]}")
    if not os.path.exists(path):
        handle, fresh = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.replace(fresh, path)
    return path


def collection_version() -> str:
    """The version of this collection: of its manifest where it is installed, of galaxy.yml in a checkout."""
    base = ROOT.parent.parent
    for name in ("MANIFEST.json", "galaxy.yml"):
        path = base / name
        if path.is_file():
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
            return str(found.get("collection_info", found)["version"])
    return "unknown"
