"""A browser for all tests of pages."""

from collections.abc import Iterator

import pytest

from ..browser import Browser, open_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a module: while it is open, the thread has an event loop of its own."""
    with open_browser() as opened:
        yield opened
