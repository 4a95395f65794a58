# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Log texts of start, stop and failed syncs, as recorded. No behaviour is in here."""

from __future__ import annotations

from .logs import Log
from .options import Options

USAGE = "To display full help:\nbesu [COMMAND] --help\n"
RESTRICTED = (
    "WARNING: A restricted method in java.lang.System has been called\n"
    "WARNING: java.lang.System::loadLibrary has been called by io.netty.util.internal.NativeLibraryUtil in an unnamed "
    "module (file:/opt/besu/lib/netty-common-4.2.16.Final.jar)\n"
    "WARNING: Use --enable-native-access=ALL-UNNAMED to avoid a warning for callers in this module\n"
    "WARNING: Restricted methods will be blocked in a future release unless native access is enabled\n"
)
HEAP_TRACE = (
    "java.lang.OutOfMemoryError: Java heap space\n"
    "\tat java.base/java.util.Arrays.copyOf(Arrays.java:3591)\n"
    "\tat com.fasterxml.jackson.core.sym.ByteQuadsCanonicalizer._appendLongName(ByteQuadsCanonicalizer.java:1134)\n"
    "\tat com.fasterxml.jackson.core.sym.ByteQuadsCanonicalizer.addName(ByteQuadsCanonicalizer.java:980)\n"
)
_WIDTH = 96


def banner(options: Options, network_id: int) -> str:
    """The framed overview of the configuration."""
    apis = ",".join(options.apis)
    rows = [
        "", f"Besu version {options.version}", "", "Configuration:", "Network: Custom genesis file",
        options.text("genesis-file"), f"Network Id: {network_id}",
        f"Data storage: {options.text('data-storage-format', 'BONSAI').title()}",
        "RocksDB max open files: 10679 (derived from available resources)",
        f"Sync mode: {options.text('sync-mode', 'FULL').title()}",
        f"Sync min peers: {options.text('sync-min-peers', '5')}",
    ]  # fmt: skip
    if options.flag("rpc-http-enabled"):
        rows += [f"RPC HTTP APIs: {apis}", f"RPC HTTP port: {options.text('rpc-http-port', '8545')}"]
    rows += [
        "Using LAYERED transaction pool implementation", "Using STACKED worldstate update mode",
        "Opcode optimizations enabled", "Parallel transaction processing enabled",
        "BAL pruning enabled (retained BALs: 113056)", "Target Gas Limit: 60M", "", "Host:", "Java: openjdk-java-25",
        "Maximum heap size: 0.50 GB", "OS: linux-x86_64", "glibc: 2.36", "Total memory: 23.54 GB", "CPU cores: 2", "",
        "Plugin Registration Summary:", "No plugins have been registered.",
        "TOTAL = 0 of 0 plugins successfully registered.", "",
    ]  # fmt: skip
    frame = "#" * (_WIDTH + 4)
    return "\n".join(["", frame, *(f"# {row:<{_WIDTH}} #" for row in rows), frame, ""])


def rpc_configuration(options: Options) -> str:
    """The line that shows how JSON-RPC is configured."""
    allowed = ", ".join(options.names("host-allowlist", ("localhost", "127.0.0.1")))
    credentials = options.text("rpc-http-authentication-credentials-file") or "null"
    public_key = options.text("rpc-http-authentication-jwt-public-key-file") or "null"
    return (
        f"RPC HTTP JSON-RPC config: JsonRpcConfiguration{{enabled={str(options.flag('rpc-http-enabled')).lower()}, "
        f"port={options.text('rpc-http-port', '8545')}, host={options.text('rpc-http-host', '127.0.0.1')}, "
        f"corsAllowedDomains=[], hostsAllowlist=[{allowed}], rpcApis=[{', '.join(options.apis)}], "
        f"authenticationEnabled={str(options.flag('rpc-http-authentication-enabled')).lower()}, "
        f"authenticationCredentialsFile={credentials}, authenticationPublicKeyFile={public_key}, "
        "tlsConfiguration=Optional.empty, httpTimeoutSec=30, maxActiveConnections=80, maxBatchSize=1024}"
    )


def gas_price_warnings(log: Log) -> None:
    """Two warnings that a free network causes."""
    log.caution("Besu", "Forcing price bump for transaction replacement to 0, since min-gas-price is set to 0")
    log.caution("Besu", "Forcing tx-pool-min-gas-price=0, since it cannot be greater than the value of min-gas-price")


def stopping(log: Log, synchronizing: bool) -> None:
    """The shutdown hook's lines until the network is down."""
    thread = "BesuCommand-Shutdown-Hook"
    if synchronizing:
        log.note("DefaultSynchronizer", "Stopping synchronizer", thread)
    log.note("NetworkRunner", "Stopping Network.", thread)
    if not synchronizing:
        return
    log.note("CompositePeerDiscoveryAgent", "Stopping discovery ...", thread)
    log.note("NettyPeerDiscoveryAgent", "Stopping peer discovery agent", thread)
    log.note("NettyTransport", "Stopping DiscV4 UDP transport", thread)
    log.note("NettyTransport", "DiscV4 UDP transport was never started; nothing to stop", thread)
    log.note("NettyPeerDiscoveryAgent", "DiscV4 transport stopped", thread)
    log.note("NettyPeerDiscoveryAgent", "Peer discovery controller stopped; shutting down executors", "discv4-timers")
    log.note("NettyPeerDiscoveryAgent", "Peer discovery agent stopped", "discv4-timers")


def stopped(log: Log) -> None:
    """The shutdown hook's lines when the network is down."""
    thread = "BesuCommand-Shutdown-Hook"
    log.note("EthProtocolManager", "Stopping eth Subprotocol.", thread)
    log.note("EthProtocolManager", "eth Subprotocol stopped.", thread)
    log.note("NetworkRunner", "Network stopped.", thread)
    log.note("AutoTransactionLogBloomCachingService", "Shutting down Auto transaction logs caching service.", thread)
    log.note("NatService", "No NAT environment detected so no service could be stopped", thread)


def disk_full(log: Log, path: str, thread: str) -> None:
    """The line by which Besu gives up on a full disk."""
    reason = f"While appending to file: {path}: No space left on device"
    log.failure("RocksDBTransaction", f"Disk full detected: {reason}", thread)
    log.raw(
        f"org.rocksdb.RocksDBException: {reason}\n"
        "\tat org.rocksdb.Transaction.commit(Native Method)\n"
        "\tat org.rocksdb.Transaction.commit(Transaction.java:216)\n"
        "\tat org.hyperledger.besu.plugin.services.storage.rocksdb.RocksDBTransaction.commit"
        "(RocksDBTransaction.java:91)\n"
    )


def invalid_block_lines(log: Log, number: int, block_hash: str, rule: str) -> None:
    """A block of the chain that this node syncs is invalid for it."""
    if rule:
        log.note("TimestampMoreRecentThanParent", rule, "EthScheduler-Services-7")
    name = f"Header failed validation: Invalid block {number} ({block_hash})"
    thread = "EthScheduler-Services-2 (downloadHeaders)"
    log.caution(
        "PipelineChainDownloader",
        f"Invalid block detected (BREACH_OF_PROTOCOL). Disconnecting from sync target. {name}",
        thread,
    )
    log.caution("PipelineChainDownloader", "Chain download failed. Restarting after short delay.", thread)
    cause = "org.hyperledger.besu.ethereum.eth.sync.tasks.exceptions.InvalidBlockException"
    log.raw(
        "java.util.concurrent.CompletionException: "
        "org.hyperledger.besu.services.pipeline.exception.AsyncOperationException: Async operation failed. "
        f"{cause}: {name}\n"
        "\tat java.base/java.util.concurrent.CompletableFuture.wrapInCompletionException(CompletableFuture.java:323)\n"
        "\tat java.base/java.util.concurrent.CompletableFuture.encodeRelay(CompletableFuture.java:412)\n"
        "\tat java.base/java.util.concurrent.CompletableFuture.completeRelay(CompletableFuture.java:421)\n"
        f"Caused by: {cause}: {name}\n"
        "\tat org.hyperledger.besu.ethereum.eth.sync.tasks.exceptions.InvalidBlockException.fromInvalidBlock"
        "(InvalidBlockException.java:36)\n"
        "\tat org.hyperledger.besu.ethereum.eth.sync.tasks.DownloadHeaderSequenceTask.lambda$processHeaders$0"
        "(DownloadHeaderSequenceTask.java:238)\n"
        "\tat java.base/java.util.concurrent.CompletableFuture.uniWhenComplete(CompletableFuture.java:884)\n"
    )
