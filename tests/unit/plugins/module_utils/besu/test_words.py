# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a log says, in the words that real nodes wrote; and the causes that these words prove."""

from __future__ import annotations

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.causes import (
    START_RULES,
    TROUBLES,
    trouble_rules,
)
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.log import LogLine, read_log
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.diagnose import diagnose
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.rules import GENERIC_RULES
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.journal import Entry

ONE, TWO, THREE = ("0x" + c * 40 for c in "123")
PREFIX = "2026-11-24 08:34:18.021+00:00 | BftProcessorExecutor-QBFT-0 | INFO  | "


def log(*texts, colour=False):
    wrap = (lambda text: f"\x1b[2m{text}\x1b[m") if colour else (lambda text: text)
    return read_log([LogLine(100.0 + i, wrap(PREFIX + text)) for i, text in enumerate(texts)])


def rounds(*pairs):
    return [f"RoundChangeManager | Address: {a}  Round: {n}{' (Local node)' if a == ONE else ''}" for a, n in pairs]


SUMMARY = "RoundChangeManager | BFT round summary (quorum = 3)"


@pytest.mark.parametrize("colour", [False, True])
def test_rounds_of_a_lost_quorum(colour):
    seen = log(
        "RoundTimer | Moved to round 2 which will expire in 16 seconds",
        SUMMARY,
        *rounds((ONE, 2), (TWO, 2)),
        "RoundTimer | Moved to round 10 which will expire in 4,096 seconds",
        SUMMARY,
        *rounds((ONE, 10), (THREE, 1)),
        colour=colour,
    )
    assert (seen.round, seen.round_seconds, seen.quorum) == (10, 4096.0, 3)
    assert [(one.address, one.number, one.local) for one in seen.rounds] == [(ONE, 10, True), (THREE, 1, False)]
    assert seen.round_since(0.0) == 10 and seen.round_since(1e9) is None


def test_a_round_lasts_since_it_was_first_heard_of():
    seen = log(SUMMARY, *rounds((ONE, 2), (TWO, 3)), SUMMARY, *rounds((ONE, 3), (TWO, 3)))
    first, again = seen.rounds_at - 3, seen.rounds_at
    assert [(one.number, one.since) for one in seen.rounds] == [(3, again + 1), (3, first + 2)]


def test_a_new_block_ends_the_rounds():
    for line in ("QbftRound | Importing proposed block to chain. round=x", "X | Produced empty block #121 / 0 tx"):
        seen = log("RoundTimer | Moved to round 2 which will expire in 16 seconds", SUMMARY, *rounds((ONE, 2)), line)
        assert seen.round is None and seen.rounds == ()


def test_an_address_line_without_a_summary_is_no_round():
    assert log(*rounds((ONE, 2))).rounds == ()


@pytest.mark.parametrize("seconds", ["1.2.3", ",.,", ".", ",", "1e9", "x"])
def test_a_time_that_is_no_number_is_no_round(seconds):
    assert log(f"RoundTimer | Moved to round 2 which will expire in {seconds} seconds").round is None


def test_own_address_and_settings():
    seen = log(
        "DefaultP2PNetwork | Node address 0x73BF4ea1ca3143f3a8cde418781db81bfe1a8ab9",
        "Besu | RPC HTTP JSON-RPC config: JsonRpcConfiguration{enabled=false, port=8545",
    )
    assert seen.node_address == "0x73bf4ea1ca3143f3a8cde418781db81bfe1a8ab9"
    assert seen.rpc_off


def test_a_flood_costs_no_memory_and_hostile_lines_are_harmless():
    seen = read_log(
        [
            LogLine(float(i), f"x | Y | Invalid block {i} (0x) \x1b]0;pwned\x07{{{{ 7*7 }}}} " + "z" * 9000)
            for i in range(3000)
        ]
    )
    assert seen.invalid_count == 3000 and len(seen.invalid_lines) <= 2
    assert all(len(line) <= 200 and "{{" not in line and "\x1b" not in line for line in seen.invalid_lines)


# --- causes of a failed start, in Besu's own words ------------------------------------------------------------------

FAILED = "2026-11-24 09:19:41.373+00:00 | main | ERROR | Besu | Failed to start Besu: "
WORDS = [
    ("Unknown option: '--no-such-option=1'", "config_invalid", "hard"),
    ("Unknown option in TOML configuration file: no-such-key", "config_invalid", "hard"),
    (
        "Invalid TOML configuration: org.apache.tuweni.toml.TomlParseError: Unexpected end of line",
        "config_invalid",
        "hard",
    ),
    ("Invalid value for option '--p2p-port': 'x' is not an int", "config_invalid", "hard"),
    ("Unable to read TOML configuration, file not found: /etc/besu/config.toml", "config_missing", "hard"),
    (
        FAILED
        + "Unable to load genesis file. java.io.FileNotFoundException: /etc/besu/genesis.json (No such file or directory)",
        "config_missing",
        "hard",
    ),
    (
        FAILED + "Unable to load genesis file. com.fasterxml.jackson.core.io.JsonEOFException: Unexpected end-of-input",
        "config_invalid",
        "hard",
    ),
    (FAILED + "Supplied genesis block does not match chain data stored in /var/lib/besu", "genesis_mismatch", "hard"),
    (FAILED + "Illegal character 'z' found at index 0 in hex binary representation", "key_invalid", "hard"),
    (FAILED + "Supplied file does not contain valid keyPair pair.", "key_invalid", "hard"),
    (FAILED + "Data directory is not writable: /var/lib/besu", "permission_denied", "hard"),
    (
        FAILED + "Port(s) '[8545, 30303]' already in use. Check for other processes using the port(s).",
        "address_in_use",
        "hard",
    ),
    (
        FAILED
        + "org.rocksdb.RocksDBException: While lock file: /var/lib/besu/database/LOCK: Resource temporarily unavailable",
        "database_locked",
        "hard",
    ),
    (
        FAILED + "org.rocksdb.RocksDBException: While lock file: /data/database/LOCK: No locks available",
        "database_locked",
        "hard",
    ),
    (
        FAILED
        + "org.rocksdb.RocksDBException: no log_file_number entry in MANIFEST  The file /x/MANIFEST-000005 may be corrupted.",
        "database_corrupt",
        "hard",
    ),
    (
        FAILED + "org.rocksdb.RocksDBException: Corruption: block checksum mismatch: stored = 1, computed = 2",
        "database_corrupt",
        "hard",
    ),
    (FAILED + "Unsupported RocksDB metadata: MetadataV2[format=BONSAI, version=99]", "database_version", "hard"),
    (
        FAILED
        + "Besu version 26.8.0 is lower than version 99.1.0 that last started. Remove --version-compatibility-protection",
        "database_version",
        "hard",
    ),
    (
        FAILED + "Database format mismatch: DB at /var/lib/besu is BONSAI but config expects FOREST.",
        "database_format",
        "hard",
    ),
    (FAILED + "Specified node(s) not in nodes-allowlist [enode://26ce@10.77.0.11:30303]", "node_allowlist", "hard"),
    (FAILED + "failed to create a child event loop", "file_descriptors", "hard"),
    (FAILED + "something that nobody has seen before", "start_failed", "soft"),
    ("Keystore file is required when TLS is enabled for JSON-RPC HTTP endpoint", "config_invalid", "hard"),
    ("--network option and --genesis-file option can't be used at the same time.", "config_invalid", "hard"),
    ("an option that nobody has refused before", "config_invalid", "hard"),
    ("Invalid IP address 'boot.example' (or DNS query resolved an invalid IP).", "unknown", "soft"),
    ("/opt/besu/bin/besu: 4: exec: /opt/nojava/bin/java: not found", "java_missing", "hard"),
    ("ERROR: JAVA_HOME is set to an invalid directory: /opt/nojava", "java_missing", "hard"),
    ("Could not reserve enough space for 1048574951424 KB object heap", "java_options", "hard"),
    ("Unrecognized VM option 'UseMagicGC'", "java_options", "hard"),
    (
        "java.lang.UnsupportedClassVersionError: org/hyperledger/besu/Besu has been compiled by a more recent version",
        "java_version",
        "hard",
    ),
    ("java.lang.OutOfMemoryError: Java heap space", "out_of_memory", "hard"),
    (
        "x | ERROR | RocksDBTransaction | Disk full detected: While appending to file: /x/000004.log: No space left on device",
        "disk_full",
        "hard",
    ),
]


def entry(text, at=100.0):
    fields = {"_TRANSPORT": "stdout"}
    return Entry(at, 0.0, "", "run", 6, text, "besu.service", "besu", 7, "", "", fields)


def failed(lived=3.0, status="2"):
    return {
        "ActiveState": "failed",
        "SubState": "failed",
        "Result": "exit-code",
        "InvocationID": "run",
        "ExecMainCode": "1",
        "ExecMainStatus": status,
        "ActiveEnterTimestampMonotonic": "1000000000",
        "InactiveEnterTimestampMonotonic": str(int(1e9 + lived * 1e6)),
    }


@pytest.mark.parametrize(("words", "cause", "severity"), WORDS, ids=lambda value: str(value)[-40:])
def test_why_it_does_not_start(words, cause, severity):
    noise = "2026 | main | WARN  | Besu | Forcing price bump for transaction replacement to 0"
    entries = [entry(noise), entry(words), entry("To display full help:"), entry("besu [COMMAND] --help")]
    found = diagnose(failed(), entries, rules=(*START_RULES, *GENERIC_RULES)).primary
    assert (found.id, found.severity) == (cause, severity)
    assert found.evidence and found.next_step


def test_memory_that_ran_out_after_hours_is_worth_a_restart():
    words = [entry("Exception in thread x java.lang.OutOfMemoryError: Java heap space")]
    found = diagnose(failed(lived=9000.0, status="3"), words, rules=(*START_RULES, *GENERIC_RULES)).primary
    assert (found.id, found.severity) == ("out_of_memory", "soft")


@pytest.mark.parametrize(
    "harmless",
    [
        "x | WARN  | PipelineChainDownloader | Chain download failed. Restarting after short delay.",
        "x | INFO  | FullSyncTargetManager | Unable to find sync target. Waiting for 5 peers minimum. Currently checking 0 peers",
        "WARNING: A restricted method in java.lang.System has been called",
    ],
)
def test_lines_of_a_healthy_node_prove_nothing(harmless):
    found = diagnose(
        {"ActiveState": "active", "SubState": "running", "InvocationID": "run"}, [entry(harmless)], rules=START_RULES
    )
    assert found.causes == ()


@pytest.mark.parametrize("name", TROUBLES)
def test_a_trouble_that_was_seen_is_a_cause_of_a_running_unit(name):
    rules = trouble_rules(lambda: name, lambda: ("the reason",), dict)
    unit = {"ActiveState": "active", "SubState": "running", "InvocationID": "run"}
    found = diagnose(unit, [], rules=rules).primary
    assert (found.id, found.severity, found.evidence) == (name, TROUBLES[name].severity, ("the reason",))


@pytest.mark.parametrize(
    ("name", "details", "severity", "word"),
    [
        ("stuck_sync", {"refused_block": 7}, "hard", "holds a block of the chain invalid"),
        ("stuck_sync", {"snap_sync": True}, "hard", "in the middle of a SNAP sync"),
        ("no_peers", {"snap_sync": True}, "hard", "in the middle of a SNAP sync"),
        ("stuck_sync", {}, "soft", "imports nothing"),
        ("no_peers", {"refused_block": 7}, "soft", "it has no peers"),
        ("unresponsive", {"snap_sync": True}, "soft", "does not answer"),
    ],
)
def test_what_no_restart_helps_is_hard(name, details, severity, word):
    """One that can never end, and one in the middle of a SNAP sync: a restart would lose the work of days."""
    unit = {"ActiveState": "active", "SubState": "running", "InvocationID": "run"}
    found = diagnose(unit, [], rules=trouble_rules(lambda: name, lambda: ("r",), lambda: details)).primary
    assert (found.id, found.severity) == (name, severity) and word in found.summary


def test_a_person_may_ask_for_the_restart_of_all():
    unit = {"ActiveState": "active", "SubState": "running", "InvocationID": "run"}
    for asked, severity in ((False, "chain"), (True, "soft")):
        rules = trouble_rules(lambda: "chain_stalled", lambda: ("r",), dict, asked)
        assert diagnose(unit, [], rules=rules).primary.severity == severity


def test_nothing_is_a_cause_where_nothing_is_wrong():
    unit = {"ActiveState": "active", "SubState": "running", "InvocationID": "run"}
    assert diagnose(unit, [], rules=trouble_rules(lambda: None, lambda: (), dict)).causes == ()
