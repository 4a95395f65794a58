# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private files of this collection, which nobody else on the host may read, plant or lock.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

An ordinary user may lock every file and folder that it can open, plant links
and pipes in every folder that it may write, and fill a file system. So folders
are 0700 and files 0600, the last part of a path is never followed, only
regular files are read, locks are waited for within a limit, and a file is
replaced whole or not at all. Every error names the path and what to do.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Clock, LifecycleError

MAX_BYTES = 1024 * 1024
_FOLDER_MODE = 0o700
_FILE_MODE = 0o600
_SAFELY = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_LOCK_PAUSE = 0.05
_FIND_OUT = "find out who put it there, and move it away"
_ADVICE = {
    errno.EACCES: "run the task with become: true",
    errno.EPERM: "run the task with become: true",
    errno.ENOSPC: "free some space there: nothing was done without a record",
    errno.EDQUOT: "the quota is used up, free some space there: nothing was done without a record",
    errno.EROFS: "the file system is read-only, see dmesg: nothing was done without a record",
    errno.ELOOP: f"it is a symbolic link: {_FIND_OUT}",
    errno.ENXIO: f"it is no regular file: {_FIND_OUT}",
    errno.EISDIR: f"it is a directory: {_FIND_OUT}",
    errno.EEXIST: f"something else has its name: {_FIND_OUT}",
    errno.ENOTDIR: f"a part of its path is no directory: {_FIND_OUT}",
}


def problem(what: str, path: str, exc: OSError) -> LifecycleError:
    """The error for what the system refused, with what to do about it."""
    number = exc.errno or 0
    return LifecycleError(f"cannot {what} {path}: {exc.strerror}; {_ADVICE.get(number, 'inspect it')}")


def misshapen(path: str, why: object) -> LifecycleError:
    """The error for a file that does not hold what the collection writes."""
    # To treat it as empty would give a thrashing service a fresh budget, or drop a hold.
    return LifecycleError(f"{path} is no record of this collection ({why}); inspect it and move it away")


def make_folder(base: str, *below: str) -> str:
    """Make ``base`` and the folders below it, ours alone; returns the last one."""
    path = base
    try:
        os.makedirs(os.path.dirname(base), exist_ok=True)
        for path in [base, *(os.path.join(base, *below[: depth + 1]) for depth in range(len(below)))]:
            try:
                os.mkdir(path, _FOLDER_MODE)
            except FileExistsError:
                _take_over(path)
    except OSError as exc:
        raise problem("make the folder", path, exc) from exc
    return path


def _take_over(folder: str) -> None:
    """Close a folder that is there already to everybody else. One that is not ours is refused."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _refuse_foreign(folder, os.fstat(handle))
        os.fchmod(handle, _FOLDER_MODE)
    finally:
        os.close(handle)


def _refuse_foreign(path: str, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise LifecycleError(
            f"{path} belongs to uid {found.st_uid} and not to uid {os.geteuid()}, so that another user could change "
            f"what is kept there; {_FIND_OUT}"
        )


def read_text(path: str) -> str | None:
    """The text of a file, None where there is none. What is no regular file is not waited for."""
    try:
        handle = os.open(path, os.O_RDONLY | _SAFELY)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise problem("read", path, exc) from exc
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise LifecycleError(f"cannot read {path}: it is no regular file; {_FIND_OUT}")
        if found.st_size > MAX_BYTES:
            raise LifecycleError(
                f"cannot read {path}: it has {found.st_size} bytes, more than {MAX_BYTES}; {_FIND_OUT}"
            )
        with os.fdopen(os.dup(handle), encoding="utf-8") as stream:
            return stream.read(MAX_BYTES + 1)
    except UnicodeDecodeError as exc:
        raise misshapen(path, exc) from exc
    except OSError as exc:
        raise problem("read", path, exc) from exc
    finally:
        os.close(handle)


def read_json(path: str) -> t.Any:
    """What a file holds as JSON, None where there is none."""
    text = read_text(path)
    return None if text is None else parse_json(path, text)


def parse_json(path: str, text: str) -> t.Any:
    """The JSON in the text of a file. Numbers that are none (NaN) are refused."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError as exc:
        raise misshapen(path, "it is nested too deep") from exc
    except ValueError as exc:
        raise misshapen(path, exc) from exc


def _no_number(name: str) -> t.NoReturn:
    raise ValueError(f"{name} is no number")


def replace(path: str, text: str, mode: int = _FILE_MODE) -> None:
    """Put a file there whole, or not at all. Its folder has to be ours alone, or one that only root may write."""
    fresh = f"{path}.new"
    try:
        _unlink(fresh)  # of a writer that was killed
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, mode)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fchmod(handle, mode)
                os.fsync(handle)
            os.replace(fresh, path)
        except OSError:
            _unlink(fresh)
            raise
    except OSError as exc:
        raise problem("write", path, exc) from exc


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def remove(path: str) -> None:
    """Remove a file, if it is there."""
    try:
        _unlink(path)
    except OSError as exc:
        raise problem("remove", path, exc) from exc


def open_lock(path: str) -> int:
    """The descriptor of a file to lock, made where it is not there. Nobody else may open it."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | _SAFELY, _FILE_MODE)
    except OSError as exc:
        raise problem("open the lock", path, exc) from exc
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise LifecycleError(f"cannot open the lock {path}: it is no regular file; {_FIND_OUT}")
        _refuse_foreign(path, found)
        os.fchmod(handle, _FILE_MODE)
    except BaseException:
        os.close(handle)
        raise
    return handle


def wait_for_lock(handle: int, path: str, clock: Clock, patience: float) -> None:
    """Lock a descriptor. Raises LifecycleError where somebody else keeps it locked for ``patience`` seconds."""
    end = clock.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if clock.monotonic() >= end:
                raise LifecycleError(
                    f"{path} has been locked by another process for {patience:.0f} s; see who it is with "
                    f"'fuser -v {path}', and run again"
                ) from None
        except OSError as exc:
            raise problem("lock", path, exc) from exc
        clock.sleep(_LOCK_PAUSE)
