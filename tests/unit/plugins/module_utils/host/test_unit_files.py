# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a unit, read from its files."""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import unit_files as u


def test_settings_of_a_unit_and_its_drop_ins(tmp_path: t.Any) -> None:
    unit, drop_in = tmp_path / "x.service", tmp_path / "x.conf"
    unit.write_text(
        "[Service]\n# User=nobody\nExecStart=-/opt/x --config=/etc/x.yml \\\n  --data /srv/x\nUser=app\n"
        "BindPaths=/srv/a:/b -/srv/c\nLoadCredential=key:/etc/key\nWorkingDirectory=/srv/%i\n"
    )
    drop_in.write_text("[Service]\nUser=\nUser=other\n")
    found = u.read_settings({"FragmentPath": str(unit), "DropInPaths": f"{drop_in} /none.conf"})
    assert found["User"] == ["other"]
    assert "WorkingDirectory" not in found
    assert u.command_lines(found) == [["/opt/x", "--config=/etc/x.yml", "--data", "/srv/x"]]
    assert u.argument_paths(found) == ["/opt/x", "/etc/x.yml", "/srv/x"]
    assert u.paths_of(found, "BindPaths", "ReadOnlyPaths") == ["/srv/a"]


def test_a_unit_without_files_has_no_settings() -> None:
    assert u.read_settings({}) == {}
    assert u.read_settings({"FragmentPath": "/none"}) == {}
