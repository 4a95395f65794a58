# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What state: running, stopped, restarted and reset do, from each state in which a unit may be."""

from __future__ import annotations

from .ansible_steps import Scenario, done, planned, refused, same, scenario, service, sh

KINDS = (
    "java", "slow-start", "slow-stop", "always", "stubborn", "leftover", "oneshot", "oneshot-remain", "oneshot-fail",
    "template", "simple", "bad-start", "never-ready", "forking", "java-undeclared", "start-limit", "third-time",
)  # fmt: skip

_SLOWLY = """fresh fault-slow-start; behave fault-slow-start '{"before": 10}'
systemctl start --no-block fault-slow-start; becomes fault-slow-start ActiveState activating
"""
_HANGS = """fresh fault-never-ready
mkdir -p /run/systemd/system/fault-never-ready.service.d
printf '[Service]\\nTimeoutStartSec=infinity\\n' >/run/systemd/system/fault-never-ready.service.d/x.conf
systemctl daemon-reload; systemctl start --no-block fault-never-ready; sleep 0.7
"""
_LOOP = """fresh fault-always; behave fault-always '{"start_exit": 1}'; systemctl start fault-always
until [ "$(systemctl show -P NRestarts fault-always)" -ge 2 ]; do sleep 0.05; done
"""
_TIRED = "fresh fault-start-limit; systemctl start fault-start-limit; becomes fault-start-limit ActiveState failed"

SCENARIOS: tuple[Scenario, ...] = (
    scenario(
        "running, from stopped",
        sh("fresh fault-java"),
        service("fault-java", done("running", did=["systemctl start"], invocation="new", **{"from": "stopped"})),
        service("fault-java", same("running", invocation="same")),
        sh("is fault-java; starts fault-java", "active\n1"),
    ),
    scenario(
        "running, from starting",
        sh(_SLOWLY),
        service("fault-slow-start", same("running", **{"from": "starting"}), wait_timeout=60),
        sh("starts fault-slow-start", "1"),
    ),
    scenario(
        "running, from stopping",
        sh("""fresh fault-slow-stop; behave fault-slow-stop '{"term_delay": 10}'; systemctl start fault-slow-stop
            systemctl stop --no-block fault-slow-stop; becomes fault-slow-stop ActiveState deactivating"""),
        service("fault-slow-stop", done("running", did=["systemctl start"], **{"from": "stopping"}), wait_timeout=60),
    ),
    scenario(
        "running, from systemd's own restart",
        sh("up fault-always; systemctl kill --signal=KILL fault-always"),
        service("fault-always", same("running")),
    ),
    scenario(
        "recovery never",
        sh("failed fault-java"),
        service("fault-java", refused("edge", "error", why="killed", **{"from": "error"}), recovery="never"),
        service("fault-java", refused("edge", "error"), recovery="never", state="restarted"),
        sh("starts fault-java", "1"),
        once=True,
    ),
    scenario(
        "recovery restart",
        sh("failed fault-java"),
        service("fault-java", done("running", did=["systemctl start"], why="killed"), recovery="restart"),
        service("fault-java", same("running")),
    ),
    scenario(
        "recovery reset_start",
        sh("failed fault-java"),
        service("fault-java", done("running", did=["systemctl reset-failed", "systemctl start"], why="killed"),
                recovery="reset_start"),
        service("fault-java", same("running"), recovery="reset_start"),
    ),
    scenario(
        "a crash loop",
        sh(_LOOP),
        service("fault-always", refused("edge", "error", from_cause="crash_loop"), recovery="never", thrash_restarts=2),
        sh("""behave fault-always '{}'"""),
        service("fault-always", done("running", invocation="new"), recovery="reset_start", thrash_restarts=2),
        service("fault-always", same("running"), thrash_restarts=2),
    ),
    scenario(
        "stopped, from a crash loop",
        sh(_LOOP),
        service("fault-always", done("stopped"), state="stopped", thrash_restarts=2),
        sh("is fault-always", "inactive"),
    ),
    scenario(
        "the start limit",
        sh(_TIRED),
        service("fault-start-limit", refused("start_limit", "error"), recovery="restart"),
        sh("""behave fault-start-limit '{"start_exit": 0}'"""),
        service("fault-start-limit", done("running", did=["systemctl reset-failed", "systemctl start"]),
                recovery="reset_start", accept_causes=["start_limit", "unknown"]),
    ),
    scenario(
        "stopped",
        sh("up fault-java"),
        service("fault-java", done("stopped", did=["systemctl stop"], **{"from": "running"}), state="stopped"),
        service("fault-java", same("stopped"), state="stopped"),
        sh("is fault-java", "inactive"),
    ),
    scenario(
        "stopped, from error",
        sh("failed fault-java"),
        service("fault-java", done("stopped", did=["systemctl reset-failed"]), state="stopped"),
        service("fault-java", same("stopped"), state="stopped"),
        once=True,
    ),
    scenario(
        "stopped, from starting",
        sh(_SLOWLY),
        service("fault-slow-start", done("stopped", did=["systemctl stop"]), state="stopped", wait_timeout=60),
    ),
    scenario(
        "stopped, from starting, by force",
        sh(_SLOWLY),
        service("fault-slow-start", done("stopped", did=["systemctl cancel of the start job, stop"]),
                state="stopped", force_stop=True),
        sh("is fault-slow-start", "inactive"),
    ),
    scenario(
        "stopped: exit 143 is a clean stop",
        sh("up fault-java-undeclared"),
        service("fault-java-undeclared", done("stopped", did=["systemctl stop"]), state="stopped"),
        service("fault-java-undeclared", same("stopped"), state="stopped"),
        service("fault-java-undeclared", done("running", did=["systemctl start"])),
    ),
    scenario(
        "restarted",
        sh("up fault-java"),
        service("fault-java", done("running", did=["systemctl restart"], invocation="new"), state="restarted"),
        sh("starts fault-java", "2"),
        sh("fresh fault-java"),
        service("fault-java", done("running", did=["systemctl start"]), state="restarted"),
        sh("failed fault-java"),
        service("fault-java", done("running", did=["systemctl start"]), state="restarted"),
    ),
    scenario(
        "restarted: a forking daemon",
        sh("up fault-forking"),
        service("fault-forking", done("running", invocation="new"), state="restarted"),
        once=True,
    ),
    scenario(
        "reset",
        sh("failed fault-java"),
        service("fault-java", done("stopped", did=["systemctl reset-failed"]), state="reset"),
        service("fault-java", same("stopped"), state="reset"),
        sh("starts fault-java; up fault-java"),
        service("fault-java", same("running", invocation="same"), state="reset"),
    ),
    scenario(
        "a start that fails",
        sh("fresh fault-bad-start"),
        service("fault-bad-start", {"failed": True, "changed": True, "state": "error", "says": "was started, and is"}),
        sh("starts fault-bad-start", "1"),
        once=True,
    ),
    scenario(
        "a start that exceeds systemd's limit",
        sh("fresh fault-never-ready"),
        service("fault-never-ready", {"failed": True, "state": "error", "cause": "timeout", "changed": True}),
    ),
    scenario(
        "a start that exceeds our limit",
        sh(_HANGS),
        service("fault-never-ready", refused("edge", "error", cause="start_timeout"), start_timeout=0.5,
                recovery="never"),
        sh("""behave fault-never-ready '{"ready": true}'"""),
        service("fault-never-ready", done("running", did=["systemctl cancel of the start job, restart"]),
                start_timeout=0.5, recovery="restart"),
        sh("rm -r /run/systemd/system/fault-never-ready.service.d; systemctl daemon-reload; fresh fault-never-ready"),
    ),
    scenario(
        "a service that dies after its start",
        sh("""fresh fault-simple; behave fault-simple '{"exit_after": 0.5, "exit_code": 7}'"""),
        service("fault-simple", {"failed": True, "changed": True, "state": "error", "says": "was started, and is"}),
        sh("fresh fault-simple"),
    ),
    scenario(
        "a stop that ignores SIGTERM",
        sh("up fault-stubborn"),
        service("fault-stubborn", {"failed": True, "changed": True, "guard": "force_stop", "state": "stopping"},
                state="stopped", stop_timeout=0.3),
        sh("up fault-stubborn"),
        service("fault-stubborn", done("stopped"), state="stopped", stop_timeout=0.3, force_stop=True),
        service("fault-stubborn", same("stopped"), state="stopped"),
    ),
    scenario(
        "a restart whose stop ignores SIGTERM",
        sh("up fault-stubborn"),
        service("fault-stubborn", {"failed": True, "changed": True, "guard": "force_stop", "state": "stopping"},
                state="restarted", stop_timeout=0.3),
        sh("up fault-stubborn"),
        service("fault-stubborn", done("running", did=["systemctl restart", "systemctl kill --signal=SIGKILL"],
                                       invocation="new"), state="restarted", stop_timeout=0.3, force_stop=True),
    ),
    scenario(
        "processes that are left",
        sh("up fault-leftover"),
        service("fault-leftover", {"failed": True, "changed": True, "guard": "leftovers", "state": "stopped"},
                state="stopped", wait_timeout=5),
        service("fault-leftover", refused("leftovers", "stopped")),
        service("fault-leftover", refused("leftovers", "stopped"), state="stopped", check=True),
        service("fault-leftover", planned("force_stop"), state="stopped", force_stop=True, check=True),
        service("fault-leftover", done("stopped", did=["kill -KILL of left-over processes"]), state="stopped",
                force_stop=True),
        service("fault-leftover", same("stopped"), state="stopped"),
        service("fault-leftover", done("running")),
        sh("up fault-leftover; systemctl stop fault-leftover"),
        service("fault-leftover", done("running", did=["kill -KILL of left-over processes", "systemctl start"]),
                force_stop=True),
        sh("cat /sys/fs/cgroup/system.slice/fault-leftover.service/cgroup.procs | wc -l; fresh fault-leftover", "2"),
    ),
    scenario(
        "processes that a failed unit has left",
        sh("up fault-leftover; kill -KILL $(systemctl show -P MainPID fault-leftover)"
           "; becomes fault-leftover ActiveState failed"),
        service("fault-leftover", refused("leftovers", "error")),
        service("fault-leftover", refused("leftovers", "error"), recovery="reset_start"),
        sh("is fault-leftover", "failed"),
        service("fault-leftover", planned("force_stop", "reset", "start"), recovery="reset_start", force_stop=True,
                check=True),
        service("fault-leftover", done("running", did=["kill -KILL of left-over processes", "systemctl reset-failed",
                                                       "systemctl start"]), recovery="reset_start", force_stop=True),
        sh("fresh fault-leftover"),
    ),
    scenario(
        "a main process that SIGSTOP holds",
        sh("up fault-java; kill -STOP $(systemctl show -P MainPID fault-java)"),
        service("fault-java", refused("edge", "error", cause="suspended"), recovery="never"),
        service("fault-java", done("running", did=["systemctl restart"], from_cause="suspended", invocation="new")),
    ),
    scenario(
        "a template",
        sh("fresh fault-template@a fault-template@b; systemctl start fault-template@b"),
        service("fault-template@a", done("running")),
        service("fault-template@a", done("stopped"), state="stopped"),
        sh("is fault-template@a; is fault-template@b; starts fault-template@b", "inactive\nactive\n1"),
        service("fault-template@", {"failed": True, "says": "name an instance"}),
    ),
    scenario(
        "a oneshot",
        sh("fresh fault-oneshot fault-oneshot-remain fault-oneshot-fail"),
        service("fault-oneshot", done("stopped", did=["systemctl start"]), state="restarted"),
        service("fault-oneshot", refused("oneshot", "stopped")),
        sh("starts fault-oneshot", "1"),
        service("fault-oneshot-remain", done("running")),
        service("fault-oneshot-remain", same("running")),
        service("fault-oneshot-fail", {"failed": True, "state": "error", "changed": True}, state="restarted"),
    ),
    scenario(
        "attempts are counted and end",
        sh("fresh fault-bad-start; systemctl start fault-bad-start || :"),
        *(service("fault-bad-start", {"failed": True, "changed": True, "state": "error"}, recovery="reset_start",
                  accept_causes=["unknown", "exit_status"], max_attempts=2) for _attempt in range(2)),
        service("fault-bad-start", refused("attempts", "error"), recovery="reset_start",
                accept_causes=["unknown", "exit_status"], max_attempts=2),
        sh("starts fault-bad-start", "3"),
        once=True,
    ),
    scenario(
        "check mode",
        sh("fresh fault-java"),
        service("fault-java", planned("start", state="stopped"), check=True),
        sh("up fault-java"),
        service("fault-java", planned(changed=False), check=True),
        service("fault-java", planned("restart"), check=True, state="restarted"),
        service("fault-java", planned("stop"), check=True, state="stopped"),
        sh("failed fault-java"),
        service("fault-java", planned("restart"), check=True),
        service("fault-java", planned("reset", "start"), check=True, recovery="reset_start"),
        service("fault-java", planned("reset"), check=True, state="reset"),
        service("fault-java", {"failed": True, "guard": "edge"}, check=True, recovery="never"),
        sh("is fault-java; starts fault-java", "failed\n1"),
        once=True,
    ),
)  # fmt: skip
