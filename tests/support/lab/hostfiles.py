# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that differ from host to host, and those by which others find the fleet."""

from __future__ import annotations

import json
import os
import typing as t
import uuid
from pathlib import Path

from .record import FleetRecord, HostRecord

_CACHES = Path(__file__).parent.parent / "caches"
_PYTHON = "usr/lib/python3/dist-packages"
_SOCKET = "/run/chainops-lab-python"
ANSIBLE = "/usr/lib/chainops-lab/ansible"  # on a host, where the package of the controller is
_SYSTEM = "etc/systemd/system"
_SERVER_UNIT = f"""\
[Unit]
Description=Python that forks for modules
DefaultDependencies=no

[Service]
Environment=LANG=C.UTF-8
ExecStart=/usr/bin/python3 /{_PYTHON}/module_server.py {_SOCKET} {os.path.dirname(ANSIBLE)}
"""


def write_overlay(fleet: FleetRecord, host: HostRecord, upper: Path, public_key: str) -> None:
    """Put the host's own files into the upper layer of its file system, before its first boot."""
    names = "".join(f"{other.address} {other.name}\n" for other in fleet.hosts)
    prefix = fleet.network.prefixlen
    texts = {
        "etc/hostname": f"{host.name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n::1 localhost\n{fleet.controller} controller\n{names}",
        "etc/machine-id": f"{uuid.uuid4().hex}\n",
        "etc/chainops-lab/network": (
            f"link set lo up\nlink set host0 up\naddress replace {host.address}/{prefix} dev host0\n"
        ),
        "root/.ssh/authorized_keys": public_key,
        "home/lab/.ssh/authorized_keys": public_key,
    }
    _folder(upper, 0o755)
    for name, mode in {"etc": 0o755, "root": 0o700, "root/.ssh": 0o700, "home": 0o755}.items():
        _folder(upper / name, mode)
    for name in ("home/lab", "home/lab/.ssh"):
        _folder(upper / name, 0o700)
        os.chown(upper / name, 1000, 1000)
    for name, text in texts.items():
        path = upper / name
        _folder(path.parent, None)
        path.write_text(text, encoding="utf-8")
    os.chown(upper / "home/lab/.ssh/authorized_keys", 1000, 1000)


def write_caches(upper: Path, folder: str) -> None:
    """Have each Python on the host keep bytecode in ``folder`` from its start on, and modules run as forks."""
    packages = upper / _PYTHON
    packages.mkdir(parents=True)
    for name in ("kept_bytecode", "forked_modules", "fork_client", "fork_server", "module_server"):
        (packages / f"{name}.py").write_bytes((_CACHES / f"{name}.py").read_bytes())
    (packages / "chainops-lab.pth").write_text(
        f"import kept_bytecode; kept_bytecode.install({folder!r})\nimport forked_modules; forked_modules.run({_SOCKET!r})\n",
        encoding="ascii",
    )
    wants = upper / _SYSTEM / "sysinit.target.wants"
    _folder(wants, None)
    (upper / _SYSTEM / "chainops-lab-python.service").write_text(_SERVER_UNIT, encoding="ascii")
    (wants / "chainops-lab-python.service").symlink_to("../chainops-lab-python.service")


def _folder(path: Path, mode: int | None) -> None:
    path.mkdir(parents=True, exist_ok=True)
    if mode is not None:
        path.chmod(mode)


def write_controller_files(fleet: FleetRecord, key: Path) -> None:
    """``inventory.yml``, ``ssh_config`` and ``known_hosts`` of the fleet."""
    (fleet.path / "known_hosts").write_text(_known_hosts(fleet), encoding="utf-8")
    (fleet.path / "ssh_config").write_text(_ssh_config(fleet, key), encoding="utf-8")
    (fleet.path / "inventory.yml").write_text("---\n" + _yaml(_inventory(fleet, key)), encoding="utf-8")


def _known_hosts(fleet: FleetRecord) -> str:
    lines = []
    for host in fleet.hosts:
        for key in sorted(Path(host.base, "etc/ssh").glob("ssh_host_*_key.pub")):
            kind, public = key.read_text(encoding="ascii").split()[:2]
            lines.append(f"{host.name},{host.address} {kind} {public}\n")
    return "".join(lines)


def _ssh_config(fleet: FleetRecord, key: Path) -> str:
    hosts = "".join(f"Host {host.name}\n  HostName {host.address}\n" for host in fleet.hosts)
    options = {
        "User": "root",
        "IdentityFile": str(key),
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": str(fleet.path / "known_hosts"),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "LogLevel": "ERROR",
        "ControlMaster": "auto",
        "ControlPersist": "120s",
        "ControlPath": f"{fleet.run}/%h-%p-%r",
    }
    return f"{hosts}Host *\n" + "".join(f"  {name} {value}\n" for name, value in options.items())


def _inventory(fleet: FleetRecord, key: Path) -> dict[str, t.Any]:
    groups: dict[str, dict[str, t.Any]] = {}
    for host in fleet.hosts:
        groups.setdefault(host.group, {"hosts": {}})["hosts"][host.name] = {"ansible_host": host.address}
        groups.setdefault(f"suite_{host.suite}", {"hosts": {}})["hosts"][host.name] = {}
    variables = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_common_args": f"-F {fleet.path / 'ssh_config'}",
        # Ansible's own but for -C: nothing is gained by compressing what never leaves this computer.
        "ansible_ssh_args": "-o ControlMaster=auto -o ControlPersist=60s",
        "ansible_control_path": f"{fleet.run}/%%h-%%p-%%r",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    return {"all": {"vars": variables, "children": groups}}


def _yaml(value: dict[str, t.Any], indent: str = "") -> str:
    """The YAML of nested mappings of text; a JSON string is a YAML string, too."""
    lines = []
    for key, item in value.items():
        if isinstance(item, dict) and item:
            lines.append(f"{indent}{key}:\n{_yaml(item, indent + '  ')}")
        else:
            lines.append(f"{indent}{key}: {json.dumps(item)}\n")
    return "".join(lines)
