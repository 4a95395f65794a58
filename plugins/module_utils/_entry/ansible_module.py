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

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import (
    escape_all,
    escape_control,
    secret_options,
)

Spec = dict[str, dict[str, t.Any]]

_URL = r"\b[a-z][a-z0-9+.-]{1,20}://(?:(?P<userinfo>[^/\s?#]*)@)?[^/\s?#]*(?P<path>/[^\s?#]*)?(?:\?(?P<query>[^\s#]*))?"
_SECRET_KEY = r"(?i)token|secret|key|auth|pass|pwd|sig|cred|session|code"
# What a machine has made: a run of letters and digits, or one that is longer than words are.
_RANDOM = r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9+=]{8,}|[A-Za-z]{24,}|[0-9]{16,}"
# A shorter value would be masked in words that happen to hold it.
_SHORTEST = 4
_MAX_WARNING = 2000
_NOT_SHOWN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def secrets(value: t.Any, names: t.Collection[str], secret: bool = False) -> t.Iterator[str]:
    """What must not be shown of options, at any depth and however wrong their form is. ``names``: the secret ones."""
    if isinstance(value, t.Mapping):
        for name, item in value.items():
            yield from secrets(item, names, secret or name in names)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from secrets(item, names, secret)
    elif value is not None and not isinstance(value, bool):
        text = str(value)
        if secret or _names_one(text, names):
            yield text
        elif "://" in text:
            for url in re.finditer(_URL, text, re.IGNORECASE):
                yield from _secrets_of_url(url)


def _secrets_of_url(url: re.Match[str]) -> t.Iterator[str]:
    """The log-in, and what of the path and the query is, or may be, a key: many services take one there."""
    from urllib.parse import unquote

    found: list[str] = []
    userinfo = url["userinfo"] or ""
    if userinfo:
        found += [userinfo, userinfo.partition(":")[2]]
    found += [part for part in (url["path"] or "").split("/") if _may_be_secret(part)]
    for pair in (url["query"] or "").split("&"):
        name, equals, value = pair.partition("=")
        named = bool(equals) and len(value) >= _SHORTEST and re.search(_SECRET_KEY, name)
        if named or _may_be_secret(value if equals else name):
            found.append(value if equals else name)
    for text in found:
        yield from dict.fromkeys((text, unquote(text)))


def _may_be_secret(text: str) -> bool:
    """Whether a part of a URL is more than names and numbers, such as ``besu-validator-01``."""
    from urllib.parse import unquote

    return any(re.fullmatch(_RANDOM, piece) for piece in re.split(r"[-_.~:,;@!]", unquote(text)))


def _names_one(text: str, names: t.Collection[str]) -> bool:
    """Whether a text looks like options, with a secret one among them."""
    return bool(names) and re.search(rf"(?:{'|'.join(map(re.escape, sorted(names)))})\W{{0,3}}[:=]", text) is not None


class LifecycleModule(AnsibleModule):
    """An AnsibleModule that shows options only where it knows what they hold.

    ``entry_secrets``: the secret options that raw entries may hold, beyond those that ``argument_spec`` marks.
    """

    def __init__(self, argument_spec: Spec, entry_secrets: t.Collection[str] = (), **kwargs: t.Any) -> None:
        self._secret_options = secret_options(argument_spec).union(entry_secrets)
        super().__init__(argument_spec=argument_spec, **kwargs)

    def log(self, msg: str, log_args: dict[str, t.Any] | None = None) -> None:
        shown = self._shown(log_args or {})
        if shown:
            msg = "Invoked with " + " ".join(f"{name}={value}" for name, value in shown.items())
        super().log(msg, log_args=shown)

    def exit_json(self, **kwargs: t.Any) -> t.NoReturn:
        super().exit_json(**self._with_invocation(kwargs))

    def fail_json(self, msg: str, **kwargs: t.Any) -> t.NoReturn:
        super().fail_json(**self._with_invocation({"msg": msg, **kwargs}))

    def warn(self, warning: str, **kwargs: t.Any) -> None:
        super().warn(escape_control(warning, _MAX_WARNING), **kwargs)

    def _with_invocation(self, result: dict[str, t.Any]) -> dict[str, t.Any]:
        """The result as it leaves the host: whatever the host has written into it is text, and no more."""
        return dict(escape_all({"invocation": {"module_args": self._shown(self.params)}, **result}))

    def _shown(self, options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        for text in filter(None, secrets(self.params, self._secret_options)):
            self.no_log_values.update((text, repr(text)[1:-1]))
        known = {name: value if self._is_flat(name) else _NOT_SHOWN for name, value in options.items()}
        return dict(remove_values(known, self.no_log_values))

    def _is_flat(self, option: str) -> bool:
        spec = self.argument_spec.get(option)
        return spec is not None and not {spec.get("type"), spec.get("elements")} & {"dict", "raw"}
