# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the edge does to whom: behaviours, the choice of those they hold for, and the rules in force."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNAUTHORIZED = "Unauthorized: Invalid tunnel secret"
DUPLICATE = "EDUPCONN"


class ScriptError(ValueError):
    """A behaviour or a selection that makes no sense; says what and what to do."""


class Mode(enum.StrEnum):
    """What happens to a connection, in the order in which it would get that far."""

    ACCEPT = "accept"
    BLACK_HOLE = "black-hole"  # packets are dropped in silence, those of living connections too
    REFUSE = "refuse"  # the port is closed (for all), or reset before TLS (for some)
    BAD_CERTIFICATE = "bad-certificate"  # a certificate of another CA
    CLOSE = "close"  # hang up after TLS
    NO_PREFACE = "no-preface"  # TLS, then nothing
    NO_CONTROL_STREAM = "no-control-stream"  # HTTP/2, but the control stream is never opened
    NO_ANSWER = "no-answer"  # the registration is never answered
    REJECT = "reject"  # the registration is refused for ``cause``


# Names for what is scripted often.
_SHORT: Mapping[str, Mapping[str, Any]] = {
    "unauthorized": {"mode": "reject", "cause": UNAUTHORIZED, "retry": False},
    "duplicate": {"mode": "reject", "cause": DUPLICATE, "retry": True},
    "slow": {"mode": "accept", "delay": 3.0},
}


@dataclass(frozen=True)
class Behaviour:
    """``delay`` (seconds) goes before each step: the control stream, the registration's answer, a request.

    ``max_connections`` is for each connector; what is beyond it gets ``cause`` (EDUPCONN where none is given).
    """

    mode: Mode = Mode.ACCEPT
    cause: str = ""
    retry: bool = False
    retry_after: float = 0.0
    delay: float = 0.0
    max_connections: int | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Behaviour:
        """From JSON. ScriptError where it makes no sense."""
        data = {**_SHORT.get(str(data.get("mode")), {"mode": data.get("mode", "accept")}), **_without_mode(data)}
        fields = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(data) - fields):
            raise ScriptError(f"behaviour: no option {', '.join(unknown)}; there are {', '.join(sorted(fields))}")
        try:
            mode = Mode(data.pop("mode"))
        except ValueError as exc:
            known = ", ".join([*Mode, *_SHORT])
            raise ScriptError(f"behaviour: {exc}; there are {known}") from exc
        if mode is Mode.REJECT and not data.get("cause"):
            raise ScriptError("behaviour: reject needs a cause, for example 'Unauthorized: Invalid tunnel secret'")
        for name in ("delay", "retry_after"):
            value = data.get(name, 0.0)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 3600:
                raise ScriptError(f"behaviour: {name} is {value!r}; give seconds from 0 to 3600")
        limit = data.get("max_connections")
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
            raise ScriptError(f"behaviour: max_connections is {limit!r}; give a number from 0 up")
        if not isinstance(data.get("retry", False), bool):
            raise ScriptError(f"behaviour: retry is {data['retry']!r}; give true or false")
        return cls(mode=mode, **data)

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def _without_mode(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != "mode"}


@dataclass(frozen=True)
class Selection:
    """Those for whom all that is given holds; an empty one is everybody."""

    tunnel: str | None = None
    connector: str | None = None
    source: str | None = None  # the connector's address
    port: int | None = None  # the edge's port

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Selection:
        """From JSON. ScriptError for an unknown word."""
        fields = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(data) - fields):
            raise ScriptError(f"select: no word {', '.join(unknown)}; there are {', '.join(sorted(fields))}")
        words = {name: str(value).lower() for name, value in data.items() if value not in (None, "")}
        port = words.pop("port", None)
        return cls(**words, port=int(port) if port else None)

    @property
    def size(self) -> int:
        """How narrow it is."""
        return sum(value is not None for value in dataclasses.astuple(self))

    def covers(self, subject: Selection) -> bool:
        """Whether it holds for ``subject``, of whom something may be unknown yet."""
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(subject), strict=True)
        return all(wanted is None or wanted == found for wanted, found in pairs)

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


class Rules:
    """The behaviours in force. The narrowest selection wins, among equals the one set last."""

    def __init__(self) -> None:
        self._rules: dict[Selection, Behaviour] = {}

    def set(self, select: Selection, behaviour: Behaviour) -> None:
        self._rules.pop(select, None)
        self._rules[select] = behaviour

    def clear(self, select: Selection | None = None) -> None:
        """Remove one rule, or all."""
        if select is None:
            self._rules.clear()
        else:
            self._rules.pop(select, None)

    def of(self, subject: Selection) -> Behaviour:
        fitting = [
            (select.size, place, rule)
            for place, (select, rule) in enumerate(self._rules.items())
            if select.covers(subject)
        ]
        return max(fitting, key=lambda one: one[:2])[2] if fitting else Behaviour()

    def selections(self, mode: Mode) -> list[Selection]:
        """For whom a mode is set."""
        return [select for select, rule in self._rules.items() if rule.mode is mode]

    def as_list(self) -> list[dict[str, Any]]:
        return [{"select": select.as_dict(), **rule.as_dict()} for select, rule in self._rules.items()]
