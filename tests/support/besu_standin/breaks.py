# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real causes of the recorded failures, made on a host where a node is installed: shell scripts by scenario.

They need the node's files where ``deploy.install`` puts them and leave it stopped; ``deploy.install`` fixes all but
what ``FIXES`` undoes. ``NEEDS_DATA``: scenarios in which the node has run before, so install it with blocks.
"""

from __future__ import annotations

from .network import BINARY, DATA, ETC

_DROP_IN = "/etc/systemd/system/besu.service.d"


def _drop_in(*lines: str) -> str:
    text = "".join(f"{line}\\n" for line in ("[Service]", *lines))
    return f"mkdir -p {_DROP_IN}; printf '{text}' >{_DROP_IN}/broken.conf; systemctl daemon-reload"


def _listener(port: int) -> str:
    program = f'import socket,time; s=socket.create_server(("0.0.0.0",{port})); time.sleep(3600)'
    return f"systemd-run -q --unit=port-holder python3 -c '{program}'; {_wait_port(port)}"


def _wait_port(port: int) -> str:
    return f"for i in $(seq 600); do grep -qi ':{port:04X} 00000000:0000 0A' /proc/net/tcp && break; sleep 0.1; done"


def _wait_file(path: str) -> str:
    return f"for i in $(seq 600); do [ -e {path} ] && break; sleep 0.1; done; rm {path}"


_LOCKER = f'import fcntl,time; f=open("{DATA}/database/LOCK","a"); fcntl.lockf(f,fcntl.LOCK_EX); open("/run/locked","w"); time.sleep(3600)'

SCRIPTS: dict[str, str] = {
    "start_unknown_option": _drop_in(
        "ExecStart=", f"ExecStart={BINARY} --config-file={ETC}/config.toml --no-such-option=1"
    ),
    "start_unknown_key_in_config_file": f"echo 'no-such-key=1' >>{ETC}/config.toml",
    "start_config_file_missing": f"rm {ETC}/config.toml",
    "start_config_file_malformed": f"echo 'p2p-host=\"' >>{ETC}/config.toml",
    "start_genesis_missing": f"rm {ETC}/genesis.json",
    "start_genesis_malformed": f"truncate -s 60 {ETC}/genesis.json",
    "start_genesis_changed": f'sed -i \'s/"timestamp": "0x0"/"timestamp": "0x1"/\' {ETC}/genesis.json',
    "start_key_malformed": f"printf zz%062d 0 >{ETC}/key",
    "start_key_unreadable": f"chown root {ETC}/key; chmod 600 {ETC}/key; chown nobody {DATA}; "
    + _drop_in("User=nobody"),
    "start_data_not_writable": f"chmod 644 {ETC}/key; chown root {DATA}; " + _drop_in("User=nobody"),
    "start_rpc_port_in_use": _listener(8545),
    "start_p2p_port_in_use": _listener(30303),
    "start_metrics_port_in_use": _listener(9545),
    "start_database_locked": f"systemd-run -q --unit=lock-holder python3 -c '{_LOCKER}'; {_wait_file('/run/locked')}",
    "start_database_corrupt_manifest": f"head -c 20 /dev/zero >{DATA}/database/MANIFEST-000005",
    "start_database_metadata_of_a_newer_version": (
        f"""printf '{{"v2":{{"format":"BONSAI","version":99}}}}' >{DATA}/DATABASE_METADATA.json"""
    ),
    "start_database_of_another_format": f"echo 'data-storage-format=\"FOREST\"' >>{ETC}/config.toml",
    "start_version_downgrade_refused": f"""printf '{{"besuVersion":"99.1.0"}}' >{DATA}/VERSION_METADATA.json""",
    "start_java_missing": _drop_in("Environment=JAVA_HOME=/opt/nojava"),
    "start_heap_option_invalid": _drop_in("Environment=JAVA_OPTS=-Xmx999999g"),
    "start_heap_too_small": _drop_in("Environment=JAVA_OPTS=-Xmx24m"),
    "start_too_few_file_descriptors": _drop_in("LimitNOFILE=300"),
    "start_binary_missing": _drop_in("ExecStart=", "ExecStart=/opt/besu/bin/nobesu"),
    "start_disk_full": f"mount -t tmpfs -o size=16k,mode=0755 tmpfs {DATA}",
    "node_allowlist_empty": (
        f"echo 'nodes-allowlist=[]' >{DATA}/permissions_config.toml; "
        f"echo 'permissions-nodes-config-file-enabled=true' >>{ETC}/config.toml"
    ),
    "start_crash_loop": _drop_in(
        "ExecStart=",
        f"ExecStart={BINARY} --config-file={ETC}/config.toml --no-such-option=1",
        "Restart=always",
        "RestartSec=1s",
    ),
}

NEEDS_DATA = frozenset({
    "start_genesis_changed", "start_database_locked", "start_database_corrupt_manifest",
    "start_database_metadata_of_a_newer_version", "start_database_of_another_format",
    "start_version_downgrade_refused",
})  # fmt: skip

FIXES = "; ".join(
    (
        "set +e",
        "for unit in besu port-holder lock-holder; do systemctl stop $unit.service; systemctl reset-failed $unit.service; "
        "done 2>/dev/null",
        f"umount {DATA} 2>/dev/null",
        f"rm -rf {_DROP_IN}",
        "systemctl daemon-reload",
    )
)
