# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each guard refuses on a real host, and that what it refuses was left alone."""

from __future__ import annotations

from .ansible_steps import Expected, Scenario, Step, done, hold, planned, refused, same, scenario, service, sh

KINDS = ("java", "simple", "needs-simple", "stubborn", "always", "slow-stop")

_FULL = """fresh fault-java; mkdir -p /srv/small; mountpoint -q /srv/small || mount -t tmpfs -o size=4m small /srv/small
head -c 4m /dev/zero >/srv/small/all || :
"""
_BROKEN = """fresh fault-java
printf '[Service]\\nType=oneshot\\n' >/etc/systemd/system/fault-broken.service
ln -sfn /dev/null /etc/systemd/system/fault-masked.service
systemctl daemon-reload
"""
_ALIAS = """fresh fault-java
ln -sfn fault-java.service /etc/systemd/system/fault-alias.service; systemctl daemon-reload
"""
_RUNS_MASKED = """fresh fault-java; cp /etc/systemd/system/fault-java.service /run/fault-java.saved
systemctl start fault-java; ln -sfn /dev/null /etc/systemd/system/fault-java.service; systemctl daemon-reload
"""
USER_UNIT = """mkdir -p ~lab/.config/systemd/user
printf '[Service]\\nType=exec\\nExecStart=/usr/bin/sleep 1000\\n' >~lab/.config/systemd/user/fault-mine.service
chown -R lab: ~lab; systemctl start user@1000.service
export XDG_RUNTIME_DIR=/run/user/1000
until runuser -u lab -- systemctl --user is-system-running -q; do sleep 0.1; done
runuser -u lab -- systemctl --user daemon-reload; rm -rf ~lab/.local/state/chainops-lifecycle
"""
_MINE = "XDG_RUNTIME_DIR=/run/user/1000 runuser -u lab -- systemctl --user is-active fault-mine || :"


def held(owner: str, scope: str) -> Expected:
    return refused("hold", "stopped", says=rf"{owner} holds {scope} .*swapping the disk.*service_hold state=absent")


def _holding(name: str, options: dict[str, object], what: str) -> Scenario:
    """A hold from its beginning to its end; ``options`` say on what."""
    reason = {"reason": "swapping the disk", **options}
    other = {"failed": True, "changed": False, "says": "ann holds this already"}
    yes, no = {"failed": False, "changed": True}, {"failed": False, "changed": False}
    return scenario(
        name,
        sh("fresh fault-java"),
        hold(yes, owner="ann", check=True, **reason),
        service("fault-java", planned("start"), check=True),
        hold(yes, owner="ann", **reason),
        hold(no, owner="ann", **reason),
        hold(other, owner="bob", **reason),
        service("fault-java", held("ann", what)),
        service("fault-java", {"failed": True, "guard": "hold"}, check=True),
        service("fault-java", same("stopped"), state="stopped"),
        hold(yes, state="absent", check=True, **options),
        service("fault-java", held("ann", what)),
        hold(yes, state="absent", **options),
        hold(no, state="absent", **options),
        service("fault-java", done("running")),
        once=True,
    )


SCENARIOS: tuple[Scenario, ...] = (
    _holding("a hold on the service", {"name": "fault-java"}, "fault-java.service"),
    _holding("a hold on the host", {}, "the host"),
    scenario(
        "a hold on one of a unit's names",
        sh(_ALIAS),
        hold({"changed": True}, name="fault-alias", owner="ann", reason="swapping the disk"),
        service("fault-java", held("ann", "fault-java.service")),
        service("fault-alias", held("ann", "fault-java.service")),
        hold({"changed": True}, name="fault-java", state="absent"),
        service("fault-alias", done("running")),
        sh("rm /etc/systemd/system/fault-alias.service; systemctl daemon-reload"),
        once=True,
    ),
    scenario(
        "a hold that expires",
        sh("fresh fault-java"),
        hold({"changed": True}, name="fault-java", owner="ann", reason="a moment", expires_in=600),
        service("fault-java", refused("hold", "stopped", says="for (600|5..) s more")),
        hold({"changed": True}, name="fault-java", owner="ann", reason="a moment", expires_in=0.01),
        service("fault-java", done("running")),
        hold({"changed": True}, name="fault-java", owner="bob", reason="after it expired", expires_in=0.01),
        hold({"failed": True, "says": "reason"}, name="fault-java", reason=" "),
        sh("rm -f /var/lib/chainops-lifecycle/holds/*"),
        once=True,
    ),
    scenario(
        "expected_state and expected_invocation",
        sh("up fault-java"),
        service("fault-java", refused("precondition", "running", invocation="same"), state="restarted",
                expected_state=["error", "stopped"]),
        service("fault-java", refused("precondition", "running"), state="restarted",
                expected_invocation="0123456789abcdef0123456789abcdef"),
        service("fault-java", done("running", invocation="new"), state="restarted", expected_state=["running"],
                expected_invocation="{{ step_2.after.unit_facts.invocation_id }}"),
        # The same task once more: what was asked for is done.
        service("fault-java", refused("precondition", "running"), state="restarted",
                expected_invocation="{{ step_2.after.unit_facts.invocation_id }}"),
        sh("starts fault-java", "2"),
        service("fault-java", {"failed": True, "says": "'sleeping' is not a state"}, expected_state=["sleeping"]),
        once=True,
    ),
    scenario(
        "config_check",
        sh("up fault-java"),
        service("fault-java", refused("config_check", "running", invocation="same", says="ended with 1.*left as it is"),
                state="restarted", config_check=["/bin/false"]),
        service("fault-java", refused("config_check", "running", says="was not found"), state="restarted",
                config_check=["/opt/no-such-check"]),
        service("fault-java", {"failed": True, "guard": "config_check"}, check=True, state="restarted",
                config_check=["/bin/false"]),
        sh("is fault-java; starts fault-java", "active\n1"),
        service("fault-java", done("running"), state="restarted", config_check=["/bin/true"]),
        service("fault-java", done("stopped"), state="stopped", config_check=["/bin/false"]),
        once=True,
    ),
    scenario(
        "a full disk",
        sh(_FULL),
        service("fault-java", refused("disk_full", "stopped", says="/srv/small has 0 MiB"), disk_paths=["/srv/small/d"]),
        service("fault-java", {"failed": True, "guard": "disk_full"}, disk_paths=["/srv/small"], min_free_mb=1,
                check=True),
        sh("rm /srv/small/all; starts fault-java", "0"),
        service("fault-java", done("running"), disk_paths=["/srv/small"], min_free_mb=1),
        sh(_FULL + "systemctl start fault-java"),
        service("fault-java", done("stopped"), state="stopped", disk_paths=["/srv/small"]),
        sh("umount /srv/small"),
        once=True,
    ),
    scenario(
        "a dependency that is not there",
        sh("fresh fault-needs-simple fault-simple"),
        service("fault-needs-simple", done("running", also_starts=["fault-simple.service"])),
        sh("is fault-simple", "active"),
        sh("systemctl kill --signal=KILL fault-needs-simple fault-simple; becomes fault-simple ActiveState failed"),
        service("fault-needs-simple", refused("dependency", "error", says="fault-simple.service is failed")),
        sh("fresh fault-needs-simple fault-simple"),
    ),
    scenario(
        "masked, missing and broken units",
        sh(_BROKEN),
        service("fault-masked", refused("unit", "stopped", says="systemctl unmask")),
        service("fault-masked", same("stopped"), state="stopped"),
        service("fault-not-there", refused("unit", "error", cause="unit_not_found")),
        service("fault-not-there", {"failed": False, "reached": False, "guard": "unit"}, check=True),
        service("fault-broken", refused("unit", "error", cause="unit_broken", says="systemctl cat")),
        sh("rm /etc/systemd/system/fault-broken.service /etc/systemd/system/fault-masked.service"),
        sh(_RUNS_MASKED),
        service("fault-java", same("running")),
        service("fault-java", refused("unit", "running", invocation="same"), state="restarted"),
        service("fault-java", done("stopped"), state="stopped"),
        sh("rm /etc/systemd/system/fault-java.service; mv /run/fault-java.saved /etc/systemd/system/fault-java.service;"
           "systemctl daemon-reload"),
    ),
    scenario(
        "a unit that may not be started or stopped by hand",
        sh("fresh fault-java; mkdir -p /run/systemd/system/fault-java.service.d; cd /run/systemd/system/*java*.d;"
           "printf '[Unit]\\nRefuseManualStart=yes\\nRefuseManualStop=yes\\n' >x.conf; systemctl daemon-reload"),
        service("fault-java", refused("unit", "stopped", says="RefuseManualStart")),
        sh("rm -r /run/systemd/system/fault-java.service.d; systemctl daemon-reload"),
    ),
    scenario(
        "a frozen unit",
        sh("up fault-java; systemctl freeze fault-java"),
        service("fault-java", refused("frozen", "error", cause="frozen", says="systemctl thaw fault-java")),
        service("fault-java", refused("frozen", "error", cause="frozen"), state="stopped", force_stop=True),
        sh("systemctl thaw fault-java"),
        service("fault-java", same("running")),
    ),
    scenario(
        "a stop job of somebody else's",
        sh("""fresh fault-slow-stop; behave fault-slow-stop '{"term_delay": 20}'; systemctl start fault-slow-stop
            systemctl stop --no-block fault-slow-stop; becomes fault-slow-stop ActiveState deactivating"""),
        service("fault-slow-stop", {"failed": True, "changed": False, "state": "stopping", "did": []}, wait_timeout=0.5),
        sh("becomes fault-slow-stop ActiveState inactive; starts fault-slow-stop", "1"),
    ),
    scenario(
        "the services of a user",
        sh(USER_UNIT),
        service("fault-mine", done("running", did=["systemctl start"]), scope="user", user="lab"),
        service("fault-mine", same("running"), scope="user", user="lab"),
        sh(_MINE, "active"),
        service("fault-mine", done("running", invocation="new"), scope="user", user="lab", state="restarted"),
        service("fault-mine", done("stopped"), scope="user", user="lab", state="stopped"),
        sh(_MINE, "inactive"),
        sh("ls ~lab/.local/state/chainops-lifecycle/attempts; ls /var/lib/chainops-lifecycle/attempts | grep -c mine || :",
           "fault-mine.service.json\n0"),
        service("fault-mine", {"failed": True, "state": "error", "cause": "unit_not_found"}),
    ),
    scenario(
        "wrong options",
        Step("service", {"name": "fault-java", "wait_timeout": -1}, {"failed": True, "says": "wait_timeout: -1"}),
        Step("service", {"name": "fault-java.socket"}, {"failed": True, "says": "drives services only"}),
        Step("service", {"name": "../evil"}, {"failed": True, "says": "is not a unit name"}),
        Step("service", {"name": "fault-java", "max_attempts": 0}, {"failed": True, "says": "max_attempts: 0"}),
        once=True,
    ),
)  # fmt: skip
