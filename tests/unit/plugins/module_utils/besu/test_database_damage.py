# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A damaged database is told in many words, and none of them is a wrong path or a lock."""

from __future__ import annotations

import re

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.causes import START_RULES
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.database_damage import DAMAGE
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.rules import GENERIC_RULES

SST = "/var/lib/besu/database/000012.sst"
STARTED = "2026-08-14 12:00:00.000+00:00 | main | ERROR | Besu | Failed to start Besu: "
DAMAGED = (
    "While creating a new Db, wal_dir contains existing log file: : 000004.log",
    f"While open a file for random read: {SST}: No such file or directory",
    "While opening a file for sequentially reading: /var/lib/besu/database/MANIFEST-000008: No such file or directory",
    "IO error: No such file or directory: While open a file for random read: /d/000012.ldb: No such file or directory",
    "While opening a file for sequentially reading: /var/lib/besu/database/CURRENT: No such file or directory",
    "Corruption: CURRENT file does not end with newline",
    "CURRENT file does not end with newline",
    "CURRENT file corrupted",
    f"Bad table magic number: expected 9863518390377041911, found 0 in {SST}",
    f"block checksum mismatch: stored = 1, computed = 2  in {SST} offset 0 size 4096",
    "checksum mismatch",
    "Can't access /000012.sst: NotFound: ",
    "Column families not opened: BLOCKCHAIN, WORLD_STATE",
    "truncated record body",
    "truncated header",
    "bad record length",
    "missing start of fragmented record(2)",
    "error in middle of record",
    "partial record without end(1)",
    "log record too small",
    f"Sst file size mismatch: {SST}. Size recorded in manifest 1, actual size 0",
    f"file is too short (0 bytes) to be an sstable: {SST}",
    "no meta-nextfile entry in descriptor",
    "no last-sequence-number entry in descriptor",
    "Missing WAL with log number: 12.",
    "Size mismatch: WAL (log number: 7) in MANIFEST is 120 bytes , but actually is 0 bytes",
    "malformed WriteBatch (too small)",
    "SST file is ahead of WALs in CF default",
    f"Missing SST footer data in file {SST} File too short? Expected size: 4096",
    "Unexpected blob file size",
    "bad block contents",
    "VersionEdit: new-file4 entry",
    "VersionEdit: comparator name",
    "Snappy not supported or corrupted Snappy compressed block contents",
    "Compaction sees out-of-order keys.",
    "Manifest removing non-existing column family",
)
NOT_DAMAGED = {
    f"Corrupt or unsupported format_version: 77. Found in file: {SST}": "database_version",
    "Unknown Footer version. Maybe this file was created with newer version of RocksDB?": "database_version",
    "Unable to change the sync mode when snap sync is incomplete, please restart with snap sync mode": "config_invalid",
    "While lock file: /var/lib/besu/database/LOCK: Resource temporarily unavailable": "database_locked",
    "While lock file: /opt/besu/data/database/LOCK: No locks available": "database_locked",
    "While appending to file: /var/lib/besu/database/000021.log: No space left on device": "disk_full",
    f"While pread offset 20119552 len 32738: {SST}: Input/output error": "storage_error",
    f"While open a file for random read: {SST}: Permission denied": "permission_denied",
    f"While open a file for random read: {SST}: Too many open files": "file_descriptors",
    "While mkdir if missing: /var/lib/besu/database: Read-only file system": "read_only_filesystem",
}


def cause_of(line: str) -> tuple[str, str]:
    rules = (*START_RULES, *GENERIC_RULES)
    found = next((r for r in rules if r.pattern and not r.facts and re.search(r.pattern, line, re.IGNORECASE)), None)
    return (found.cause, found.severity) if found else ("none", "")


@pytest.mark.parametrize("words", DAMAGED)
def test_damage_is_damage_in_all_its_words(words: str) -> None:
    for thrown in (
        "org.rocksdb.RocksDBException: ",
        "org.hyperledger.besu.plugin.services.exception.StorageException: ",
    ):
        assert cause_of(STARTED + thrown + words) == ("database_corrupt", "hard")


@pytest.mark.parametrize("words", NOT_DAMAGED)
def test_what_only_stands_in_the_way_of_a_database_is_no_damage(words: str) -> None:
    assert cause_of(f"{STARTED}org.rocksdb.RocksDBException: {words}")[0] == NOT_DAMAGED[words]


def test_every_pattern_of_the_table_can_be_read() -> None:
    assert len(DAMAGE) > 25
    for pattern in DAMAGE:
        re.compile(pattern)
