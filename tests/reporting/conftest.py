"""A browser for all tests of pages."""

from collections.abc import Iterator

import pytest

from ..browser import Browser, open_browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for the whole run."""
    with open_browser() as opened:
        yield opened
