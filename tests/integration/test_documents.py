# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents show is run: README, guides, the README of each role, the examples of modules and filters."""

from __future__ import annotations

import os
import re
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._playbook_vars import read
from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group

from .ansible_config import write_config

ROOT = Path(__file__).parent.parent.parent
SHOP = ROOT / "tests" / "demo" / "shop.py"
PORTS = {"api": 8080, "worker": 8081, "besu": 8545, "cloudflared": 20241, "cron": 8083}
# Examples whose services need more than the host of this test has are run by the tests of their kind.
ELSEWHERE = {
    "besu_node",
    "besu_network_info",
    "besu_reservation",
    "cloudflared_reservation",
    "cloudflared_tunnel",
    "cloudflare_tunnel_connector",
    "cloudflare_tunnel_info",
}


@pytest.fixture(scope="module")
def pair(make_fleet: t.Callable[..., Fleet]) -> Fleet:
    """Two hosts, host1 and host2, with a web service under every name that the documents use."""
    fleet = make_fleet(Group("host", 2, "trixie"))
    fleet.each(_install)
    return fleet


def _install(host: t.Any) -> None:
    host.push(SHOP, "/opt/shop.py", 0o755)
    for name, port in PORTS.items():
        for folder in ("/etc", "/var/backups"):
            host.push_text(f"{folder}/{name}.json", f'{{"port": {port}}}')
        host.push_text(
            f"/etc/systemd/system/{name}.service",
            f"[Service]\nType=notify\nExecStart=/usr/bin/python3 /opt/shop.py /etc/{name}.json\n"
            "[Install]\nWantedBy=multi-user.target\n",
        )
    host.sh("systemctl daemon-reload; systemctl start " + " ".join(PORTS))


def yaml_blocks(path: Path) -> list[str]:
    """The YAML blocks of a Markdown or reStructuredText file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        found = re.findall(r"^( *)```yaml\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE)
        return ["\n".join(line.removeprefix(indent) for line in body.splitlines()) for indent, body in found]
    found = re.findall(r"^\.\. code-block:: yaml\n\n((?:  .*\n|\n)+)", text, re.MULTILINE)
    return ["\n".join(line[2:] for line in body.splitlines()) for body in found]


def play(
    fleet: Fleet, folder: Path, what: str, *arguments: str, inventory: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a playbook on the fleet; an inventory of the documents' comes on top of the fleet's own."""
    write_config(folder)
    argv = ["ansible-playbook", "-i", str(fleet.inventory)]
    if inventory:
        (folder / "inventory.yml").write_text(inventory)
        argv += ["-i", str(folder / "inventory.yml")]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        [*argv, what, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def test_the_first_recovery_of_the_readme(pair: Fleet, tmp_path: Path) -> None:
    inventory = next(block for block in yaml_blocks(ROOT / "README.md") if "lifecycle_services" in block)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^ *ansible-playbook -i inventory.yml (\S+) ?(.*)$", text, re.MULTILINE)
    assert [name.rpartition(".")[2] for name, _options in commands] == ["status", "recover", "recover"]
    pair["host1"].sh("systemctl kill --signal=SIGKILL api")
    said = []
    for name, options in commands:
        done = play(pair, tmp_path, name, *options.split(), inventory=inventory)
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout)
    assert re.search(r"^host1 +api +error ", said[0], re.MULTILINE)
    assert "host1 api: PLANNED" in said[1]
    assert "host1 api: RECOVERED" in said[2]
    assert pair["host1"].sh("systemctl is-active api").stdout.strip() == "active"


def examples(kind: str) -> dict[str, list[dict[str, t.Any]]]:
    """The tasks in the examples of every module, or of every filter, by its name."""
    found = {}
    for path in sorted((ROOT / "plugins" / kind).glob("*.py")):
        block = re.search(r'^EXAMPLES = r"""\n(.*?)"""', path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        if block and path.stem not in ELSEWHERE:
            found[path.stem] = yaml.safe_load(block[1])
    for path in sorted((ROOT / "plugins" / kind).glob("*.yml")):
        found[path.stem] = yaml.safe_load(yaml.safe_load(path.read_text(encoding="utf-8"))["EXAMPLES"])
    return found


# What the examples of filters are about.
OBSERVED = {
    "services": [{"name": n, "kind": "generic", "state": "running", "reasons": ["x"]} for n in ("api", "worker")]
}
VARIABLES: dict[str, t.Any] = {
    "lifecycle_services": ["api", "worker"],
    "observed": OBSERVED,
    "observed_by_host": {"host1": OBSERVED},
    "services_by_host": {"host1": ["api"]},
    "stalled_by_host": {},
    "results_by_host": {},
    "results_by_node": {},
    "network_info": {"nodes": [], "networks": []},
    "turns": [],
    "asked": {"results": []},
    "results": {},
    "grants": {"refused": {}, "held": {}},
    "genesis": None,
    "address": None,
    "plan": {
        "due": [],
        "unknown": [],
        "rows": [],
        "hosts": [],
        "waves": [],
        "restart_all": [],
        "acts": {"host1": []},
        "host": "host1",
        "service": "api",
        "kind": "generic",
        "fault": "killed",
        "refusal": "",
        "guard": "",
    },
    "settings": read({"lifecycle_drill_service": "host1/api", "lifecycle_drill_fault": "killed"}),
    "fault": {"reached": False, "msg": "no answer"},
    "ended": {},
    "service_recovery_result": [],
    "service_drill_result": {},
    "checked": {"settings": read({})},
}


def run_examples(pair: Fleet, folder: Path, by_name: dict[str, list[dict[str, t.Any]]]) -> str:
    """Run them in one go, a play for each name."""
    book = [{"name": name, "hosts": "host1", "gather_facts": False, "tasks": tasks} for name, tasks in by_name.items()]
    (folder / "examples.yml").write_text(yaml.safe_dump(book, sort_keys=False))
    (folder / "vars.yml").write_text(yaml.safe_dump(VARIABLES))
    done = play(pair, folder, "examples.yml", "-e", "@vars.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_examples_of_the_filters(pair: Fleet, tmp_path: Path) -> None:
    said = run_examples(pair, tmp_path, examples("filter"))
    ran = {
        part.partition("]")[0]: len(re.findall(r"^TASK ", part, re.MULTILINE)) for part in said.split("\nPLAY [")[1:]
    }
    assert ran == {name: len(tasks) for name, tasks in examples("filter").items()}


@pytest.mark.parametrize("name", examples("modules"))
def test_the_examples_of_a_module(pair: Fleet, tmp_path: Path, name: str) -> None:
    tasks = examples("modules")[name]
    said = run_examples(pair, tmp_path, {name: tasks})
    pair["host1"].sh("rm -rf /var/lib/chainops-lifecycle; systemctl start api")
    assert len(re.findall(r"^TASK ", said, re.MULTILINE)) == len(tasks)


def test_a_role_is_switched_from_systemd_service_by_one_line(pair: Fleet, tmp_path: Path) -> None:
    """The role of guide_services, as it was written for ansible.builtin.systemd_service, and with ours."""
    (block,) = [
        one for one in yaml_blocks(ROOT / "docs/docsite/rst/guide_services.rst") if "# handlers/main.yml" in one
    ]
    tasks, _cut, handlers = block.partition("# handlers/main.yml")
    host, role = pair["host1"], tmp_path / "roles/shop"
    for folder in ("tasks", "handlers", "templates"):
        (role / folder).mkdir(parents=True)
    (tmp_path / "book.yml").write_text("[{hosts: host1, gather_facts: false, roles: [shop]}]")

    def run(module: str, text: str, *options: str) -> dict[str, bool]:
        (role / "templates/api.json.j2").write_text(text)
        for name, written in (("tasks", tasks), ("handlers", handlers)):
            (role / name / "main.yml").write_text(written.replace("chainops.lifecycle.service", module))
        done = play(pair, tmp_path, "book.yml", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        recap = re.findall(r"^(?:TASK|RUNNING HANDLER) \[(?:shop : )?(.+?)\]|^changed: ", done.stdout, re.MULTILINE)
        found: dict[str, bool] = {}
        for name in recap:
            found[name or list(found)[-1]] = not name
        return found

    started, handler = "Enable and start the services of the shop", "Restart the API"
    pid = "systemctl show -P MainPID api"
    for number, module in enumerate(("ansible.builtin.systemd_service", "chainops.lifecycle.service")):
        host.sh("systemctl disable --now api worker; rm -rf /var/lib/chainops-lifecycle")
        text = f'{{"port": 8080, "n": {number}}}'
        planned = run(module, text, "--check")
        assert (
            planned[started]
            and handler in planned
            and host.sh("! systemctl is-enabled api").stdout.strip() == "disabled"
        )
        assert run(module, text)[started]
        assert host.sh("systemctl is-enabled api worker").stdout.split() == ["enabled"] * 2
        assert host.sh("systemctl is-active api worker").stdout.split() == ["active"] * 2
        before = host.sh(pid).stdout
        again = run(module, text)
        assert not again[started] and handler not in again and host.sh(pid).stdout == before
        assert run(module, text + " ")[handler] and host.sh(pid).stdout != before
    host.sh(
        "mkdir -p /run/systemd/system; for name in fixed hidden; do printf '[Service]\\nExecStart=/bin/sleep 99\\n' "
        ">/run/systemd/system/$name.service; done; systemctl mask hidden; systemctl daemon-reload"
    )
    for name, why in (("hidden", "it is masked"), ("fixed", "it is static: its file has no [Install] section")):
        ask = {"chainops.lifecycle.service": {"name": name, "state": "started", "enabled": True}}
        (tmp_path / "book.yml").write_text(
            yaml.safe_dump([{"hosts": "host1", "gather_facts": False, "tasks": [{"name": "Ask", **ask}]}])
        )
        done = play(pair, tmp_path, "book.yml")
        assert done.returncode == 2 and f"{name}.service cannot be enabled: {why}" in done.stdout, done.stdout
    assert host.sh("! systemctl is-active fixed").stdout.strip() == "inactive"
    host.sh("systemctl unmask hidden; systemctl start api worker; rm -rf /var/lib/chainops-lifecycle")


def test_the_playbook_for_awx(pair: Fleet, tmp_path: Path) -> None:
    done = play(
        pair, tmp_path, str(ROOT / "extensions/awx/project/recover.yml"), "-e", '{"lifecycle_services": ["api"]}'
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Summary: no service needed recovery" in done.stdout


@pytest.mark.parametrize("role", ["service_recovery"])
def test_the_play_of_the_role(pair: Fleet, tmp_path: Path, role: str) -> None:
    plays = yaml.safe_load(yaml_blocks(ROOT / "roles" / role / "README.md")[0])
    plays[0]["hosts"] = "host2"
    (tmp_path / "role.yml").write_text(yaml.safe_dump(plays, sort_keys=False))
    pair["host2"].push_text("/etc/api.json", '{"port": 80')
    pair["host2"].sh("systemctl restart api || true")
    done = play(pair, tmp_path, "role.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "host2 api: RECOVERED" in done.stdout
    assert pair["host2"].read_text("/etc/api.json") == '{"port": 8080}'
