# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible sends to a host of the laboratory runs as a fork as it runs without: caches/forked_modules.py."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t

import pytest

from ansible_collections.chainops.lifecycle.tests.support.lab import Fleet, Group, Host, until

from .conftest import chosen_suites

FleetMaker = t.Callable[..., Fleet]
SERVER = "chainops-lab-python.service"
TELLS = """
import ctypes, json, os, resource, sys  # ctypes may keep a file open
print(json.dumps({
    "argv": sys.argv, "path": sys.path, "name": __name__, "file": globals().get("__file__"), "dir": os.getcwd(),
    "environment": {name: value for name, value in os.environ.items() if name not in ("SSH_CLIENT", "SSH_CONNECTION")},
    "umask": os.umask(0), "ids": [os.getuid(), os.getgid(), os.getgroups()], "files": sorted(os.listdir("/proc/self/fd")),
    "limits": [resource.getrlimit(number) for number in range(15)],
    "group": open("/proc/self/cgroup").read().rpartition("::")[2].split("session-")[0],
    "streams": [(one.encoding, one.errors, one.isatty()) for one in (sys.stdin, sys.stdout, sys.stderr)],
    "ansible": [name for name in sys.modules if name.partition(".")[0] == "ansible"],
}))
print(os.getppid(), file=sys.stderr)
"""


@pytest.fixture(scope="module", params=chosen_suites())
def fleet(request: pytest.FixtureRequest, make_fleet: FleetMaker) -> Fleet:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAINOPS_LAB_CACHES", "1")
        return make_fleet(Group("forking", 1, request.param))


@pytest.fixture(scope="module")
def forking(fleet: Fleet) -> Host:
    (host,) = fleet.hosts.values()
    until(lambda: forks(host), 60, "the server runs")
    return host


def server(host: Host) -> str:
    """The process id of the server."""
    return host.run("systemctl", "show", "-P", "MainPID", SERVER).stdout.strip()


def forks(host: Host) -> bool:
    return run(host, "import os; print(os.getppid())")[1].strip() == server(host)


def run(host: Host, script: str, command: str = "python3") -> tuple[int, str, str]:
    done = host.ssh(command, stdin=script, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "command", ["python3", "cd /tmp; umask 027; ulimit -n 99; python3", "python3 /root/AnsiballZ_x.py"]
)
def test_a_fork_is_what_a_run_is(forking: Host, command: str) -> None:
    forking.push_text("/root/AnsiballZ_x.py", TELLS)
    status, told, parent = run(forking, TELLS, command)
    assert (status, parent.strip()) == (0, server(forking)), told
    forking.run("systemctl", "stop", SERVER)
    alone = run(forking, TELLS, command)
    forking.run("systemctl", "start", SERVER)
    until(lambda: forks(forking), 60, "the server runs again")
    assert json.loads(alone[1]) == json.loads(told)


@pytest.mark.parametrize(
    "script",
    ["import sys; sys.exit(3)", "raise SystemExit('a word')", "1 / 0", "import os; os.kill(os.getpid(), 15)", "("],
)
def test_a_fork_ends_as_a_run_ends(forking: Host, script: str) -> None:
    forked = run(forking, script)
    assert forked == run(forking, script, "sh -c 'exec python3 -'"), "with an argument, it is no fork"
    assert forked[0]


@pytest.mark.parametrize("number", ["TERM", "KILL"])
def test_what_ends_the_client_ends_the_fork(forking: Host, number: str) -> None:
    script = f"import os, time; os.system('kill -{number} $CLIENT'); time.sleep(600)"
    done = run(forking, script, "sh -c 'CLIENT=$$ exec python3'")
    assert done[0] not in (0, 70), done
    until(lambda: not forking.run("pgrep", "-P", server(forking), check=False).stdout, 30, "the fork has ended")


@pytest.mark.parametrize("command", ["python3 -c 'import os; print(os.getppid())'", "sudo -u lab python3"])
def test_other_runs_are_none(forking: Host, command: str) -> None:
    assert run(forking, "import os; print(os.getppid())", command)[1].strip() not in ("", server(forking))


def test_a_module_of_ansible_finds_what_was_imported(fleet: Fleet, forking: Host) -> None:
    argv = ["ansible", "-i", str(fleet.inventory), forking.name]
    environment = {**os.environ, "ANSIBLE_PIPELINING": "1"}
    for module in (
        ["-m", "ping"],
        ["-m", "chainops.lifecycle.service_info", "-a", '{"services": ["ssh.service"]}'],
    ):
        done = subprocess.run([*argv, *module], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
