# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what Prometheus reads: the alert rules with their default thresholds, for a Prometheus without Ansible.

generate_monitoring            rewrite it
generate_monitoring --check    say what differs, and fail
"""

from __future__ import annotations

import sys
from pathlib import Path

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._alert_rules import rules_text

FILES = Path(__file__).parent.parent / "roles" / "prometheus_alerts" / "files"
_HEADER = """\
---
# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Made by 'make guides' from plugins/module_utils/_monitoring/alerts.py and plugins/plugin_utils/_alert_rules.py.
# yamllint disable rule:line-length
"""


def contents() -> dict[Path, str]:
    """Each file that is generated, and what it should hold."""
    return {FILES / "chainops-lifecycle.rules.yml": _HEADER + rules_text()}


def main() -> int:
    stale = [path for path, text in contents().items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.name} is not as the code has it; run 'make guides'")
        return int(bool(stale))
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(contents()[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
