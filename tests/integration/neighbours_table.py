# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What acting on one unit does to others and to the host: what ran before runs afterwards, and nobody is harmed."""

from __future__ import annotations

from .ansible_steps import Scenario, Step, done, hold, planned, refused, same, scenario, service, sh

# unit NAME 'LINES OF [Unit]' 'LINES OF [Service]': install a unit that sleeps, if its lines have no ExecStart.
_WORDS = r"""unit() {
    case "$3" in *ExecStart=*) run=;; *) run='ExecStart=/bin/sleep infinity';; esac
    printf "[Unit]\n$2\n[Service]\n$3\n$run\n" >"/etc/systemd/system/$1.service"
}
clean() { for u; do systemctl stop "$u"; systemctl reset-failed "$u"; rm -f "/etc/systemd/system/$u.service" \
    "/var/lib/chainops-lifecycle/attempts/$u.service.json"; done 2>/dev/null; systemctl daemon-reload; }
states() { for u; do systemctl show -P ActiveState "$u"; done | tr '\n' ' '; }
"""


def words(script: str, stdout: str | None = None) -> Step:
    return sh(_WORDS + script, stdout)


_DEPENDANTS = """clean n-db n-api n-agent n-part n-free
unit n-db '' 'Type=exec'
unit n-api 'Requires=n-db.service\\nAfter=n-db.service' ''
unit n-agent 'BindsTo=n-db.service\\nAfter=n-db.service' ''
unit n-part 'PartOf=n-db.service' ''
unit n-free '' ''
systemctl daemon-reload; systemctl start n-db n-api n-agent n-part n-free; touch /run/n-db.ok
"""
_ALL = "states n-db n-api n-agent n-part n-free"
_UP = "active active active active active"
_PROBE = [
    {"kind": "command", "argv": ["/usr/bin/test", "-e", "/run/n-db.ok"], "start_grace": 0, "failure_threshold": 1}
]
_ALONG = ["n-agent.service", "n-api.service", "n-part.service"]
# The start is sick until somebody starts it again.
_SICK = (
    "rm -f /run/n-db.ok; printf '[Service]\\nExecStartPost=/usr/bin/touch /run/n-db.ok\\n' \\\n"
    " >/run/x.conf; mkdir -p /run/systemd/system/n-db.service.d; mv /run/x.conf /run/systemd/system/n-db.service.d/;"
    "systemctl daemon-reload"
)
_CONFLICT = """clean n-chrony n-ntp
unit n-chrony 'Conflicts=n-ntp.service' ''; unit n-ntp '' 'Type=exec'
systemctl daemon-reload
"""
_LIMIT = """clean n-limit; rm -f /run/n-limit.ok
unit n-limit 'StartLimitBurst=2\\nStartLimitIntervalSec=1h\\nStartLimitAction=reboot' \\
    'Type=exec\\nExecStart=/bin/sh -c "test -e /run/n-limit.ok || exit 1; exec sleep infinity"'
systemctl daemon-reload
for turn in 1 2; do systemctl start n-limit; becomes n-limit ActiveState failed; done
"""
_CIRCLE = """clean n-a n-b n-req n-dep
unit n-a 'Requires=n-b.service\\nAfter=n-b.service' 'Type=exec'
unit n-b 'BindsTo=n-a.service' ''
unit n-req 'Requires=n-dep.service\\nAfter=n-dep.service' 'Type=exec'
unit n-dep '' 'Type=exec'
systemctl daemon-reload
"""
_TRANSIENT = """systemctl stop n-transient 2>/dev/null; systemctl reset-failed n-transient 2>/dev/null
rm -f /var/lib/chainops-lifecycle/attempts/n-*
systemd-run -q --unit=n-transient -p Type=exec /bin/sleep infinity
"""
_REMOVED = """clean n-removed; unit n-removed '' 'Type=exec'; systemctl daemon-reload; systemctl start n-removed
rm /etc/systemd/system/n-removed.service
"""

SCENARIOS: tuple[Scenario, ...] = (
    scenario(
        "what depends on an unhealthy service runs again when it is recovered",
        words(_DEPENDANTS + _SICK),
        service("n-db", planned("restart", also_stops=_ALONG), probes=_PROBE, recovery="reset_start", check=True),
        service("n-db", done("running", did=["systemctl restart"], also_stops=_ALONG), probes=_PROBE,
                recovery="reset_start"),
        words(_ALL, _UP),
        service("n-db", same("running", also_stops=[]), probes=_PROBE, recovery="reset_start"),
        words("rm -r /run/systemd/system/n-db.service.d"),
    ),
    scenario(
        "what depends on a service that is restarted runs again",
        words(_DEPENDANTS),
        service("n-db", done("running", also_stops=_ALONG), state="restarted"),
        words(_ALL, _UP),
        service("n-db", done("stopped", also_stops=_ALONG), state="stopped"),
        words(_ALL, "inactive inactive inactive inactive active"),
    ),
    scenario(
        "a dependant that is held",
        words(_DEPENDANTS),
        hold({"changed": True}, name="n-agent", owner="ann", reason="in use"),
        service("n-db", refused("dependants", "running", says="would also stop n-agent.service, which ann holds"),
                state="restarted"),
        service("n-db", refused("dependants", "running"), state="stopped"),
        service("n-db", refused("dependants", "running"), state="stopped", check=True),
        words(_ALL, _UP),
        hold({"changed": True}, name="n-agent", state="absent"),
        words("clean n-db n-api n-agent n-part n-free"),
    ),
    scenario(
        "a unit that is in conflict from the other side",
        words(_CONFLICT + "systemctl start n-chrony"),
        service("n-ntp", refused("conflicts", "stopped", says="n-chrony.service .ConflictedBy of n-ntp.service")),
        service("n-ntp", refused("conflicts", "stopped"), check=True),
        words("states n-chrony n-ntp", "active inactive"),
        service("n-ntp", planned("start", also_stops=["n-chrony.service"]), stop_conflicting=True, check=True),
        service("n-ntp", done("running", also_stops=["n-chrony.service"]), stop_conflicting=True),
        words("states n-chrony n-ntp", "inactive active"),
    ),
    scenario(
        "a unit that is in conflict from its own side",
        words(_CONFLICT + "systemctl start n-ntp"),
        service("n-chrony", refused("conflicts", "stopped", says="n-ntp.service .Conflicts of n-chrony.service")),
        words("states n-chrony n-ntp", "inactive active"),
        service("n-chrony", {"failed": False, "state": "running"}, stop_conflicting=True),
        words("states n-chrony n-ntp; clean n-chrony n-ntp", "active inactive"),
    ),
    scenario(
        "a start that would reboot the host",
        words(_LIMIT),
        service("n-limit", refused("host_action", "error", says="StartLimitAction=reboot.*2 starts within 3600 s"),
                accept_causes=["start_limit", "unknown", "exit_status"]),
        words("touch /run/n-limit.ok"),
        service("n-limit", planned("reset", "start"), recovery="reset_start", check=True,
                accept_causes=["start_limit", "unknown", "exit_status"]),
        service("n-limit", done("running", did=["systemctl reset-failed", "systemctl start"]), recovery="reset_start",
                accept_causes=["start_limit", "unknown", "exit_status"]),
        words("clean n-limit"),
    ),
    scenario(
        "a stop that would power off the host",
        words("clean n-last; unit n-last 'SuccessAction=poweroff' 'Type=exec'; systemctl daemon-reload"
              "; systemctl start n-last"),
        service("n-last", refused("host_action", "running", says="SuccessAction=poweroff"), state="stopped"),
        service("n-last", refused("host_action", "running"), state="restarted"),
        words("sed -i /SuccessAction/d /etc/systemd/system/n-last.service; systemctl daemon-reload; clean n-last"),
    ),
    scenario(
        "units that require each other",
        words(_CIRCLE),
        service("n-b", {"failed": False, "reached": True, "changed": True, "also_starts": ["n-a.service"]}, stable_for=0),
        words("states n-a n-b", "active active"),
        words("systemctl kill --signal=KILL n-a; becomes n-a ActiveState failed; becomes n-b ActiveState inactive"),
        service("n-b", {"failed": False, "reached": True, "changed": True, "also_starts": ["n-a.service"]}, stable_for=0),
        words("states n-a n-b", "active active"),
        service("n-req", done("running", also_starts=["n-dep.service"])),
        words("states n-req n-dep", "active active"),
        words("systemctl stop n-req n-dep"),
        hold({"changed": True}, name="n-dep", owner="ann", reason="in use"),
        service("n-req", refused("dependency", "stopped", says="would start n-dep.service with it, which ann holds")),
        hold({"changed": True}, name="n-dep", state="absent"),
        words("clean n-a n-b n-req n-dep"),
    ),
    scenario(
        "a transient unit is not forgotten",
        words(_TRANSIENT + "systemctl kill --signal=KILL n-transient; becomes n-transient ActiveState failed"),
        service("n-transient", refused("unit", "error", says="the unit is transient"), state="reset"),
        service("n-transient", refused("unit", "error", says="the unit is transient"), state="stopped"),
        service("n-transient", planned("restart"), recovery="reset_start", check=True),
        service("n-transient", done("running", did=["systemctl start"], says="the unit is transient"),
                recovery="reset_start"),
        words("states n-transient; systemctl stop n-transient", "active"),
    ),
    scenario(
        "a unit whose file was removed is not forgotten",
        words(_REMOVED),
        service("n-removed", refused("unit", "error", says="is not there any more"), state="reset",
                probes=[{"kind": "command", "argv": ["/bin/false"], "start_grace": 0, "failure_threshold": 1}]),
        words("states n-removed; systemctl stop n-removed 2>/dev/null; systemctl daemon-reload", "active"),
    ),
)  # fmt: skip
