# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real browser for pages of the collection: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import typing as t
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, sync_playwright

# Where screenshots are left for a person to look at; without it nowhere.
SCREENSHOTS = os.environ.get("CHAINOPS_SCREENSHOTS")


class Opened:
    """A page, with what it tried: requests but for itself, dialogs, errors and what it wrote to the console."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.tried: list[str] = []
        address = path.as_uri()
        page.on("request", lambda request: None if request.url == address else self._note(f"request {request.url}"))
        page.on("dialog", self._dismiss)
        page.on("pageerror", lambda error: self._note(f"error {error}"))
        page.on("console", lambda message: self._note(f"console {message.text}"))
        page.on("popup", lambda popup: self._note(f"window {popup.url}"))
        page.goto(address)

    def _note(self, what: str) -> None:
        self.tried.append(what)

    def _dismiss(self, dialog: Dialog) -> None:
        self._note(f"dialog {dialog.message}")
        dialog.dismiss()

    def shoot(self, name: str) -> None:
        """Leave a screenshot of the whole page, and none where nobody asked for them."""
        if SCREENSHOTS:
            # What is outside the view is not drawn, so that the view becomes as large as the page.
            size = self.page.viewport_size or {"width": 1280, "height": 800}
            height = self.page.evaluate("document.documentElement.scrollHeight")
            self.page.set_viewport_size({"width": size["width"], "height": min(height, 8000)})
            self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")
            self.page.set_viewport_size(size)


Open = t.Callable[..., Opened]


@pytest.fixture(scope="session")
def browser() -> t.Iterator[Browser]:
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> t.Iterator[Open]:
    """A function that opens a page from its text; options are those of a browser context."""
    contexts: list[BrowserContext] = []

    def start(text: str, **options: t.Any) -> Opened:
        path = tmp_path / f"page{len(contexts)}.html"
        path.write_text(text, "utf-8", "backslashreplace")
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        return Opened(context.new_page(), path)

    yield start
    for context in contexts:
        context.close()
