# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the next start of a unit lacks, told before what lives is ended for it."""

from __future__ import annotations

import os

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.readiness import Account, may, unready


def command(path, ignore="no", argv="--token secret"):
    return f"{{ path={path} ; argv[]={path} {argv} ; ignore_errors={ignore} ; start_time=[n/a] ; pid=0 ; code=(null) }}"


@pytest.fixture
def files(tmp_path):
    app = tmp_path / "app"
    app.write_text("#!/bin/sh\n")
    app.chmod(0o755)
    (tmp_path / "plain").write_text("x")
    odd = tmp_path / "odd"
    odd.write_text("#!/opt/none/python3 -u\n")
    odd.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    "properties, missing",
    [
        ({"ExecStart": command("{}/app")}, []),
        ({"ExecStart": command("{}/none")}, ["{}/none is not there"]),
        ({"ExecStart": command("{}/none", ignore="yes")}, []),
        ({"ExecStart": command("{}/app") + " " + command("{}/two")}, ["{}/two is not there"]),
        ({"ExecStartPre": command("{}/pre"), "ExecStart": command("{}/app")}, ["{}/pre is not there"]),
        ({"ExecStart": command("{}")}, ["{} cannot be executed"]),
        ({"ExecStart": command("{}/odd")}, ["/opt/none/python3, the interpreter of {}/odd, is not there"]),
        ({"ExecStart": command("{}/none"), "RootDirectory": "/srv/root"}, []),
        ({"ExecStart": command("{}/app/x")}, ["{}/app/x is not there"]),
        ({"EnvironmentFiles": "{}/plain (ignore_errors=no)"}, []),
        ({"EnvironmentFiles": "{}/env (ignore_errors=no)"}, ["the environment file {}/env is not there"]),
        ({"EnvironmentFiles": "{}/env (ignore_errors=yes) {}/two (ignore_errors=no)"},
         ["the environment file {}/two is not there"]),
        ({"EnvironmentFiles": "{}/*.env (ignore_errors=no)"}, []),
        ({"WorkingDirectory": "{}/dir"}, ["the working directory {}/dir is not there"]),
        ({"WorkingDirectory": "!{}/dir"}, []),
        ({"WorkingDirectory": "{}"}, []),
        ({"User": "no-such-user"}, ["there is no user no-such-user"]),
        ({"User": "no-such-user", "DynamicUser": "yes"}, []),
        ({"User": "root", "Group": "no-such-group"}, ["there is no group no-such-group"]),
        ({}, []),
    ],
)  # fmt: skip
def test_unready(files, properties, missing):
    here = {key: value.replace("{}", str(files)) for key, value in properties.items()}
    assert unready(here) == [said.replace("{}", str(files)) for said in missing]
    assert not any("secret" in said for said in unready(here))


def test_credentials_are_read_from_the_unit_files(files):
    unit, drop_in = files / "x.service", files / "y.conf"
    unit.write_text(f"[Service]\nLoadCredential=token:{files}/token\nLoadCredential=ok:{files}/plain\n")
    drop_in.write_text(f"[Service]\nLoadCredentialEncrypted=key:{files}/key\nLoadCredential=h:%h/x\n")
    properties = {"FragmentPath": str(unit), "DropInPaths": str(drop_in)}
    assert unready(properties) == [
        f"the credential file {files}/token is not there",
        f"the credential file {files}/key is not there",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look as somebody else does")
@pytest.mark.parametrize("mode, allowed", [(0o755, True), (0o700, False), (0o750, False)])
def test_the_user_of_the_unit_decides(files, mode, allowed):
    path = files / "app"
    for folder in [files, *files.parents]:
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    path.chmod(mode)
    nobody = Account("nobody", 65534, 65534, (65534,))
    assert may(nobody, str(path), os.X_OK) is allowed
    assert may(None, str(path), os.X_OK)
    missing = unready({"User": "nobody", "ExecStart": command(str(path))})
    assert missing == ([] if allowed else [f"{path} cannot be executed by nobody"])
