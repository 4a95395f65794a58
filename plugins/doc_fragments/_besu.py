# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.

from __future__ import annotations


class ModuleDocFragment:
    """The options that the modules for Hyperledger Besu share."""

    # How an endpoint is reached.
    DOCUMENTATION = r"""
options:
  rpc_username:
    description:
      - The user for the authentication of Besu itself (C(--rpc-http-authentication-enabled)). The token is renewed when
        it expires, and after a restart of the node.
    type: str
  rpc_password:
    description: The password of O(rpc_username).
    type: str
  rpc_token:
    description: A JWT made elsewhere, for nodes with C(--rpc-http-authentication-jwt-public-key-file).
    type: str
  rpc_timeout:
    description: Seconds for one whole answer. Besu itself gives up on a call after 30.
    type: float
    default: 5.0
  rpc_connect_timeout:
    description: Seconds for the connection, within O(rpc_timeout).
    type: float
    default: 2.0
  validate_certs:
    description: Whether the certificate of an C(https) endpoint is checked.
    type: bool
    default: true
  ca_path:
    description: A file or directory with the certificates to trust instead of the system's.
    type: path
  client_cert:
    description: A file with the certificate to show.
    type: path
  client_key:
    description: A file with the key of O(client_cert), if it is not in the same file.
    type: path
  fingerprint_sha256:
    description: The SHA-256 fingerprint of the one certificate to accept.
    type: str
  server_hostname:
    description: The name to ask and to check the certificate for, if not the one in the URL.
    type: str
  lag_blocks:
    description: How many blocks behind the highest known head still count as level with it.
    type: int
    default: 2
  min_peers:
    description: How many peers a node needs to count as more than V(synced).
    type: int
    default: 1
  block_period:
    description:
      - Seconds between two blocks. By default the value of C(admin_nodeInfo) (API group C(ADMIN)).
      - That value comes from the genesis file. If C(transitions) of that file have changed it, give the current one.
        Otherwise a chain with a longer period is taken for a stalled one.
    type: float
  empty_block_period:
    description:
      - Seconds between two blocks while there are no transactions, C(emptyblockperiodseconds) of the genesis file.
      - Besu does not report it. Set this option if the chain has such a period. Otherwise the chain is taken for a
        stalled one whenever it is idle.
    type: float
  request_timeout:
    description: Seconds of the first consensus round. By default the value of C(admin_nodeInfo).
    type: float
  max_head_age:
    description:
      - How old in seconds the head of a chain that advances may be. By default the block period, plus the round
        time-outs of as many dead proposers in a row as the quorum allows, plus a margin. V(30) if the block period is
        not known.
    type: float
  single_node:
    description:
      - Whether the node is the only one of its network, so that it needs neither peers nor another head to compare
        with.
    type: bool
    default: false
  chain_id:
    description: The chain id that the node has to have.
    type: int
  genesis_hash:
    description: The hash of block 0 that the node has to have.
    type: str
"""

    # What belongs to one node on its own host.
    NODE = r"""
options:
  rpc_url:
    description: The node's JSON-RPC over HTTP. It tells more with the API groups C(ADMIN) and C(QBFT) or C(IBFT).
    type: str
    default: http://127.0.0.1:8545
  metrics_url:
    description: The node's Prometheus metrics, which are read if RPC does not answer. Empty for none.
    type: str
    default: http://127.0.0.1:9545/metrics
  p2p_port:
    description:
      - The node's port for its peers. The node opens it last. If it is open and RPC is closed, RPC is switched off.
    type: int
    default: 30303
  reference_urls:
    description:
      - JSON-RPC URLs of other nodes of the same chain, preferably of all its validators. The head of this node is
        compared with theirs, and the quorum guard asks them which validators take part. The access options apply to
        them as well.
      - The quorum guard refuses if they are not all of one chain.
    type: list
    elements: str
    default: []
  validator:
    description:
      - Whether the node is a validator. By default the chain decides. V(false) switches the quorum guard off for it.
    type: bool
  address:
    description:
      - The node's address, 0x and 40 digits. By default it follows from the node's public key.
      - A node that reports another address itself is not stopped, restarted or reset, unless O(quorum_guard=off).
    type: str
  stall_timeout:
    description:
      - Seconds without progress after which a sync is V(error), cause V(stuck_sync).
      - A wait for a node with an old head also ends after this time if the height of no other node is known and the
        log of the node names no consensus round. Heights come from O(reference_urls), and with C(ADMIN) from peers.
    type: float
    default: 60.0
  peers_timeout:
    description:
      - Seconds without a peer after which a node that has just been started is V(error), cause V(no_peers). If it is
        not given, an observation uses 20 and M(chainops.lifecycle.besu_node) uses 60.
    type: float
    default: 20.0
  hang_timeout:
    description: Seconds without an answer on an open port after which it is V(error), cause V(unresponsive).
    type: float
    default: 20.0
  quorum_guard:
    description:
      - V(enforce) refuses to stop or restart a validator unless the other validators that are proved to take part are
        still the quorum, ceil(2n/3) of the set on the chain. If that cannot be known, the step is refused. A node that
        is in no validator set and does not report its chain is refused as well, unless O(genesis_hash), O(chain_id) or
        O(validator=false) is given.
      - V(off) trusts the caller. A network of one or two validators cannot be restarted without it.
    type: str
    choices: [enforce, "off"]
    default: enforce
  quorum_lost:
    description:
      - What to do with a validator of a chain that is proved to be stalled. V(refuse) does nothing, because no action
        on a single node helps.
      - V(restart_all) allows restarting validators so that their consensus rounds begin at 0 again. Start the missing
        validators first, then restart all validators at the same time.
    type: str
    choices: [refuse, restart_all]
    default: refuse
  reservation:
    description:
      - The owner of a reservation made with M(chainops.lifecycle.besu_reservation). If given, a validator is only
        taken offline while that reservation is in force on this host.
    type: str
"""
