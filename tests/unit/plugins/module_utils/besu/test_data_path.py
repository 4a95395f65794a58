# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data directory is among the paths that need room before a start, without being told."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.data_path import data_paths


@pytest.fixture
def named(tmp_path):
    def found(text, command="/opt/besu/bin/besu --config-file={config}", more=""):
        config, unit = tmp_path / "config.toml", tmp_path / "besu.service"
        config.write_text(text)
        unit.write_text(f"[Service]\nExecStart={command.replace('{config}', str(config))}\n{more}")
        return data_paths({"FragmentPath": str(unit)})

    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('data-path="/var/lib/besu"\n', ("/var/lib/besu",)),
        ("rpc-http-enabled=true\n  data-path = '/srv/a b'  # here\n", ("/srv/a b",)),
        ('"data-path"="/srv/x"', ("/srv/x",)),
        ('# data-path="/srv/x"\n', ()),
        ('x-data-path="/srv/x"\n', ()),
        ('data-path="relative"\n', ()),
        ("data-path=7\n", ()),
        ('data-path="/srv/x\n', ()),
        ("", ()),
    ],
)
def test_what_the_configuration_file_names(named, text, expected):
    assert named(text) == expected


def test_another_program_has_none_of_besus(named):
    assert named('data-path="/srv/x"', command="/usr/bin/java --config-file={config}") == ()


def test_one_that_a_unit_has_for_itself_is_not_on_this_host(named):
    assert named('data-path="/srv/x"', more="RootDirectory=/srv/image\n") == ()


def test_a_file_that_is_not_there(tmp_path):
    unit = tmp_path / "besu.service"
    unit.write_text(f"[Service]\nExecStart=/opt/besu/bin/besu --config-file={tmp_path}/none.toml\n")
    assert data_paths({"FragmentPath": str(unit)}) == () == data_paths({})
