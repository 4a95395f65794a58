# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on the oldest ansible-core is every unit test that reaches it, however indirectly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import tests_with_ansible
from tools.tests_with_ansible import COLLECTION, needs_ansible

from .common import ROOT


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("import json\nfrom ansible_collections.chainops import x\n", False),
        ("import ansible.errors\n", True),
        ("def test():\n    from ansible.template import Templar\n", True),
        (f"from {COLLECTION}plugins.module_utils import deep\n", True),
        (f"from {COLLECTION}plugins.module_utils.deep import name\n", True),
        (f"from {COLLECTION}plugins.module_utils.plain import name\n", False),
        ("from .neighbour import name\n", True),
        ("from . import neighbour\n", True),
    ],
)
def test_imports_are_followed(text: str, needed: bool, tmp_path: Path) -> None:
    tests, utils = tmp_path / "tests/unit", tmp_path / "plugins/module_utils"
    tests.mkdir(parents=True)
    utils.mkdir(parents=True)
    (utils / "deep.py").write_text(f"from {COLLECTION}plugins.module_utils.deeper import name\n")
    (utils / "deeper.py").write_text("from ansible.module_utils.basic import AnsibleModule\n")
    (utils / "plain.py").write_text(f"from {COLLECTION}plugins.module_utils import plain\nimport re\n")
    (tests / "neighbour.py").write_text("import ansible\n")
    (tests / "test_it.py").write_text(text)
    assert needs_ansible(tests / "test_it.py", tmp_path) is needed


def test_plugins_of_the_controller_are_all_among_them() -> None:
    printed = set(tests_with_ansible.found())
    actions = {str(path.relative_to(ROOT)) for path in (ROOT / "tests/unit/plugins/action").glob("test_*.py")}
    assert actions and actions <= printed
    assert "tests/unit/plugins/module_utils/besu/test_quorum_arithmetic.py" not in printed
