#!/usr/bin/python
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_info
short_description: Observe the state of any number of services in one task
version_added: 1.0.0
author:
  - the chainops.lifecycle authors (@chainops)
description:
  - Asks systemd once for all services, runs their probes in parallel, and returns one observation of each, with the
    reasons for it.
  - A crash loop, which systemd calls activating, is V(error) here. A unit that systemd calls active is V(running) only
    if its process and its probes say so. A service that could not be observed is V(unknown).
requirements:
  - systemd 239 or newer
  - Python 3.9 or newer
extends_documentation_fragment:
  - chainops.lifecycle._attributes
  - chainops.lifecycle._attributes.info_module
  - chainops.lifecycle._attributes.actiongroup_lifecycle
attributes:
  action:
    description: Decides on the controller how much code a host needs.
    support: full
  async:
    description: Supports being used with C(async).
    support: full
  platform:
    platforms: linux
options:
  services:
    description:
      - The services to observe. Each entry is a name, or a dictionary as in the inventory variable
        C(lifecycle_services).
      - An entry has C(name), C(kind), and under the name of the kind the options of that kind. All options of
        M(chainops.lifecycle.service) are accepted as well. Only those about observation (C(scope), C(probes),
        C(start_timeout), C(stop_timeout), C(thrash_restarts), C(thrash_window), C(alert_after)) are used.
    type: list
    elements: raw
    required: true
  diagnose:
    description:
      - Whether to look for causes in the journal as well. V(errors) does so only for services that have failed or are
        unhealthy.
    type: str
    choices: [never, errors, always]
    default: never
  history:
    description:
      - How far back to read the history of each service from the journal, as a number with V(s), V(m) or V(min), V(h),
        V(d) or V(w), such as V(24h).
      - The history is decoded from the records that systemd itself writes, so it includes what happened between
        observations. For a service of kind V(besu) or V(cloudflared) its own log shows the states of that kind.
    type: str
    default: never
  staleness:
    description:
      - Whether to look for files on disk that are newer than the process of each service. It compares the unit and its
        drop-ins, its C(EnvironmentFile), the program and the libraries that it runs with, the files that its command
        line or C(known_good) names, and the links that lead to them.
      - Files in state directories, such as C(/var/lib) and C(/run), are left out unless C(known_good) names them. So
        are files that the process has open for writing.
    type: bool
    default: false
seealso:
  - module: chainops.lifecycle.service
"""

EXAMPLES = r"""
- name: Observe two services
  chainops.lifecycle.service_info:
    services: [besu, cloudflared]

- name: Observe the services of the inventory, and find out why one is in error
  chainops.lifecycle.service_info:
    services: "{{ lifecycle_services }}"
    diagnose: errors
  register: observed

- name: Report what happened to a service during the last day
  chainops.lifecycle.service_info:
    services: [besu]
    history: 24h
  register: past

- name: Check whether a service runs with the files that are on disk
  chainops.lifecycle.service_info:
    services: [besu]
    staleness: true
  register: upgraded

- name: Observe a service with a probe
  chainops.lifecycle.service_info:
    services:
      - name: api
        probes:
          - kind: tcp
            port: 8080
"""

RETURN = r"""
services:
  description: One observation of each service, in the order of O(services).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The name as given.
      type: str
    unit:
      description: The unit by its own name, even if an alias was given.
      type: str
    kind:
      description: The kind of service.
      type: str
    state:
      description: The state.
      type: str
      sample: running
    base_state:
      description: The state in the words that all kinds share.
      type: str
      sample: running
    since:
      description: Since when it has been in this state, in seconds since the epoch.
      type: float
    age:
      description: For how many seconds it has been in this state.
      type: float
    reasons:
      description: The evidence, the most telling first.
      type: list
      elements: str
    cause:
      description: The identifier of what is wrong, if anything is.
      type: str
    flags:
      description: What else is worth knowing, such as V(changed_on_disk) or V(masked).
      type: list
      elements: str
    unit_facts:
      description: What systemd reports about the unit.
      type: dict
    history:
      description: What happened to the service within O(history). Times are in seconds since the epoch.
      returned: when O(history) asks for it
      type: dict
      contains:
        begin:
          description: The beginning of the window.
          type: float
        end:
          description: The end of the window, which is the moment of the observation.
          type: float
        first_state:
          description: The state at the beginning, if it is known.
          type: str
        transitions:
          description:
            - The changes of state, oldest first. Each has C(at), C(from), C(to), C(trigger), C(cause) and C(owner).
            - C(trigger) is V(operator) (a job of systemd's), V(service) (the service itself, or systemd restarting it),
              V(collection) (a run of this collection, whose C(owner) is named), V(host) (a reboot), V(log) (the log of
              the service shows it, while systemd only knows that it runs) or V(unrecorded) (there is no record).
            - The log of a connector shows V(connecting), V(connected), V(running) and V(reconnecting) by the
              connections that it registers and loses. The log of a Besu node shows V(syncing), V(running) and
              V(consensus) by the blocks that it imports and produces. If the log shows no state, it is V(unknown).
          type: list
          elements: dict
        seconds:
          description:
            - Seconds in each state. V(unrecorded) is the time for which there is no record, and V(unknown) the time in
              which the service ran but its log does not show its state.
          type: dict
        changes:
          description: The number of transitions.
          type: int
        errors:
          description: How often the service failed, by cause.
          type: dict
        longest_error:
          description:
            - The longest time in error, in seconds. Automatic restarts do not end it, and a connector without
              connections counts as one that is restarted.
          type: float
        trouble_since:
          description:
            - Since when the service has been unhealthy, if it is now. A crash loop counts from its first failure. A
              restart on purpose does not count.
          type: float
        attempts:
          description:
            - The recovery attempts of this collection, with C(at), C(action), C(owner), C(from), C(cause) and
              C(outcome).
          type: list
          elements: dict
        coverage:
          description:
            - What the records do not cover. C(complete) says whether they cover the window, C(gaps) lists each
              stretch with C(begin), C(end) and C(reason), C(boots) and C(clock_steps) count the boots and the steps of
              the clock, and C(notes) says why records may be missing.
          type: dict
    hold:
      description: The hold in force, with C(owner), C(reason), C(since) and C(expires).
      type: dict
    attempts:
      description: The attempt budget, as M(chainops.lifecycle.service) returns it. Empty if its record cannot be read.
      type: dict
    drills:
      description:
        - The faults that drills injected within the window, the newest last. See M(chainops.lifecycle.service_fault)
          for their keys. Null where their records cannot be read.
      returned: when O(history) asks for it
      type: list
      elements: dict
    stale:
      description: What is newer on disk than the main process of the service.
      returned: when O(staleness) asks for it
      type: dict
      contains:
        is_stale:
          description: Whether anything is newer. Null if there is no process, or if something could not be checked.
          type: bool
        started:
          description: When the process was started, in seconds since the epoch.
          type: float
        age:
          description: For how many seconds it has run.
          type: float
        evidence:
          description:
            - What is newer. Each has C(kind) (V(unit), V(environment_file), V(executable), V(library), V(config),
              V(link) or V(version)), C(path), C(reason), and C(changed), in seconds since the epoch, which is null if
              the file itself was compared and not its time.
          type: list
          elements: dict
        unknown:
          description: What could not be checked.
          type: list
          elements: str
    last_start:
      description:
        - The last start or restart that was made through this collection, with C(at) in seconds since the epoch,
          C(age) in seconds, C(owner) and C(outcome). Null where there is none.
      returned: when O(staleness) asks for it, and for a service that is starting
      type: dict
    alerts:
      description:
        - The alerts that the observation proves, the most severe first. Without O(history) it has no memory. Then a
          crash loop alerts by its restarts alone, and time in error counts from C(since).
        - While a hold is in force, only the hold itself alerts.
        - The rules of Prometheus come from the same table, see the filter P(chainops.lifecycle.alert_rules#filter).
      type: list
      elements: dict
      contains:
        id:
          description: The identifier, such as V(in_error).
          type: str
        severity:
          description: V(critical), V(warning) or V(info).
          type: str
          sample: critical
        summary:
          description: What is wrong, in a sentence.
          type: str
        description:
          description: What that means.
          type: str
        next_step:
          description: What to do.
          type: str
        since:
          description: Since when, in seconds since the epoch, if it is known.
          type: float
        runbook:
          description: Where the runbook says more.
          type: str
    diagnosis:
      description: Why the service has failed or is unhealthy.
      returned: when O(diagnose) asks for it
      type: dict
      contains:
        causes:
          description:
            - What was found, the most specific first. Each has C(id), C(category), C(class) (V(soft), V(hard),
              V(fatal), or for Besu V(chain)), C(summary), C(evidence) and C(next_step).
          type: list
          elements: dict
        lines:
          description: The error lines of the invocation that failed, without secrets.
          type: list
          elements: str
        facts:
          description: What systemd reports about the failure.
          type: dict
        notes:
          description: What could not be observed.
          type: list
          elements: str
"""

from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.ansible_module import LifecycleModule
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.info import run_info
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.info_details import requested_details
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.services import entry_secrets
from ansible_collections.chainops.lifecycle.plugins.module_utils._entry.whole_host import whole_host
from ansible_collections.chainops.lifecycle.plugins.module_utils._kinds import KINDS


def main() -> None:
    module = LifecycleModule(
        argument_spec={
            "services": {"type": "list", "elements": "raw", "required": True},
            "diagnose": {"type": "str", "choices": ["never", "errors", "always"], "default": "never"},
            "history": {"type": "str", "default": "never"},
            "staleness": {"type": "bool", "default": False},
        },
        entry_secrets=entry_secrets(KINDS),
        supports_check_mode=True,
    )
    run_info(module, KINDS, whole_host, requested_details)


if __name__ == "__main__":
    main()
