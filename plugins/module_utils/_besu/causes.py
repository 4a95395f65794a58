# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The causes of a Besu node that does not start or is unhealthy, as data. Pure.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

Sources: the messages recorded of Besu 25.7 and 26.8, RocksDB's and the JVM's
own words. Ports, full disks, missing programs and the like are generic causes
and not repeated here. A database that another process holds, or a port, is
hard until that process is gone.
"""

from __future__ import annotations

import typing as t

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.database_damage import DATABASE_DAMAGE
from ansible_collections.chainops.lifecycle.plugins.module_utils._diagnosis.case import (
    CONFIGURATION,
    CRASH,
    DEPENDENCY,
    HARD,
    NETWORK,
    RESOURCE,
    SOFT,
    FailureCase,
    Match,
    Rule,
)

# Nothing done at this node fixes it.
CHAIN = "chain"
_START_SECONDS = 60e6


def _at_start(case: FailureCase) -> Match | None:
    """The process lived for less than a minute."""
    entered, left = case.number("ActiveEnterTimestampMonotonic"), case.number("InactiveEnterTimestampMonotonic")
    return Match(()) if left < entered or left - entered < _START_SECONDS else None


def _refused_an_option(case: FailureCase) -> Match | None:
    """It ended with its usage text and without the line of a start that failed: what it said before is of an option."""
    ended, lines = case.exit, [line.text for line in case.lines]
    usage = next((index for index, text in enumerate(lines) if "To display full help:" in text), 0)
    if ended is None or (ended.how, ended.status) != ("exited", 2) or not usage or _refuses(case) is not None:
        return None
    # The name of a bootnode may be one that cannot be looked up at this moment.
    return None if "DNS" in lines[usage - 1] else Match(lines[usage - 1 : usage])


def _refuses(case: FailureCase) -> Match | None:
    """Its own last word, without taking the line from the generic rules."""
    lines = [line.text for line in case.lines if "Failed to start Besu: " in line.text]
    return Match(lines[-1:]) if lines else None


START_RULES: tuple[Rule, ...] = (
    Rule(
        "node_allowlist", CONFIGURATION, HARD, "its bootnodes are not on its own node allowlist",
        "add the bootnodes to nodes-allowlist in the permissions file, or take them off the bootnodes",
        pattern=r"not in nodes?-allowlist",
    ),
    Rule(
        "genesis_mismatch", CONFIGURATION, HARD, "its database belongs to another genesis",
        "restore the genesis file of the network (compare checksums with another node); never delete the data first",
        pattern=r"Supplied genesis block does not match",
    ),
    Rule(
        "config_missing", CONFIGURATION, HARD, "a file of its configuration is not there",
        "restore the file that the evidence names, or correct its path",
        pattern=r"Unable to read TOML configuration, file not found|Unable to load genesis file.{0,20}FileNotFound"
        r"|(?:config|genesis|permissions?|credentials)\S{0,40} file .{0,80}(?:not found|does not exist)",
    ),
    Rule(
        "config_invalid", CONFIGURATION, HARD, "its configuration has an error",
        "correct the option or file that the evidence names; besu --config-file=FILE validate-config checks it",
        pattern=r"^Unknown options?\b|Unknown options? in TOML|Invalid TOML configuration|Unable to load genesis file"
        r"|Invalid value for option|Missing required (?:option|parameter)|Expected .{1,20} for option"
        r"|Unable to change the sync mode"
        r"|Unmatched argument|Possible solutions: |option requirements not met|Port number '.{1,9}' has been specified",
    ),
    Rule(
        "key_invalid", CONFIGURATION, HARD, "its node key is invalid, or cannot be read",
        "check owner and mode of the key file for the unit's user, then its content (64 hexadecimal digits)",
        pattern=r"does not contain valid keyPair|in hex binary representation|[Ii]nvalid private key",
    ),
    Rule(
        "permission_denied", CONFIGURATION, HARD, "it is not permitted to write its data directory",
        "give the directory to the unit's user (chown -R), and check ReadWritePaths= and ProtectSystem=",
        pattern=r"Data directory is not (?:writable|readable)",
    ),
    Rule(
        "database_locked", RESOURCE, HARD, "another process has its database open",
        "find it (fuser or lsof on the LOCK file) and stop it; deleting LOCK does not help",
        pattern=r"While lock file: |lock hold by current process|/LOCK\b.{0,20}No locks available",
    ),
    Rule(
        "database_version", CONFIGURATION, HARD, "its database was written by a newer Besu",
        "install the newer version again; a downgrade needs the data of before the upgrade",
        pattern=r"Unsupported RocksDB metadata|unsafe downgrade|is lower than version .{1,40} that last started"
        r"|[Uu]nsupported database version|unsupported format_version|Unknown Footer version",
    ),
    Rule(
        "database_format", CONFIGURATION, HARD, "its database has another format than the configuration asks for",
        "set data-storage-format to the format of the database (see the evidence), or sync into a new data directory",
        pattern=r"Database format mismatch",
    ),
    Rule(
        "database_corrupt", RESOURCE, HARD, "its database is damaged",
        "check the disk; restore the data from a backup or sync again, one validator at a time",
        pattern=DATABASE_DAMAGE,
    ),
    Rule(
        "java_version", CONFIGURATION, HARD, "the Java that it finds is too old",
        "install the Java that this Besu needs (21, from 26.7.0 on 25), or set JAVA_HOME to it",
        pattern=r"UnsupportedClassVersionError", rank=68,
    ),
    Rule(
        "java_missing", CONFIGURATION, HARD, "it finds no Java",
        "install Java, or correct JAVA_HOME in the unit's environment",
        pattern=r"java: (?:command )?not found|JAVA_HOME is (?:not set|set to an invalid)|no 'java' command"
        r"|/java: No such file",
    ),
    Rule(
        "java_options", CONFIGURATION, HARD, "the JVM refuses its options",
        "correct JAVA_OPTS or BESU_OPTS in the unit's environment; the heap has to fit into the host's memory",
        pattern=r"Could not create the Java Virtual Machine|Error occurred during initialization of VM"
        r"|Unrecognized VM option|Could not reserve enough space|(?:Invalid|Too small) (?:maximum|initial) heap",
    ),
    Rule(
        "out_of_memory", RESOURCE, HARD, "its heap is too small to start with",
        "raise -Xmx in JAVA_OPTS or BESU_OPTS (a private network needs 4 GB)",
        pattern=r"OutOfMemoryError|GC overhead limit", facts=_at_start,
    ),
    Rule(
        "out_of_memory", RESOURCE, SOFT, "its heap is used up",
        "a restart helps for a while; raise -Xmx in JAVA_OPTS or BESU_OPTS",
        pattern=r"OutOfMemoryError|GC overhead limit", running=True,
    ),
    Rule(
        "file_descriptors", RESOURCE, HARD, "it is not permitted to open enough files",
        "raise LimitNOFILE= in the unit file (a million is usual), then start it",
        pattern=r"failed to create a child event loop|failed to open a new selector|too many open files",
    ),
    Rule(
        "config_invalid", CONFIGURATION, HARD, "it refuses the value or the combination of its options",
        "correct the option that the evidence names, in the configuration file or the unit",
        facts=_refused_an_option, rank=57,
    ),
    Rule(
        "start_failed", CONFIGURATION, SOFT, "Besu refuses to start", "the evidence has the message of Besu",
        facts=_refuses, rank=56,
    ),
)  # fmt: skip


class Trouble(t.NamedTuple):
    """A cause that a running node shows by what it answers."""

    category: str
    severity: str
    summary: str
    next_step: str


# The causes that ``classify`` names.
TROUBLES: dict[str, Trouble] = {
    "no_peers": Trouble(
        NETWORK, SOFT, "it has no peers",
        "check bootnodes, static nodes, port 30303 (TCP, UDP), the firewall, genesis and network id; then restart it",
    ),
    "stuck_sync": Trouble(
        CRASH, SOFT, "it is behind and imports nothing",
        "if the log names an invalid block compare genesis file and version with a good node; else restart it",
    ),
    "wrong_chain": Trouble(
        CONFIGURATION, HARD, "it is on another chain than the others",
        "compare genesis file and network id with another node; its data belong to the wrong chain",
    ),
    "fork": Trouble(
        CONFIGURATION, HARD, "it has another block than the others at the same height",
        "find out which fork the validators are on; resync this node if it is on the wrong one",
    ),
    "chain_stalled": Trouble(
        DEPENDENCY, CHAIN, "the whole chain is stalled: too few validators take part",
        "start the missing validators; see besu_network_info; a restart of this node does not help",
    ),
    "consensus_client_unreachable": Trouble(
        DEPENDENCY, HARD, "its consensus client sends no blocks",
        "start or repair the consensus client (Teku, Lighthouse, ...) and its engine API: address, port 8551, and "
        "the JWT secret that both share; a restart of this node does not help",
    ),
    "not_proposing": Trouble(
        CRASH, SOFT, "it is a validator and proposes no blocks",
        "check its peers, its key and its clock; a restart often helps",
    ),
    "consensus_halted": Trouble(
        CRASH, SOFT, "its consensus thread has ended although the process runs", "restart it",
    ),
    "unresponsive": Trouble(
        CRASH, SOFT, "its RPC accepts connections and does not answer",
        "take a thread dump (jcmd PID Thread.print) if you can; then restart it",
    ),
    "rpc_down": Trouble(CRASH, SOFT, "its RPC is closed although the process runs", "see its log; then restart it"),
    "clock_skew": Trouble(
        CONFIGURATION, HARD, "the clock of this host differs from that of the chain", "fix time synchronisation",
    ),
    "crash_loop": Trouble(CRASH, SOFT, "it ends again and again soon after its start", "see the causes below it"),
}  # fmt: skip


_SNAP_NEXT = (
    "check its peers, port 30303 (TCP, UDP), the firewall and the disk, and look for progress in its log; a restart in "
    "the middle of a SNAP sync loses work, so it is made only if accept_causes names this cause"
)


def trouble_rules(
    cause: t.Callable[[], str | None],
    reasons: t.Callable[[], t.Sequence[str]],
    details: t.Callable[[], t.Mapping[str, t.Any]],
    restart_all: bool = False,
) -> tuple[Rule, ...]:
    """Rules that hold where the node itself was seen to be in one of TROUBLES. The arguments are asked later.

    ``details``: what was measured. With ``refused_block`` the node holds a block of the chain invalid, which no restart
    helps; with ``snap_sync`` it is in the middle of a SNAP sync, in which it is not restarted without a person's word.
    ``restart_all``: a person asked for the restart of all validators, which is what a stalled chain can need.
    """

    def shows(name: str, detail: str = "") -> t.Callable[[FailureCase], Match | None]:
        def matches(_case: FailureCase) -> Match | None:
            known = cause() == name and (not detail or detail in details())
            return Match(tuple(reasons())) if known else None

        return matches

    refused = "it holds a block of the chain invalid, so its sync can never end"
    return (
        Rule(
            "stuck_sync", CONFIGURATION, HARD, refused, TROUBLES["stuck_sync"].next_step,
            facts=shows("stuck_sync", "refused_block"), rank=76, running=True,
        ),
        Rule(
            "stuck_sync", NETWORK, HARD, "it is in the middle of a SNAP sync that makes no progress", _SNAP_NEXT,
            facts=shows("stuck_sync", "snap_sync"), rank=76, running=True,
        ),
        Rule(
            "no_peers", NETWORK, HARD, "it is in the middle of a SNAP sync, and it has no peers", _SNAP_NEXT,
            facts=shows("no_peers", "snap_sync"), rank=76, running=True,
        ),
        *(
            Rule(
                name,
                x.category,
                SOFT if restart_all and x.severity == CHAIN else x.severity,
                x.summary,
                x.next_step,
                facts=shows(name),
                # A loop is how a cause shows: every other says more.
                rank=41 if name == "crash_loop" else 75,
                running=True,
            )
            for name, x in TROUBLES.items()
        ),
    )  # fmt: skip
