#!/usr/bin/env python3
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios do on a host beside the collection, so that they can judge what the collection did.

scenario.py install   read units as JSON, write them with their settings and a good copy of these, start them
scenario.py look      print as JSON all that a run could have touched; with --no-locks, but the locks
scenario.py remove    end the units of the scenario and remove what belongs to them
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
INSTALLED = HERE / "installed.json"
SETTINGS, GOOD = Path("/etc/scenario"), Path("/var/backups/scenario")
OURS = Path("/var/lib/chainops-lifecycle"), Path("/run/chainops-lifecycle")
PROPERTIES = """Id LoadState ActiveState SubState Result InvocationID NRestarts MainPID Job FreezerState UnitFileState
ExecMainStartTimestampMonotonic ExecMainExitTimestampMonotonic StateChangeTimestampMonotonic NeedDaemonReload""".split()


def systemctl(*words: str, user: bool = False) -> str:
    command = ["systemctl", *(["--user"] if user else []), "--no-pager", *words]
    environment = {**os.environ, "XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stdout


def fragment(unit: dict) -> Path:
    return Path(f"/usr/local/lib/systemd/{unit.get('scope', 'system')}/{unit['name']}.service")


def text(unit: dict) -> str:
    own = f"/usr/bin/python3 {HERE}/app.py {SETTINGS}/{unit['name']}.json"
    parts = {
        "Unit": [f"Description=Unit {unit['name']} of the scenario", *unit.get("unit", [])],
        "Service": [f"Type={unit.get('type', 'notify')}", f"ExecStart={own}", *unit.get("service", [])],
    }
    return "\n".join(line for part, lines in parts.items() for line in (f"[{part}]", *lines)) + "\n"


def install(units: list) -> None:
    INSTALLED.write_text(json.dumps(units))
    for folder in (SETTINGS, GOOD):
        folder.mkdir(exist_ok=True)
        for unit in units:
            (folder / f"{unit['name']}.json").write_text(json.dumps(unit["settings"]))
    if any(unit.get("scope") == "user" for unit in units):
        subprocess.run(["loginctl", "enable-linger"], check=True)  # else user services end with the connection
    for unit in units:
        fragment(unit).parent.mkdir(parents=True, exist_ok=True)
        fragment(unit).write_text(text(unit))
    for user in (False, True):
        systemctl("daemon-reload", user=user)
        names = [u["name"] for u in units if u.get("start", True) and (u.get("scope") == "user") == user]
        if names:
            systemctl("start", *names, user=user)


def manager_said(name: str) -> list:
    """What the manager has logged of a unit, which is a line or more for each job and each change."""
    command = ["journalctl", "--no-pager", "-q", "-o", "cat", "_PID=1", f"UNIT={name}.service"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def files(*folders: Path) -> dict:
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            seen = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
            found[str(path)] = [oct(seen.st_mode), seen.st_mtime_ns, content]
    return found


def look(locks: bool) -> dict:
    units = json.loads(INSTALLED.read_text())
    system = [unit["name"] for unit in units if unit.get("scope") != "user"]
    show = ["show", "-p", ",".join(PROPERTIES)]
    kept = files(Path("/etc"), Path("/opt"), Path("/var/backups"), Path("/usr/local"), *OURS)
    if not locks:  # whoever asks for an act takes the lock first, even if the act is then refused
        kept = {path: seen for path, seen in kept.items() if not path.startswith(str(OURS[1]))}
    return {
        "units": {name: systemctl(*show, name).splitlines() for name in system},
        "said": {name: manager_said(name) for name in system},
        "files": kept,
    }


def remove() -> None:
    units = json.loads(INSTALLED.read_text())
    for unit in units:
        user = unit.get("scope") == "user"
        systemctl("unmask", "--runtime", unit["name"], user=user)
        systemctl("kill", "--signal=SIGKILL", unit["name"], user=user)
        systemctl("stop", unit["name"], user=user)
        systemctl("reset-failed", unit["name"], user=user)
        fragment(unit).unlink(missing_ok=True)
    for user in (False, True):
        systemctl("daemon-reload", user=user)
    for folder in (SETTINGS, GOOD, *OURS, HERE):
        subprocess.run(["rm", "-rf", str(folder)], check=True)


if __name__ == "__main__":
    if sys.argv[1] == "install":
        install(json.load(sys.stdin))
    elif sys.argv[1] == "look":
        print(json.dumps(look("--no-locks" not in sys.argv), sort_keys=True))
    else:
        remove()
