# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Base file systems: one for each recipe, built aside, never changed once in place."""

from __future__ import annotations

import hashlib
import inspect
import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from . import mirror
from .settings import SUITES, LabError, Paths, remove_tree

PACKAGES = (
    "ca-certificates curl dbus dbus-user-session iproute2 iputils-ping libpam-systemd netcat-openbsd nftables"
    " openssh-server procps python3 sudo systemd systemd-sysv"
).split()

USER = "lab"  # uid 1000, may sudo

# Nothing here does anything for a test, and each costs time at every boot.
_MASKED = (
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer"
    " systemd-tmpfiles-clean.timer e2scrub_reap.service console-getty.service getty@.service container-getty@.service"
    " getty-static.service ldconfig.service nftables.service systemd-binfmt.service systemd-firstboot.service"
    " systemd-hwdb-update.service systemd-journal-catalog-update.service systemd-machine-id-commit.service"
    " systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service"
    " systemd-network-generator.service systemd-pcrphase.service systemd-remount-fs.service systemd-resolved.service"
    " systemd-sysusers.service systemd-udevd.service systemd-udev-trigger.service systemd-update-done.service"
    " systemd-update-utmp.service systemd-update-utmp-runlevel.service dev-hugepages.mount sys-kernel-debug.mount"
    " sys-kernel-tracing.mount proc-sys-fs-binfmt_misc.automount"
).split()

_SSHD = """\
AcceptEnv LANG LC_*
GSSAPIAuthentication no
MaxSessions 500
MaxStartups 500
PasswordAuthentication no
PrintMotd no
UseDNS no
"""

_NETWORK_UNIT = """\
[Unit]
Description=Address of this host in its fleet
DefaultDependencies=no
After=systemd-tmpfiles-setup.service
Before=network.target network-online.target ssh.service
Wants=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/ip -batch /etc/chainops-lab/network

[Install]
WantedBy=multi-user.target
"""

_JOURNALD = "[Journal]\nStorage=persistent\nSystemMaxUse=64M\n"


def files(suite: str) -> dict[str, str]:
    """Path on the host -> text, of every file that the base gets beside its packages."""
    penalties = "" if suite == "bookworm" else "PerSourcePenalties no\n"  # its OpenSSH does not know the word
    return {
        "etc/ssh/sshd_config.d/chainops-lab.conf": _SSHD + penalties,
        "etc/systemd/journald.conf.d/chainops-lab.conf": _JOURNALD,
        "etc/systemd/system/chainops-lab-network.service": _NETWORK_UNIT,
        "etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        f"etc/sudoers.d/{USER}": f"{USER} ALL=(ALL) NOPASSWD: ALL\n",
        "etc/default/locale": "LANG=C.UTF-8\n",
    }


def _customise(root: Path, suite: str) -> None:
    for name, text in files(suite).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # may be a link to elsewhere
        path.write_text(text, encoding="utf-8")
    (root / f"etc/sudoers.d/{USER}").chmod(0o440)
    system = root / "etc/systemd/system"
    for unit in _MASKED:
        _link(system / unit, "/dev/null")
    _link(system / "multi-user.target.wants/chainops-lab-network.service", "../chainops-lab-network.service")
    _link(system / "default.target", "/lib/systemd/system/multi-user.target")
    (root / "var/log/journal").mkdir(exist_ok=True)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    subprocess.run(["ssh-keygen", "-q", "-A", "-f", str(root)], check=True)
    for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / waste, ignore_errors=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
    (root / "var/lib/apt/lists/partial").mkdir(parents=True)


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def packages(extra: Iterable[str] = ()) -> list[str]:
    return sorted({*PACKAGES, *extra})


def recipe_hash(suite: str, extra: Iterable[str] = ()) -> str:
    """Changes with everything that decides what is in the base."""
    steps = [inspect.getsource(step) for step in (_bootstrap, _customise)]
    recipe = [suite, packages(extra), _MASKED, files(suite), steps]
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def location(lab: Paths, suite: str, extra: Iterable[str] = ()) -> Path:
    return lab.bases / f"{suite}-{recipe_hash(suite, extra)}"


def ensure(lab: Paths, suite: str, extra: Iterable[str] = ()) -> Path:
    """The base for ``suite``, built where it is not there yet. Two builders of one suite take turns."""
    if suite not in SUITES:
        raise LabError(f"unknown suite {suite}: choose one of {', '.join(SUITES)}")
    done = location(lab, suite, extra)
    if done.exists():
        return done
    with lab.lock(f"base-{suite}"):
        if not done.exists():
            aside = lab.bases / f".building-{suite}"
            if aside.exists():
                remove_tree(aside)  # its builder is dead: we hold the lock
            _bootstrap(lab, suite, packages(extra), aside)
            _customise(aside, suite)
            aside.rename(done)
    return done


def _bootstrap(lab: Paths, suite: str, include: list[str], target: Path) -> None:
    options = ['Acquire::Check-Valid-Until "false"', *mirror.proxy_options()]
    user = f'chroot "$1" useradd --create-home --uid 1000 --shell /bin/bash {USER}'
    log = lab.bases / f"{suite}.log"
    # Namespaces of its own: a builder that is killed leaves no process and no mount behind.
    command = [
        "setpriv",
        "--pdeathsig=KILL",
        "unshare",
        "--mount",
        "--propagation=private",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]
    command += ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(include)}"]
    command += [f"--aptopt={option}" for option in options]
    command += [f"--customize-hook={user}", suite, str(target)]
    source = mirror.of_this_machine()
    if source:
        command.append(source)
    with open(log, "w", encoding="utf-8") as handle:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=handle, stderr=handle, check=False)
    if done.returncode != 0:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
        raise LabError(f"building the base of {suite} failed (whole log: {log}):\n{tail}")


def prune(lab: Paths, in_use: set[str]) -> list[str]:
    """Remove the bases that neither a current recipe nor a fleet uses; their names."""
    current = {location(lab, suite).name for suite in SUITES}
    gone = []
    for suite in SUITES:
        with lab.lock(f"base-{suite}"):
            for path in lab.bases.glob(f"{suite}-*"):
                if path.is_dir() and path.name not in current | in_use:
                    remove_tree(path)
                    gone.append(path.name)
    return gone
