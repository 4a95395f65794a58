# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Put nodes on hosts, as ``besu.service``.

A host is anything with ``run(*argv, stdin=...)`` and ``push_text(path, text)``, such as the laboratory's. With
``BESU_BIN`` in the environment the unit starts that real Besu, which the host must have, on the same files; the
stand-in's own settings and faults then mean nothing.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import network
from .block import Block
from .faults import parse


class Host(typing.Protocol):
    """What is needed of a host."""

    def run(self, *argv: str, stdin: str | bytes = "") -> object:
        """Run a command as root; raises when it fails."""

    def push_text(self, path: str, text: str | bytes, mode: int = 0o644) -> None:
        """Write a file."""


def _archive(files: Sequence[network.File], owned: Sequence[tuple[str, bytes]] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        everything = [(f.path, f.content.encode(), f.mode) for f in files] + [(p, c, 0o644) for p, c in owned]
        for path, content, mode in everything:
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _data(blocks: Sequence[Block], version: str) -> list[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "besu"
        network.store(root, blocks, version)
        files = [path for path in root.rglob("*") if path.is_file()]
        return [(f"{network.DATA}/{path.relative_to(root)}", path.read_bytes()) for path in files]


def install(
    host: Host, plan: network.NetworkPlan, name: str, *, scale: float = 1.0, block_scale: float | None = None,
    version: str = "26.8.0", blocks: Sequence[Block] = (), environment: Mapping[str, str] | None = None,
    unit_lines: Sequence[str] = (), **options: object,
) -> None:  # fmt: skip
    """Make ``host`` the node ``name`` of a planned network, ready to be started; what it had as a node is removed.

    ``scale``: factor for delays of start, stop and peering; ``block_scale``: for block period and round time-outs
    (default: the same). ``blocks``: a chain that it has already. ``environment``, ``unit_lines``: for its unit.
    ``options``: Besu's, with ``_`` for ``-``.
    """
    settings = {
        "BESU_STANDIN_SCALE": str(scale),
        "BESU_STANDIN_BLOCK_SCALE": str(scale if block_scale is None else block_scale),
        "BESU_STANDIN_VERSION": version,
        **(environment or {}),
    }
    real = os.environ.get("BESU_BIN")
    files = plan.files(name, settings, real or network.BINARY, **options)
    unit = network.unit(settings, real or network.BINARY, unit_lines)
    files = [network.File(f.path, unit, f.mode) if f.path.endswith(".service") else f for f in files]
    program = [] if real else network.program()
    host.run(
        "sh", "-c", f"systemctl stop besu.service; systemctl reset-failed besu.service; rm -rf {network.DATA}; true"
    )
    archive = _archive([*files, *program], _data(blocks, version) if blocks and not real else ())
    host.run("tar", "-xf", "-", "-C", "/", "--no-same-owner", stdin=archive)
    host.run("mkdir", "-p", network.DATA)
    clear(host)
    host.run("systemctl", "daemon-reload")


def fault(host: Host, **faults: object) -> None:
    """Replace the faults of the node. ``ValueError`` for a name that is no fault."""
    parse(faults)
    host.push_text(network.FAULTS, json.dumps(faults) + "\n")


def fault_until_stopped(host: Host, **faults: object) -> None:
    """Faults of the process, which end with it, like those of a real one; so do all later ones of this host."""
    fault(host, **faults)
    folder = "/run/systemd/system/besu.service.d"
    host.run("mkdir", "-p", folder)
    host.push_text(f"{folder}/faults.conf", f"[Service]\nExecStopPost=/bin/rm -f {network.FAULTS}\n")
    host.run("systemctl", "daemon-reload")


def clear(host: Host) -> None:
    """No faults any more."""
    fault(host)
