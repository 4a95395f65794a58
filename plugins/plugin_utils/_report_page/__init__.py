# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a fleet as one HTML file that needs nothing else.

Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

Three things keep the text of a host from acting in the page, each without the
others: Jinja2 escapes every value, the policy in the page allows the script
and the style of this collection alone (by their hashes) and nothing to be
fetched, and the script never makes markup of text.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import typing as t
from pathlib import Path

import jinja2
from markupsafe import Markup

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._report_page.view import page_view

_HERE = Path(__file__).parent


def render_page(data: t.Mapping[str, t.Any]) -> str:
    """The page of what ``report_data`` made."""
    return _template().render(page_view(data), **_own_code())


@functools.lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


@functools.lru_cache(maxsize=1)
def _own_code() -> dict[str, t.Any]:
    """The style and the script of the page, and the policy that allows these and nothing else."""
    style, script = (_HERE / "page.css").read_text("utf-8"), (_HERE / "page.js").read_text("utf-8")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return {"style": Markup(style), "script": Markup(script), "policy": policy}


def _hash(code: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}"
