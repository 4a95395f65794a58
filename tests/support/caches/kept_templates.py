# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the bytecode of templates from one run of Ansible to the next.

Ansible compiles a template in the worker that needs it, for each task and host anew, which is a sixth of the CPU time of
a play without hosts. The bytecode depends on the text, the delimiters and the versions alone: what filters do is found
out as it runs.
"""

from __future__ import annotations

import json

import jinja2
import kept_bytecode  # type: ignore[import-not-found]  # in this folder, which is on the path then
from ansible import release
from ansible._internal._templating import _jinja_bits as bits
from ansible._internal._templating._jinja_common import _TemplateConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types
    import typing as t

_NAME = "<template>"  # as jinja2 calls the file of a template without one


def install(folder: str) -> None:
    """Keep what is compiled from text alone, not what templates include or import from files."""
    environment: t.Any = bits.AnsibleEnvironment
    compile_template, compile_expression = environment.compile, environment.compile_expression
    compile_or_load = kept_bytecode.keep(lambda _path, _key, compile_it: compile_it(), folder)

    def compile_kept(self: t.Any, source: t.Any, *rest: t.Any, **options: t.Any) -> t.Any:
        if rest or options or not isinstance(source, str):
            return compile_template(self, source, *rest, **options)
        return compile_or_load(_NAME, _key(self, "template", source), lambda: compile_template(self, source))

    def compile_expression_kept(
        self: t.Any, source: str, undefined_to_none: bool = True
    ) -> jinja2.environment.TemplateExpression:
        def compile_it() -> types.CodeType:
            made: list[types.CodeType] = []
            self.compile = lambda nodes: made.append(compile_template(self, nodes)) or made[0]  # type: ignore[func-returns-value]
            try:
                compile_expression(self, source, undefined_to_none)
            finally:
                del self.compile
            return made[0]

        code = compile_or_load(_NAME, _key(self, "expression", source), compile_it)
        template = self.template_class.from_code(self, code, self.make_globals(None), None)
        return jinja2.environment.TemplateExpression(template, undefined_to_none)

    environment.compile = compile_kept
    environment.compile_expression = compile_expression_kept


def _key(environment: bits.AnsibleEnvironment, kind: str, source: str) -> bytes:
    """All that the bytecode depends on."""
    context = bits._TemplateCompileContext.current(optional=True)
    settings = [
        [release.__version__, jinja2.__version__, kind, context is not None and context.escape_backslashes],
        [getattr(environment, name) for name in bits._TEMPLATE_OVERRIDE_FIELD_NAMES],
        [_TemplateConfig.allow_embedded_templates, *sorted(environment.extensions)],
    ]
    return json.dumps([*settings, source]).encode()
