# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON-RPC methods: what each answers, and to which API group it belongs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .block import Block, base_fee_at, header_json
from .p2p import Enode, Peer
from .view import View

_CAPABILITIES = {
    True: ["eth/68", "eth/69", "eth/70", "eth/71", "istanbul/100", "snap/1"],
    False: ["eth/66", "eth/67", "eth/68", "eth/69", "istanbul/100", "snap/1"],
}
_MODULES = ("txpool", "debug", "perm", "eth", "web3", "admin", "qbft", "ibft", "net")
_KNOWN = {
    "eth": "accounts blobBaseFee blockNumber call chainId coinbase createAccessList estimateGas feeHistory gasPrice "
    "getBalance getBlockByHash getBlockByNumber getBlockReceipts getBlockTransactionCountByHash "
    "getBlockTransactionCountByNumber getCode getFilterChanges getFilterLogs getLogs getProof getStorageAt "
    "getTransactionByBlockHashAndIndex getTransactionByBlockNumberAndIndex getTransactionByHash getTransactionCount "
    "getTransactionReceipt maxPriorityFeePerGas newBlockFilter newFilter protocolVersion sendRawTransaction syncing "
    "uninstallFilter",
    "net": "enode listening peerCount services version",
    "web3": "clientVersion sha3",
    "admin": "addPeer changeLogLevel generateLogBloomCache logsRepairCache logsRemoveCache nodeInfo peers removePeer",
    "qbft": "discardValidatorVote getPendingVotes getRequestTimeoutSeconds getSignerMetrics getValidatorsByBlockHash "
    "getValidatorsByBlockNumber proposeValidatorVote",
    "ibft": "discardValidatorVote getPendingVotes getSignerMetrics getValidatorsByBlockHash "
    "getValidatorsByBlockNumber proposeValidatorVote",
    "txpool": "besuPendingTransactions besuStatistics besuTransactions",
    "debug": "accountAt accountRange batchSendRawTransaction getBadBlocks metrics replayBlock resyncWorldState setHead "
    "storageRangeAt traceBlock traceBlockByHash traceBlockByNumber traceCall traceTransaction",
    "perm": "addAccountsToAllowlist addNodesToAllowlist getAccountsAllowlist getNodesAllowlist "
    "reloadPermissionsFromFile removeAccountsFromAllowlist removeNodesFromAllowlist",
    "miner": "getMinGasPrice setMinGasPrice setMinPriorityFee getMinPriorityFee",
    "trace": "block call callMany filter get rawTransaction replayBlockTransactions transaction",
}
METHODS = {f"{group}_{name}": group.upper() for group, names in _KNOWN.items() for name in names.split()}


class RpcError(Exception):
    """An error object of JSON-RPC."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


NOT_ENABLED = (-32604, "Method not enabled")
NOT_FOUND = (-32601, "Method not found")
_NO_NUMBER = (-32602, "Invalid block number params")

Parameters = Sequence[object]


class Methods:
    """Answers for one node."""

    def __init__(self, view: View, debug_metrics: Callable[[], object]) -> None:
        self._view = view
        bft = {
            "getValidatorsByBlockNumber": self._validators_by_number,
            "getValidatorsByBlockHash": self._validators_by_hash,
            "getSignerMetrics": self._signer_metrics,
            "getPendingVotes": lambda p: dict(view.consensus.votes),
            "proposeValidatorVote": self._propose_vote,
            "discardValidatorVote": self._discard_vote,
        }
        prefix = {"qbft": "qbft", "ibft2": "ibft"}.get(view.genesis.consensus)
        self._table: dict[str, Callable[[Parameters], object]] = {
            **({f"{prefix}_{name}": call for name, call in bft.items()} if prefix else {}),
            "eth_syncing": lambda p: view.sync.shown(),
            "eth_blockNumber": lambda p: hex(view.chain.head.number),
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_chainId": lambda p: hex(view.genesis.chain_id),
            "eth_gasPrice": self._gas_price,
            "eth_accounts": lambda p: [],
            "net_version": lambda p: str(view.network_id),
            "net_peerCount": lambda p: hex(len(view.network.peers)),
            "net_listening": lambda p: view.p2p_up,
            "net_enode": lambda p: str(self._running_enode()),
            "net_services": lambda p: self._services(),
            "web3_clientVersion": lambda p: view.client,
            "admin_peers": lambda p: [self._peer(peer) for peer in view.network.peers.values()],
            "admin_nodeInfo": lambda p: self._node_info(),
            "admin_addPeer": self._add_peer,
            "admin_removePeer": self._remove_peer,
            "txpool_besuStatistics": lambda p: {"maxSize": -1, "localCount": 0, "remoteCount": 0},
            "perm_getNodesAllowlist": lambda p: self._allowlist(),
            "debug_metrics": lambda p: debug_metrics(),
        }
        if prefix == "qbft":
            self._table["qbft_getRequestTimeoutSeconds"] = lambda p: view.genesis.request_timeout

    def find(self, method: str) -> Callable[[Parameters], object]:
        """What answers. ``RpcError`` where the node has no such method, or has it switched off."""
        view = self._view
        if method == "rpc_modules":
            enabled = {api.lower() for api in view.options.apis}
            return lambda p: {name: "1.0" for name in _MODULES if name in enabled}
        if method == "plugins_reloadPluginConfig":
            return self._reload_plugin
        if not view.modern and method in ("eth_coinbase", "eth_mining", "clique_getSigners"):
            return self._of_old(method)
        group = METHODS.get(method)
        if group is None:
            raise RpcError(*NOT_FOUND)
        call = self._table.get(method)
        if group not in view.options.apis or call is None:
            raise RpcError(*NOT_ENABLED)
        return call

    def _reload_plugin(self, _parameters: Parameters) -> str:
        if self._view.modern:
            return "Success"
        raise RpcError(-32602, "Invalid plug in name params")

    def _of_old(self, method: str) -> Callable[[Parameters], object]:
        """Methods that later versions lost."""
        view = self._view
        if method == "clique_getSigners" or "ETH" not in view.options.apis:
            raise RpcError(*NOT_ENABLED)
        return lambda p: view.address if method == "eth_coinbase" else True

    def _gas_price(self, _parameters: Parameters) -> str:
        return hex(base_fee_at(self._view.chain.head.number + 1, self._view.genesis.constants.base_fee))

    def _number(self, parameter: object) -> int:
        """The number of a block parameter; beyond the head for ``pending``."""
        head = self._view.chain.head.number
        tags = {"latest": head, "earliest": 0, "pending": head + 1}
        if parameter in tags:
            return tags[str(parameter)]
        if parameter in ("finalized", "safe"):
            raise RpcError(-39001, "Unknown block")
        try:
            return int(str(parameter), 0)
        except ValueError:
            raise RpcError(*_NO_NUMBER) from None

    def _shown(self, block: Block | None) -> object:
        view = self._view
        return None if block is None else header_json(block, view.chain.sets.at(block.number), view.genesis.constants)

    def _block_by_number(self, parameters: Parameters) -> object:
        if not parameters:
            raise RpcError(*_NO_NUMBER)
        number = self._number(parameters[0])
        return self._shown(self._view.chain.head if parameters[0] == "pending" else self._view.chain.by_number(number))

    def _block_by_hash(self, parameters: Parameters) -> object:
        if not parameters:
            raise RpcError(-32602, "Invalid block hash params")
        return self._shown(self._view.chain.by_hash(str(parameters[0])))

    def _validators_by_number(self, parameters: Parameters) -> object:
        if not parameters:
            raise RpcError(*_NO_NUMBER)
        number = self._number(parameters[0])
        chain = self._view.chain
        if number > chain.head.number + (parameters[0] == "pending"):
            return None
        return list(chain.sets.at(number))

    def _validators_by_hash(self, parameters: Parameters) -> object:
        if not parameters:
            raise RpcError(-32602, "Invalid block hash params")
        block = self._view.chain.by_hash(str(parameters[0]))
        return None if block is None else list(self._view.chain.sets.at(block.number))

    def _signer_metrics(self, parameters: Parameters) -> object:
        chain = self._view.chain
        head = chain.head.number
        first = self._number(parameters[0]) if parameters else max(0, head - 100)
        end = min(head, self._number(parameters[1])) if len(parameters) > 1 else head
        if first >= end:
            raise RpcError(*_NO_NUMBER)
        counts: dict[str, tuple[int, int]] = {}
        for block in chain.blocks[first:end]:
            count, _last = counts.get(block.miner, (0, 0))
            counts[block.miner] = (count + 1, block.number)
        for validator in chain.sets.at(end):
            counts.setdefault(validator, (0, 0))
        return [
            {"address": address, "proposedBlockCount": hex(count), "lastProposedBlockNumber": hex(last)}
            for address, (count, last) in counts.items()
        ]

    def _propose_vote(self, parameters: Parameters) -> object:
        if len(parameters) < 2 or not isinstance(parameters[1], bool):
            raise RpcError(-32602, "Invalid vote type params")
        self._view.consensus.votes[str(parameters[0]).lower()] = parameters[1]
        return True

    def _discard_vote(self, parameters: Parameters) -> object:
        if not parameters:
            raise RpcError(-32602, "Invalid address params")
        self._view.consensus.votes.pop(str(parameters[0]).lower(), None)
        return True

    def _require_p2p(self) -> None:
        if not self._view.p2p_enabled:
            raise RpcError(-32000, "P2P has been disabled. This functionality is not available")
        if not self._view.p2p_up:
            raise RpcError(-32000, "P2P network is not running")

    def _running_enode(self) -> Enode:
        self._require_p2p()
        return self._view.enode

    def _services(self) -> object:
        view, options = self._view, self._view.options
        services: dict[str, object] = {
            "jsonrpc": {
                "host": options.text("rpc-http-host", "127.0.0.1"),
                "port": options.text("rpc-http-port", "8545"),
            }
        }
        if view.p2p_enabled:
            services["p2p"] = {"host": view.enode.host, "port": str(view.enode.port)}
        if options.flag("metrics-enabled"):
            # The real node says port 0, wherever its metrics are.
            services["metrics"] = {"host": options.text("metrics-host", "127.0.0.1"), "port": "0"}
        return services

    def _peer(self, peer: Peer) -> object:
        modern = self._view.modern
        eth: dict[str, object] = {"difficulty": hex(peer.difficulty), "head": peer.head}
        if modern:
            eth["latestBlock"] = peer.height
        eth["version"] = 71 if modern and int(peer.version.split(".")[0]) >= 26 else 69
        return {
            "version": "0x5",
            "name": peer.client,
            "caps": _CAPABILITIES[int(peer.version.split(".")[0]) >= 26],
            "network": {"localAddress": peer.local, "remoteAddress": peer.remote, "inbound": peer.inbound},
            "port": hex(peer.enode.port),
            "id": "0x" + peer.enode.id,
            "protocols": {"eth": eth},
            "enode": f"{peer.enode}?discport=0" if peer.inbound else str(peer.enode),
        }

    def _node_info(self) -> object:
        self._require_p2p()
        view = self._view
        head = view.chain.head
        info: dict[str, object] = {
            "enode": str(view.enode),
            "listenAddr": f"{view.enode.host}:{view.enode.port}",
            "activeFork": view.genesis.active_fork,
            "ip": view.enode.host,
        }
        if view.modern:
            info["enr"] = view.node_record()
        return {
            **info,
            "name": view.client,
            "id": view.enode.id,
            "ports": {"discovery": view.enode.port, "listener": view.enode.port},
            "protocols": {
                "eth": {
                    "config": view.genesis.config,
                    "difficulty": head.number + 1,
                    "genesis": view.genesis.block.hash,
                    "head": head.hash,
                    "network": view.network_id,
                }
            },
        }

    def _add_peer(self, parameters: Parameters) -> object:
        try:
            enode = Enode.parse(str(parameters[0]))
        except (IndexError, ValueError):
            raise RpcError(-32602, "Invalid enode params") from None
        fresh = enode.id not in self._view.network.known
        self._view.network.learn(enode)
        return fresh

    def _remove_peer(self, parameters: Parameters) -> object:
        try:
            enode = Enode.parse(str(parameters[0]))
        except (IndexError, ValueError):
            raise RpcError(-32602, "Invalid enode params") from None
        known = self._view.network.known.pop(enode.id, None)
        peer = self._view.network.peers.get(enode.id)
        if peer is not None:
            self._view.network.drop(peer, "local", "REQUESTED")
        return known is not None

    def _allowlist(self) -> object:
        if self._view.allowlist is None:
            raise RpcError(-32000, "Node allowlist has not been enabled")
        return list(self._view.allowlist)
