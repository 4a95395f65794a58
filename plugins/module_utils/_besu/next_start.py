# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the configuration file for the next start of a node, before a running process is ended.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Only what is proved to be broken counts. Besu has no dry run of a start; its
subcommand ``validate-config`` reads the file and knows the options of its
version. It always ends with 0, so that its words tell.
"""

from __future__ import annotations

import glob
import os
import re
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.dependencies import listed
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Runner
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.unit_files import (
    OTHER_FILES,
    Settings,
    command_lines,
    read_settings,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal

_MAX_FILE = 1024 * 1024
# A JVM on a busy host. One that takes longer tells nothing.
_TIMEOUT = 60.0
_REFUSES = re.compile(r"((?:Unknown options? in TOML configuration file|Invalid TOML configuration): [^\n]*)")
# What gives the unit other files than those of the host, under the same names, or makes them anew at each start.
_OWN_FILES = (*OTHER_FILES, "ExecStartPre")
_MAIN_CLASS = "org.hyperledger.besu.Besu"
# One value of a single line, and what may come behind it.
_VALUE = re.compile(
    r"""(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|true|false|[0-9-]{10}\ [0-9:]{8}[0-9Z.:+-]*|
    [+-]?(?:inf|nan|[0-9][0-9A-Za-z_.:+-]*)|\[|\{)""",
    re.VERBOSE,
)
_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_KEY = re.compile(rf"{_PART}(?:\s*\.\s*{_PART})*\s*")


def refusal(properties: t.Mapping[str, str], runner: Runner) -> Refusal | None:
    """Why the next start would fail; None if nothing shows that. ``properties``: where the unit's files are."""
    settings = read_settings(properties, whole=True)
    program, path = configuration(settings)
    if not path:
        return None
    message = _broken(path) or _unknown_options(program, path, settings, runner)
    if not message:
        return None
    return Refusal("next_start", message, "fix that first: the node runs now, and could not be started again")


def configuration(settings: Settings) -> tuple[str, str]:
    """The program and the configuration file; empty where this is no Besu on this host, or no file is known.

    What a container or a unit has under the path is not on this host.
    """
    if any(settings.get(key) for key in _OWN_FILES):
        return "", ""
    for words in command_lines(settings):
        if os.path.basename(words[0]) != "besu" and _MAIN_CLASS not in words:
            continue
        path = _option(words[1:]) or _variable(settings)
        own_tmp = settings.get("PrivateTmp") and path.startswith(("/tmp/", "/var/tmp/"))
        if path.startswith("/") and not set("$%") & set(path) and not own_tmp:
            return words[0], path
    return "", ""


def _option(words: t.Sequence[str]) -> str:
    for index, word in enumerate(words):
        if word.startswith("--config-file="):
            return word.partition("=")[2]
        if word == "--config-file":
            return words[index + 1] if index + 1 < len(words) else ""
    return ""


def _variable(settings: Settings) -> str:
    """BESU_CONFIG_FILE of the unit itself; one of an environment file may go before it, so that nothing is known."""
    if settings.get("EnvironmentFile") or settings.get("UnsetEnvironment"):
        return ""
    return _environment(settings).get("BESU_CONFIG_FILE", "")


def _environment(settings: Settings) -> dict[str, str]:
    """The variables that the unit itself sets. One that cannot be told has a ``%`` in it."""
    found: dict[str, str] = {}
    for value in settings.get("Environment", ()):
        words = (word.partition("=") for word in listed(value))
        found.update((name, given) for name, equals, given in words if equals)
    return found


def _broken(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            data = stream.read(_MAX_FILE + 1)
        text = data.decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return f"its configuration file {path} is not there"
    except (OSError, UnicodeDecodeError):
        return ""  # not for this user, or in an encoding of its own
    if len(data) > _MAX_FILE or text.startswith("\ufeff"):
        return ""  # whether a byte order mark may be there is a matter of the parser
    why = toml_error(text)
    return f"its configuration file {path} is no TOML: {sanitize(why, 200)}" if why else ""


def toml_error(text: str) -> str:
    """Why a text is no TOML; empty where it is, or where that cannot be told."""
    try:
        import tomllib
    except ImportError:  # Python before 3.11
        return line_error(text)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        return str(exc)
    except RecursionError:
        return ""
    return ""


def line_error(text: str) -> str:
    """What is certainly wrong with the lines of a TOML text. It gives up at a value of several lines."""
    for number, line in enumerate(text.split("\n"), 1):
        rest = line.strip()
        if not rest or rest.startswith(("#", "[")):
            continue
        key = _KEY.match(rest)
        if key is None or rest[key.end() : key.end() + 1] != "=":
            return f"expected '=' after a key (at line {number})"
        given = rest[key.end() + 1 :].strip()
        if '"""' in given or "'''" in given:
            return ""
        value = _VALUE.match(given)
        if value is None:
            return f"invalid value (at line {number})"
        if value[0] in ("[", "{"):
            if not _is_closed(given):
                return ""
        elif not re.fullmatch(r"\s*(?:#.*)?", given[value.end() :]):
            return f"expected the end of the line after a value (at line {number})"
    return ""


def _is_closed(given: str) -> bool:
    """Whether an array or a table ends on its line."""
    bare = re.sub(r""""(?:[^"\\]|\\.)*"|'[^']*'""", "", given).partition("#")[0].strip()
    return bare[-1:] in ("]", "}") and bare.count("[") == bare.count("]") and bare.count("{") == bare.count("}")


def _unknown_options(program: str, path: str, settings: Settings, runner: Runner) -> str:
    """What Besu's own check of the file says.

    Only the launcher of a distribution is run: a wrapper might start a node.
    It knows the options of plugins by the folder of its distribution, and not
    by one that the unit sets.
    """
    launcher = os.path.realpath(program)
    home = os.path.dirname(os.path.dirname(launcher))
    if os.path.basename(launcher) != "besu" or not glob.glob(os.path.join(glob.escape(home), "lib", "besu-*.jar")):
        return ""
    given = _environment(settings)
    if settings.get("EnvironmentFile") or any(
        "plugins.dir" in given.get(one, "") for one in ("BESU_OPTS", "JAVA_OPTS")
    ):
        return ""
    env = {"JAVA_HOME": given["JAVA_HOME"]} if given.get("JAVA_HOME") else {}
    argv = [launcher, "validate-config", f"--config-file={path}"]
    done = runner([*_as_user(settings), *argv], timeout=_TIMEOUT, env=env)
    found = _REFUSES.search(done.out) or _REFUSES.search(done.err)
    return f"besu validate-config {path}: {sanitize(found[1].strip(), 300)}" if found else ""


def _as_user(settings: Settings) -> list[str]:
    """What runs a program as the user of the unit, whose program it may be, and not as root."""
    user = (settings.get("User") or ["root"])[-1]
    return ["runuser", "-u", user, "--"] if os.geteuid() == 0 and user not in ("root", "0") else []
