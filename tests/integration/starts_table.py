# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts that systemd skips, files that it has not read, services that run to their end, and what starts again."""

from __future__ import annotations

from .ansible_steps import Scenario, done, hold, planned, refused, same, scenario, service
from .neighbours_table import words

_CONDITION = """clean s-cond s-exec s-unneeded; rm -f /run/s-cond.ok
unit s-cond 'ConditionPathExists=/run/s-cond.ok' 'Type=exec'
unit s-exec '' 'Type=exec\\nExecCondition=/usr/bin/test -e /run/s-cond.ok'
unit s-unneeded 'StopWhenUnneeded=yes' 'Type=exec'
systemctl daemon-reload
"""
_EDITED = """clean s-edited; unit s-edited '' 'ExecStart=/opt/none/app --x'
systemctl daemon-reload; systemctl start s-edited; becomes s-edited ActiveState failed
unit s-edited '' 'Type=exec'
"""
_BACKUP = """clean s-backup; rm -f /run/s-backup.ok
unit s-backup '' 'Type=oneshot\\nExecStart=/usr/bin/test -e /run/s-backup.ok'
printf '[Timer]\\nOnCalendar=yearly\\n' >/etc/systemd/system/s-backup.timer
systemctl daemon-reload; systemctl start s-backup.timer; systemctl start s-backup; becomes s-backup ActiveState failed
"""
_WRAPPER = """clean s-wrapper s-sysv
unit s-wrapper '' 'RemainAfterExit=yes\\nExecStart=/bin/true'
unit s-sysv '' 'Type=forking\\nGuessMainPID=no\\nRemainAfterExit=yes\\nExecStart=/bin/true'
systemctl daemon-reload; systemctl start s-wrapper s-sysv; becomes s-wrapper SubState exited
"""
_RELOAD = """clean s-reload; unit s-reload '' 'Type=exec\\nExecReload=/bin/sleep infinity\\nTimeoutStartSec=infinity'
systemctl daemon-reload; systemctl start s-reload; systemctl reload --no-block s-reload
becomes s-reload ActiveState reloading
"""
_READY = """clean s-ready; cp /bin/sleep /opt/s-ready; echo A=1 >/opt/s-ready.env
unit s-ready '' 'Type=exec\\nExecStart=/opt/s-ready infinity\\nEnvironmentFile=/opt/s-ready.env'
systemctl daemon-reload; systemctl start s-ready; rm /opt/s-ready
"""
_SOCKET = """clean s-socket; unit s-socket 'Requires=s-socket.socket' 'Type=exec'
printf '[Socket]\\nListenStream=127.0.0.1:7913\\n' >/etc/systemd/system/s-socket.socket
systemctl daemon-reload; systemctl start s-socket.socket s-socket
"""
# What stops a start, and what a person does about it: nothing of it touches the unit or what systemd has loaded.
_MENDED = {
    "group": ("SupplementaryGroups=s-group", "groupadd -f s-group"),
    "netns": ("NetworkNamespacePath=/run/netns/s-netns", "ip netns add s-netns"),
    "append": ("StandardOutput=append:/var/log/s-none/app.log", "mkdir -p /var/log/s-none"),
    "stdin": ("StandardInput=file:/etc/s-none/in", "mkdir -p /etc/s-none; touch /etc/s-none/in"),
    "credential": ("LoadCredential=token:/etc/s-token", "echo x >/etc/s-token"),
    "bind": ("BindPaths=/srv/s-none:/opt", "mkdir -p /srv/s-none"),
    "env": ("EnvironmentFile=/etc/s-env", "echo A=1 >/etc/s-env"),
}
_BROKEN = "rm -rf /var/log/s-none /etc/s-none /etc/s-token /etc/s-env /srv/s-none\n"
_BROKEN += "groupdel s-group 2>/dev/null; ip netns del s-netns 2>/dev/null\n" + "".join(
    f"clean s-{name}; unit s-{name} '' 'Type=exec\\n{setting}'\n" for name, (setting, _mend) in _MENDED.items()
)
_BROKEN += "systemctl daemon-reload\n" + "".join(
    f"systemctl start s-{name} || :; becomes s-{name} ActiveState failed\n" for name in _MENDED
)
_YES, _NO = ([{"kind": "command", "argv": [f"/bin/{word}"], "start_grace": 0, "failure_threshold": 1}]
             for word in ("true", "false"))  # fmt: skip
_ACCEPTED = ["unknown", "exit_status"]

SCENARIOS: tuple[Scenario, ...] = (
    scenario(
        "a start that systemd skips",
        words(_CONDITION),
        service("s-cond", refused("condition", "stopped", says="ConditionPathExists=/run/s-cond.ok")),
        service("s-cond", refused("condition", "stopped"), check=True),
        service("s-cond", refused("condition", "stopped", says="ConditionPathExists=/run/s-cond.ok"), state="restarted"),
        service("s-exec", {"failed": True, "changed": False, "guard": "condition", "says": "was not started.*condition"}),
        service("s-exec", {"failed": True, "changed": False, "guard": "condition"}),
        service("s-unneeded", refused("unit", "stopped", says="StopWhenUnneeded")),
        words("touch /run/s-cond.ok"),
        service("s-cond", done("running", attempts_used=0)),
        service("s-exec", done("running", attempts_used=0)),
        words("clean s-cond s-exec s-unneeded"),
    ),
    scenario(
        "a unit that was edited and not loaded",
        words(_EDITED),
        service("s-edited", refused("cause", "error", says="daemon-reload|exec")),
        service("s-edited", planned("restart", says="daemon_reload"), daemon_reload=True, check=True),
        service("s-edited", done("running", did=["systemctl daemon-reload", "systemctl start"]), daemon_reload=True),
        words("echo '# more' >>/etc/systemd/system/s-edited.service"),
        service("s-edited", same("running", says="")),
        service("s-edited", refused("unit", "running", says="daemon_reload=true"), state="restarted"),
        service("s-edited", done("running"), state="restarted", daemon_reload=True),
        words("clean s-edited"),
    ),
    scenario(
        "a oneshot of a timer",
        words(_BACKUP),
        service("s-backup", refused("oneshot", "error", says="state=succeeded"), state="stopped"),
        service("s-backup", refused("edge", "error"), state="succeeded", recovery="never"),
        service("s-backup", {"failed": True, "changed": True, "state": "error"}, state="succeeded",
                accept_causes=_ACCEPTED),
        words("touch /run/s-backup.ok"),
        service("s-backup", planned("restart"), state="succeeded", accept_causes=_ACCEPTED, check=True),
        service("s-backup", done("stopped", did=["systemctl start"]), state="succeeded", accept_causes=_ACCEPTED,
                recovery="reset_start"),
        service("s-backup", same("stopped"), state="succeeded"),
        words("systemctl stop s-backup.timer"),
        service("s-backup", refused("edge", "stopped", says="no next run is planned: s-backup.timer"),
                state="succeeded"),
        words("clean s-backup; rm /etc/systemd/system/s-backup.timer; systemctl daemon-reload"),
    ),
    scenario(
        "a wrapper that has no process of its own",
        words(_WRAPPER),
        *(step for unit in ("s-wrapper", "s-sysv") for step in (
            service(unit, refused("edge", "error", cause="exited"), recovery="never"),
            service(unit, same("running"), has_process=False),
            service(unit, same("running"), probes=_YES),
            service(unit, refused("edge", "error", cause="unhealthy"), probes=_NO, recovery="never", has_process=False),
        )),
        words("clean s-wrapper s-sysv"),
    ),
    scenario(
        "what lives is not ended for a start that cannot work",
        words(_READY),
        service("s-ready", refused("ready", "running", invocation="same", says="/opt/s-ready is not there"),
                state="restarted"),
        service("s-ready", refused("ready", "error", invocation="same"), probes=_NO, recovery="reset_start"),
        words("touch /opt/s-ready; chmod 755 /opt/s-ready; chmod 700 /opt/s-ready.env; mv /opt/s-ready.env /opt/x.env"),
        service("s-ready", refused("ready", "running", says="environment file /opt/s-ready.env"), state="restarted"),
        words("is s-ready; systemctl stop s-ready; clean s-ready", "active"),
    ),
    scenario(
        "a reload that hangs",
        words(_RELOAD),
        service("s-reload", {"failed": True, "changed": False, "says": "reload job"}, state="restarted", wait_timeout=1),
        service("s-reload", done("running", did=["systemctl cancel of the reload job, restart"], invocation="new"),
                state="restarted", force_stop=True),
        words(_RELOAD),
        service("s-reload", done("stopped"), state="stopped", force_stop=True),
        words("clean s-reload"),
    ),
    scenario(
        "a stopped service that its socket starts again",
        words(_SOCKET),
        service("s-socket", done("stopped", says="s-socket.socket is active and starts it again"), state="stopped"),
        service("s-socket", same("stopped", says="s-socket.socket is active and starts it again"), state="stopped"),
        words("systemctl stop s-socket.socket; clean s-socket; rm /etc/systemd/system/s-socket.socket"),
    ),
    scenario(
        "what a person has mended by hand",
        words(_BROKEN),
        *(step for name, (_setting, mend) in _MENDED.items() for step in (
            service(f"s-{name}", refused("cause", "error"), recovery="reset_start", attempt_backoff=0),
            words(mend),
            service(f"s-{name}", done("running"), recovery="reset_start", attempt_backoff=0),
            words(f"clean s-{name}"),
        )),
        words("groupdel s-group; ip netns del s-netns; rm -rf /var/log/s-none /etc/s-none /etc/s-token /etc/s-env "
              "/srv/s-none"),
    ),
    scenario(
        "a hold on what does not exist",
        hold({"changed": True, "warned": "s-nothing.service does not exist"}, name="s-nothing", owner="ann", reason="x"),
        hold({"changed": True, "warned": ""}, name="s-nothing", state="absent"),
        once=True,
    ),
)  # fmt: skip
