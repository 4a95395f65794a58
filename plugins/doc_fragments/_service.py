# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.

from __future__ import annotations


class ModuleDocFragment:
    """The options that all modules which drive a service share."""

    # How a service is found and observed.
    DOCUMENTATION = r"""
options:
  name:
    description:
      - The unit, such as V(besu) or V(besu@1). The ending C(.service) is implied.
    type: str
    required: true
  scope:
    description:
      - Which service manager has the unit, that of the system or that of a user.
      - V(user) is that of the user that the task runs as. It has to be running, see C(loginctl enable-linger).
    type: str
    choices: [system, user]
    default: system
  probes:
    description:
      - What has to hold for the service to count as running, beyond what systemd knows.
      - A probe that cannot do its work (no such command, name not resolved, certificate not accepted)
        makes the state V(unknown). It never counts against the service.
      - A service without probes is judged by systemd alone, and its reasons say so.
    type: list
    elements: dict
    default: []
    suboptions:
      kind:
        description: Ask a URL, open a TCP connection, or run a command.
        type: str
        choices: [http, tcp, command]
        required: true
      name:
        description:
          - The name of the probe in reasons. By default its kind and its place in the list, such as C(http[0]).
        type: str
      timeout:
        description: Seconds for the whole answer.
        type: float
        default: 5.0
      interval:
        description: Seconds from one run to the next.
        type: float
        default: 1.0
      failure_threshold:
        description: How many bad results in a row make the service unhealthy.
        type: int
        default: 3
      success_threshold:
        description: How many good results in a row make it healthy.
        type: int
        default: 1
      start_grace:
        description: Seconds after the start in which a bad result means V(starting) and not V(error).
        type: float
        default: 30.0
      url:
        description: The URL to request. Redirects are not followed. Proxies of the environment are not used.
        type: str
      method:
        description: The HTTP method, V(GET) if not given.
        type: str
        choices: [GET, HEAD, POST]
      headers:
        description:
          - Header fields of the request. Their values never appear in a result, and Ansible masks them wherever they
            occur, so a very short value masks a lot.
        type: dict
      body:
        description: The body of the request.
        type: str
      status:
        description: The status codes that are good, V(200) if not given.
        type: list
        elements: int
      body_regex:
        description:
          - A regular expression that the body has to contain. Nested quantifiers can take very long, avoid them.
        type: str
      json_path:
        description: Where to look in a JSON body, such as V(status.up).
        type: str
      json_value:
        description: The value that has to be at O(probes[].json_path). Without it, anything but null is good.
        type: raw
      validate_certs:
        description: Whether the server's certificate is checked, V(true) if not given.
        type: bool
      ca_path:
        description: A file with the certificates to trust instead of the system's.
        type: path
      client_cert:
        description: A file with the certificate to show.
        type: path
      client_key:
        description: A file with the key of O(probes[].client_cert), if it is not in the same file.
        type: path
      fingerprint_sha256:
        description: The SHA-256 fingerprint of the one certificate to accept.
        type: str
      server_hostname:
        description: The name to ask and to check the certificate for, if not the one in the URL.
        type: str
      host:
        description: The address for a TCP connection, V(127.0.0.1) if not given.
        type: str
      port:
        description: The port for a TCP connection.
        type: int
      argv:
        description: The command and its arguments. No shell is used. It must change nothing.
        type: list
        elements: str
      rc:
        description: The return codes that are good, V(0) if not given.
        type: list
        elements: int
      output_regex:
        description: A regular expression that the output has to contain.
        type: str
  has_process:
    description:
      - Whether the service has a process of its own. Give V(false) for a wrapper that starts something else and ends,
        such as one of C(docker compose) or of SysV with C(RemainAfterExit=yes). It counts as running while systemd
        calls it active.
      - If such a service has probes, only these count, whatever is given here.
    type: bool
    default: true
  start_timeout:
    description: Seconds after which a start that has not ended is an error, whatever time-out the unit has.
    type: float
    default: 600.0
  stop_timeout:
    description: Seconds after which a stop that has not ended is overdue.
    type: float
    default: 120.0
  thrash_restarts:
    description:
      - If systemd restarts the unit this many times within O(thrash_window), its state is V(error), cause
        V(crash_loop). systemd itself may never call it failed.
    type: int
    default: 5
  thrash_window:
    description: The window in seconds within which O(thrash_restarts) counts.
    type: float
    default: 600.0
  alert_after:
    description:
      - After how many seconds alerts about the service fire, see M(chainops.lifecycle.service_info).
      - Alerts about a start or a stop that takes too long have the thresholds O(start_timeout) and O(stop_timeout), and
        the one about failing again and again O(thrash_restarts) and O(thrash_window).
    type: dict
    default: {}
    suboptions:
      error:
        description: In error, or in a crash loop. 300 by default.
        type: float
      unknown:
        description: Not observed. 300 by default.
        type: float
      left_out:
        description: A validator that does not take part. 600 by default.
        type: float
      disconnected:
        description: A connector without a connection. 120 by default.
        type: float
      degraded:
        description: A connector with fewer connections than it should have. 600 by default.
        type: float
"""

    DRIVE = r"""
options:
  recovery:
    description:
      - How far the module may go to recover a service in the state V(error).
      - V(never) refuses to act, and only reports what it observed.
      - V(restart) makes one step, a start or restart. It is refused while systemd's own start limit is in force.
      - V(reset_start) keeps the evidence in RV(ignore:diagnosis), clears the failure and starts.
      - In both cases a unit that is up is restarted and never stopped first, so that systemd also restarts the units
        that depend on it. A unit that systemd would forget, because it is transient or its file is gone, is started
        without clearing its failure.
    type: str
    choices: [never, restart, reset_start]
    default: restart
  force_stop:
    description:
      - Whether the module may use SIGKILL to end an overdue stop and leftover processes.
      - Data that the service has not written by then is lost. A database may be damaged.
    type: bool
    default: false
  stop_conflicting:
    description:
      - Whether the start of the service may stop running units that conflict with it (C(Conflicts=) of either unit).
        RV(ignore:also_stops) names them.
      - Without it the guard C(conflicts) refuses such a start.
    type: bool
    default: false
  daemon_reload:
    description:
      - Whether to run C(systemctl daemon-reload) before a start, if the files of this unit were changed after systemd
        read them. A reload concerns all units of the host, so it is off by default, as in
        M(ansible.builtin.systemd_service).
      - Without it a unit with changed files is not restarted while it is up (guard C(unit)), and a correction in its
        files has no effect.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds for the whole run of the module.
      - A wait ends earlier if the state cannot be observed for 30 seconds. The module does nothing meanwhile.
    type: float
    default: 120.0
  wait_interval:
    description:
      - Seconds between two observations in a long wait. During the first two minutes the module observes more often.
    type: float
    default: 1.0
  stable_for:
    description:
      - Seconds that the service has to stay in the desired state until it counts as reached, from the first
        observation in that state. A stop counts at once.
      - By default 2 from their start for units of the types C(simple), C(exec) and C(idle), which systemd calls active
        before they are ready, and 0 for all others.
    type: float
  max_attempts:
    description:
      - How many attempts to recover may be made within O(attempt_window). They are counted on the host, across runs,
        controllers and reboots. Starts that were not proved to have succeeded count as well.
    type: int
    default: 3
  attempt_window:
    description: The window in seconds within which O(max_attempts) counts.
    type: float
    default: 3600.0
  attempt_backoff:
    description:
      - Seconds between the first and the second attempt. Each further wait is twice as long.
      - The module waits for the next attempt if that fits into O(wait_timeout).
    type: float
    default: 10.0
  reset_attempts_after:
    description:
      - Seconds that the service has to run well until earlier attempts are forgotten. Being active is not enough.
    type: float
    default: 600.0
  expected_state:
    description: Act only if the state is one of these.
    type: list
    elements: str
    default: []
  expected_invocation:
    description:
      - Act only if the unit still has this C(InvocationID), that is, if nobody has started it since you observed it.
    type: str
  config_check:
    description:
      - A command that checks the configuration. It runs before any start, and in check mode. It must change nothing.
      - If it fails, or does not end within 60 seconds, nothing is started, and nothing is stopped for a restart.
      - Without it two kinds have a check of their own before a running service is restarted (guard C(next_start)). For
        a connector it is C(cloudflared tunnel ingress validate), if the configuration of its unit has ingress rules.
        For a Besu node with C(--config-file) the file has to exist and to be TOML. If the unit runs the launcher of a
        distribution, C(besu validate-config) has to know the options in the file. With Python before 3.11 on the host
        the TOML is checked line by line, and values of several lines are not checked. To skip these checks, give a
        command that always succeeds, such as V([/bin/true]).
    type: list
    elements: str
    default: []
  accept_causes:
    description:
      - Identifiers of causes that a person has dealt with.
      - A cause of class C(hard) forbids a new start until it is named here. One of class C(fatal) always forbids it.
    type: list
    elements: str
    default: []
  disk_paths:
    description: Paths that need free space before a start, in addition to the unit's working and state directories.
    type: list
    elements: path
    default: []
  min_free_mb:
    description: How many MiB have to be free at each of these paths.
    type: int
    default: 10
  diagnose:
    description: Whether to return RV(ignore:diagnosis) on success as well.
    type: bool
    default: false
  neighbours:
    description:
      - The other services of the host, as C(lifecycle_services) describes them. If a step would also stop one of them,
        because it requires this service, the guards of its kind are checked too, such as the quorum guard of Besu.
      - The roles of this collection fill this in.
    type: list
    elements: raw
    default: []
  owner:
    description:
      - Who acts, for the lock and the record on the host. By default the user, and where the connection comes from.
      - With C(become) often only the login name is known, because C(sudo) drops the rest. If several people share a
        login, set this. Otherwise they count as one owner.
    type: str
"""
