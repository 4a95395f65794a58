# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options as Besu takes them: command line, then environment (``BESU_...``), then configuration file."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .failures import OptionError

DEFAULT_APIS = ("ETH", "NET", "WEB3")
KNOWN_APIS = ("ETH", "NET", "WEB3", "ADMIN", "QBFT", "IBFT", "TXPOOL", "DEBUG", "PERM", "MINER", "TRACE", "PLUGINS")

_FLAGS = (
    "rpc-http-enabled", "metrics-enabled", "rpc-http-authentication-enabled", "rpc-http-tls-enabled",
    "rpc-http-tls-client-auth-enabled", "rpc-http-tls-ca-clients-enabled", "p2p-enabled", "discovery-enabled",
    "permissions-nodes-config-file-enabled", "version-compatibility-protection", "color-enabled",
    "bonsai-limit-trie-logs-enabled", "xbft-legacy-protocol-encoding",
)  # fmt: skip
_VALUES = (
    "data-path", "genesis-file", "network-id", "node-private-key-file", "config-file", "identity", "logging",
    "sync-mode", "sync-min-peers", "data-storage-format", "bootnodes", "static-nodes-file", "max-peers",
    "min-gas-price", "pid-path", "rpc-http-host", "rpc-http-port", "rpc-http-api", "rpc-http-apis",
    "rpc-http-api-methods-no-auth", "rpc-http-authentication-credentials-file",
    "rpc-http-authentication-jwt-public-key-file", "rpc-http-authentication-jwt-algorithm",
    "rpc-http-tls-keystore-file", "rpc-http-tls-keystore-password-file", "rpc-http-tls-known-clients-file",
    "rpc-http-tls-truststore-file", "rpc-http-tls-truststore-password-file", "rpc-http-max-active-connections",
    "rpc-http-max-batch-size", "rpc-http-cors-origins", "host-allowlist", "metrics-host", "metrics-port", "p2p-host",
    "p2p-interface", "p2p-port", "permissions-nodes-config-file", "tx-pool-min-gas-price", "revert-reason-enabled",
    "min-block-occupancy-ratio", "target-gas-limit", "nat-method", "logging-format",
)  # fmt: skip
# Options of the stand-in alone; they are meant for the environment, which a real Besu would ignore.
_OWN = ("standin-version", "standin-scale", "standin-block-scale", "standin-faults", "standin-sync-rate")
_NAMES = frozenset((*_FLAGS, *_VALUES, *_OWN))


@dataclass(frozen=True)
class Options:
    """The settings of one node. Ports as numbers, paths resolved, lists as tuples."""

    values: Mapping[str, str]

    def text(self, name: str, default: str = "") -> str:
        """The option as it was given."""
        return self.values.get(name, default)

    def flag(self, name: str, default: bool = False) -> bool:
        """The option as a truth value."""
        value = self.values.get(name)
        return default if value is None else value.lower() == "true"

    def number(self, name: str, default: int) -> int:
        """The option as a whole number. ``OptionError`` when it is none."""
        value = self.values.get(name)
        if value is None:
            return default
        try:
            return int(value)
        except ValueError:
            raise OptionError(f"Invalid value for option '--{name}': '{value}' is not an int") from None

    def real(self, name: str, default: float) -> float:
        """The option as a number."""
        value = self.values.get(name)
        return default if value is None else float(value)

    def path(self, name: str) -> Path | None:
        """The option as a path."""
        value = self.values.get(name)
        return Path(value) if value else None

    def names(self, name: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        """The option as a list that was written with commas."""
        value = self.values.get(name)
        return tuple(default) if value is None else tuple(part.strip() for part in value.split(",") if part.strip())

    @property
    def version(self) -> str:
        """The Besu version whose answers are given."""
        return self.text("standin-version", "26.8.0")

    @property
    def encoding(self) -> str:
        """The encoding of consensus messages: that of 25.x, or that of 26.x."""
        old = self.version.startswith("25.") or self.flag("xbft-legacy-protocol-encoding")
        return "25" if old else "26"

    @property
    def scale(self) -> float:
        """Factor for all delays of start, stop and peering."""
        return self.real("standin-scale", 1.0)

    @property
    def block_scale(self) -> float:
        """Factor for block period and request time-out."""
        return self.real("standin-block-scale", self.scale)

    @property
    def apis(self) -> tuple[str, ...]:
        """The enabled JSON-RPC groups. ``OptionError`` for one that does not exist."""
        given = self.names("rpc-http-api", self.names("rpc-http-apis", DEFAULT_APIS))
        for api in given:
            if api.upper() not in KNOWN_APIS:
                raise OptionError(f"Invalid value for option '--rpc-http-api': invalid entries found [{api}]")
        return tuple(api.upper() for api in given)

    @property
    def data_path(self) -> Path:
        """The data directory."""
        return self.path("data-path") or Path.cwd()


def _closest(option: str) -> list[str]:
    """picocli proposes the options that begin with the same two characters."""
    prefix = option.lstrip("-")[:2]
    return [f"--{name}" for name in _NAMES if name.startswith(prefix) and name not in _OWN]


def _command_line(arguments: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("--"):
            raise OptionError(f"Unmatched argument at index {len(arguments) - len(rest) - 1}: '{argument}'")
        name, given, value = argument[2:].partition("=")
        if name not in _NAMES:
            raise OptionError(f"Unknown option: '{argument}'", _closest(argument))
        if not given:
            takes = name not in _FLAGS or (rest and rest[0].lower() in ("true", "false"))
            if takes and (not rest or rest[0].startswith("--")):
                raise OptionError(f"Missing required parameter for option '--{name}'")
            value = rest.pop(0) if takes else "true"
        found[name] = value
    return found


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name in _NAMES:
        value = environment.get("BESU_" + name.upper().replace("-", "_"))
        if value is not None:
            found[name] = value
    return found


def _toml_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(str(part) for part in value) if isinstance(value, list) else str(value)


def _configuration(path: Path) -> dict[str, str]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OptionError(f"Unable to read TOML configuration, file not found: {path}") from None
    except OSError:
        raise OptionError(f"Unable to read from TOML configuration file: {path}") from None
    except tomllib.TOMLDecodeError as error:
        line, column = (re.findall(r"\d+", str(error)) + ["1", "1"])[:2]
        raise OptionError(
            'Invalid TOML configuration: org.apache.tuweni.toml.TomlParseError: Unexpected end of line, expected " '
            f"or a character (line {line}, column {column})"
        ) from None
    unknown = [name for name in document if name not in _NAMES]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise OptionError(f"Unknown option{plural} in TOML configuration file: {', '.join(unknown)}")
    return {name: _toml_text(value) for name, value in document.items()}


def load(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Options:
    """The options of a node. ``OptionError`` in picocli's words when there is a bad one."""
    given = {**_environment(os.environ if environment is None else environment), **_command_line(arguments)}
    file = given.get("config-file")
    return Options({**_configuration(Path(file)), **given} if file else given)
