# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that lives is not ended where its configuration could not be read; what cannot be told refuses nothing."""

from __future__ import annotations

import sys
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._besu import next_start
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import describe
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.runtime import Completed
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle import state_machine as m
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.observation import Observation
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.refusal import Refusal
from ansible_collections.chainops.lifecycle.plugins.module_utils._lifecycle.service_kind import Environment
from ansible_collections.chainops.lifecycle.tests.unit.plugins.module_utils.simulated_systemd import VirtualClock

GOOD = '# of a node\nrpc-http-enabled=true\nrpc-http-api=["ETH", "QBFT"]\nmin-gas-price = 0\nlogging="INFO" # words\n'
VALID = b"TOML config file is valid on basic inspection. Further dependencies are checked when Besu starts.\n"
UNKNOWN = b"picocli.CommandLine$ParameterException: Unknown option in TOML configuration file: no-such-key\n"


class Host:
    """The files of a unit, and what its programs say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[list[str]] = []
        self.env: t.Mapping[str, str] = {}
        self.answer = Completed(0, VALID, b"")
        self.config = folder / "config.toml"
        self.config.write_text(GOOD)
        self.besu = folder / "besu-26.8.0/bin/besu"
        self.besu.parent.mkdir(parents=True)
        self.besu.write_text("#!/bin/sh\n")

    def distribute(self) -> None:
        """What the archive of a version holds beside its launcher."""
        (self.folder / "besu-26.8.0/lib").mkdir()
        (self.folder / "besu-26.8.0/lib/besu-26.8.0.jar").touch()

    def runner(self, argv: t.Sequence[str], **options: t.Any) -> Completed:
        self.asked.append(list(argv))
        self.env = options["env"]
        return self.answer

    def refused(self, command: str = "{besu} --config-file={config}", more: str = "") -> str:
        unit = self.folder / "besu.service"
        given = f"[Service]\nExecStart={command}\n{more}"
        unit.write_text(given.replace("{besu}", str(self.besu)).replace("{config}", str(self.config)))
        found = next_start.refusal({"FragmentPath": str(unit)}, self.runner)
        assert found is None or (found.guard, bool(found.hint)) == ("next_start", True)
        return found.reason if found else ""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


NAMED = [
    ("{besu} --config-file={config}", ""),
    ("{besu} --data-path=/d --config-file {config}", ""),
    ("/usr/bin/java -Xmx1g org.hyperledger.besu.Besu --config-file={config}", ""),
    ("{besu}", 'Environment="BESU_CONFIG_FILE={config}"\n'),
]
NOT_KNOWN = [
    ("{besu}", ""),
    ("/usr/bin/docker run hyperledger/besu --config-file={config}", ""),
    ("/opt/wrapper.sh --config-file={config}", ""),
    ("{besu} --config-file=${CONFIG}", ""),
    ("{besu} --config-file=config.toml", ""),
    ("{besu} --config-file=/etc/besu/%i.toml", ""),
    ("{besu}", "Environment=BESU_CONFIG_FILE={config}\nEnvironmentFile=/etc/besu/env\n"),
    ("{besu} --config-file={config}", "RootDirectory=/srv/besu\n"),
    # The unit sees other files under the same names, or its file is made anew at each start.
    ("{besu} --config-file={config}", "BindReadOnlyPaths=/srv/besu:/etc/besu\n"),
    ("{besu} --config-file={config}", "TemporaryFileSystem=/etc\n"),
    ("{besu} --config-file=/tmp/besu.toml", "PrivateTmp=yes\n"),
    ("{besu} --config-file={config}", 'ExecStartPre=/bin/sh -c "envsubst </etc/besu.in >{config}"\n'),
    ("{besu}", "Environment=BESU_CONFIG_FILE={config}\nUnsetEnvironment=BESU_CONFIG_FILE\n"),
    ("{besu}", "Environment=BESU_CONFIG_FILE={config}\nEnvironment=BESU_CONFIG_FILE=/etc/besu/%i.toml\n"),
]


@pytest.mark.parametrize(("command", "more"), NAMED)
def test_a_file_that_is_no_toml_refuses(host: Host, command: str, more: str) -> None:
    assert host.refused(command, more) == ""
    host.config.write_text('rpc-http-enabled=true\nlogging="INFO\n')
    assert host.refused(command, more).startswith(f"its configuration file {host.config} is no TOML: ")
    host.config.unlink()
    assert host.refused(command, more) == f"its configuration file {host.config} is not there"


@pytest.mark.parametrize(("command", "more"), NOT_KNOWN)
def test_a_file_that_is_not_known_refuses_nothing(host: Host, command: str, more: str) -> None:
    host.config.write_text("=\n")
    assert host.refused(command, more) == "" and host.asked == []


def test_a_path_with_a_space_is_read_whole(host: Host) -> None:
    host.config = host.folder / "my config.toml"
    host.config.write_text(GOOD)
    for one in ('"BESU_CONFIG_FILE={config}"', "A=1 'BESU_CONFIG_FILE={config}' B=2"):
        assert host.refused("{besu}", f"Environment={one}\n") == ""
    host.config.write_text("=\n")
    assert host.refused("{besu}", 'Environment="BESU_CONFIG_FILE={config}"\n').startswith("its configuration file")


def test_a_byte_order_mark_is_left_to_besu(host: Host) -> None:
    host.config.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert host.refused() == ""


@pytest.mark.parametrize(
    "more", ["Environment=BESU_OPTS=-Dbesu.plugins.dir=/opt/plugins\n", "EnvironmentFile=-/etc/default/besu\n"]
)
def test_options_of_plugins_of_another_folder_are_not_known_to_the_check(host: Host, more: str) -> None:
    host.distribute()
    host.answer = Completed(0, UNKNOWN, b"")
    assert host.refused(more=more) == "" and host.asked == []


@pytest.mark.parametrize(
    ("uid", "more", "by"),
    [
        (0, "User=besu\n", ["runuser", "-u", "besu", "--"]),
        (0, "User=root\n", []),
        (0, "", []),
        (1000, "User=besu\n", []),
    ],
)
def test_the_program_of_the_unit_is_run_as_its_user(
    host: Host, monkeypatch: pytest.MonkeyPatch, uid: int, more: str, by: list[str]
) -> None:
    host.distribute()
    monkeypatch.setattr("os.geteuid", lambda: uid)
    assert host.refused(more=more) == ""
    assert host.asked == [[*by, str(host.besu), "validate-config", f"--config-file={host.config}"]]


def test_options_that_the_version_does_not_know(host: Host) -> None:
    host.answer = Completed(0, UNKNOWN, b"")
    assert host.refused() == "" and host.asked == [], "what only is called besu may be a wrapper that starts a node"
    host.distribute()
    said = "Unknown option in TOML configuration file: no-such-key"
    assert host.refused(more="Environment=JAVA_HOME=/opt/java\n") == f"besu validate-config {host.config}: {said}"
    assert host.asked == [[str(host.besu), "validate-config", f"--config-file={host.config}"]]
    assert host.env == {"JAVA_HOME": "/opt/java"}


@pytest.mark.parametrize(
    "answer",
    [
        Completed(0, VALID, b""),
        Completed(None, b"", b"", timed_out=True),
        Completed(127, b"", b"java: not found"),
        Completed(2, b"", b"Unmatched argument at index 0: 'validate-config'"),
        Completed(1, b"", b"Error: LinkageError occurred while loading main class: UnsupportedClassVersionError"),
    ],
)
def test_a_check_that_tells_nothing_refuses_nothing(host: Host, answer: Completed) -> None:
    host.distribute()
    host.answer = answer
    assert host.refused() == "" and len(host.asked) == 1


BROKEN = [
    'logging="INFO\n',
    "logging=INFO\n",
    "a=1\nrpc-http-enabled\n",
    "rpc http=true\n",
    "a=1 b=2\n",
    'a="x" "y"\n',
    "=1\n",
    "a=\n",
]
WHOLE = [
    GOOD,
    "",
    'a=["x",\n "y", # z\n]\nb=1\n',
    "a=[1, 2]\nb='x#y'\nc=0x1F\nd=1979-05-27T07:32:00Z\ne.f=-1.5\n\"g h\"=true\n",
    '[table]\na="\\"x\\" = y"\n',
    'a="""\nany thing\n"""\n',
    "a={b=1}\n",
    'a=1 # x\u2028y\nb="x\x85y"\n',
    "a=1979-05-27 07:32:00Z\n",
    '"a\\"b".c=1\n',
    'a=["x",\r\n "y"]\r\nb=1\r\n',
]


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_toml_is_seen_with_and_without_a_parser(text: str) -> None:
    assert next_start.line_error(text)
    if sys.version_info >= (3, 11):
        assert next_start.toml_error(text)


@pytest.mark.parametrize("text", WHOLE)
def test_toml_is_taken_with_and_without_a_parser(text: str) -> None:
    assert (next_start.line_error(text), next_start.toml_error(text)) == ("", "")


def test_before_python_3_11_the_lines_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tomllib", None)
    assert next_start.toml_error("a=1\nb\n") == "expected '=' after a key (at line 2)"


@pytest.mark.parametrize(("check", "blocked"), [([], ["next_start"]), (["/bin/true"], [])])
def test_the_check_comes_before_a_restart_of_what_lives_and_ones_own_takes_its_place(
    host: Host, check: list[str], blocked: list[str]
) -> None:
    host.config.write_text("=\n")
    (host.folder / "besu.service").write_text(f"[Service]\nExecStart={host.besu} --config-file={host.config}\n")
    entry = {"name": "besu", "kind": "besu", "config_check": check, "besu": {"validator": False}}
    (params,) = describe([entry], KINDS)
    environment = t.cast("t.Any", Environment("besu", VirtualClock(), host.runner, None, None))
    kind = KINDS["besu"].make(environment, params)

    def asked(action: str, active: str) -> list[str]:
        shown = {"FragmentPath": str(host.folder / "besu.service"), "ActiveState": active, "SubState": "running"}
        facts = UnitFacts("besu.service", shown)
        seen = Observation("besu", "besu.service", "besu", "error", "error", ("why",), facts=facts)
        return [block.guard for block in kind.guards(m.Step(m.ERROR, action, m.STARTING), seen)]

    assert asked("restart", "active") == blocked
    assert asked("restart", "failed") == asked("stop", "active") == asked("start", "inactive") == []


@pytest.mark.parametrize(("took", "asked", "blocked"), [(30.0, 2, ["quorum"]), (0.1, 1, [])])
def test_the_quorum_is_asked_again_after_a_check_that_took_long(
    host: Host, took: float, asked: int, blocked: list[str]
) -> None:
    host.distribute()
    (host.folder / "besu.service").write_text(f"[Service]\nExecStart={host.besu} --config-file={host.config}\n")
    (params,) = describe([{"name": "besu", "kind": "besu", "besu": {"validator": True}}], KINDS)
    clock = VirtualClock()

    def slow(argv: t.Sequence[str], **options: t.Any) -> Completed:
        clock.sleep(took)
        return host.runner(argv, **options)

    class Guard:
        """A quorum that another validator has left while the check ran."""

        answers: t.ClassVar[list[Refusal | None]] = [None, Refusal("quorum", "3 of 4 take part", "wait")]

        def check(self, *_given: t.Any) -> tuple[Refusal | None, None]:
            said.append("asked")
            return self.answers[len(said) - 1], None

    said: list[str] = []
    kind = t.cast("t.Any", KINDS["besu"].make(t.cast("t.Any", Environment("besu", clock, slow, None, None)), params))
    kind._quorum_guard = Guard
    shown = {"FragmentPath": str(host.folder / "besu.service"), "ActiveState": "active", "SubState": "running"}
    seen = Observation("besu", "besu.service", "besu", "running", "running", facts=UnitFacts("besu.service", shown))
    blocks = kind.guards(m.Step(m.RUNNING, "restart", m.RESTARTING), seen)
    assert ([block.guard for block in blocks], len(said)) == (blocked, asked)
