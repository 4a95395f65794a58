# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the laboratory that need no host."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import types
import typing as t
from pathlib import Path

import pytest

from ansible_collections.chainops.lifecycle.tests.support.caches import kept_bytecode
from ansible_collections.chainops.lifecycle.tests.support.lab import (
    Group,
    LabError,
    check,
    mirror,
    network,
    record,
)
from ansible_collections.chainops.lifecycle.tests.support.lab.faults import KINDS, kinds_for


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ({"sources.list": "deb http://mirror.example/debian bookworm main\n"}, "http://mirror.example/debian"),
        ({"sources.list": "# deb http://a.example/debian x main\n"}, None),
        (
            {"sources.list": "deb [arch=amd64 signed-by=/k.gpg] https://b.example/debian/ trixie main # c\n"},
            "https://b.example/debian/",
        ),
        ({"sources.list": "deb-src http://mirror.example/debian bookworm main\n"}, None),
        ({"sources.list.d/x.list": "deb http://security.example/debian-security s main\n"}, None),
        (
            {"sources.list.d/d.sources": "Types: deb\n# a comment\nURIs: http://c.example/debian\nSuites: forky\n"},
            "http://c.example/debian",
        ),
        (
            {
                "sources.list.d/d.sources": "Types: deb deb-src\nURIs:\n http://v.example/tool\n http://d.example/debian\n"
            },
            "http://d.example/debian",
        ),
        ({"sources.list.d/d.sources": "Types: deb\nEnabled: no\nURIs: http://e.example/debian\n"}, None),
        (
            {
                "sources.list.d/d.sources": "Types: deb-src\nURIs: http://s.example/debian\n\nTypes: deb\nURIs: http://f.example/debian\n"
            },
            "http://f.example/debian",
        ),
        ({}, None),
    ],
)
def test_mirror_of_this_machine(tmp_path: Path, folder: dict[str, str], expected: str | None) -> None:
    for name, text in folder.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert mirror.of_this_machine(tmp_path) == expected


def test_groups_are_read_from_words() -> None:
    assert Group.parse("h:3:bookworm") == Group("h", 3, "bookworm")
    assert Group.parse("web") == Group("web", 3, "trixie")


@pytest.mark.parametrize("words", ["h:x", "h:1:sid", "H:1", "h:0", "h:1001", "h:1:trixie:4", ":2", "-h:1", "a_b:1"])
def test_a_wrong_group_is_refused(words: str) -> None:
    with pytest.raises(LabError):
        Group.parse(words)


@pytest.mark.parametrize(("count", "prefix"), [(1, 24), (244, 24), (245, 23), (500, 23), (501, 22), (1000, 22)])
def test_subnets_do_not_overlap_and_hold_all_hosts(count: int, prefix: int) -> None:
    taken = [ipaddress.IPv4Network("198.18.0.0/24"), ipaddress.IPv4Network("198.18.2.7/32")]
    for _unused in range(5):
        subnet = network.choose(count, taken)
        assert subnet.prefixlen == prefix
        assert not any(subnet.overlaps(other) for other in taken)
        assert ipaddress.IPv4Address(network.address(subnet, count - 1)) in list(subnet.hosts())
        assert len(f"vb-{network.bridge_name(subnet)}-{count - 1}") <= 15
        taken.append(subnet)


def test_no_free_subnet_says_what_to_do() -> None:
    with pytest.raises(LabError, match="lab down"):
        network.choose(3, [network.RANGE])


def test_what_is_missing_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    words = [str(problem) for problem in check.problems()]
    assert "command mmdebstrap is missing: apt-get install mmdebstrap" in words
    assert "command systemd-nspawn is missing: apt-get install systemd-container" in words
    assert "not root: run it as root, for example with sudo" in words


def test_two_groups_may_not_make_one_host() -> None:
    groups = [Group("h", 11, "trixie"), Group("h1", 1, "trixie")]
    with pytest.raises(LabError, match="h11"):
        record.plan_hosts(groups, {"trixie": Path("/b")}, network.RANGE, "clab0")


def test_kinds_are_named_where_one_is_unknown() -> None:
    with pytest.raises(LabError, match="no fault unit nonsense"):
        kinds_for("trixie", ["simple", "nonsense"])
    assert all(kind.render().count("ExecStart=") >= 1 for kind in KINDS.values())


def test_bytecode_is_kept_for_archives_that_move(tmp_path: Path) -> None:
    """As Ansible's archives do, whose path is another in each run."""
    source = b"def where():\n    return where.__code__.co_filename, f'{1 + 1}'\n"
    compiled: list[str] = []

    def compile_source(path: str, text: bytes) -> types.CodeType:
        compiled.append(path)
        return compile(text, path, "exec", dont_inherit=True)

    compile_or_load = kept_bytecode.keep(compile_source, str(tmp_path))
    for path, text, value in (
        ("a.zip/m.py", source, "2"),
        ("b.zip/m.py", source, "2"),
        ("c.zip/m.py", source.replace(b"1 + 1", b"1 + 2"), "3"),
        ("d.zip/m.py", source, "2"),
    ):
        names: dict[str, t.Any] = {}
        exec(compile_or_load(path, text), names)
        assert names["where"]() == (path, value)
    assert compiled == ["a.zip/m.py", "c.zip/m.py"]


def test_bytecode_that_cannot_be_kept_is_compiled(tmp_path: Path) -> None:
    compile_or_load = kept_bytecode.keep(lambda path, text: compile(text, path, "exec"), str(tmp_path / "gone"))
    assert compile_or_load("a.zip/m.py", b"").co_filename == "a.zip/m.py"


def test_runs_of_ansible_share_what_each_of_them_would_make(tmp_path: Path) -> None:
    """The second run says what the first has said, and makes neither an archive nor bytecode."""
    (tmp_path / "book.yml").write_text(
        "[{hosts: localhost, gather_facts: false, tasks: [{chainops.lifecycle.show_report: {title: T, lines: [a]}},"
        " {ansible.builtin.ping: {}, register: p}, {ansible.builtin.debug: {var: p.ping}}]}]"
    )
    caches = Path(kept_bytecode.__file__).parent
    environment = {
        **os.environ,
        "PYTHONPATH": f"{os.environ['ANSIBLE_COLLECTIONS_PATH']}:{caches}",
        "CHAINOPS_BYTECODE": str(tmp_path / "bytecode"),
        "CHAINOPS_PAYLOADS": str(tmp_path / "payloads"),
    }

    def play() -> tuple[str, set[tuple[Path, int]]]:
        argv = ["ansible-playbook", "-i", "localhost,", "-c", "local", "book.yml"]
        done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        made = [path for name in ("bytecode", "payloads") for path in (tmp_path / name).rglob("*") if path.is_file()]
        return done.stdout, {(path, path.stat().st_mtime_ns) for path in made if path.suffix != ".lock"}

    said, made = play()
    names = {path.name.partition("-")[0] for path, _unused in made}
    assert {"basic", "redact", "ansible.modules.ping"} <= names, sorted(names)
    assert play() == (said, made)
