# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian mirror that this machine itself uses, in both formats of apt's sources."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

_APT = Path("/etc/apt")
_DEBIAN = re.compile(r"/debian/?$")
_ONE_LINE = re.compile(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)((?:\s+\S+)*)$")


def deb822_uris(text: str) -> list[str]:
    """URIs of the enabled binary stanzas of a ``.sources`` file."""
    found: list[str] = []
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                fields[key] = f"{fields.get(key, '')} {line.strip()}"
            elif ":" in line:
                key, _unused, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() not in ("no", "false"):
            found += fields.get("uris", "").split()
    return found


def one_line_uris(text: str) -> list[str]:
    """URIs of the ``deb`` lines of a ``.list`` file."""
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return [match.group(1) for match in map(_ONE_LINE.match, lines) if match]


def choose(uris: list[str]) -> str | None:
    """The first that is a Debian archive, by its path; not security updates, not another vendor's."""
    return next((uri for uri in uris if _DEBIAN.search(uri)), None)


def of_this_machine(apt: Path = _APT) -> str | None:
    """The mirror, or None where apt has no Debian source (mmdebstrap then uses its own default)."""
    uris: list[str] = []
    folder = apt / "sources.list.d"
    for path in sorted(folder.glob("*.sources")):
        uris += deb822_uris(path.read_text(encoding="utf-8", errors="replace"))
    for path in [apt / "sources.list", *sorted(folder.glob("*.list"))]:
        if path.exists():
            uris += one_line_uris(path.read_text(encoding="utf-8", errors="replace"))
    return choose(uris)


def proxy_options() -> list[str]:
    """apt's proxy settings of this machine, which mmdebstrap does not take over by itself."""
    done = subprocess.run(
        ["apt-config", "dump", "--no-empty", "Acquire::http::Proxy", "Acquire::https::Proxy"],
        capture_output=True,
        text=True,
        check=False,
    )
    return [line.rstrip(";") for line in done.stdout.splitlines() if "Proxy" in line]
