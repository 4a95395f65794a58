# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the laboratory needs of this machine, and how to fix what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from . import cgroup
from .settings import paths

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_FREE_BYTES = 2 * 1024**3
_COMMANDS = {
    "mmdebstrap": "apt-get install mmdebstrap",
    "systemd-nspawn": "apt-get install systemd-container",
    "ip": "apt-get install iproute2",
    "setpriv": "apt-get install util-linux",
    "nsenter": "apt-get install util-linux",
    "unshare": "apt-get install util-linux",
    "ssh": "apt-get install openssh-client",
    "ssh-keygen": "apt-get install openssh-client",
}


@dataclass(frozen=True)
class Problem:
    """One thing that is missing and the word that fixes it."""

    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}: {self.fix}"


def _works(*argv: str) -> str:
    """Empty where the command succeeds, else its complaint."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def problems() -> list[Problem]:
    """Everything that keeps the laboratory from running here; empty where it can run."""
    if sys.platform != "linux":
        return [Problem(f"this is {sys.platform}, not Linux", "use a Linux machine or virtual machine")]
    found: list[Problem] = []
    missing = {name: fix for name, fix in _COMMANDS.items() if shutil.which(name) is None}
    found += [Problem(f"command {name} is missing", fix) for name, fix in missing.items()]
    if not KEYRING.exists():
        found.append(Problem(f"{KEYRING} is missing", "apt-get install debian-archive-keyring"))
    if os.geteuid() != 0:
        return [*found, Problem("not root", "run it as root, for example with sudo")]
    found += cgroup_problems()
    if not {"ip", "unshare"} & missing.keys():
        found += kernel_problems()
    return found


def cgroup_problems() -> list[Problem]:
    root = cgroup.mount_point()
    if root is None:
        return [Problem("no cgroup2 file system is mounted", "mount -t cgroup2 cgroup2 /sys/fs/cgroup")]
    if not os.access(root, os.W_OK) or os.statvfs(root).f_flag & os.ST_RDONLY:
        return [Problem(f"{root} is read-only", "run it on the machine itself or in a privileged container")]
    if not cgroup.can_kill(root):
        return [Problem("this kernel has no cgroup.kill", "use Linux 5.14 or newer")]
    return []


def kernel_problems() -> list[Problem]:
    """Try each thing in a namespace that vanishes with the trial."""
    lab = paths()
    try:
        lab.make()
    except OSError as exc:
        return [Problem(f"{lab.root} cannot be made ({exc.strerror})", "set CHAINOPS_LAB_DIR to a writable folder")]
    found = []
    free = shutil.disk_usage(lab.root).free
    if free < _FREE_BYTES:
        found.append(
            Problem(
                f"{free // 1024**2} MiB are free in {lab.root}", "free 2 GiB or set CHAINOPS_LAB_DIR to a larger disk"
            )
        )
    trial = lab.root / f".check-{os.getpid()}"
    script = 'cd "$1" && mkdir l u w m && mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w m && umount m'
    trial.mkdir()
    try:
        complaint = _works("unshare", "--mount", "sh", "-c", script, "sh", str(trial))
    finally:
        shutil.rmtree(trial)
    if complaint:
        fix = "modprobe overlay, or set CHAINOPS_LAB_DIR to a folder on ext4, xfs or btrfs"
        found.append(Problem(f"overlayfs does not work in {lab.root} ({complaint})", fix))
    script = "ip link add name clab type bridge && ip link add name clab-a type veth peer name clab-b"
    complaint = _works("unshare", "--net", "sh", "-c", script)
    if complaint:
        found.append(Problem(f"bridges or veth pairs cannot be made ({complaint})", "modprobe bridge veth"))
    return found
