# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration with which the tests on hosts run Ansible."""

from __future__ import annotations

from pathlib import Path


def write_config(folder: Path, **defaults: str) -> Path:
    """Write an ansible.cfg with these settings of its section ``defaults``, and pipelining."""
    # While Ansible waits for hosts, it asks its processes a thousand times a second whether they have ended, at the
    # expense of the hosts, which share the cores with it here.
    settings = [f"{name} = {value}" for name, value in {"internal_poll_interval": "0.02", **defaults}.items()]
    path = folder / "ansible.cfg"
    path.write_text("\n".join(["[defaults]", *settings, "[ssh_connection]", "pipelining = true", ""]))
    return path
