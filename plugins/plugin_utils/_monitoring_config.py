# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of the metrics program, made of the services that a host describes. Pure.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import ipaddress
import json
import re
import typing as t
from urllib.parse import urlsplit

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import describe
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import LifecycleError
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS

STATE_DIRECTORY = "/var/lib/chainops-state-monitoring"
FORMATS = ("prometheus", "openmetrics")
# What only driving a service needs, and what describe() has put beside the other options already.
_UNUSED = frozenset({"known_good", "config_check", "neighbours", "depends_on", *KINDS})
_LOCAL = ("localhost", "127.0.0.1", "::1")
_PATH = re.compile(r"(/[\w.+-]+)+")
_WHOLE_NETWORK = ["any"]


def monitoring_config(
    services: t.Sequence[t.Any], *, version: str, build: str, interval: int, directory: str, output_format: str
) -> dict[str, t.Any]:
    """What the program reads. Raises LifecycleError naming the option that is wrong."""
    if not 5 <= interval <= 3600:
        raise LifecycleError(f"interval: {interval} is not between 5 and 3600; give seconds, such as 30")
    if not _PATH.fullmatch(directory):
        raise LifecycleError(
            f"directory: {directory!r} is no absolute path of letters, digits and ._+-; give the folder that "
            f"node_exporter has as --collector.textfile.directory"
        )
    described = describe(services, KINDS)
    for number, service in enumerate(described):
        if service["scope"] != "system":
            raise LifecycleError(
                f"services[{number}].scope: {service['name']} is a service of a user, which the metrics program of the "
                f"system does not see; leave it out"
            )
    return {
        "version": version,
        "build": build,
        "interval": interval,
        "format": output_format,
        "state_directory": STATE_DIRECTORY,
        "output": f"{directory}/chainops_state.prom",
        "services": [
            {option: value for option, value in service.items() if option not in _UNUSED} for service in described
        ],
    }


def config_text(config: t.Mapping[str, t.Any]) -> str:
    """The text of the file: the same for the same services."""
    return json.dumps(config, indent=1, sort_keys=True) + "\n"


def allowed_addresses(config: t.Mapping[str, t.Any]) -> list[str]:
    """What the program may talk to, in the words of systemd's IPAddressAllow=.

    A name may mean another address tomorrow, and a command may ask anything:
    with one of these it is the whole network.
    """
    hosts = {host for service in config["services"] for host in _hosts(service)}
    remote = hosts - set(_LOCAL)
    if not all(_is_address(host) for host in remote):
        return _WHOLE_NETWORK
    return ["localhost", *sorted(remote)]


def _hosts(service: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """The hosts that an observation of the service may contact; an invalid name if they are not known."""
    for probe in service["probes"]:
        if probe["kind"] == "command":
            yield "*"
        yield probe["host"] if probe["kind"] == "tcp" else _host(probe.get("url") or "http://localhost")
    if service["kind"] == "besu":
        yield from (_host(url) for url in (service["rpc_url"], service["metrics_url"], *service["reference_urls"]))
    if service["kind"] == "cloudflared":
        yield "*"  # the edge, which has many addresses


def _host(url: str) -> str:
    return urlsplit(url).hostname or "*"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
