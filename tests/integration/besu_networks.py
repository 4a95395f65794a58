# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks of the stand-in for Besu on real hosts, and the playbooks run on them while the head is watched."""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
import json
import os
import re
import subprocess
import threading
import time
import typing as t
from pathlib import Path

import yaml

from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.grants import TTL
from ansible_collections.chainops.lifecycle.tests.support.besu_standin import breaks, deploy, network
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.harness import http_request
from ansible_collections.chainops.lifecycle.tests.support.lab import Host, until

from .ansible_config import write_config

# Blocks come every second, and the first round ends after two.
PERIOD, TIMEOUT, SCALE = 1, 2, 0.1
# The time-outs of two rounds, as each is twice the one before, and the block itself; blocks have whole seconds.
PAUSE = TIMEOUT + 2 * TIMEOUT + PERIOD + 1
OPTIONS = {"attempt_backoff": 0, "max_attempts": 50, "wait_timeout": 60}
BESU = {
    "rpc_url": "http://{{ ansible_host }}:8545",
    "metrics_url": "",
    "hang_timeout": 3,
    "peers_timeout": 10,
    "rpc_timeout": 1,
}


class Played(t.NamedTuple):
    """One run of a playbook. Seconds: ``pause`` by the times of the blocks made meanwhile, ``polled`` by the heads,
    and by how much the nodes may have been late because a thread that had nothing to do but to wait was.
    """

    code: int
    output: str
    pause: float
    polled: float
    late: float
    outcome: dict[str, list[str]]
    seconds: float

    def block(self, host: str, service: str = "besu") -> str:
        """What the summary says of a service."""
        found = re.search(rf"^ *{host} {service}: .*\n(?:^ {{2,}}.*\n)*", self.output, re.MULTILINE)
        assert found, self.output
        return found[0]

    @property
    def changed(self) -> int:
        return sum(int(count) for count in re.findall(r"changed=(\d+)", self.output))


class BesuNetwork:
    """Validators and other nodes on the hosts of a fleet, one each."""

    def __init__(self, hosts: t.Sequence[Host], validators: int, inventory: Path, folder: Path, **plan: t.Any) -> None:
        self.hosts = {host.name: host for host in hosts}
        self.validators = [host.name for host in hosts[:validators]]
        self.inventory, self.folder = inventory, folder
        write_config(folder, show_custom_stats="true")
        addresses = {host.name: host.address for host in hosts}
        settings = {"block_period": PERIOD, "request_timeout": TIMEOUT, **plan}
        self.plan = network.plan(addresses, self.validators, **settings)

    def install(self, name: str, blocks: int = 0, **options: t.Any) -> None:
        history = self.plan.history(blocks) if blocks else ()
        deploy.install(self.hosts[name], self.plan, name, scale=SCALE, block_scale=1, blocks=history, **options)

    def up(self) -> None:
        """A new chain: every node installed, started, and the head moving."""
        self.each(self._fresh)
        self.each(lambda host: host.run("systemctl", "start", "besu.service"))
        self.until_moving(3)

    def _fresh(self, host: Host) -> None:
        host.sh(breaks.FIXES)
        host.sh("rm -rf /var/lib/chainops-lifecycle /run/chainops-lifecycle")
        self.install(host.name)

    def each(self, work: t.Callable[[Host], t.Any]) -> None:
        self.at_once([functools.partial(work, host) for host in self.hosts.values()])

    @staticmethod
    def at_once(works: t.Sequence[t.Callable[[], t.Any]]) -> None:
        """Do them side by side; the first that fails fails the test."""
        with concurrent.futures.ThreadPoolExecutor(len(works)) as pool:
            for done in [pool.submit(work) for work in works]:
                done.result()

    def call(self, name: str, method: str, *parameters: object, timeout: float = 10) -> t.Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)})
        return json.loads(http_request(self.hosts[name].address, 8545, "POST", "/", body, timeout=timeout).text)[
            "result"
        ]

    def height(self, name: str) -> int:
        """The head as the node tells it, -1 where it does not answer."""
        try:
            return int(self.call(name, "eth_blockNumber", timeout=1), 16)
        except (OSError, ValueError, KeyError):
            return -1

    def head(self) -> int:
        return max(self.height(name) for name in self.hosts)

    def pause(self, first: int) -> float:
        """The longest time between two blocks since block ``first``, and until now."""
        best = max(self.hosts, key=self.height)
        last, now = self.height(best), time.time()  # to ask for all the blocks takes a while
        numbers = range(max(first, 1), last + 1)
        stamps = [int(self.call(best, "eth_getBlockByNumber", hex(n), False)["timestamp"], 16) for n in numbers]
        return max((after - before for before, after in itertools.pairwise([*stamps, now])), default=0.0)

    def until_moving(self, blocks: int = 2, seconds: float = 60) -> None:
        """All nodes have so many blocks more than the best has now."""
        aim = self.head() + blocks
        until(lambda: all(self.height(name) >= aim for name in self.hosts), seconds, f"all have block {aim}")

    def let_grant(self) -> None:
        """A host that was booted a moment ago grants no reservation: let that be longer ago."""
        self.each(lambda host: host.pass_time(TTL))

    def age(self, name: str) -> float:
        """Seconds since the node was started."""
        script = 'echo $(($(date +%s) - $(date -d "$(systemctl show -P ActiveEnterTimestamp besu)" +%s)))'
        return float(self.hosts[name].sh(script).stdout)

    def show(self, name: str, what: str) -> str:
        return self.hosts[name].run("systemctl", "show", "-P", what, "besu.service").stdout.strip()

    def invocations(self) -> dict[str, str]:
        return {name: self.show(name, "InvocationID") for name in self.hosts}

    def fault(self, name: str, **faults: t.Any) -> None:
        deploy.fault(self.hosts[name], **faults)

    def fault_until_stopped(self, name: str, **faults: t.Any) -> None:
        deploy.fault_until_stopped(self.hosts[name], **faults)

    def stop(self, *names: str) -> None:
        for name in names:
            self.hosts[name].sh("systemctl stop besu.service; systemctl reset-failed besu.service || true")

    def observe(self, name: str, services: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
        """The first of these services on a host, as service_info observes it."""
        given = self.folder / "observed.yml"
        given.write_text(yaml.safe_dump({"described": services}))
        argv = ["ansible", "-i", str(self.inventory), name, "--one-line", "-e", f"@{given}"]
        argv += ["-m", "chainops.lifecycle.service_info", "-a", '{"services": "{{ described }}"}']
        environment = {**os.environ, "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(argv, cwd=self.folder, env=environment, capture_output=True, text=True, check=True)
        found: dict[str, t.Any] = json.loads(done.stdout.partition("=>")[2])["services"][0]
        return found

    def services(self, **besu: t.Any) -> list[dict[str, t.Any]]:
        return [{"name": "besu", "kind": "besu", **OPTIONS, "besu": {**BESU, **besu}}]

    def play(
        self,
        name: str,
        *arguments: str,
        watch: t.Callable[[int], None] | None = None,
        own: t.Mapping[str, t.Any] | None = None,
        lifecycle_services: t.Any = None,
        **given: t.Any,
    ) -> Played:
        """Run a playbook of the collection; meanwhile the heads are watched from outside.

        ``own``: services of some hosts that differ from ``lifecycle_services``.
        """
        run = f"{time.monotonic_ns()}"
        everyone = dict.fromkeys(self.hosts, lifecycle_services or self.services())
        hosts = {host: {"lifecycle_services": services} for host, services in {**everyone, **(own or {})}.items()}
        (self.folder / f"inventory-{run}.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
        (self.folder / f"vars-{run}.yml").write_text(yaml.safe_dump(given))
        limit = ["--limit", ",".join(self.hosts)] if "--limit" not in arguments else []
        inventories = ["-i", str(self.inventory), "-i", f"inventory-{run}.yml"]
        argv = ["ansible-playbook", *inventories, *limit, *arguments, name, "-e", f"@vars-{run}.yml"]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        began, first = time.monotonic(), self.head()
        with HeadWatch(self, watch) as watched:
            done = subprocess.run(
                argv, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=1200
            )
        took, pause = time.monotonic() - began, self.pause(first)
        stats = re.search(r"RUN: (\{.*\})", done.stdout)
        outcome: dict[str, list[str]] = {}
        for entry in json.loads(stats[1])["lifecycle_outcome"]["entries"] if stats else ():
            outcome.setdefault(entry["outcome"], []).append(f"{entry['host']}/{entry['service']}")
        return Played(done.returncode, done.stdout + done.stderr, pause, watched.longest, watched.late, outcome, took)


class HeadWatch:
    """Polls the heads of all nodes. ``longest``: the longest time for which the best of them did not change; ``late``: by
    how much other programs on this computer delayed the watch at worst.
    """

    def __init__(self, chain: BesuNetwork, told: t.Callable[[int], None] | None = None) -> None:
        self._chain, self._told = chain, told
        self._over = threading.Event()
        self._pool = concurrent.futures.ThreadPoolExecutor(1)
        self.longest = self.late = 0.0

    def __enter__(self) -> HeadWatch:
        self._watching = self._pool.submit(self._watch)
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._pool.shutdown()
        self._watching.result()  # raises what ended the watch before its time

    def _watch(self) -> None:
        best, since = self._chain.head(), time.monotonic()
        quiet: dict[str, float] = {}
        while not self._wait(0.25):
            head = max((self._ask(name, quiet) for name in self._chain.hosts), default=-1)
            now = time.monotonic()
            self.longest = max(self.longest, now - since)
            if head > best:
                best, since = head, now
                if self._told:
                    self._told(head)

    def _wait(self, seconds: float) -> bool:
        began = time.monotonic()
        over = self._over.wait(seconds)
        self.late = max(self.late, time.monotonic() - began - seconds)
        return over

    def _ask(self, name: str, quiet: dict[str, float]) -> int:
        """A node that does not answer is left in peace for a while: it has a limited number of connections."""
        if time.monotonic() < quiet.get(name, 0.0):
            return -1
        height = self._chain.height(name)
        if height < 0:
            quiet[name] = time.monotonic() + 5
        return height
