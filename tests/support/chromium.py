"""Debian's Chromium, which the tests of the page look through: installed once, where that is possible.

`python -m support.chromium` installs it if it is missing (`make servers`). Elsewhere, or without root, it says what to
install; tests that need it are skipped then, and say so.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

from support.debian import provide

PACKAGES = ("chromium", "fonts-dejavu-core")


def found() -> str | None:
    """The program; None if there is none."""
    return shutil.which("chromium")


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium without a window. Tests often run as root, and it has no sandbox for root."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found(), args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()


class Watched:
    """A tab, and what a look at it must not find: errors on its console, and requests to other hosts."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(f"http://{address}/")

    def _said(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.errors.append(text)

    def shows(self, selector: str, text: str) -> None:
        """Wait until an element that fits the selector has this text in it."""
        self.page.locator(selector, has_text=text).first.wait_for(timeout=60_000)


if __name__ == "__main__":
    sys.exit(provide(PACKAGES, lambda: found() is None, "the page's tests are skipped"))
