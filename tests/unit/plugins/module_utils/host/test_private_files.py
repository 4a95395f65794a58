# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that nobody else on the host may read, plant or lock, and what is said of those that are not so."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import private_files as files
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import VirtualClock


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.fixture
def wide_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_folders_and_files_are_for_nobody_else(tmp_path, wide_umask):
    folder = files.make_folder(str(tmp_path / "state"), "attempts")
    files.replace(f"{folder}/a.json", "{}")
    os.close(files.open_lock(f"{folder}/a.lock"))
    assert [mode(tmp_path / "state"), mode(folder)] == [0o700, 0o700]
    assert [mode(f"{folder}/a.json"), mode(f"{folder}/a.lock")] == [0o600, 0o600]


def test_what_an_earlier_release_left_open_is_closed(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    lock = folder / "a.lock"
    lock.touch(mode=0o644)
    files.make_folder(str(folder))
    os.close(files.open_lock(str(lock)))
    assert (mode(folder), mode(lock)) == (0o700, 0o600)


def fifo(path):
    os.mkfifo(path)


def link(path):
    path.symlink_to(path.parent / "elsewhere")


def dangling(path):
    (path.parent / "elsewhere").write_text("{}")
    link(path)


def folder(path):
    (path / "x").mkdir(parents=True)


@pytest.mark.parametrize("plant", [fifo, link, dangling, folder])
@pytest.mark.parametrize("use", [files.read_text, files.open_lock])
def test_what_is_no_regular_file_is_named_and_neither_followed_nor_waited_for(plant, use, tmp_path):
    path = tmp_path / "a.json"
    plant(path)
    with pytest.raises(LifecycleError, match=f"{path}.*find out who put it there, and move it away"):
        use(str(path))
    assert not (tmp_path / "elsewhere").exists() or (tmp_path / "elsewhere").read_text() == "{}"


def test_a_temporary_file_that_was_planted_is_not_written_through(tmp_path):
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "a.json.new").symlink_to(target)
    files.replace(str(tmp_path / "a.json"), "{}")
    assert target.read_text() == "precious" and (tmp_path / "a.json").read_text() == "{}"
    assert not (tmp_path / "a.json").is_symlink() and not (tmp_path / "a.json.new").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_what_cannot_be_written_leaves_what_was_there(number, tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.replace(str(path), "before")

    def refused(_handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(LifecycleError, match=f"cannot write {path}: {os.strerror(number)}; \\w+"):
        files.replace(str(path), "after")
    assert path.read_text() == "before" and [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b"{", b"", b"\0\377", b"[NaN]", b"[Infinity]", b" " * (files.MAX_BYTES + 1)],
    ids=["deep", "cut", "empty", "bytes", "nan", "infinite", "large"],
)
def test_what_is_no_json_is_one_error_that_names_the_file(content, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(LifecycleError, match=f"{path}.*move it away"):
        files.read_json(str(path))


def test_a_lock_is_waited_for_within_its_limit(tmp_path):
    path, clock = str(tmp_path / "a.lock"), VirtualClock()
    holder, waiter = files.open_lock(path), files.open_lock(path)
    fcntl.flock(holder, fcntl.LOCK_EX)
    began = clock.monotonic()
    with pytest.raises(LifecycleError, match=f"{path} has been locked by another process for 5 s"):
        files.wait_for_lock(waiter, path, clock, 5.0)
    assert 5.0 <= clock.monotonic() - began < 5.2
    os.close(holder)
    files.wait_for_lock(waiter, path, clock, 0.0)
    os.close(waiter)


def test_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    files.make_folder(str(tmp_path / "state"))
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(LifecycleError, match=f"{tmp_path}/state belongs to uid .* and not to uid 4711"):
        files.make_folder(str(tmp_path / "state"))
