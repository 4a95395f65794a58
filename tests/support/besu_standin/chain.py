# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data directory: version metadata, the lock, and the blocks, in files that are named as Besu's are."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from .block import Block
from .failures import DiskFull, StartFailure
from .genesis import Genesis
from .votes import ValidatorSets

_MANIFEST = b"stand-in manifest\n"
_FORMATS = {"BONSAI": 3, "FOREST": 2}


def _disk_full(error: OSError, path: Path) -> DiskFull | OSError:
    return DiskFull(str(path)) if error.errno in (errno.ENOSPC, errno.EDQUOT) else error


class DataDirectory:
    """The metadata files beside the database."""

    def __init__(self, path: Path, version: str, storage_format: str) -> None:
        self.path = path
        self.version = version
        self.format = storage_format
        self.database = path / "database"

    def require_writable(self) -> None:
        """``StartFailure`` when the directory cannot be made or written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError:
            raise StartFailure(f"Data directory is not writable: {self.path}") from None
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise StartFailure(f"Data directory is not writable: {self.path}")

    def last_version(self) -> str | None:
        """The version that last started on this directory."""
        try:
            document = json.loads((self.path / "VERSION_METADATA.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return str(document.get("besuVersion"))

    def refuse_downgrade(self, last: str | None, protected: bool) -> None:
        """``StartFailure`` when a newer version ran here before, and this is not allowed."""
        if last is None or not protected or _key(last) <= _key(self.version):
            return
        text = (
            f"Besu version {self.version} is lower than version {last} that last started. "
            "Remove --version-compatibility-protection option to allow Besu to start at  the lower version "
            "(warning - this may have unrecoverable effects on the database)."
        )
        raise StartFailure(text, [("VersionMetadata", text)])

    def write_version(self) -> None:
        """Remember which version started here."""
        self._write(self.path / "VERSION_METADATA.json", json.dumps({"besuVersion": self.version}) + "\n")

    def exists(self) -> bool:
        """Whether there is a database."""
        return (self.path / "DATABASE_METADATA.json").exists()

    def check_metadata(self) -> None:
        """``StartFailure`` when the database is of another format or of a version that is not known."""
        document = json.loads((self.path / "DATABASE_METADATA.json").read_text(encoding="utf-8"))
        found = document.get("v2", {})
        kind, version = str(found.get("format")), found.get("version")
        if kind not in _FORMATS or version not in (1, 2, 3):
            text = f"Unsupported RocksDB metadata: MetadataV2[format={kind}, version={version}]"
            raise StartFailure(text, [("DatabaseMetadata", text)])
        if kind != self.format:
            raise StartFailure(
                f"Database format mismatch: DB at {self.path} is {kind} but config expects {self.format}. "
                "Please check your config."
            )

    def create(self) -> None:
        """A new, empty database."""
        self.database.mkdir(exist_ok=True)
        (self.path / "caches").mkdir(exist_ok=True)
        self._write(self.database / "MANIFEST-000005", _MANIFEST.decode())
        self._write(self.database / "CURRENT", "MANIFEST-000005\n")
        metadata = {"v2": {"format": self.format, "version": _FORMATS[self.format]}}
        self._write(self.path / "DATABASE_METADATA.json", json.dumps(metadata) + "\n")

    def check_manifest(self) -> None:
        """``StartFailure`` in RocksDB's words when its manifest is damaged."""
        manifest = self.database / "MANIFEST-000005"
        if not manifest.exists() or manifest.read_bytes() != _MANIFEST:
            raise StartFailure(
                "org.rocksdb.RocksDBException: no log_file_number, next_file_number, last_sequence entry in MANIFEST"
                f"  The file {manifest} may be corrupted."
            )

    def lock(self) -> TextIO:
        """Take the lock that a second process on this directory does not get."""
        path = self.database / "LOCK"
        handle = path.open("a", encoding="ascii")
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            raise StartFailure(
                f"org.rocksdb.RocksDBException: While lock file: {path}: Resource temporarily unavailable"
            ) from None
        return handle

    def _write(self, path: Path, text: str) -> None:
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise _disk_full(error, path) from error


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())


class Chain:
    """The canonical chain of one node, in memory and in one append-only file."""

    def __init__(self, genesis: Genesis, log: Path) -> None:
        self.genesis = genesis
        self.blocks: list[Block] = [genesis.block]
        self.sets = ValidatorSets(genesis)
        self._by_hash: dict[str, int] = {genesis.block.hash: 0}
        self._log = log
        self._file: TextIO | None = None

    @property
    def head(self) -> Block:
        """The newest block."""
        return self.blocks[-1]

    def open(self) -> None:
        """Read what the file holds. ``StartFailure`` when it belongs to another genesis block."""
        stored = self._read_stored()
        if stored and stored[0] != self.genesis.block.wire():
            raise StartFailure(
                f"Supplied genesis block does not match chain data stored in {self._log.parent.parent}\n"
                "Please specify a different data directory with --data-path, specify the original genesis file with "
                "--genesis-file or supply a testnet/mainnet option with --network."
            )
        for fields in stored[1:]:
            self._accept(Block.from_wire(fields))
        try:
            self._file = self._log.open("a", encoding="ascii")
        except OSError as error:
            raise _disk_full(error, self._log) from error
        if not stored:
            self._append([self.genesis.block])

    def _read_stored(self) -> list[object]:
        if not self._log.exists():
            return []
        stored: list[object] = []
        good = 0
        with self._log.open("rb") as handle:
            for line in handle:
                try:
                    stored.append(json.loads(line))
                except ValueError:
                    # The last write of a process that was killed.
                    os.truncate(self._log, good)
                    break
                good += len(line)
        return stored

    def extend(self, blocks: Iterable[Block]) -> None:
        """Append blocks, each the child of the one before. ``ValueError`` when one is not; ``DiskFull``."""
        accepted = []
        for block in blocks:
            self._accept(block)
            accepted.append(block)
        self._append(accepted)

    def _accept(self, block: Block) -> None:
        if block.number != self.head.number + 1 or block.parent != self.head.hash:
            raise ValueError(f"block {block.number} does not follow block {self.head.number}")
        self.blocks.append(block)
        self._by_hash[block.hash] = block.number
        self.sets.add(block)

    def _append(self, blocks: list[Block]) -> None:
        if self._file is None:
            raise ValueError("the chain is not open")
        try:
            self._file.write("".join(json.dumps(b.wire(), separators=(",", ":")) + "\n" for b in blocks))
            self._file.flush()
        except OSError as error:
            raise _disk_full(error, self._log) from error

    def by_number(self, number: int) -> Block | None:
        """The block with that number, if this node has it."""
        return self.blocks[number] if 0 <= number < len(self.blocks) else None

    def by_hash(self, block_hash: str) -> Block | None:
        """The block with that hash, if this node has it."""
        number = self._by_hash.get(block_hash.lower())
        return None if number is None else self.blocks[number]

    def close(self) -> None:
        """Close the file. What finds no room was told when it was written, and is lost as at a kill."""
        if self._file is None:
            return
        try:
            self._file.close()
        except OSError as error:
            if not isinstance(_disk_full(error, self._log), DiskFull):
                raise
        self._file = None
