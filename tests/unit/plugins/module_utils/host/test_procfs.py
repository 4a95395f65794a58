# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds what, as /proc tells it."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import procfs


def test_port_holders_from_proc(tmp_path: t.Any) -> None:
    head = "  sl  local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode\n"
    row = "   0: 0100007F:2161 00000000:0000 {} 00000000:00000000 00:00000000 00000000 0 0 {} 1 x\n"
    (tmp_path / "self/net").mkdir(parents=True)
    (tmp_path / "self/net/tcp").write_text(head + row.format("01", 500) + row.format("0A", 501))
    (tmp_path / "12/fd").mkdir(parents=True)
    os.symlink("socket:[501]", tmp_path / "12/fd/3")
    (tmp_path / "12/comm").write_text("java\n")
    (tmp_path / "12/cgroup").write_text("0::/system.slice/besu.service\n")
    assert procfs.port_holders([8545, 1], str(tmp_path)) == {8545: "java (pid 12, besu.service)"}
    assert procfs.listening_units([8545, 1], str(tmp_path)) == {8545: {"besu.service"}}
    os.unlink(tmp_path / "12/fd/3")
    assert procfs.port_holders([8545], str(tmp_path)) == {8545: "a process that this user may not see"}
    assert procfs.listening_units([8545], str(tmp_path)) == {}
