# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a fleet in a real browser: nothing of its data acts, and a person can work with it."""

from __future__ import annotations

import http.server
import itertools
import threading
import typing as t

import pytest
from playwright.sync_api import Page, expect

from ansible_collections.chainops.lifecycle.plugins.plugin_utils._report_data import report_data
from ansible_collections.chainops.lifecycle.plugins.plugin_utils._report_page import render_page
from ansible_collections.chainops.lifecycle.tests.unit.plugins.plugin_utils.report_fleet import (
    DAY,
    NOW,
    big_fleet,
    hostile_fleet,
    small_fleet,
)

from .conftest import Open

SMALL = 14


@pytest.fixture(scope="module")
def small() -> str:
    return render_page(report_data(*small_fleet(), DAY, NOW + 4))


@pytest.fixture
def canary() -> t.Iterator[tuple[str, list[str]]]:
    """A server on this machine, and what it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args: t.Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def services(page: Page) -> list[str]:
    """The services that are shown, as ``host/service``, in their order."""
    shown = "items => items.filter(i => !i.hidden).map(i => `${i.dataset.h}/${i.dataset.n}`)"
    return [str(one) for one in page.eval_on_selector_all("#list > li", shown)]


def test_nothing_of_the_data_acts(open_page: Open) -> None:
    opened = open_page(render_page(report_data(*hostile_fleet(), DAY, NOW)))
    page = opened.page
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true })")
    for one in page.locator("main a").all():
        one.evaluate("link => link.click()")  # one may lie below a column that stays in view
    page.get_by_role("searchbox").fill("<img src=x onerror=alert(1)>")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("2 of 2 services")
    page.get_by_role("searchbox").fill("<b>")
    expect(page.get_by_role("status")).to_have_text("0 of 2 services")
    assert opened.tried == []
    assert page.evaluate("document.scripts.length") == 1
    assert page.locator("img, iframe, object, embed, link, form[action], main svg script").count() == 0
    assert "alert(1)" in page.inner_text("main")


def test_the_policy_holds_where_escaping_would_not(open_page: Open, small: str, canary: tuple[str, list[str]]) -> None:
    """The page is given markup as if a value had not been escaped: it does not run, and nothing is fetched."""
    url, asked = canary
    evil = (
        f"<script>window.acted = 1; fetch('{url}/script')</script><img src='{url}/img' onerror='window.acted = 1'>"
        f"<svg onload='window.acted = 1'></svg><iframe src='{url}/frame'></iframe><link rel=stylesheet href='{url}/css'>"
        f"<style>body {{ display: none }}</style><base href='{url}/'><div style='background: url({url}/style)'>x</div>"
        f"<a id=evil href='javascript:window.acted=1'>x</a><script src='{url}/src'></script>"
    )
    page = open_page(small.replace("<main>", f"<main>{evil}")).page
    page.click("#evil")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.acted") is None
    assert asked == []
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def test_the_page_asks_for_nothing_and_says_nothing(open_page: Open, small: str) -> None:
    opened = open_page(small)
    opened.page.wait_for_load_state("networkidle")
    assert opened.tried == []


def test_filter(open_page: Open, small: str) -> None:
    page = open_page(small).page
    status, find = page.get_by_role("status"), page.get_by_role("searchbox")
    expect(status).to_have_text(f"{SMALL} of {SMALL} services")
    find.fill("WEB cache")
    assert sorted(services(page)) == ["web1/cache", "web2/cache", "web3/cache"]
    expect(page.locator(".matrix tbody tr:visible")).to_have_count(3)
    find.fill("exit_code")
    assert services(page) == []
    find.fill("license_expired")
    assert services(page) == ["web3/api"]
    find.fill("")
    page.get_by_label("error", exact=False).first.check(force=True)
    assert sorted(services(page)) == ["node2/tunnel", "web2/api", "web3/api"]
    page.get_by_label("had an incident").check(force=True)
    page.get_by_label("Kind").select_option("cloudflared")
    assert services(page) == ["node2/tunnel"]
    find.fill("web")
    expect(page.get_by_text("No service matches the filter.")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(status).to_have_text(f"{SMALL} of {SMALL} services")
    expect(find).to_be_focused()


def test_sort(open_page: Open, small: str) -> None:
    page = open_page(small).page
    worst = services(page)
    assert worst[0].startswith("lost/") and worst[2] == "web3/api"
    by_host = sorted(worst, key=lambda name: name.partition("/")[0])
    for order, first in (("host", by_host[0]), ("errors", "web3/api"), ("availability", "web3/api")):
        page.get_by_label("Sort by").select_option(order)
        assert services(page)[0].partition("/")[0] == first.partition("/")[0], order
    page.get_by_label("Sort by").select_option("service")
    names = [name.partition("/")[2] for name in services(page)]
    assert names == sorted(names)
    page.get_by_label("reversed").check()
    assert [name.partition("/")[2] for name in services(page)] == names[::-1]
    page.get_by_label("reversed").uncheck()
    page.get_by_label("Sort by").select_option("")
    assert services(page) == worst


def luminance(color: str) -> float:
    parts = [int(part) / 255 for part in color[color.index("(") + 1 : -1].split(",")[:3]]
    linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(page: Page, selector: str, behind: str) -> float:
    style = "(one, name) => getComputedStyle(one)[name]"
    front = luminance(page.locator(selector).first.evaluate(style, "color"))
    back = luminance(page.locator(behind).first.evaluate(style, "backgroundColor"))
    return (max(front, back) + 0.05) / (min(front, back) + 0.05)


READABLE = [
    ("h1", "body"),
    (".lead", "body"),
    (".tile .note", ".tile"),
    (".tile.bad .value", ".tile"),
    (".card a", ".card"),
    (".card .tag.alert", ".card .tag.alert"),
    (".card .tag.good", ".card .tag.good"),
    (".card .tag.warn", ".card .tag.warn"),
    (".evidence", ".evidence"),
    (".num.some", ".list"),
    (".who .on", ".list"),
    ("footer", "body"),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colour_schemes(open_page: Open, small: str, scheme: t.Literal["light", "dark"]) -> None:
    """The page follows the system, the switch goes before it, and all text can be read in both."""
    opened = open_page(small, color_scheme=scheme)
    page, other = opened.page, {"light": "Dark", "dark": "Light"}[scheme]
    background = "getComputedStyle(document.body).backgroundColor"
    own = page.evaluate(background)
    assert (luminance(own) > 0.5) == (scheme == "light")
    for selector, behind in READABLE:
        assert contrast(page, selector, behind) >= 4.5, (selector, scheme)
    opened.shoot(f"report-{scheme}")
    page.get_by_label(other).check(force=True)
    assert (luminance(page.evaluate(background)) > 0.5) == (scheme == "dark")
    for selector, behind in READABLE:
        assert contrast(page, selector, behind) >= 4.5, (selector, other)
    page.get_by_label("Auto").check(force=True)
    assert page.evaluate(background) == own


def test_keyboard(open_page: Open, small: str) -> None:
    page = open_page(small).page
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the services")).to_be_focused()
    first = page.locator("#s2 > details")
    page.locator("#s2 summary").focus()
    page.keyboard.press("Enter")
    expect(first).to_have_attribute("open", "")
    expect(first.get_by_role("table")).to_be_visible()
    page.keyboard.press("Space")
    expect(first).not_to_have_attribute("open", "")
    cell = page.locator(".matrix a").first
    cell.focus()
    page.keyboard.press("Enter")
    target = page.locator(f"{cell.get_attribute('href')} > details")
    expect(target).to_have_attribute("open", "")
    expect(target).to_be_in_viewport()


def test_a_link_shows_what_the_filter_hides(open_page: Open, small: str) -> None:
    page = open_page(small).page
    page.get_by_role("searchbox").fill("no such service")
    page.evaluate("location.hash = '#s5'")
    expect(page.locator("#s5")).to_be_visible()


def test_screen_readers_have_names_and_an_outline(open_page: Open, small: str) -> None:
    page = open_page(small).page
    levels = page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert page.locator("svg:not([aria-hidden]):not([aria-label])").count() == 0
    ids = page.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
    assert len(ids) == len(set(ids))
    expect(page.get_by_role("table", name="Present state of each service on each host")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="license_expired").first).to_be_attached()
    lane = page.get_by_role("img", name="running 87.5 %, error 12.5 %; 1 change, 1 error")
    expect(lane).to_be_attached()
    for name in ("Find a host, service or cause", "Sort by", "had an incident", "Dark"):
        expect(page.get_by_label(name)).to_be_attached()
    assert page.evaluate("document.documentElement.lang") == "en"


def test_without_scripts_everything_is_there(open_page: Open, small: str) -> None:
    page = open_page(small, java_script_enabled=False).page
    expect(page.locator("#list > li")).to_have_count(SMALL)
    expect(page.locator(".tools")).to_be_hidden()
    page.locator("#s2 summary").click()
    expect(page.locator("#s2").get_by_role("table")).to_be_visible()


@pytest.mark.parametrize("width", [360, 800, 1280, 2200])
def test_no_width_needs_to_be_scrolled_sideways(open_page: Open, small: str, width: int) -> None:
    opened = open_page(small, viewport={"width": width, "height": 800})
    opened.page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true })")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    opened.shoot(f"report-open-{width}")


def test_print(open_page: Open, small: str) -> None:
    opened = open_page(small, color_scheme="dark", viewport={"width": 760, "height": 1000})
    page = opened.page
    page.emulate_media(media="print")
    assert luminance(page.evaluate("getComputedStyle(document.body).color")) < 0.2
    expect(page.locator(".tools")).to_be_hidden()
    expect(page.locator("#list > li").last).to_be_visible()
    opened.shoot("report-print")
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_a_thousand_services_can_be_filtered_and_sorted(open_page: Open) -> None:
    """Chromium takes half a minute for each filter where the rows are list items: the limit of the test tells."""
    page = open_page(render_page(report_data(*big_fleet(1000), {}, DAY, NOW + 4))).page
    page.get_by_role("searchbox").fill("host12")
    expect(page.get_by_role("status")).to_have_text("50 of 1000 services")
    page.get_by_label("Sort by").select_option("host")
    assert services(page)[0].startswith("host120.")
    display = page.locator("#list > li:visible").first.evaluate("one => getComputedStyle(one).display")
    assert display == "block"
