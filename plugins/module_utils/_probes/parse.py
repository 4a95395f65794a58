# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``probes`` option: its argument specification, and the probes that it describes.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

The HTTP client is imported only for a probe that needs it: most services have none.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError

if t.TYPE_CHECKING:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.transport import TlsSettings
from ansible_collections.chainops.lifecycle.plugins.module_utils._probes.options import (
    ALL_OPTIONS,
    COMMON,
    OF_KIND,
    PROBE_OPTIONS,
    REQUIRED,
    REQUIRED_BY,
)

__all__ = (
    "PROBE_OPTIONS",
    "CommandCheck",
    "HttpCheck",
    "Probe",
    "ProbeOptionError",
    "TcpCheck",
    "follow_json_path",
    "parse_json_path",
    "parse_probes",
)

JsonPath = tuple[t.Union[str, int], ...]


@dataclass(frozen=True)
class HttpCheck:
    """Ask a URL. Healthy when the status is listed and the body is as described, where it is."""

    url: str = field(repr=False)
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)
    status: tuple[int, ...] = (200,)
    body_regex: t.Pattern[str] | None = None
    json_path: JsonPath | None = None
    json_value: t.Any = None
    tls: TlsSettings | None = None

    kind: t.ClassVar[str] = "http"


@dataclass(frozen=True)
class TcpCheck:
    """Open a TCP connection. Healthy when that works."""

    port: int
    host: str = "127.0.0.1"

    kind: t.ClassVar[str] = "tcp"


@dataclass(frozen=True)
class CommandCheck:
    """Run a command, never through a shell. Healthy when it ends with a listed code and prints as described."""

    argv: tuple[str, ...]
    rc: tuple[int, ...] = (0,)
    output_regex: t.Pattern[str] | None = None

    kind: t.ClassVar[str] = "command"


Check = t.Union[HttpCheck, TcpCheck, CommandCheck]


@dataclass(frozen=True)
class Probe:
    """A check, and how many of its results in a row decide. ``timeout``, ``interval``, ``start_grace`` in seconds."""

    name: str
    check: Check
    timeout: float = 5.0
    interval: float = 1.0
    failure_threshold: int = 3
    success_threshold: int = 1
    start_grace: float = 30.0

    @property
    def kind(self) -> str:
        return self.check.kind


class ProbeOptionError(LifecycleError):
    """An option of a probe cannot be used. ``option`` is its full name, as ``probes[2].json_path``."""

    def __init__(self, option: str, msg: str) -> None:
        super().__init__(f"{option}: {msg}", option=option)
        self.option = option


_STEP = re.compile(r"\[(0|[1-9][0-9]{0,8})\]|(?:(?<!^)\.|^)([^.\[\]\s\"'$]+)")


def parse_json_path(text: str) -> JsonPath:
    """Take apart ``a.b[0].c``: keys parted by dots, positions from 0 in brackets; it may begin with ``[0]``.

    Nothing else is known: no ``$``, quotes, wildcards, slices, filters or positions from the end.

    :raises ValueError: says where the syntax goes wrong.
    """
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(f"not understood at character {at + 1}; keys and positions such as a.b[0].c are")
        steps.append(int(match[1]) if match[1] is not None else match[2])
        at = match.end()
    if not steps:
        raise ValueError("is empty; keys and positions such as a.b[0].c are needed")
    return tuple(steps)


def follow_json_path(value: t.Any, path: JsonPath) -> t.Any:
    """What is at ``path`` in a JSON value. :raises LookupError: nothing is there."""
    for step in path:
        if not isinstance(value, list if isinstance(step, int) else dict):
            raise LookupError(step)
        value = t.cast("t.Any", value)[step]
    return value


def _number(value: t.Any, wanted: str) -> float | None:
    """A finite number of the requested type, or None."""
    if not isinstance(value, (int, float, str)) or isinstance(value, bool):
        return None
    try:
        number = float(value) if wanted == "float" else int(str(value))
    except ValueError:
        return None
    return number if number - number == 0 else None  # not infinite, not NaN


class _Options:
    """The options of one probe, converted as Ansible does it, since they may come from the inventory unchecked."""

    def __init__(self, where: str, given: t.Mapping[str, t.Any]) -> None:
        self._where = where
        self.given = {key: value for key, value in given.items() if value is not None}

    def fail(self, option: str, msg: str) -> ProbeOptionError:
        return ProbeOptionError(f"{self._where}.{option}", msg)

    def get(self, option: str, default: t.Any = None) -> t.Any:
        spec = ALL_OPTIONS[option]
        if option not in self.given:
            return spec.get("default", default)
        value = self._convert(option, self.given[option], spec["type"])
        if "choices" in spec and value not in spec["choices"]:
            raise self.fail(option, f"{value!r} is not one of {', '.join(spec['choices'])}")
        return value

    def _convert(self, option: str, value: t.Any, wanted: str) -> t.Any:
        if wanted == "raw":
            return value
        if wanted == "list":
            elements = ALL_OPTIONS[option]["elements"]
            found = value if isinstance(value, (list, tuple)) else [value]
            return tuple(self._convert(option, element, elements) for element in found)
        if wanted == "dict" and isinstance(value, t.Mapping):
            return value
        if wanted == "bool":
            known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
            if str(value).lower() in known:
                return known[str(value).lower()]
        if wanted in ("int", "float"):
            number = _number(value, wanted)
            if number is not None:
                return number
        if wanted in ("str", "path") and isinstance(value, (str, int, float)):
            return str(value)
        shown = "a secret" if ALL_OPTIONS[option].get("no_log") else f"{value!r}"[:80]
        raise self.fail(option, f"is {shown}, which is not of type {wanted}")

    def number(self, option: str, lowest: float, highest: float) -> t.Any:
        value = self.get(option)
        if not lowest <= value <= highest:
            raise self.fail(option, f"is {value:g}; {lowest:g} to {highest:g} is possible")
        return value

    def pattern(self, option: str) -> t.Pattern[str] | None:
        text = self.get(option)
        if text is None:
            return None
        try:
            return re.compile(text, re.MULTILINE)
        except (re.error, OverflowError, RecursionError) as exc:
            raise self.fail(option, f"is not a regular expression of Python's: {exc}") from exc


def _http(options: _Options) -> HttpCheck:
    from ansible_collections.chainops.lifecycle.plugins.module_utils._host.http.client import (
        HttpError,
        TlsSettings,
        check_headers,
        parse_url,
    )

    url = options.get("url")
    try:
        parse_url(url)
    except HttpError as exc:
        raise options.fail("url", exc.msg) from exc
    headers = {str(name): str(value) for name, value in options.get("headers", {}).items()}
    try:
        check_headers(headers)
    except HttpError as exc:
        raise options.fail("headers", exc.msg) from exc
    path_text = options.get("json_path")
    try:
        path = None if path_text is None else parse_json_path(path_text)
    except ValueError as exc:
        raise options.fail("json_path", f"{path_text!r} {exc}") from exc
    status = options.get("status", (200,))
    if not status or not all(100 <= code <= 599 for code in status):
        raise options.fail("status", "a list of HTTP status codes (100 to 599) is needed")
    method = options.get("method", "GET")
    regex = options.pattern("body_regex")
    if method == "HEAD" and (path or regex):
        raise options.fail("method", "the answer to HEAD has no body to compare; use GET")
    body = options.get("body")
    fingerprint = options.get("fingerprint_sha256")
    if fingerprint is not None and not re.fullmatch(r"(?:[0-9A-Fa-f]{2}[:\s]?){31}[0-9A-Fa-f]{2}", fingerprint):
        raise options.fail("fingerprint_sha256", "is not a SHA-256 digest: 64 hexadecimal digits are needed")
    tls = TlsSettings(
        verify=options.get("validate_certs", True),
        ca_path=options.get("ca_path"),
        client_cert=options.get("client_cert"),
        client_key=options.get("client_key"),
        fingerprint_sha256=fingerprint,
        server_hostname=options.get("server_hostname"),
    )
    return HttpCheck(
        url=url,
        method=method,
        headers=tuple(sorted(headers.items())),
        body=None if body is None else body.encode(),
        status=status,
        body_regex=regex,
        json_path=path,
        json_value=options.get("json_value"),
        tls=tls,
    )


def _tcp(options: _Options) -> TcpCheck:
    host = options.get("host", "127.0.0.1").strip("[]")
    if not re.fullmatch(r"[0-9A-Za-z._:%-]{1,255}", host):
        raise options.fail("host", "is not a host name or an address")
    return TcpCheck(port=options.number("port", 1, 65535), host=host)


def _command(options: _Options) -> CommandCheck:
    argv = options.get("argv")
    if not argv or not argv[0] or any("\0" in word for word in argv):
        raise options.fail("argv", "a list of the program and its arguments is needed, without NUL characters")
    return CommandCheck(argv=argv, rc=options.get("rc", (0,)), output_regex=options.pattern("output_regex"))


_CHECKS: dict[str, t.Callable[[_Options], Check]] = {"http": _http, "tcp": _tcp, "command": _command}


def _probe(where: str, given: t.Any) -> Probe:
    if not isinstance(given, t.Mapping):
        raise ProbeOptionError(where, f"is {type(given).__name__}, a dictionary with kind and its options is needed")
    options = _Options(where, given)
    unknown = sorted(str(option) for option in options.given if option not in ALL_OPTIONS)
    if unknown:
        raise options.fail(unknown[0], f"is not an option of a probe; there are {', '.join(sorted(ALL_OPTIONS))}")
    kind = options.get("kind")
    if kind is None:
        raise options.fail("kind", "is needed: http, tcp or command")
    foreign = [option for option in options.given if option not in COMMON and option not in OF_KIND[kind]]
    if foreign:
        raise options.fail(foreign[0], f"is not an option of a probe of kind {kind}")
    if REQUIRED[kind] not in options.given:
        raise options.fail(REQUIRED[kind], f"is needed for a probe of kind {kind}")
    for option, needed in REQUIRED_BY.items():
        if option in options.given and needed not in options.given:
            raise options.fail(option, f"is of no use without {needed}")
    return Probe(
        name=options.get("name") or where.replace("probes", kind),
        check=_CHECKS[kind](options),
        timeout=options.number("timeout", 0.01, 3600),
        interval=options.number("interval", 0.05, 3600),
        failure_threshold=options.number("failure_threshold", 1, 1000),
        success_threshold=options.number("success_threshold", 1, 1000),
        start_grace=options.number("start_grace", 0, 86400),
    )


def parse_probes(options: t.Sequence[t.Mapping[str, t.Any]] | None) -> tuple[Probe, ...]:
    """The probes that the option ``probes`` describes. One without a name is called ``http[0]`` by kind and place.

    :raises ProbeOptionError: names the option, as ``probes[2].json_path``, what was found and what is needed.
    """
    probes: list[Probe] = []
    for index, given in enumerate(options or ()):
        probe = _probe(f"probes[{index}]", given)
        if probe.name in (other.name for other in probes):
            raise ProbeOptionError(f"probes[{index}].name", f"{probe.name!r} is the name of an earlier probe, too")
        probes.append(probe)
    return tuple(probes)
