# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An AnsibleModule that keeps the secrets in nested options to itself.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Ansible masks what an ``argument_spec`` marks. It does not know what raw entries
hold, and in the journal it misses text with characters that Python escapes.
"""

from __future__ import annotations

import re
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import remove_values

# The options marked with no_log, wherever they are nested.
SECRET_OPTIONS = frozenset(("api_token", "headers", "rpc_password", "rpc_token"))
_AS_TEXT = rf"(?:{'|'.join(sorted(SECRET_OPTIONS))})\W{{0,3}}[:=]"
_USERINFO = r"://([^/\s]+)@"
_NOT_SHOWN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def secrets(value: t.Any, secret: bool = False) -> t.Iterator[str]:
    """What must not be shown of options, at any depth and however wrong their form is."""
    if isinstance(value, t.Mapping):
        for name, item in value.items():
            yield from secrets(item, secret or name in SECRET_OPTIONS)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from secrets(item, secret)
    elif value is not None and not isinstance(value, bool):
        text = str(value)
        if secret or re.search(_AS_TEXT, text):
            yield text
        else:
            yield from re.findall(_USERINFO, text)


class LifecycleModule(AnsibleModule):
    """An AnsibleModule that shows options only where it knows what they hold."""

    def log(self, msg: str, log_args: dict[str, t.Any] | None = None) -> None:
        shown = self._shown(log_args or {})
        if shown:
            msg = "Invoked with " + " ".join(f"{name}={value}" for name, value in shown.items())
        super().log(msg, log_args=shown)

    def exit_json(self, **kwargs: t.Any) -> t.NoReturn:
        super().exit_json(**self._with_invocation(kwargs))

    def fail_json(self, msg: str, **kwargs: t.Any) -> t.NoReturn:
        super().fail_json(msg, **self._with_invocation(kwargs))

    def _with_invocation(self, result: dict[str, t.Any]) -> dict[str, t.Any]:
        return {"invocation": {"module_args": self._shown(self.params)}, **result}

    def _shown(self, options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        for text in filter(None, secrets(self.params)):
            self.no_log_values.update((text, repr(text)[1:-1]))
        known = {name: value if self._is_flat(name) else _NOT_SHOWN for name, value in options.items()}
        return dict(remove_values(known, self.no_log_values))

    def _is_flat(self, option: str) -> bool:
        spec = self.argument_spec.get(option)
        return spec is not None and spec.get("elements") not in ("dict", "raw")
