# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a large fleet: how long the controller makes it, how large it is, how soon a browser shows it."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._host_text import neutralise
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._report_data import report_data
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._report_page import render_page
from ansible_collections.chainops.lifecycle.tests.bench.conftest import Figures
from ansible_collections.chainops.lifecycle.tests.browser.conftest import browser
from ansible_collections.chainops.lifecycle.tests.unit.plugins.plugin_utils.report_fleet import DAY, NOW, big_fleet

__all__ = ["browser"]  # the fixture
SERVICES = 1000


@pytest.fixture(scope="module")
def page() -> str:
    seen, described = big_fleet(SERVICES)
    return render_page(report_data(neutralise(seen), described, {}, DAY, NOW))


def test_rendering(figures: Figures) -> None:
    seen, described = big_fleet(SERVICES)
    plain, ours = [], []
    for _round in range(3):
        began = time.perf_counter()
        json.dumps(json.loads(json.dumps(seen)))
        plain.append(time.perf_counter() - began)
        began = time.perf_counter()
        text = render_page(report_data(neutralise(seen), described, {}, DAY, NOW))
        ours.append(time.perf_counter() - began)
    figures.ratio(f"report of {SERVICES} services over 24 h / its input through json", ours, plain, "")
    figures.add(
        f"report of {SERVICES} services over 24 h, on the controller", f"{statistics.median(ours):.2f} s", "<= 5 s"
    )
    size = len(text.encode())
    figures.add(f"page of {SERVICES} services", f"{size / 1e6:.2f} MB", "<= 5 MB")
    assert size > 0


def test_first_paint(figures: Figures, browser: Browser, page: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page)
    paints, filters = [], []
    for _round in range(5):
        tab = browser.new_page()
        tab.goto(path.as_uri())
        tab.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
        paints.append(tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        filters.append(
            tab.evaluate(
                "() => { const find = document.getElementById('find'), began = performance.now(); find.value = 'host12';"
                "find.dispatchEvent(new Event('input', {bubbles: true})); document.body.offsetHeight;"
                "return performance.now() - began }"
            )
        )
        tab.close()
    figures.add(f"page of {SERVICES} services: first paint", f"{statistics.median(paints):.0f} ms", "<= 1000 ms")
    figures.add(f"page of {SERVICES} services: filter, to the new layout", f"{statistics.median(filters):.0f} ms")
    assert all(paint > 0 for paint in paints)
