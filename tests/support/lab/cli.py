# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``lab``."""

from __future__ import annotations

import argparse
import os
import sys
import time

from . import base, check, cleanup
from .fleet import Fleet, overview, wait_seconds
from .record import Group
from .settings import SUITES, LabError, paths


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="Fleets of real systemd hosts on this computer.")
    parser.set_defaults(act=None)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    default = os.environ.get("CHAINOPS_LAB_FLEET") or "lab"

    def command(name: str, act: object, text: str, fleet: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(act=act)
        if fleet:
            sub.add_argument("--name", default=default, help="the fleet (default: $CHAINOPS_LAB_FLEET, else lab)")
        return sub

    command("check", _check, "say what is missing here, and what fixes it", fleet=False)
    sub = command("base", _base, "build the base file system of suites (default: all)", fleet=False)
    sub.add_argument("suites", nargs="*", metavar="SUITE", choices=[*SUITES, []])
    sub.add_argument("--include", action="append", default=[], metavar="PACKAGE", help="one more package")
    sub = command("up", _up, "boot a fleet")
    sub.add_argument("--hosts", nargs="+", action="extend", metavar="PREFIX:COUNT:SUITE", help="default: h:3:trixie")
    sub.add_argument("--include", action="append", default=[], metavar="PACKAGE", help="one more package")
    sub.add_argument("--owner-pid", type=int, metavar="PID", help="take the fleet down when this process ends")
    sub = command("down", _down, "end a fleet and remove all of it")
    sub.add_argument("--all", action="store_true", help="every fleet of this laboratory")
    command("status", _status, "list the fleets and their hosts", fleet=False)
    sub = command("run", _run, "run a command on a host by its namespaces, or a shell")
    _host_command(sub)
    sub = command("ssh", _ssh, "run a command on a host over SSH, or log in")
    _host_command(sub)
    sub = command("push", _push, "copy a file to a host")
    for argument in ("host", "source", "target"):
        sub.add_argument(argument)
    for name, act, text in (
        ("reboot", _reboot, "reboot a host in order"),
        ("cut", _cut, "cut a host's power and boot it again"),
        ("off", _off, "shut a host down and leave it off"),
        ("start", _start, "boot a host that is off"),
    ):
        command(name, act, text).add_argument("host")
    sub = command("gc", _gc, "remove what dead owners left", fleet=False)
    sub.add_argument("--bases", action="store_true", help="also base file systems of old recipes")
    return parser


def _host_command(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("host")
    sub.add_argument("command", nargs=argparse.REMAINDER)


def _check(_unused: argparse.Namespace) -> int:
    found = check.problems()
    for problem in found:
        print(problem)
    if not found:
        print("the laboratory can run here")
    return 1 if found else 0


def _base(options: argparse.Namespace) -> int:
    for suite in options.suites or SUITES:
        started = time.monotonic()
        print(f"{suite}: {base.ensure(paths(), suite, options.include)} ({wait_seconds(started)})")
    return 0


def _up(options: argparse.Namespace) -> int:
    groups = [Group.parse(text) for text in options.hosts or ["h:3:trixie"]]
    started = time.monotonic()
    fleet = Fleet(options.name, groups, owner=options.owner_pid, packages=options.include).up()
    print(f"fleet {fleet.name}: {len(fleet.hosts)} hosts up in {wait_seconds(started)}")
    print(f"inventory: {fleet.inventory}\nssh:       ssh -F {fleet.ssh_config} {next(iter(fleet.hosts))}")
    return 0


def _down(options: argparse.Namespace) -> int:
    lab = paths()
    for name in cleanup.living(lab) if options.all else [options.name]:
        Fleet.attach(name).down()
        print(f"fleet {name} is down")
    return 0


def _status(_unused: argparse.Namespace) -> int:
    for record, report in overview(paths()):
        owner = f"until process {record.owner} ends" if record.owner else "until lab down"
        print(f"fleet {record.name}: {record.subnet} on {record.bridge}, {owner}")
        for host in record.hosts:
            now = report["hosts"][host.name]
            print(f"  {host.name:<16} {host.address:<15} {host.suite:<9} {now['state']:<8} boots {now['boots']}")
    return 0


def _run(options: argparse.Namespace) -> int:
    host = Fleet.attach(options.name)[options.host]
    return host.popen(*(options.command or ["bash", "--login"])).wait()


def _ssh(options: argparse.Namespace) -> int:
    fleet = Fleet.attach(options.name)
    argv = ["ssh", "-F", str(fleet.ssh_config), fleet[options.host].name]
    os.execvp("ssh", [*argv, *options.command])


def _push(options: argparse.Namespace) -> int:
    Fleet.attach(options.name)[options.host].push(options.source, options.target)
    return 0


def _reboot(options: argparse.Namespace) -> int:
    Fleet.attach(options.name)[options.host].reboot()
    return 0


def _cut(options: argparse.Namespace) -> int:
    Fleet.attach(options.name)[options.host].power_cut()
    return 0


def _off(options: argparse.Namespace) -> int:
    Fleet.attach(options.name)[options.host].power_off()
    return 0


def _start(options: argparse.Namespace) -> int:
    Fleet.attach(options.name)[options.host].start()
    return 0


def _gc(options: argparse.Namespace) -> int:
    for gone in cleanup.collect(paths(), options.bases):
        print(f"removed {gone}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command; its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.act(options))
    except LabError as exc:
        print(f"lab: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
