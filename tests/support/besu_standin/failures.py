# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a start ends that fails: the words and the exit code of the real node."""

from __future__ import annotations

from dataclasses import dataclass, field

USAGE = 2


@dataclass(eq=False)
class StartFailure(Exception):
    """Besu refuses to start: ``Failed to start Besu: REASON``, then the reason again and the usage text; exit 2.

    ``errors`` are ERROR lines (logger, text) that come before.
    """

    reason: str
    errors: list[tuple[str, str]] = field(default_factory=list)


@dataclass(eq=False)
class OptionError(Exception):
    """A bad option or configuration file: the text and the usage text without any log line; exit 2."""

    reason: str
    suggestions: list[str] = field(default_factory=list)


@dataclass(eq=False)
class VirtualMachineError(Exception):
    """The Java virtual machine does not come up: its text on standard error; exit 1."""

    text: str


class OutOfMemoryAtStart(Exception):
    """The heap is exhausted before the node runs; exit 1."""


@dataclass(eq=False)
class DiskFull(Exception):
    """The file system of the data directory has no space left; exit 1, while running too."""

    path: str


UNSUPPORTED_CLASS_VERSION = (
    "Error: LinkageError occurred while loading main class org.hyperledger.besu.Besu\n"
    "\tjava.lang.UnsupportedClassVersionError: org/hyperledger/besu/Besu has been compiled by a more recent version "
    "of the Java Runtime (class file version 69.0), this version of the Java Runtime only recognizes class file "
    "versions up to 65.0"
)


def heap_refused(kilobytes: int) -> VirtualMachineError:
    """The heap that ``JAVA_OPTS`` asks for is more than the machine can give."""
    return VirtualMachineError(
        f"Error occurred during initialization of VM\nCould not reserve enough space for {kilobytes} KB object heap"
    )
