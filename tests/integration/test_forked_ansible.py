# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of Ansible that is a fork is what it is without: tests/support/caches/forked_ansible.py. Needs no host."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.caches import fork_client, kept_bytecode
from ansible_collections.chainops.lifecycle.tests.support.lab import until

CACHES = Path(kept_bytecode.__file__).parent
SAYS = r"""
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "{{ lookup('env', 'SAID') }} {{ ansible_config_file }} {{ lookup('pipe', 'pwd; umask; cat') }} {{ given }} {{ of_all }}"
    - ansible.builtin.debug:
        msg: "#jinja2: variable_start_string:'[[', variable_end_string:']]'\n[[ given ]] {{ given }}"
    - ansible.builtin.debug:
        msg: "#jinja2: variable_start_string:'<<', variable_end_string:'>>'\n[[ given ]] << given >>"
    - ansible.builtin.debug: {msg: "[[ given ]] {{ 'a\\nb' }} {% for one in range(given | int) %}{{ one }}{% endfor %}"}
    - ansible.builtin.debug: {msg: "{{ given | missing_filter }}"}
      ignore_errors: true
    - ansible.builtin.debug: {msg: "{{ given"}
      ignore_errors: true
    - ansible.builtin.debug: {msg: "{{ 'given' }} given is odd"}
      when: given | int is odd and 'a\\nb' != given
    - ansible.builtin.debug:
      when: given is missing_test
      ignore_errors: true
    - ansible.builtin.debug:
      when: given and
      ignore_errors: true
    - ansible.builtin.ping:
    - ansible.builtin.fail: {msg: "{{ ansible_run_tags }}"}
"""
WAITS = """
- hosts: localhost
  gather_facts: false
  tasks: [{ansible.builtin.command: "sh -c 'echo $$ >pid; exec sleep 300'"}]
"""


class Runs:
    """Runs of ansible-playbook in ``folder`` that may be forks."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.forks = folder, Path(tempfile.mkdtemp(prefix="forks-"))  # the path of a socket is short
        (folder / "ansible.cfg").write_text("[defaults]\nlocalhost_warning = false\n")
        (folder / "group_vars").mkdir()
        (folder / "group_vars/all.yml").write_text("of_all: from its group\n")
        (folder / "says.yml").write_text(SAYS)
        (folder / "waits.yml").write_text(WAITS)

    def start(self, book: str, given: int = 0, **environment: str) -> subprocess.Popen[str]:
        python = "{{ ansible_playbook_python }}"
        argv = ["ansible-playbook", "-i", "localhost,", "-c", "local", book, "-e", f"given={given}"]
        return subprocess.Popen(
            [*argv, "-e", f"ansible_python_interpreter='{python}'"],
            cwd=self.folder,
            env={
                **{name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"},
                "PYTHONPATH": f"{os.environ['ANSIBLE_COLLECTIONS_PATH']}:{CACHES}",
                "CHAINOPS_FORKS": str(self.forks),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def say(self, given: int, **environment: str) -> tuple[int, str, str]:
        run = self.start("says.yml", given, **environment)
        stdout, stderr = run.communicate(timeout=120)
        return run.returncode, stdout, stderr

    @property
    def sockets(self) -> list[Path]:
        return [path for path in self.forks.iterdir() if path.is_socket() and not path.suffix]

    def servers(self) -> list[int]:
        """The process ids of the servers and of their forks."""
        found = subprocess.run(["pgrep", "-f", f"ansible_server.py .*{self.forks}"], capture_output=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def used(self) -> float:
        """The CPU time of the forks, in seconds."""
        return sum(float(path.read_text()) for path in self.forks.glob("*.cpu"))


@pytest.fixture
def runs(tmp_path: Path) -> t.Iterator[Runs]:
    made = Runs(tmp_path)
    yield made
    shutil.rmtree(made.forks.rename(f"{made.forks}.ended"))


@pytest.fixture
def warm(runs: Runs) -> Runs:
    """The same with a server, which the second run starts."""
    assert [runs.say(number)[0] for number in (1, 2)] == [2, 2]
    until(lambda: runs.sockets, 60, "a server is there")
    return runs


def test_a_fork_says_what_a_run_says(warm: Runs) -> None:
    for number in (3, 4):
        alone = warm.say(number, SAID=f"said {number}", CHAINOPS_FORKS="")
        before = warm.used()
        assert warm.say(number, SAID=f"said {number}") == alone
        assert warm.used() > before
    assert f"said {number} {warm.folder}/ansible.cfg {warm.folder}" in alone[1], alone
    assert f"{number} from its group" in alone[1], alone
    assert alone[1].count("...ignoring") == 4, alone
    assert alone[0] == 2


def test_other_settings_take_another_server(warm: Runs) -> None:
    before = warm.used()
    warm.say(3, ANSIBLE_FORKS="7")
    assert warm.used() == before
    (warm.folder / "ansible.cfg").write_text("[defaults]\nlocalhost_warning = false\nforks = 7\n")
    warm.say(3)
    assert warm.used() == before


def test_the_folder_of_a_fork_is_its_own(warm: Runs) -> None:
    """Ansible makes its folder for temporary files as it is imported."""
    kept = warm.folder / "home"
    warm.say(3, ANSIBLE_LOCAL_TEMP=str(kept))
    assert warm.used() > 0
    assert kept.is_dir()
    assert not list(kept.iterdir())


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_a_fork(warm: Runs, sent: signal.Signals) -> None:
    alone = _ended_by(warm, sent, CHAINOPS_FORKS="")
    before = warm.used()
    assert _ended_by(warm, sent) == alone
    until(lambda: warm.used() > before, 10, "the server has seen the end of the fork")


def test_forks_end_with_the_socket_of_their_server(warm: Runs) -> None:
    with _waiting(warm) as run:
        for path in warm.sockets:
            path.unlink()
        assert run.wait(30) != 0
        until(lambda: not warm.servers(), 10, "the server has ended")


def test_a_run_that_has_lost_its_server_is_not_made_again(warm: Runs) -> None:
    with _waiting(warm) as run:
        os.kill(min(warm.servers()), signal.SIGKILL)
        assert run.wait(30) == fork_client.LOST
        assert run.stderr is not None
        assert "has ended before the run" in run.stderr.read()
    until(lambda: not warm.servers(), 10, "the fork has ended")
    assert warm.say(3)[0] == 2, "the next run needs no server"


def test_a_client_that_asks_for_nothing_does_no_harm(warm: Runs) -> None:
    for path in warm.sockets:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    before = warm.used()
    assert warm.say(3)[0] == 2
    assert warm.used() > before


@pytest.mark.parametrize("setting", ["inventory = hosts", "library = a:hosts", "roles_path = {{CWD}}/roles"])
def test_a_place_beside_the_configuration_takes_a_server_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.syspath_prepend(str(CACHES))
    forked_ansible = importlib.import_module("forked_ansible")
    digests = set()
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "hosts").write_text("localhost\n")
        (folder / "ansible.cfg").write_text(f"[defaults]\n{setting}\n")
        monkeypatch.chdir(folder)
        monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
        digests.add(forked_ansible._digest("/bin/ansible"))
    assert len(digests) == 2


def _ended_by(runs: Runs, sent: signal.Signals, **environment: str) -> int:
    with _waiting(runs, **environment) as run:
        run.send_signal(sent)
        return run.wait(30)


@contextlib.contextmanager
def _waiting(runs: Runs, **environment: str) -> t.Iterator[subprocess.Popen[str]]:
    """A run in the middle of a task."""
    with runs.start("waits.yml", **environment) as run:
        pid = runs.folder / "pid"
        until(lambda: pid.exists() and pid.read_text().strip(), 60, "its task runs")
        yield run
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid.read_text()), signal.SIGKILL)
        pid.unlink()
