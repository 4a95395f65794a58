# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.

from __future__ import annotations


class ModuleDocFragment:
    """The options that the modules for Cloudflare tunnels share."""

    # How the API is reached.
    DOCUMENTATION = r"""
options:
  account_id:
    description: The account, 32 hexadecimal digits.
    type: str
    required: true
  api_token:
    description:
      - A token with the permission Account > Cloudflare Tunnel > Read, or Edit where a connector is removed.
      - If it is not given, the environment variable E(CLOUDFLARE_API_TOKEN) of the host that the task runs on is used.
    type: str
  base_url:
    description: Where the API is.
    type: str
    default: https://api.cloudflare.com/client/v4
  ca_path:
    description: A file or directory with the certificates to trust instead of the system's.
    type: path
  timeout:
    description: Seconds for one call.
    type: float
    default: 15.0
  deadline:
    description:
      - Seconds for all calls together. If the API asks to wait (status 429), the module waits as long as that fits.
    type: float
    default: 60.0
"""

    # What belongs to one connector on its own host.
    CONNECTOR = r"""
options:
  metrics:
    description:
      - Where the connector serves its metrics, as C(host:port) or a URL.
      - By default the module finds it from the arguments, the environment and the listening sockets of the running
        process. C(metrics_found) in the observation says how.
    type: str
  metrics_timeout:
    description: Seconds for one whole answer.
    type: float
    default: 3.0
  expected_connections:
    description:
      - How many connections the connector needs to count as V(running). By default C(--ha-connections), 4 if not set.
    type: int
  min_connections:
    description: How many connections it needs to count as V(connected).
    type: int
    default: 1
  reconnect_grace:
    description:
      - Seconds that a connector without a connection may take to come back by itself before V(reconnected) restarts it.
      - By default it is computed from C(--retries), whose waits grow to 6 minutes with the default of 5.
    type: float
  tunnel_url:
    description:
      - A URL that leads through this tunnel. If requests get no answer, the connections are dead although C(/ready)
        reports some (cause V(half_open)). Any response passes. A missing response also passes if the connector counted
        a request meanwhile.
      - A request without an answer does not prove that no other connector serves. Such a connector is taken offline
        only if O(healthy_replicas) is given.
      - Only for tunnels with a single connector. The edge chooses between several.
    type: str
  tunnel_url_timeout:
    description: Seconds for one request.
    type: float
    default: 10.0
  edge_lost:
    description:
      - Ids of connectors that the edge no longer knows, as M(chainops.lifecycle.cloudflare_tunnel_info) returns them.
        If this one is among them although it reports that it is connected, it is in V(error), cause V(half_open).
    type: list
    elements: str
    default: []
  healthy_replicas:
    description:
      - How many other connectors of the same tunnel are healthy. A connector that serves is taken offline only if there
        is at least one.
      - If it is not given, the number is not known, and a connector that serves is not taken offline.
      - The number was counted earlier and may be out of date. If two runs may work on the same tunnel, or one run on
        several hosts at once, give O(reservation) instead.
    type: int
  replica_guard:
    description:
      - Whether O(reservation) or O(healthy_replicas) is needed. V(off) accepts that the tunnel is down for a moment.
    type: str
    choices: [enforce, 'off']
    default: enforce
  reservation:
    description:
      - The owner of a reservation that M(chainops.lifecycle.cloudflared_reservation) has made on this host and on that
        of another replica. A connector that serves is taken offline only while it is in force, whatever
        O(healthy_replicas) says.
      - Without a reservation, O(healthy_replicas=0) says that it was not granted because no other connector is healthy.
    type: str
  may_change_name:
    description:
      - Whether a quick tunnel (C(cloudflared tunnel --url), without an account) may be stopped or restarted although
        its public name is lost with its process. It has a single connection and no replicas, so no other guard of
        replicas applies.
    type: bool
    default: false
  own_tunnel:
    description:
      - Whether the connection of this run goes through this connector.
      - By default the module detects that from C(SSH_CONNECTION) and the sockets of the connector's process. If this
        user may not see them, as with a C(become_user) other than root, the connector is treated as if it carried the
        connection. The same goes for a connector that is connected to the sshd of this host, if nothing shows the
        connection of this run (C(async), run0).
    type: bool
"""
