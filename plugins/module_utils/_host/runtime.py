# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection needs of the machine it runs on: commands and time.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Everything that waits or runs a command gets these passed in, so that tests
drive every wait without sleeping and every command without a host.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
import typing as t

_CHUNK = 65536
_KILLED_WITHIN = 2.0


class LifecycleError(Exception):
    """An error that a user can act on.

    ``msg`` names what was asked, what was found and what to do;
    ``details`` goes into the module's result as well.
    """

    def __init__(self, msg: str, **details: t.Any) -> None:
        super().__init__(msg)
        self.msg = msg
        self.details = details


class Completed(t.NamedTuple):
    """The end of a command. ``rc`` is None where it was not started or did not end in time."""

    rc: int | None
    stdout: bytes
    stderr: bytes
    timed_out: bool = False
    truncated: bool = False
    not_found: bool = False

    @property
    def out(self) -> str:
        return self.stdout.decode("utf-8", "replace")

    @property
    def err(self) -> str:
        return self.stderr.decode("utf-8", "replace")


class Runner(t.Protocol):
    """Runs one command, never through a shell."""

    def __call__(
        self,
        argv: t.Sequence[str],
        *,
        timeout: float,
        max_bytes: int = 0,
        env: t.Mapping[str, str] | None = None,
    ) -> Completed:
        """Run ``argv`` for at most ``timeout`` seconds."""


class Clock(t.Protocol):
    """Time. ``monotonic`` is CLOCK_MONOTONIC in seconds, the clock of systemd's ``*Monotonic`` properties."""

    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""

    def wall(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The real clock. On Linux ``time.monotonic`` is CLOCK_MONOTONIC."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)


def clean_environment(extra: t.Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a command whose output is parsed: no locale, no pager, no colour."""
    env = dict(os.environ)
    env.update(
        LC_ALL="C.UTF-8",
        LANGUAGE="C",
        SYSTEMD_COLORS="0",
        SYSTEMD_PAGER="",
        SYSTEMD_URLIFY="0",
    )
    env.update(extra or {})
    return env


def run_command(
    argv: t.Sequence[str],
    *,
    timeout: float,
    max_bytes: int = 8 * 1024 * 1024,
    env: t.Mapping[str, str] | None = None,
) -> Completed:
    """Run ``argv`` for at most ``timeout`` seconds and read at most ``max_bytes`` of each stream.

    The command gets a process group of its own, which is killed whole when
    the time is up, so that a hanging child cannot hold the pipes open. One that
    even SIGKILL does not end, as it waits for a disk, is left behind.
    """
    try:
        # AnsibleModule.run_command can bound neither the time nor the output of a command.
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(env),
            start_new_session=True,
        )
    except FileNotFoundError as exc:
        return Completed(None, b"", str(exc).encode(), not_found=True)
    except OSError as exc:
        return Completed(None, b"", str(exc).encode())
    try:
        return _communicate(process, time.monotonic() + timeout, max_bytes)
    finally:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _communicate(process: subprocess.Popen[bytes], deadline: float, max_bytes: int) -> Completed:
    streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    buffers = {stream.fileno(): bytearray() for stream in streams}
    timed_out, truncated = _read(buffers, deadline, max_bytes)
    if not (timed_out or truncated):
        try:
            process.wait(max(deadline - time.monotonic(), 0.01))
        except subprocess.TimeoutExpired:
            timed_out = True
    if timed_out or truncated:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended in between
        _reap(process)
    stdout, stderr = (bytes(buffer) for buffer in buffers.values())
    return Completed(None if timed_out else process.returncode, stdout, stderr, timed_out, truncated)


def _read(buffers: dict[int, bytearray], deadline: float, max_bytes: int) -> tuple[bool, bool]:
    """Fill the buffers of these file descriptors until all are at their end.

    Whether the time was over before that, and whether one had more than ``max_bytes``.
    """
    open_fds = set(buffers)
    while open_fds:
        left = deadline - time.monotonic()
        if left <= 0:
            return True, False
        truncated = False
        for fd in select.select(list(open_fds), [], [], left)[0]:
            chunk = os.read(fd, _CHUNK)
            if not chunk:
                open_fds.discard(fd)
                continue
            room = max_bytes - len(buffers[fd])
            truncated = truncated or len(chunk) > room
            buffers[fd] += chunk[:room]
        if truncated:
            return False, True
    return False, False


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Wait for what was killed. In an uninterruptible sleep it cannot end, and must not make this wait for ever."""
    try:
        process.wait(_KILLED_WITHIN)
    except subprocess.TimeoutExpired:
        process.returncode = -signal.SIGKILL  # or Python warns of a process that it has lost


def state_dir(user: bool) -> str:
    """Where the collection keeps its records on this host: of the system, or of the calling user."""
    return f"{home()}/.local/state/chainops-lifecycle" if user else "/var/lib/chainops-lifecycle"


def home() -> str:
    """The folder of the user that this process acts as, by the passwd entry: HOME may be that of who ran sudo."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError as exc:
        raise LifecycleError(
            f"uid {os.geteuid()} has no passwd entry, so that there is no place for its records; "
            f"run the task as a user of the host (become_user)"
        ) from exc


def requester() -> str:
    """Who asks, for the lock and the record on the host: the user, and where the connection comes from."""
    import pwd

    user = os.environ.get("SUDO_USER") or ""
    try:
        user = user or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"uid {os.getuid()}"
    peer = os.environ.get("SSH_CONNECTION", "").split()
    return f"{user} from {peer[0]}" if peer else user
