# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs jobs with ansible-runner, as AWX does: variables marked as text of others, credentials in the environment."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import typing as t
from pathlib import Path

import ansible_runner
import jinja2.sandbox
import yaml

from awx_controller import validation
from awx_controller.launching import Ended
from awx_controller.recorded import Data
from awx_controller.store import Store, project_folder


class Played(t.NamedTuple):
    """A run of a playbook under ansible-runner."""

    status: str
    events: list[Data]
    stdout: str
    folder: Path

    @property
    def artifacts(self) -> Data:
        """What set_stats left for all hosts."""
        ends = [event for event in self.events if event["event"] == "playbook_on_stats"]
        return dict(ends[-1]["event_data"].get("artifact_data") or {}) if ends else {}

    def hosts(self, *columns: str) -> tuple[str, ...]:
        """The hosts that the recap counts in these columns."""
        ends = [event for event in self.events if event["event"] == "playbook_on_stats"]
        found = {host for column in columns for host in (ends[-1]["event_data"].get(column) or {})} if ends else set()
        return tuple(sorted(found))

    @property
    def failed_hosts(self) -> tuple[str, ...]:
        """Those that AWX takes for failed."""
        return self.hosts("failures", "dark")

    @property
    def text(self) -> str:
        """All that was kept of the run: its events and its output."""
        return self.stdout + json.dumps(self.events)


class _Unsafe(str):
    """Text of others."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(_Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style="'"))


def _marked(value: t.Any) -> t.Any:
    if isinstance(value, str):
        return _Unsafe(value)
    if isinstance(value, dict):
        return {key: _marked(one) for key, one in value.items()}
    return [_marked(one) for one in value] if isinstance(value, list) else value


def play(
    folder: Path,
    project: Path,
    playbook: str,
    inventory: Data,
    variables: Data,
    *options: str,
    environment: t.Mapping[str, str] | None = None,
    canceled: t.Callable[[], bool] = lambda: False,
    own: t.Container[str] = (),
) -> Played:
    """Run a playbook of a project. ``variables`` are text of others, but for those that are the template's ``own``."""
    (folder / "inventory").mkdir(parents=True, exist_ok=True)
    (folder / "inventory/hosts.json").write_text(json.dumps(inventory))
    (folder / "extra.yml").write_text(
        yaml.dump({key: one if key in own else _marked(one) for key, one in variables.items()}, Dumper=_Dumper)
    )
    if " " in "".join(options):
        raise ValueError("an option with a space is more than ansible-runner's command line takes")
    given = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        **(environment or {}),
    }
    run = ansible_runner.run(
        private_data_dir=str(folder),
        project_dir=str(project),
        playbook=playbook,
        inventory=str(folder / "inventory/hosts.json"),
        cmdline=" ".join([f"-e @{folder / 'extra.yml'}", *options]),
        envvars=given,
        quiet=True,
        cancel_callback=canceled,
        settings={"job_timeout": 300, "pexpect_timeout": 1},
    )
    with run.stdout as stream:
        text = stream.read()
    return Played(run.status, list(run.events), text, folder)


def run(environment: t.Mapping[str, str]) -> t.Callable[[Data, Store, t.Callable[[], bool]], Ended]:
    """What runs the jobs of the stand-in; ``environment``: that of the image of the jobs."""

    def run_job(job: Data, store: Store, canceled: t.Callable[[], bool]) -> Ended:
        with tempfile.TemporaryDirectory(prefix="awx-job-") as place:
            folder = Path(place)
            with store.lock:
                project = project_folder(store.objects["projects"][job["project"]])
                inventory = _inventory(store, job["inventory"])
                secret = _injected(store, job["id"], folder)
            options = [f"--limit={job['limit']}"] if job["limit"] else []
            options += ["--check"] if job["job_type"] == "check" else []
            options += [f"-{'v' * int(job['verbosity'])}"] if int(job["verbosity"]) else []
            known = {"awx_job_id": job["id"], "awx_job_template_name": job["name"]}
            played = play(
                folder,
                project,
                job["playbook"],
                inventory,
                known | validation.read_variables(job["extra_vars"]),
                *options,
                environment={**environment, **secret},
                canceled=canceled,
                own=job["_own"],
            )
            hosts = played.hosts("ok", "failures", "dark", "skipped")
            return Ended(played.status, played.artifacts, played.failed_hosts, played.stdout, hosts)

    return run_job


def _inventory(store: Store, number: int) -> Data:
    """An inventory as AWX's script gives it."""
    hosts = store.listed("hosts", {"inventory": str(number)})
    groups = store.listed("groups", {"inventory": str(number)})
    return {
        "all": {
            "vars": validation.read_variables(store.objects["inventories"][number]["variables"]),
            "hosts": {host["name"]: validation.read_variables(host["variables"]) for host in hosts},
            "children": {
                group["name"]: {
                    "vars": validation.read_variables(group["variables"]),
                    "hosts": {host["name"]: {} for host in store.associations("groups", group["id"], "hosts")},
                }
                for group in groups
            },
        }
    }


def _injected(store: Store, job: int, folder: Path) -> dict[str, str]:
    """The environment that the credentials of a job make, and their files."""
    environment: dict[str, str] = {}
    jinja = jinja2.sandbox.ImmutableSandboxedEnvironment()
    for credential in store.associations("jobs", job, "credentials"):
        injectors = store.objects["credential_types"][credential["credential_type"]].get("injectors") or {}
        inputs: Data = {**credential["inputs"], **store.secrets[credential["id"]]}
        names: dict[str, str] = {}
        for name, text in injectors.get("file", {}).items():
            path = folder / f"credential-{credential['id']}-{name}"
            path.touch(mode=0o600)
            path.write_text(jinja.from_string(text).render(inputs))
            names[name.partition(".")[2] or "template"] = str(path)
        known = {**inputs, "tower": {"filename": names}}
        environment |= {name: jinja.from_string(text).render(known) for name, text in injectors.get("env", {}).items()}
    return environment
