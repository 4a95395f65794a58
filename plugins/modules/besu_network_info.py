#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: besu_network_info
short_description: Observe any number of Hyperledger Besu nodes and their networks
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Samples all O(endpoints) in parallel, twice, and returns the state of each node. Of each network it returns the
    validator set, the quorum, which validators take part, how many more may stop, forks, laggards and the versions.
  - Runs anywhere with a way to the endpoints, for example on the controller with C(delegate_to=localhost).
requirements:
  - Python 3.9 or newer
extends_documentation_fragment:
  - chainops.lifecycle._attributes
  - chainops.lifecycle._attributes.info_module
  - chainops.lifecycle._attributes.actiongroup_lifecycle
  - chainops.lifecycle._besu
attributes:
  platform:
    platforms: posix
options:
  endpoints:
    description:
      - The nodes. Each entry is the URL of a JSON-RPC endpoint, or a dictionary with C(url), C(name), and those access
        options (such as C(rpc_username) or C(ca_path)) that differ from the module's own.
    type: list
    elements: raw
    required: true
  interval:
    description:
      - Seconds between the two samples. Within one block period the chain cannot be seen to advance.
    type: float
    default: 1.0
  rpc_timeout:
    description:
      - Seconds for one whole answer. Endpoints that hang are waited for in parallel, so they cost this time once.
      - A node on a busy host may take five seconds for its first answer.
    default: 6.0
  rpc_connect_timeout:
    description: Seconds for the connection, within O(rpc_timeout).
    default: 2.0
seealso:
  - module: chainops.lifecycle.besu_node
"""

EXAMPLES = r"""
- name: Observe the whole network from the controller
  chainops.lifecycle.besu_network_info:
    endpoints: "{{ groups.besu | map('extract', hostvars, 'besu_rpc_url') }}"
    interval: 3
  delegate_to: localhost
  run_once: true
  register: observed

- name: Continue only if one more validator may stop
  ansible.builtin.assert:
    that: observed.networks | length == 1 and observed.networks[0].may_stop > 0
    fail_msg: "{{ observed.networks[0].reason }}, {{ observed.networks[0].arithmetic }}"
"""

RETURN = r"""
nodes:
  description: One entry for each of O(endpoints), in their order.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The name as given, or the URL.
      type: str
    url:
      description: The URL, without secrets.
      type: str
    state:
      description: The state as in M(chainops.lifecycle.besu_node), V(unknown) where the node cannot be asked.
      type: str
      sample: consensus
    base_state:
      description: The state in the words that all kinds share.
      type: str
    cause:
      description: The identifier of what is wrong, if anything is.
      type: str
    reasons:
      description: The evidence, the most telling first.
      type: list
      elements: str
    head:
      description: Its height.
      type: int
    lag:
      description: How many blocks it is behind the highest head.
      type: int
    peers:
      description: Its peers.
      type: int
    version:
      description: Its version.
      type: str
    address:
      description: Its address.
      type: str
    validator:
      description: Whether it is in the validator set.
      type: bool
    last_proposed:
      description: The last block that it proposed.
      type: int
    head_hash:
      description: The hash of its head.
      type: str
    head_age:
      description: The age of its head in seconds. Left out for the genesis block.
      type: float
    head_age_limit:
      description: How old in seconds the head of a chain that advances may be.
      type: float
    reference:
      description: The highest head that it is compared with.
      type: int
    rate:
      description: Blocks per second between the two samples.
      type: float
    chain_id:
      description: Its chain id.
      type: int
    network_id:
      description: Its network id.
      type: int
    genesis:
      description: The hash of its block 0.
      type: str
    rpc:
      description: How its RPC answered, such as V(ok) or V(timeout).
      type: str
    voted:
      description: Whether its process is proved to vote, because it has proposed a block or sent a round of its own.
      type: bool
    process_age:
      description: How many seconds ago its process was started, where that is known.
      type: float
    taking_part:
      description: How many validators proposed one of the last blocks, as its blocks alone show it.
      type: int
    may_stop:
      description: How many of these may stop before the chain does, as its blocks alone show it.
      type: int
    missing:
      description: What is not known, and which API group would report it.
      type: list
      elements: str
networks:
  description: One entry for each network, by the hash of block 0.
  returned: always
  type: list
  elements: dict
  contains:
    genesis:
      description: The hash of block 0.
      type: str
    chain_id:
      description: The chain id.
      type: int
    nodes:
      description: The names of its nodes.
      type: list
      elements: str
    head:
      description: The highest head.
      type: int
    head_age:
      description: Its age in seconds.
      type: float
    advances:
      description: Whether the head moved between the two samples.
      type: bool
    stalled:
      description: Whether the head did not move and is older than it may be in a chain that advances.
      type: bool
    block_period:
      description: Seconds between two blocks, if a node reports them.
      type: float
    validators:
      description: The validators of the next block.
      type: list
      elements: str
    quorum:
      description: How many of them have to take part.
      type: int
    may_be_down:
      description: How many of them may be down in all before the chain stalls.
      type: int
    taking_part:
      description: Those that are proved to take part, with C(address) and C(node).
      type: list
      elements: dict
    missing:
      description: Those that are not, with C(address), C(node) and C(why).
      type: list
      elements: dict
    may_stop:
      description: How many more may stop now.
      type: int
    which:
      description: The validators of which C(may_stop) may stop, by name or address.
      type: list
      elements: str
    has_quorum:
      description: False where it is known that no quorum of validators decides on blocks, as on mainnet.
      type: bool
    arithmetic:
      description: The numbers in a sentence.
      type: str
    reason:
      description: Why none may stop. Empty where one may.
      type: str
    last_proposed:
      description: The last block of each proposer.
      type: dict
    forks:
      description: Heights at which nodes have different blocks.
      type: list
      elements: dict
    laggards:
      description: The nodes that are behind, with the number of blocks.
      type: dict
    versions:
      description: How many nodes run each version.
      type: dict
    incompatible_versions:
      description: Which versions of validators do not understand each other. Empty if all do.
      type: str
unobserved:
  description: The names of the nodes that could not be asked.
  returned: always
  type: list
  elements: str
"""

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.options import ACCESS_OPTIONS, JUDGE_OPTIONS
from ansible_collections.chainops.lifecycle.plugins.module_utils._besu.survey import run_info
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.ansible_module import LifecycleModule


def main() -> None:
    run_info(
        LifecycleModule(
            argument_spec={
                "endpoints": {"type": "list", "elements": "raw", "required": True},
                "interval": {"type": "float", "default": 1.0},
                **ACCESS_OPTIONS,
                **JUDGE_OPTIONS,
                "rpc_timeout": {"type": "float", "default": 6.0},
                "rpc_connect_timeout": {"type": "float", "default": 2.0},
            },
            supports_check_mode=True,
        )
    )


if __name__ == "__main__":
    main()
