# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a connector: its arguments, its environment, its configuration file.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Precedence and names follow cloudflared's own (cmd/cloudflared/tunnel/cmd.go,
config/configuration.go): arguments, then environment, then file. What runs is
read from the running process, because systemd shows Exec values unquoted; a
unit that is down is read from its files, with systemd's own rules.
"""

from __future__ import annotations

import os
import re
import stat
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.dependencies import listed

MAX_FILE = 256 * 1024
_MAX_CMDLINE = 128 * 1024
# Option -> its names as an argument, its variable, its key in the file.
OPTIONS: t.Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "config": (("config",), "", ""),
    "metrics": (("metrics",), "TUNNEL_METRICS", "metrics"),
    "retries": (("retries",), "TUNNEL_RETRIES", "retries"),
    "grace_period": (("grace-period",), "TUNNEL_GRACE_PERIOD", "grace-period"),
    "connections": (("ha-connections",), "", "ha-connections"),
    "protocol": (("protocol", "p"), "TUNNEL_TRANSPORT_PROTOCOL", "protocol"),
    "logfile": (("logfile",), "TUNNEL_LOGFILE", "logfile"),
    "log_level": (("loglevel", "l"), "TUNNEL_LOGLEVEL", "loglevel"),
    "log_directory": (("log-directory",), "TUNNEL_LOGDIRECTORY", "log-directory"),
    "token": (("token",), "TUNNEL_TOKEN", "token"),
    "token_file": (("token-file",), "TUNNEL_TOKEN_FILE", "token-file"),
    "credentials": (("credentials-contents",), "TUNNEL_CRED_CONTENTS", "credentials-contents"),
    "credentials_file": (("credentials-file", "cred-file"), "TUNNEL_CRED_FILE", "credentials-file"),
    "edge": (("edge",), "TUNNEL_EDGE", "edge"),
    "origin": (("url", "unix-socket", "hello-world"), "TUNNEL_URL", "url"),
}
# Flags of ``tunnel`` and ``run`` that take a value and do not matter here, so that no value is taken for a tunnel.
_TAKES_VALUE = frozenset(
    "autoupdate-freq region edge-ip-version edge-bind-address cacert origincert transport-loglevel "
    "proto-loglevel output trace-output pidfile tag heartbeat-interval heartbeat-count max-edge-addr-retries label "
    "rpc-timeout write-stream-timeout compression-quality icmpv4-src icmpv6-src features F max-active-flows "
    "management-hostname service-op-ip name n lb-pool hostname id api-url api-key api-email api-ca-key "
    "metrics-update-freq quic-connection-level-flow-control-limit quic-stream-level-flow-control-limit "
    "dns-resolver-addrs proxy-connect-timeout proxy-tls-timeout proxy-tcp-keepalive proxy-keepalive-connections "
    "proxy-keepalive-timeout http-host-header origin-server-name origin-ca-pool proxy-address proxy-port".split()
)
_CONFIG_DIRS = (
    "~/.cloudflared",
    "~/.cloudflare-warp",
    "~/cloudflare-warp",
    "/etc/cloudflared",
    "/usr/local/etc/cloudflared",
)
_CONFIG_NAMES = ("config.yml", "config.yaml")
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_KEY = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,60})[ \t]*:(?:[ \t]+(.*))?$")
_SECRET = frozenset(("token", "credentials"))

# The folders that systemd makes for a unit and names in its environment, and where they are.
_DIRECTORIES = {
    "RuntimeDirectory": "%t", "StateDirectory": "%S", "CacheDirectory": "%C", "LogsDirectory": "%L",
    "ConfigurationDirectory": "%E",
}  # fmt: skip

# The text of a file as the service sees it, or None where it cannot be read.
Read = t.Callable[[str], t.Optional[str]]


@dataclass(frozen=True)
class Settings:
    """The options in force, as text, and where each comes from (``argument``, ``environment``, ``file``).

    ``token`` and ``credentials`` in ``values`` are secrets: only ``identity`` may read them.
    """

    values: t.Mapping[str, str] = field(default_factory=dict, repr=False)
    sources: t.Mapping[str, str] = field(default_factory=dict)
    tunnel: str = ""
    config_path: str = ""
    ingress: bool = False
    home: str = ""
    notes: tuple[str, ...] = ()

    def text(self, option: str) -> str:
        return self.values.get(option, "")

    def number(self, option: str, default: int, limit: int) -> int:
        value = self.text(option)
        return min(int(value), limit) if value.isascii() and value.isdigit() and len(value) < 10 else default

    @property
    def quick(self) -> bool:
        """Whether it is a quick tunnel: without an account, with a public name that lasts until it ends."""
        named = ("token", "token_file", "credentials", "credentials_file")
        return bool(self.text("origin")) and not self.tunnel and not any(self.text(option) for option in named)

    @property
    def expected(self) -> int:
        """How many connections it holds (``--ha-connections``, 4 by default; a quick tunnel has one)."""
        return 1 if self.quick else max(self.number("connections", 4, 255), 1)

    @property
    def retries(self) -> int:
        return self.number("retries", 5, 30)

    @property
    def grace_period(self) -> float:
        """Seconds that a stop may take to drain (30 by default, 3 minutes at most)."""
        seconds = duration(self.text("grace_period"))
        return 30.0 if seconds is None else min(seconds, 180.0)

    @property
    def protocol(self) -> str:
        return self.text("protocol") or "auto"

    @property
    def remote(self) -> bool:
        """Whether its rules of ingress have to come from the edge, as far as it shows here."""
        by_token = bool(self.text("token") or self.text("token_file"))
        return by_token and not self.ingress and not self.text("origin")


def duration(text: str) -> float | None:
    """A duration as Go writes it (``1m30s``) in seconds; None for what is none."""
    parts = _DURATION.findall(text)
    if text == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def top_level(text: str) -> dict[str, str]:
    """The scalars at the top level of a YAML mapping; a key with a block below it has an empty value.

    There is no YAML library on managed hosts. Anything beyond plain and
    quoted one-line scalars is left out, so nothing is misread.
    """
    found: dict[str, str] = {}
    for line in text[:MAX_FILE].splitlines():
        match = _KEY.match(line.rstrip())
        if match is None:
            continue
        value = (match[2] or "").strip()
        if value[:1] in ("'", '"'):
            end = value.find(value[0], 1)
            value = value[1:end] if end > 0 and "\\" not in value[:end] else ""
        else:
            value = value.split(" #")[0].strip()
        if value[:1] not in ("|", ">", "&", "*", "!", "{", "[", "#"):
            found.setdefault(match[1], value)
        elif match[1] == "ingress":
            found.setdefault(match[1], "")
    return found


def read_arguments(argv: t.Sequence[str]) -> tuple[dict[str, str], str]:
    """The options among arguments, and the name of the tunnel that ``run`` was given."""
    names = {name: option for option, (flags, _variable, _key) in OPTIONS.items() for name in flags}
    values: dict[str, str] = {}
    words: list[str] = []
    rest = iter(argv[1:])
    for word in rest:
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if name in names:
            given = value if equals else "true" if name == "hello-world" else next(rest, "")
            values[names[name]] = given
        elif not equals and name in _TAKES_VALUE:
            next(rest, "")
    after = words[words.index("run") + 1 :] if "run" in words else []
    return values, after[-1] if after else ""


def settings_of(
    argv: t.Sequence[str],
    environ: t.Mapping[str, str],
    read: Read,
    home: str = "",
) -> Settings:
    """The settings in force."""
    arguments, tunnel = read_arguments(argv)
    home = home or environ.get("HOME", "")
    path, text = _config_file(arguments.get("config", ""), home, read)
    file = top_level(text or "")
    values: dict[str, str] = {}
    sources: dict[str, str] = {}
    for option, (_flags, variable, key) in OPTIONS.items():
        for source, value in (
            ("argument", arguments.get(option)),
            ("environment", environ.get(variable) if variable else None),
            ("file", file.get(key) if key else None),
        ):
            if value:
                values[option], sources[option] = value, source
                break
    notes = () if text is not None or not arguments.get("config") else (f"{path} could not be read",)
    return Settings(values, sources, tunnel or file.get("tunnel", ""), path, "ingress" in file, home, notes)


def _config_file(given: str, home: str, read: Read) -> tuple[str, str | None]:
    if given:
        return given, read(given)
    for folder in _CONFIG_DIRS:
        if folder.startswith("~") and not home:
            continue
        for name in _CONFIG_NAMES:
            path = os.path.join(folder.replace("~", home, 1), name)
            text = read(path)
            if text is not None:
                return path, text
    return "", None


def config_dirs(home: str) -> list[str]:
    """The folders that cloudflared looks into for its files."""
    return [folder.replace("~", home, 1) for folder in _CONFIG_DIRS if home or not folder.startswith("~")]


def read_file(path: str, root: str = "") -> str | None:
    """The beginning of a text file below ``root``, or None where it cannot be read."""
    full = root + path if root else path
    try:
        if not stat.S_ISREG(os.stat(full).st_mode):
            return None  # a pipe may hang for ever, and what it has is for the service
        with open(full, encoding="utf-8", errors="replace", opener=_at_once) as stream:
            return stream.read(MAX_FILE)
    except (OSError, ValueError):
        return None


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def of_unit_files(properties: t.Mapping[str, str], user: bool = False) -> Settings:
    """The settings that the files of a unit ask for, for a unit that is not running. ``user``: of a user's manager."""
    argv, environ = unit_command(properties, user)
    return settings_of(argv, environ, read_file, home=home_of(properties, user))


def home_of(properties: t.Mapping[str, str], user: bool) -> str:
    """Where a service finds its home: that of the user who runs the manager, or of the one that the unit names."""
    import pwd

    name = properties.get("User", "")
    if user or name in ("", "root"):
        return _own_home() if user else "/root"
    try:
        return pwd.getpwnam(name).pw_dir
    except KeyError:
        return ""


def _own_home() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return os.environ.get("HOME", "")


def unit_command(properties: t.Mapping[str, str], user: bool = False) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment that a unit's files give: ExecStart, Environment, EnvironmentFile."""
    expand = _specifiers(properties.get("Id", ""), user)
    command: list[str] = []
    environ: dict[str, str] = {}
    provided = {"CREDENTIALS_DIRECTORY": expand("%d"), "HOME": home_of(properties, user)}
    for key, value in _unit_lines(properties):
        if key == "ExecStart":
            command = listed(expand(value.lstrip("-@:+!|"))) or []
        elif key == "Environment":
            environ = {**environ, **_assignments(listed(expand(value)))} if value else {}
        elif key in _DIRECTORIES and value:
            names = [f"{expand(_DIRECTORIES[key])}/{name}" for name in listed(expand(value))]
            provided[re.sub("Directory$", "_directory", key).upper()] = ":".join(names)
    for _path, variables in environment_of_files(properties, user):
        environ.update(variables)
    return [_substitute(word, {**provided, **environ}) for word in command], environ


def token_variable(properties: t.Mapping[str, str], user: bool = False) -> str:
    """The variable that a unit gives its token from on the command line (``--token ${TOKEN}``); empty if from none."""
    expand = _specifiers(properties.get("Id", ""), user)
    lines = [value.lstrip("-@:+!|") for key, value in _unit_lines(properties) if key == "ExecStart"]
    arguments, _tunnel = read_arguments(listed(expand(lines[-1])) or [""] if lines else [""])
    found = re.fullmatch(r"\$(?:\{(\w+)\}|(\w+))", arguments.get("token", ""))
    return (found[1] or found[2]) if found else ""


def credential_sources(properties: t.Mapping[str, str], user: bool = False, encrypted: bool = True) -> dict[str, str]:
    """Where systemd gets each file of the unit's credentials folder from (LoadCredential=), where that is a path.

    ``encrypted``: those as well whose source is not what the service reads.
    """
    settings = ("LoadCredential", "LoadCredentialEncrypted") if encrypted else ("LoadCredential",)
    unit = properties.get("Id", "")
    expand = _specifiers(unit, user)
    found: dict[str, str] = {}
    for key, value in _unit_lines(properties):
        name, _colon, path = expand(value).partition(":")
        if key in settings and path.startswith("/"):
            found[os.path.join(expand("%d"), name)] = path
    return found


def required_environment(properties: t.Mapping[str, str], user: bool = False) -> list[str]:
    """The environment files without which systemd does not start the unit."""
    files = _environment_files(properties, user)
    return [path for path in files if not path.startswith("-") and "*" not in path]


def environment_of_files(properties: t.Mapping[str, str], user: bool = False) -> list[tuple[str, dict[str, str]]]:
    """The variables of each environment file of a unit, the one that counts last."""
    return _variables(_environment_files(properties, user))


def _environment_files(properties: t.Mapping[str, str], user: bool) -> list[str]:
    expand = _specifiers(properties.get("Id", ""), user)
    files: list[str] = []
    for key, value in _unit_lines(properties):
        if key == "EnvironmentFile":
            files = [*files, expand(value)] if value else []
    return files


def _variables(files: t.Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    paths = [path.lstrip("-") for path in files]
    return [(path, _environment_file(read_file(path) or "")) for path in paths]


def _unit_lines(properties: t.Mapping[str, str]) -> t.Iterator[tuple[str, str]]:
    for path in [properties.get("FragmentPath", ""), *properties.get("DropInPaths", "").split()]:
        yield from _service_lines(read_file(path) or "") if path else ()


def _service_lines(text: str) -> t.Iterator[tuple[str, str]]:
    section = ""
    lines = (line.strip() for line in text.replace("\\\n", " ").splitlines())
    for line in lines:
        if line[:1] in ("#", ";", ""):
            continue
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line:
            key, _equals, value = line.partition("=")
            yield key.strip(), value.strip()


def _assignments(words: t.Sequence[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words if "=" in word)


def _environment_file(text: str) -> dict[str, str]:
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if line[:1] not in ("#", ";", "") and "=" in line)
    return {key.strip(): " ".join(listed(value)) for key, _equals, value in pairs}


def _substitute(word: str, environ: t.Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}|^\$(\w+)$", lambda match: environ.get(match[1] or match[2], ""), word)


def _specifiers(unit: str, user: bool = False) -> t.Callable[[str], str]:
    """What systemd puts in place of %x in a unit (systemd.unit(5)). ``user``: for the manager of the calling user."""
    stem = unit.rpartition(".")[0] or unit
    prefix, _at, instance = stem.partition("@")
    known = {
        "i": instance, "I": _unescaped(instance), "n": unit, "N": stem, "p": prefix, "P": _unescaped(prefix), "%": "%",
        "j": prefix.rpartition("-")[2], "J": _unescaped(prefix.rpartition("-")[2]),
        "f": _unescaped(instance if instance.startswith("/") else f"/{_unescaped(instance or prefix)}"),
        "T": "/tmp", "V": "/var/tmp",
        **(_of_user() if user else _OF_SYSTEM), **_of_host(),
    }  # fmt: skip
    known["d"] = f"{known['t']}/credentials/{unit}"

    def expand(text: str) -> str:
        return re.sub(r"%(.)", lambda match: known.get(match[1], match[0]), text)

    return expand


# For the manager of the system these are of root, whatever User= says.
_OF_SYSTEM = {
    "h": "/root", "u": "root", "U": "0", "g": "root", "G": "0", "s": "/bin/sh", "t": "/run", "S": "/var/lib",
    "C": "/var/cache", "L": "/var/log", "E": "/etc",
}  # fmt: skip


def _of_user() -> dict[str, str]:
    import grp
    import pwd

    uid, gid, home = os.getuid(), os.getgid(), _own_home()
    state = os.environ.get("XDG_STATE_HOME") or f"{home}/.local/state"
    try:
        account, group = pwd.getpwuid(uid), grp.getgrgid(gid)
        name, shell, group_name = account.pw_name, account.pw_shell, group.gr_name
    except KeyError:
        name, shell, group_name = str(uid), "/bin/sh", str(gid)
    return {
        "h": home, "u": name, "U": str(uid), "g": group_name, "G": str(gid), "s": shell,
        "t": os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}", "S": state,
        "C": os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache", "L": f"{state}/log",
        "E": os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config",
    }  # fmt: skip


def _of_host() -> dict[str, str]:
    host = os.uname()
    machine = (read_file("/etc/machine-id") or "").strip()
    boot = (read_file("/proc/sys/kernel/random/boot_id") or "").strip().replace("-", "")
    return {"H": host.nodename, "l": host.nodename.partition(".")[0], "v": host.release, "m": machine, "b": boot}


def _unescaped(name: str) -> str:
    """The text that systemd-escape(1) has made a part of a unit's name of."""
    return re.sub(r"\\x([0-9a-f]{2})|-", lambda match: chr(int(match[1], 16)) if match[1] else "/", name)


class Process:
    """A process as /proc shows it. What this user may not see is None or empty."""

    def __init__(self, pid: int, proc: str = "/proc") -> None:
        self.pid = pid
        self._base = f"{proc}/{pid}"

    def argv(self) -> list[str]:
        return [word.decode("utf-8", "replace") for word in (self._bytes("cmdline") or b"").split(b"\0")[:-1]]

    def environ(self) -> dict[str, str] | None:
        data = self._bytes("environ")
        if data is None:
            return None
        return _assignments([word.decode("utf-8", "replace") for word in data.split(b"\0")])

    def read(self, path: str) -> str | None:
        """A file as the process sees it: from its own root and working directory."""
        if not path.startswith("/"):
            return read_file(path, f"{self._base}/cwd/")
        text = read_file(path, f"{self._base}/root")
        return read_file(path) if text is None else text

    def settings(self) -> Settings:
        environ = self.environ()
        home = "" if environ and environ.get("HOME") else self._owners_home()
        found = settings_of(self.argv(), environ or {}, self.read, home)
        if environ is not None:
            return found
        note = "the environment of the process may not be read (become root): its variables are not known"
        return replace(found, notes=(*found.notes, note))

    def _owners_home(self) -> str:
        """Where cloudflared looks for files without HOME, which a service of root may not have."""
        import pwd

        try:
            return pwd.getpwuid(os.stat(self._base).st_uid).pw_dir
        except (OSError, KeyError):
            return ""

    def _bytes(self, name: str) -> bytes | None:
        try:
            with open(f"{self._base}/{name}", "rb") as stream:
                return stream.read(_MAX_CMDLINE)
        except OSError:
            return None
