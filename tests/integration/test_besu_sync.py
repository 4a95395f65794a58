# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One sync wait by the playbook: nodes that get in sync in spite of what befalls them, and nodes that cannot."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from ansible_collections.chainops.lifecycle.tests.support.besu_standin import deploy, network
from ansible_collections.chainops.lifecycle.tests.support.besu_standin.tests.harness import http_request
from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, Host, until

from .ansible_config import write_config
from .conftest import service_suite
from .test_documents import ROOT, yaml_blocks

PLAYBOOK = "chainops.lifecycle.besu_sync_wait"
BLOCKS = 10_000
INTERVAL = 4
STALL = 10
GIVEN = 400
# What befalls the node of each host; "source" is the chain's only validator.
NODES = ("source", "far", "stalled", "isolated", "restarted", "snap", "dropped", "rebooted")
RATE, SNAP_RATE = 450, 1300
# Slow enough to be in the middle still when something befalls them.
RATES = {"far": 250, "dropped": 250, "stalled": 100, "restarted": 100, "rebooted": 100}


@dataclass(frozen=True)
class Played:
    """What the playbook said."""

    code: int
    output: str
    took: float

    def lines(self, node: str) -> list[str]:
        """The lines of progress of a node."""
        return re.findall(rf"^\[{node}\w+1\] besu: (.*)$", self.output, re.MULTILINE)

    def row(self, node: str) -> list[str]:
        """What the summary says of a node: outcome, state, head, lag, waited, blocks/s, why."""
        summary = self.output.partition("SYNC WAIT")[2]
        found = re.search(rf"^{node}\w+1 +besu +(.*)\n(?:    (\S.*))?", summary, re.MULTILINE)
        assert found, self.output
        return [*re.split(r"  +", found[1]), *([found[2]] if found[2] else [])]

    def changed(self, node: str) -> int:
        found = re.search(rf"^{node}\w+1 +: .*changed=(\d+)", self.output, re.MULTILINE)
        assert found, self.output
        return int(found[1])


class Chain:
    """A validator with a chain of 10,000 blocks, and hosts whose nodes have none of them."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet, self.folder = fleet, folder
        self.hosts = {next(n for n in NODES if name.startswith(n)): host for name, host in fleet.hosts.items()}
        self.plan = network.plan(
            {name: host.address for name, host in self.hosts.items()}, ["source"], block_period=1, bootnodes=["source"]
        )
        history = self.plan.history(BLOCKS)
        fleet.each(lambda host: self.put(host, history))
        until(lambda: self.height("source") > BLOCKS, 30, "the chain grows")

    def put(self, host: Host, history: t.Any) -> None:
        name = next(node for node, one in self.hosts.items() if one is host)
        options = {"sync_mode": "SNAP"} if name == "snap" else {}
        blocks = history if name == "source" else ()
        deploy.install(host, self.plan, name, scale=0.2, block_scale=0.5, blocks=blocks, **options)
        deploy.fault(host, sync_rate=RATES.get(name, RATE), snap_rate=SNAP_RATE, isolate=name == "isolated")
        if name == "source":
            host.run("systemctl", "start", "besu.service")

    def height(self, name: str) -> int:
        return int(self.call(name, "eth_blockNumber") or "0x0", 16)

    def call(self, name: str, method: str) -> t.Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": []})
        try:
            return json.loads(http_request(self.hosts[name].address, 8545, "POST", "/", body, timeout=5).text)["result"]
        except OSError:
            return None

    def show(self, name: str, prop: str) -> str:
        return self.hosts[name].run("systemctl", "show", "-P", prop, "besu.service").stdout.strip()

    def works(self, name: str) -> bool:
        """Whether a module is at work: it has written its name into the lock."""
        return bool(self.hosts[name].read_text("/run/chainops-lifecycle/besu.service.lock"))

    def starts(self, name: str) -> int:
        """How often the unit was started, by systemd's own journal."""
        found = self.hosts[name].run(
            "journalctl", "-b", "-o", "cat", "-u", "besu.service", "JOB_TYPE=start", "+", "JOB_TYPE=restart",
            "MESSAGE_ID=39f53479d3a045ac8e11786248231fbf",
        )  # fmt: skip
        return len([line for line in found.stdout.splitlines() if "Started" in line])

    def command(self, *arguments: str, book: str = PLAYBOOK, **variables: t.Any) -> dict[str, t.Any]:
        node = {
            "name": "besu",
            "kind": "besu",
            "besu": {"stall_timeout": STALL, "peers_timeout": 8, "reference_urls": [self.source_url]},
        }
        given = {
            "lifecycle_services": [node],
            "besu_sync_wait_progress_interval": INTERVAL,
            "besu_sync_wait_timeout": GIVEN,
            **variables,
        }
        (self.folder / "vars.yml").write_text(yaml.safe_dump(given))
        write_config(self.folder)
        argv = ["ansible-playbook", "-i", str(self.fleet.inventory), book, "-e", "@vars.yml", "--forks", "10"]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        return {"args": [*argv, *arguments], "cwd": self.folder, "env": environment}

    @property
    def source_url(self) -> str:
        return f"http://{self.hosts['source'].address}:8545"

    def play(self, *arguments: str, book: str = PLAYBOOK, **variables: t.Any) -> Played:
        began = time.monotonic()
        done = subprocess.run(
            **self.command(*arguments, book=book, **variables), capture_output=True, text=True, check=False, timeout=600
        )
        return Played(done.returncode, done.stdout + done.stderr, time.monotonic() - began)

    def play_with_mishaps(self) -> tuple[Played, dict[str, t.Any]]:
        """Play on all hosts while a node stalls, one restarts, one lies, a line drops and a host reboots."""
        seen: dict[str, t.Any] = {}
        began = time.monotonic()
        log = self.folder / "output"
        with log.open("w") as stream:
            process = subprocess.Popen(**self.command(), stdout=stream, stderr=subprocess.STDOUT)

        def says(node: str) -> bool:
            return re.search(rf"^\[{node}\w+1\] besu: syncing", log.read_text(), re.MULTILINE) is not None

        try:
            until(lambda: self.call("snap", "eth_syncing") is not None, 60, "it answers")
            seen["lie"] = (self.call("snap", "eth_syncing"), self.height("snap"))
            until(lambda: says("dropped"), 60, "the second slice has begun")
            until(lambda: self.works("dropped"), 20, "the module is at work")
            # The server's end goes: what the module is doing on the host goes on, and holds the lock.
            self.hosts["dropped"].run("pkill", "-KILL", "-f", "sshd.*@notty")
            until(lambda: self.height("stalled") > 1000, 90, "it has begun to sync")
            deploy.fault(self.hosts["stalled"], stall_import=True)
            until(lambda: self.height("restarted") > 2000, 90, "it is in the middle")
            seen["invocation"] = self.show("restarted", "InvocationID")
            self.hosts["restarted"].run("systemctl", "restart", "besu.service")
            deploy.fault(self.hosts["restarted"], sync_rate=RATE)
            self.hosts["rebooted"].reboot()
            deploy.fault(self.hosts["rebooted"], sync_rate=2000)
            process.wait(timeout=600)
        finally:
            process.kill()
            process.wait()
        return Played(process.returncode, log.read_text(), time.monotonic() - began), seen


@pytest.fixture(scope="module")
def chain(make_fleet: t.Callable[..., Fleet], tmp_path_factory: pytest.TempPathFactory) -> Chain:
    suite = service_suite()
    groups = [Group(f"{node}{suite}", 1, suite) for node in NODES]
    return Chain(make_fleet(*groups), Path(tmp_path_factory.mktemp("sync")))


@pytest.fixture(scope="module")
def outcome(chain: Chain) -> tuple[Played, dict[str, t.Any]]:
    played, seen = chain.play_with_mishaps()
    print(played.output)
    return played, seen


@pytest.fixture(scope="module")
def played(outcome: tuple[Played, dict[str, t.Any]]) -> Played:
    return outcome[0]


def in_sync(chain: Chain, played: Played, node: str) -> None:
    word, state, head, lag, *_rest = played.row(node)
    assert word in ("synced", "healthy") and state in ("synced", "running"), played.row(node)
    assert int(head) > BLOCKS and int(lag) <= 4
    assert chain.height(node) >= int(head)


def heads(played: Played, node: str) -> list[int]:
    return [int(number) for line in played.lines(node) for number in re.findall(r"at block (\d+)", line)]


@pytest.mark.long
def test_a_node_ten_thousand_blocks_behind(chain: Chain, played: Played) -> None:
    in_sync(chain, played, "far")
    seen = heads(played, "far")
    assert len(seen) >= 3 and seen == sorted(set(seen)), played.lines("far")
    assert re.search(r"behind, [\d.]+ blocks/s, about \d+ s to go, \d+ peers", played.output)
    assert chain.starts("far") == 1 and played.changed("far") == 1


def test_one_that_stalls_ends_by_lack_of_progress(chain: Chain, played: Played) -> None:
    """Which takes longer than a slice, and much less than the time it was given."""
    word, state, head, *_lag, waited, _rate, why = played.row("stalled")
    assert (word, state) == ("failed", "error") and 1000 < int(head) < BLOCKS
    assert "stuck_sync: no block imported in" in why
    assert len(played.lines("stalled")) >= STALL // INTERVAL
    sizes = {"min": 60, "s": 1}
    # How much sooner depends on the machine: it ended for its reason, and not for the time it was given.
    assert sum(int(n) * sizes[unit] for n, unit in re.findall(r"(\d+) (min|s)\b", waited)) < GIVEN, waited


def test_an_isolated_one_has_no_peers(played: Played) -> None:
    word, state, head, *_rest, why = played.row("isolated")
    assert (word, state, head) == ("failed", "error", "0") and why.startswith("no_peers: no peers for"), why


def test_one_restarted_in_the_middle_goes_on(
    chain: Chain, played: Played, outcome: tuple[Played, dict[str, t.Any]]
) -> None:
    in_sync(chain, played, "restarted")
    assert chain.show("restarted", "InvocationID") != outcome[1]["invocation"]
    assert chain.starts("restarted") == 2, "by the wait, and by us"


def test_a_snap_sync_is_not_believed(chain: Chain, played: Played, outcome: tuple[Played, dict[str, t.Any]]) -> None:
    said, height = outcome[1]["lie"]
    assert (said, height) == (False, 0), "it said that it was in sync when it had nothing"
    in_sync(chain, played, "snap")
    assert not [line for line in played.lines("snap") if line.startswith(("synced", "running"))]


def test_a_lost_connection_costs_a_slice(chain: Chain, played: Played) -> None:
    in_sync(chain, played, "dropped")
    assert [line for line in played.lines("dropped") if "the connection was lost, the wait continues" in line]
    assert chain.starts("dropped") == 1 and played.changed("dropped") == 1


def test_a_host_that_reboots_in_the_middle_costs_a_slice_or_two(chain: Chain, played: Played) -> None:
    """Its unit is not enabled, so that the wait has to start it again."""
    in_sync(chain, played, "rebooted")
    lost = "the connection was lost, the wait continues|the module was cut off, the wait continues"
    assert [line for line in played.lines("rebooted") if re.match(lost, line)], played.lines("rebooted")
    assert chain.starts("rebooted") == 1, "in this boot"


def test_the_others_are_not_held_up_and_the_play_fails_for_those_that_failed(played: Played) -> None:
    assert played.code == 2
    failed = re.findall(r"^(\w+?)(?:bookworm|trixie|forky)1 +: .*failed=1", played.output, re.MULTILINE)
    assert sorted(failed) == ["isolated", "stalled"]
    assert "Summary: " in played.output and "2 failed" in played.output


def test_a_second_run_costs_nothing(chain: Chain, played: Played) -> None:
    well = [name for name in chain.fleet.hosts if not name.startswith(("stalled", "isolated"))]
    again = chain.play("-e", f"lifecycle_target={','.join(well)}", "--forks", "4")
    assert again.code == 0, again.output
    assert all(again.changed(node) == 0 for node in ("far", "restarted", "snap", "dropped", "rebooted", "source"))
    assert again.row("far")[0] == "healthy" and again.lines("far") == []
    assert "NOTE: 6 hosts have nodes and there are 4 forks" in again.output
    print(f"second run on {len(well)} hosts: {again.took:.1f} s, the first took {played.took:.1f} s")


def lines_of(host: Host, pattern: str) -> list[float]:
    """When the node wrote lines with this in them."""
    found = host.run("journalctl", "-u", "besu", "-o", "short-unix", "--no-pager", f"--grep={pattern}").stdout
    return [float(line.split()[0]) for line in found.splitlines() if re.match(r"\d+\.", line)]


def test_the_report_shows_what_the_logs_tell(chain: Chain, played: Played) -> None:
    """Its sync, and the blocks that it makes: systemd says that both of these run, and nothing more."""
    path = chain.folder / "report.json"
    far, source = chain.hosts["far"], chain.hosts["source"]
    for host in (far, source):
        host.run("journalctl", "--sync")
    shown = chain.play(
        "--limit", f"{far.name},{source.name}", book="chainops.lifecycle.report", lifecycle_report_format="json",
        lifecycle_report_window="1h", lifecycle_report_file=str(path),
    )  # fmt: skip
    assert shown.code == 0, shown.output
    histories = {one["host"]: one["history"] for one in json.loads(path.read_text())["services"]}
    told = [(one["to"], one["trigger"]) for one in histories[far.name]["transitions"]]
    assert told[-3:] == [("starting", "collection"), ("syncing", "log"), ("running", "log")], told
    syncing, running = histories[far.name]["transitions"][-2:]
    imported = lines_of(far, "Import reached block")
    assert syncing["at"] <= imported[0] and running["at"] > imported[-1]
    assert abs(running["at"] - lines_of(far, "Imported empty block")[0]) < 0.1
    assert histories[far.name]["spans"][-1]["state"] == "running"
    made = lines_of(source, "Produced empty block")
    (first,) = [one for one in histories[source.name]["transitions"] if one["to"] == "consensus"]
    assert first["trigger"] == "log" and abs(first["at"] - made[0]) < 0.1
    assert not {"unknown"} & {one["state"] for one in histories[source.name]["spans"][-2:]}


def test_with_leave_to_recover_a_stalled_one_is_restarted_once(chain: Chain, played: Played) -> None:
    """In one slice of the wait, of which more come before and after; the restart is what helps here."""
    host, invocation = chain.hosts["stalled"], chain.show("stalled", "InvocationID")

    def fix() -> None:
        until(lambda: chain.show("stalled", "InvocationID") != invocation, 90, "it is restarted")
        deploy.fault(host, sync_rate=2000)

    fixer = threading.Thread(target=fix)
    fixer.start()
    again = chain.play("--limit", host.name, besu_sync_wait_recovery="restart")
    fixer.join()
    assert again.code == 0, again.output
    in_sync(chain, again, "stalled")
    assert len(again.lines("stalled")) >= 2 and again.changed("stalled") == 1
    assert chain.starts("stalled") == 2, "by the first wait, and by this one"
    attempts = json.loads(host.read_text("/var/lib/chainops-lifecycle/attempts/besu.service.json"))
    assert [(one["action"], one["recovery"], one["outcome"]) for one in attempts] == [
        ("start", False, "failed"),
        ("restart", True, "verified"),
    ]


def test_a_host_that_is_not_there_is_told_and_keeps_nobody(chain: Chain, played: Played) -> None:
    some = chain.play("-i", "lost.invalid,", "-e", f"lifecycle_target=lost.invalid,{chain.hosts['far'].name}")
    assert some.code != 0 and some.row("far")[0] == "healthy", some.output
    lost = r"^lost\.invalid +besu +unknown .*\n +unreachable: Could not resolve hostname lost\.invalid"
    assert re.search(lost, some.output, re.MULTILINE), some.output
    assert "Summary: 1 healthy, 1 unknown" in some.output


def shown_plays(chain: Chain) -> t.Iterator[tuple[str, t.Any]]:
    """The plays of guide and README, and one of the module's examples."""
    yield "guide", yaml.safe_load(yaml_blocks(ROOT / "docs/docsite/rst/guide_besu.rst")[1])
    yield "role", yaml.safe_load(yaml_blocks(ROOT / "roles/besu_sync_wait/README.md")[0])
    yield "examples", [{"gather_facts": False, "tasks": example_tasks("besu_node")}]


def example_tasks(module: str) -> t.Any:
    text = (ROOT / "plugins" / "modules" / f"{module}.py").read_text(encoding="utf-8")
    return yaml.safe_load(text.partition('EXAMPLES = r"""')[2].partition('"""')[0])


def test_what_the_documents_show(chain: Chain, played: Played) -> None:
    name = chain.hosts["far"].name
    inventory: dict[str, t.Any] = {"all": {"children": {"validators": {"hosts": {chain.hosts["source"].name: {}}}}}}
    (chain.folder / "more.yml").write_text(yaml.safe_dump(inventory))
    given = {"besu_reference_urls": [chain.source_url], "besu_rpc_url": chain.source_url}
    for what, plays in shown_plays(chain):
        plays[0]["hosts"] = name
        (chain.folder / f"{what}.yml").write_text(yaml.safe_dump(plays))
        shown = chain.play("-i", "more.yml", book=f"{what}.yml", **given)
        assert shown.code == 0, shown.output
        assert shown.changed("far") == (what == "examples")
    assert chain.starts("far") == 2, "by the wait, and by the example that restarts"


def test_check_mode_waits_for_nothing(chain: Chain, played: Played) -> None:
    host = chain.hosts["far"]
    host.run("systemctl", "stop", "besu.service")
    planned = chain.play("--check", "--limit", host.name)
    assert planned.code == 0, planned.output
    assert planned.row("far")[:2] == ["planned", "stopped"] and planned.lines("far") == []
    assert chain.show("far", "ActiveState") != "active"


def test_a_node_that_is_described_as_stopped_is_left_so(chain: Chain, played: Played) -> None:
    host = chain.hosts["far"]
    host.run("systemctl", "stop", "besu.service")
    left = chain.play("--limit", host.name, lifecycle_services=[{"name": "besu", "kind": "besu", "state": "stopped"}])
    assert left.code == 0 and "no Besu node was found" in left.output
    assert chain.show("far", "ActiveState") != "active"
