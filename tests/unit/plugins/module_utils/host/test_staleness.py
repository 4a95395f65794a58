# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is newer on disk than a process, with real files and a real process; its age is told, and not waited for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest

from ansible_collections.chainops.lifecycle.plugins.module_utils._host import staleness as s
from ansible_collections.chainops.lifecycle.plugins.module_utils._host.systemd import UnitFacts

OLD = 1000.0


class Service:
    """A process started from files in a folder, and the facts of its unit."""

    def __init__(self, folder, monkeypatch):
        monkeypatch.setattr(s, "_STATE", ("/run/", str(folder / "state")))
        self.folder = folder
        self.release = folder / "app-1.4.2"
        self.release.mkdir()
        shutil.copy("/bin/sleep", self.release / "sleep")
        (folder / "app").symlink_to("app-1.4.2")
        self.program = folder / "app/sleep"
        self.config = folder / "app.toml"
        self.config.write_text("a = 1\n")
        self.environment = folder / "app.env"
        self.environment.write_text("A=1\n")
        self.unit = folder / "app.service"
        self.unit.write_text(f"[Service]\nExecStart={self.program} --config={self.config} 600\n")
        self.process = subprocess.Popen([str(self.program), "600"])

    def facts(self, **properties):
        known = {
            "MainPID": str(self.process.pid),
            "FragmentPath": str(self.unit),
            "EnvironmentFiles": f"{self.environment} (ignore_errors=yes)",
            **properties,
        }
        return UnitFacts("app.service", known)

    def look(self, older=0.0, wall=None, **options):
        """The look at a process that is ``older`` seconds older than it really is."""
        now = time.clock_gettime(time.CLOCK_BOOTTIME) + older
        properties = options.pop("properties", {})
        return s.staleness(self.facts(**properties), wall or time.time(), boottime=now, **options)


@pytest.fixture
def service(tmp_path, monkeypatch):
    made = Service(tmp_path, monkeypatch)
    yield made
    made.process.kill()
    made.process.wait()


def kinds(found):
    return sorted({one.kind for one in found.evidence})


def test_a_process_that_runs_with_what_is_there_is_not_stale(service):
    found = service.look()
    assert (found.is_stale, found.evidence, found.unknown) == (False, (), ())
    assert abs(found.started - time.time()) < 60 and found.age < 60


def test_every_file_that_is_younger_is_named_with_its_kind_and_time(service):
    found = service.look(OLD)
    assert found.is_stale is True
    told = {(one.kind, os.path.basename(one.path)) for one in found.evidence}
    assert told == {("unit", "app.service"), ("environment_file", "app.env"), ("config", "app.toml"), ("link", "app")}
    (config,) = [one for one in found.evidence if one.kind == "config"]
    assert config.changed == os.stat(service.config).st_ctime and "after the process was started" in config.reason
    assert found.as_dict()["evidence"][0].keys() == {"kind", "path", "reason", "changed"}


def test_a_file_with_an_old_time_counts_from_when_it_came_here(service):
    """As a package, cp -p and tar leave it."""
    os.utime(service.config, (1, 1))
    assert "config" in kinds(service.look(OLD))


def test_a_program_that_was_replaced_or_removed_is_stale_whatever_its_time(service):
    shutil.copy("/bin/sleep", service.release / "new")
    os.utime(service.release / "new", (1, 1))
    (service.release / "new").rename(service.release / "sleep")
    found = service.look()
    assert [(one.kind, one.changed) for one in found.evidence] == [("executable", None)]
    (service.release / "sleep").unlink()
    assert kinds(service.look()) == ["executable"]


def test_the_time_of_the_program_that_runs_says_nothing(service):
    """To change its owner, or to link it, is no new program."""
    os.link(service.release / "sleep", service.release / "backup")
    assert "executable" not in kinds(service.look(OLD))


def test_a_release_that_was_switched_by_a_link_is_told_with_both_versions(service):
    shutil.copytree(service.release, service.folder / "app-1.5.0")
    (service.folder / "app").unlink()
    (service.folder / "app").symlink_to("app-1.5.0")
    found = service.look(version="app/v1.4.2/linux")
    assert kinds(found) == ["executable", "version"]
    (version,) = [one for one in found.evidence if one.kind == "version"]
    assert version.reason == "1.5.0 is on disk, 1.4.2 runs"
    assert "link" in kinds(service.look(OLD))


@pytest.mark.parametrize("version", ["1.4.2", "", "unknown", "1.4"])
def test_a_version_that_is_the_same_or_cannot_be_compared_is_no_evidence(service, version):
    assert service.look(version=version).is_stale is False


@pytest.mark.parametrize(
    "path", ["/run/systemd/generator/app.service", "/etc/systemd/system.control/app.service.d/50-CPUWeight.conf"]
)
def test_what_systemd_writes_itself_is_no_change(service, monkeypatch, path):
    compared = []
    monkeypatch.setattr(s._FileComparison, "_by_time", lambda _look, _kind, path: compared.append(path))
    service.look(properties={"FragmentPath": path, "DropInPaths": path, "EnvironmentFiles": ""})
    assert path not in compared


def test_files_that_systemd_has_not_read_are_a_change(service):
    found = service.look(properties={"NeedDaemonReload": "yes"})
    assert [(one.kind, one.reason) for one in found.evidence] == [
        ("unit", "systemd has not read its changed files yet")
    ]


def test_what_the_service_writes_itself_is_no_configuration(service):
    state, log = service.folder / "state/data.db", service.folder / "app.log"
    state.parent.mkdir()
    state.write_text("")
    service.process.kill()
    service.process.wait()
    code = f"import sys, time; log = open({str(log)!r}, 'w'); print('up', flush=True); time.sleep(600)"
    service.process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert service.process.stdout.readline() == b"up\n"
    program = os.path.realpath(sys.executable)
    service.unit.write_text(f"[Service]\nExecStart={program} --log={log} --db={state} --config={service.config}\n")
    told = {one.path for one in service.look(OLD).evidence if one.kind == "config"}
    assert told == {str(service.config)}
    known = service.look(OLD, config=[str(state)])
    assert str(state) in {one.path for one in known.evidence}
    service.process.stdout.close()


def test_a_library_and_an_archive_that_were_deleted_are_told(service, tmp_path):
    proc = tmp_path / "proc/7"
    for folder in ("fd", "fdinfo"):
        (proc / folder).mkdir(parents=True)
    (proc / "stat").write_text("7 (a b) c) S " + " ".join(["0"] * 18) + " 100 0\n")
    (proc / "root").symlink_to("/")
    (proc / "exe").symlink_to(service.release / "sleep")
    (proc / "fd/3").symlink_to("/opt/besu/lib/besu-app-25.7.0.jar (deleted)")
    (proc / "fd/4").symlink_to("/opt/besu/lib/there.jar")
    (proc / "maps").write_text(
        "7f-7f r-xp 00000000 08:01 1  /usr/lib/libssl.so.3 (deleted)\n"
        "7f-7f r--p 00000000 08:01 1  /usr/lib/locale-archive (deleted)\n"
        "7f-7f r-xp 00000000 00:05 1  /dev/zero (deleted)\n7f-7f rwxp 00000000 00:05 1  /memfd:jit (deleted)\n"
        "7f-7f r-xp 00000000 08:01 1  /usr/lib/libc.so.6\n7f-7f rw-p 00000000 00:00 0\n"
    )
    facts = service.facts(MainPID="7", EnvironmentFiles="")
    found = s.staleness(facts, time.time(), proc=str(tmp_path / "proc"), boottime=1.0)
    told = [(one.kind, one.path) for one in found.evidence if one.kind == "library"]
    assert told == [("library", "/usr/lib/libssl.so.3"), ("library", "/opt/besu/lib/besu-app-25.7.0.jar")]


def test_without_a_process_nothing_is_known(service):
    assert service.look(properties={"MainPID": "0"}).as_dict() == {
        "is_stale": None, "started": None, "age": None, "evidence": [], "unknown": ["it has no main process"]
    }  # fmt: skip
    assert s.staleness(None, 0.0).is_stale is None


def test_a_clock_that_was_set_back_is_told_and_no_change(service):
    found = service.look(wall=time.time() - 3600)
    assert found.is_stale is None and found.evidence == ()
    assert any("the clock was set back" in said for said in found.unknown)


def test_a_process_with_a_root_of_its_own_is_not_compared_with_the_files_of_the_host(service, tmp_path):
    proc = tmp_path / "proc/7"
    proc.mkdir(parents=True)
    (proc / "stat").write_text("7 (x) S " + " ".join(["0"] * 18) + " 100 0\n")
    (proc / "root").symlink_to("/srv/image")
    found = s.staleness(service.facts(MainPID="7"), time.time(), proc=str(tmp_path / "proc"), boottime=1.0)
    assert found.is_stale is None and "root directory of its own" in found.unknown[0]
