# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words in which RocksDB and Besu say that a database is damaged, as data. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Besu shows RocksDB's message without its code ("Corruption: "), so that only
these words tell damage from a wrong path. Sources: RocksDB's db/, table/, file/
and utilities/ (the places named below), Besu's plugins/rocksdb and reports of
its users. Each is a regular expression over a line.
"""

from __future__ import annotations

_DATABASE_FILE = r"\S{1,300}(?:\.(?:sst|ldb|log|blob)|/MANIFEST-\d{1,20}|/CURRENT|/OPTIONS-\d{1,20})\b"

DAMAGE: tuple[str, ...] = (
    r"\bCorruption: ",
    r"may be corrupted",
    # db/db_impl/db_impl_open.cc, db/db_impl/db_impl.cc
    r"wal_dir contains existing log file",
    r"SST file is ahead of WALs",
    r"Can't access /\S{1,60}\.sst",
    r"(?:sst )?file size mismatch",
    # db/version_edit_handler.cc, db/version_edit.cc, db/version_set.cc, db/version_builder.cc
    r"CURRENT file (?:does not end with newline|corrupted|is corrupted)",
    r"MANIFEST (?:file )?(?:is )?(?:corrupted|truncated|missing)",
    r"(?:no|missing) (?:meta-)?(?:nextfile|lognumber|last-sequence-number|log-file) (?:\S{1,20} )?entry in descriptor",
    r"Column families not opened",
    r"Manifest (?:removing non-existing|adding the same|record referencing unknown) column family",
    r"\bVersionEdit: ",
    r"force_consistency_checks",
    r"Cannot delete table file #\d",
    # db/log_reader.cc, db/wal_edit.cc, db/write_batch.cc
    r"truncated (?:record body|header|block read)",
    r"bad record length",
    r"(?:missing start of fragmented|error in middle of|partial) record",
    r"error reading trailing data",
    r"log record too small",
    r"unknown record type",
    r"Missing WAL with log number|Size mismatch: WAL",
    r"malformed WriteBatch|bad WriteBatch|WriteBatch has wrong count|unknown WriteBatch tag",
    # table/format.cc, table/block_based/*, file/*
    r"bad (?:table )?magic number|Bad table footer|Missing SST footer data",
    r"(?:file|block) is too short",
    r"\bchecksum mismatch",
    r"unknown (?:block )?checksum type",
    r"bad block (?:contents|type|handle)|bad entry in (?:block|properties)",
    r"corrupted (?:\w{2,10} )?(?:compressed )?block",
    r"\bout-of-order keys|keys out of order",
    # db/blob/*
    r"Unexpected blob file size|blob (?:header|record|index)\b.{0,40}(?:corrupt|mismatch|error)",
    # env/io_posix.cc: a file that the database knows of is gone
    rf"While open(?:ing)? a file for (?:random(?: access)?|sequential(?:ly)?)\b.{{0,20}}:? {_DATABASE_FILE}"
    r".{0,10}No such file",
    # Besu
    r"metadata file not found",
    r"missing genesis block data",
    r"World State Root does not match",
    r"with its worldstate database",
)
DATABASE_DAMAGE = "|".join(DAMAGE)
