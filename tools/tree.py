# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layouts that the tools want, made from the repository.

``link``: ``.build/link/ansible_collections/chainops/lifecycle`` is the repository, for imports and ansible.
``copy``: the files that git knows, also those not committed yet, at such a path of their own; the tools that
refuse symbolic links or write beside their input get one copy each.
``home``: a HOME in which ansible-test finds all that it would otherwise download outside of pip.
"""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
COLLECTION = Path("ansible_collections") / "chainops" / "lifecycle"

# ansible-test fetches a file of this name for the pip that its release pins; one line of the standard
# library does the same. Releases: 2.16, 2.18 and 2.19, 2.20 and later.
_GET_PIP = ("get_pip_23_1_2.py", "get_pip_24_2.py", "get_pip_25_2.py")
_GET_PIP_TEXT = "import ensurepip\nensurepip.bootstrap(default_pip=True)\n"

_UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}


def link() -> Path:
    """Make the importable view of the repository; return the folder to put into PYTHONPATH."""
    base = BUILD / "link"
    target = base / COLLECTION
    if not target.is_symlink():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(ROOT)
    return base


def known_files() -> list[Path]:
    """Every file that is committed or would be, relative to the repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = sorted({Path(name) for name in listed.split("\0") if name})
    return [path for path in paths if (ROOT / path).is_file() or (ROOT / path).is_symlink()]


def copy(name: str) -> Path:
    """Bring the copy called ``name`` up to date; return the collection's folder in it."""
    target = BUILD / "copies" / name / COLLECTION
    target.mkdir(parents=True, exist_ok=True)
    wanted = set(known_files())
    for folder, _dirs, files in os.walk(target):
        relative = Path(folder).relative_to(target)
        if relative.parts[:1] == (".git",):
            continue
        for file in files:
            if relative / file not in wanted:
                (Path(folder) / file).unlink()
    for path in wanted:
        _copy_file(ROOT / path, target / path)
    if not (target / ".git").exists():
        # Without it the tools look upwards, find the repository, and see that it ignores this folder.
        subprocess.run(["git", "init", "--quiet"], cwd=target, check=True)
    return target


def _copy_file(source: Path, target: Path) -> None:
    if target.is_file() and not target.is_symlink():
        old, new = target.stat(), source.stat()
        if (old.st_size, old.st_mtime_ns, old.st_mode) == (new.st_size, new.st_mtime_ns, new.st_mode):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)


def home() -> Path:
    """Make the HOME for ansible-test, which passes no other setting on to pip."""
    path = ROOT / ".cache" / "home"
    cache = path / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for name in _GET_PIP:
        (cache / name).write_text(_GET_PIP_TEXT)
    _write_pip_settings(path / ".config" / "pip" / "pip.conf")
    return path


def _pip_settings() -> configparser.RawConfigParser:
    """The user's pip settings, from files and PIP_* variables, in the section ``global``."""
    settings = configparser.RawConfigParser()
    settings.read(["/etc/pip.conf", Path.home() / ".pip" / "pip.conf", Path.home() / ".config" / "pip" / "pip.conf"])
    named = os.environ.get("PIP_CONFIG_FILE")
    if named:
        settings.read(named)
    if not settings.has_section("global"):
        settings.add_section("global")
    for key, value in os.environ.items():
        if key.startswith("PIP_") and key != "PIP_CONFIG_FILE":
            settings.set("global", key[4:].lower().replace("_", "-"), value)
    return settings


def _write_pip_settings(target: Path) -> None:
    """Put them where pip finds them under the other HOME."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w") as file:
        _pip_settings().write(file)


def uv_settings() -> dict[str, str]:
    """Those settings as variables of uv, which reads none of pip's; what the user set for uv stands."""
    told = _pip_settings()["global"]
    return {
        variable: " ".join(told[key].split())
        for key, variable in _UV_VARIABLES.items()
        if key in told and variable not in os.environ
    }
