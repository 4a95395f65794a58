# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of a class means one thing in the whole collection."""

from __future__ import annotations

import ast
import collections

from .common import FILES, ROOT

# What Ansible looks for in each plugin.
OF_ANSIBLE = {"ActionModule", "FilterModule", "ModuleDocFragment"}


def test_no_class_name_stands_twice() -> None:
    files = collections.defaultdict(list)
    for path in FILES:
        if path.parts[0] == "plugins" and path.suffix == ".py":
            for node in ast.walk(ast.parse((ROOT / path).read_text())):
                if isinstance(node, ast.ClassDef) and node.name not in OF_ANSIBLE:
                    files[node.name].append(str(path))
    assert len(files) > 100
    assert {name: where for name, where in files.items() if len(where) > 1} == {}
