"""A real browser without a window: Debian's Chromium, driven by playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@dataclass
class Heard:
    """What a page did that a user does not see.

    Attributes:
        errors: of its console, exceptions of its scripts, and breaches of its policy.
        requests: addresses that it asked for, its own first.
        dialogs: that it opened, as `alert` does: a script from data ran.
    """

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


class Browser:
    """Opens pages; each in a context of its own."""

    def __init__(self, browser: Any) -> None:
        """Take a browser that playwright has started."""
        self._browser = browser

    @contextmanager
    def page(
        self, size: dict[str, int] = DESKTOP, *, offline: bool = False, **context: Any
    ) -> Iterator[tuple[Any, Heard]]:
        """A new page.

        Args:
            size: of the window, in CSS pixels.
            offline: without a network; files of this machine can still be opened.
            **context: more for playwright's `new_context`.

        Yields:
            The page, and what is heard of it.
        """
        opened = self._browser.new_context(viewport=size, offline=offline, **context)
        try:
            page, heard = opened.new_page(), Heard()
            page.set_default_timeout(10_000)
            page.on("console", lambda m: heard.errors.append(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda error: heard.errors.append(str(error)))
            page.on("request", lambda request: heard.requests.append(request.url))

            def refuse(dialog: Any) -> None:
                heard.dialogs.append(dialog.message)
                dialog.dismiss()

            page.on("dialog", refuse)
            yield page, heard
        finally:
            opened.close()


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start the browser, and end it with the block; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("there is no browser on this machine: apt install chromium")
    arguments = ["--no-sandbox", "--disable-dev-shm-usage"]  # tests may run as root, in containers
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=arguments)
        try:
            yield Browser(browser)
        finally:
            browser.close()
