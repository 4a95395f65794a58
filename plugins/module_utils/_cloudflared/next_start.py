# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks what the next start of a connector needs, before a running process is ended.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

A connector that lives and is not well is worth more than one that cannot
start. Only what is proved to be missing or broken counts: what this user may
not read is no reason to refuse.
"""

from __future__ import annotations

import os
import shutil
import stat
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.settings import (
    Settings,
    credential_sources,
    home_of,
    read_file,
    required_environment,
    settings_of,
    unit_command,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._cloudflared.tunnel_identity import identify
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.redact import sanitize
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Runner
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.unit_files import OTHER_FILES, read_settings
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal

_TIMEOUT = 30.0
_FILES = (("config", "configuration"), ("token_file", "token file"), ("credentials_file", "credentials file"))


def refusal(properties: t.Mapping[str, str], user: bool, runner: Runner, validate: bool = True) -> Refusal | None:
    """Why the next start would fail; None where nothing shows that. ``user``: the unit is of a user's manager.

    ``validate``: whether cloudflared is asked about its rules of ingress; not where there is another check for that.
    """
    argv, environ = unit_command(properties, user)
    if not argv or not os.path.basename(argv[0]).startswith("cloudflared"):
        return None  # a wrapper: what it reads is not known
    message = _environment(properties, user)  # which systemd reads itself
    written = read_settings(properties, whole=True)
    if not message and not any(written.get(key) for key in OTHER_FILES):
        settings = settings_of(argv, environ, read_file, home_of(properties, user))
        message = _program(argv[0]) or _files(settings, credential_sources(properties, user), properties)
        plain = credential_sources(properties, user, encrypted=False)
        message = (
            message or _identity(settings, plain) or (_configuration(argv[0], settings, runner) if validate else "")
        )
    if not message:
        return None
    return Refusal("next_start", message, "fix that first: the connector runs now, and could not be started again")


def _program(path: str) -> str:
    found = shutil.which(path)
    if found is None and not os.path.isabs(path):
        return ""  # it is looked up on the path of the service manager
    return "" if found else f"its program {path} is not there, or executing it is not permitted"


def _environment(properties: t.Mapping[str, str], user: bool) -> str:
    gone = [path for path in required_environment(properties, user) if missing(path)]
    return f"its environment file {gone[0]} is not there" if gone else ""


def _files(settings: Settings, sources: t.Mapping[str, str], properties: t.Mapping[str, str]) -> str:
    owner = properties.get("User", "")
    for option, what in _FILES:
        path = settings.text(option)
        if not path or settings.sources.get(option) == "file":
            continue
        source = sources.get(path, path)
        if missing(source):
            return f"its {what} {source} is not there"
        # What systemd hands over as a credential is read by systemd itself.
        if source == path and owner and not readable_by(path, owner):
            return f"its {what} {source} may not be read by {owner}, the user of the unit"
    return ""


def _identity(settings: Settings, sources: t.Mapping[str, str]) -> str:
    def read(path: str) -> str | None:
        source = sources.get(path, path)
        text = read_file(source)
        return "" if text is None and not missing(source) else text

    found = identify(settings, read, settings.home)
    if found.problem == "token_malformed" and (not found.path or read(found.path)):
        return f"its token or credentials are damaged ({' '.join(filter(None, (found.source, found.path)))})"
    return ""


def _configuration(program: str, settings: Settings, runner: Runner) -> str:
    if not settings.config_path or not settings.ingress:
        return ""
    argv = [program, "tunnel", "--config", settings.config_path, "ingress", "validate"]
    done = runner(argv, timeout=_TIMEOUT)
    if done.rc in (0, None) or done.timed_out:
        return ""
    return f"cloudflared tunnel ingress validate ended with {done.rc}: {sanitize((done.err or done.out).strip(), 300)}"


def missing(path: str) -> bool:
    """Whether a file is proved not to be there."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def readable_by(path: str, user: str) -> bool:
    """Whether the mode of a file lets a user read it; where that cannot be told, it does."""
    import grp
    import pwd

    try:
        about = os.stat(path)
        account = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        groups = {account.pw_gid, *(one.gr_gid for one in grp.getgrall() if account.pw_name in one.gr_mem)}
    except (OSError, KeyError):
        return True
    if account.pw_uid == 0:
        return True
    if about.st_uid == account.pw_uid:
        return bool(about.st_mode & stat.S_IRUSR)
    return bool(about.st_mode & (stat.S_IRGRP if about.st_gid in groups else stat.S_IROTH))
