"""Fetching in tests that are not asynchronous themselves."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from metacurate.images.fetching.fetcher import Fetched, Fetcher
from tests.images.fetching.conftest import LIMITS


def fetch_all(urls: Sequence[str], **limits: Any) -> list[Fetched]:
    """Fetch at once.

    Args:
        urls: of images. limits: other than the tests' own.
    """

    async def run() -> list[Fetched]:
        async with Fetcher(replace(LIMITS, **limits)) as fetcher:
            return await asyncio.gather(*map(fetcher.fetch, urls))

    return asyncio.run(run())


def fetch(url: str, **limits: Any) -> Fetched:
    """Fetch one.

    Args:
        url: of an image. limits: other than the tests' own.
    """
    return fetch_all([url], **limits)[0]
