"""How much waits to be worked on: so that memory stays bounded, and a kill costs little."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Backlog:
    """Counts what is held, and lets nobody begin while it is too much."""

    def __init__(self, most_bytes: int, most_items: int) -> None:
        """Begin with nothing.

        Args:
            most_bytes, most_items: above which nobody begins.
        """
        self._most = most_bytes, most_items
        self._bytes = self._items = 0
        self._room = asyncio.Event()
        self._room.set()

    async def has_room(self) -> None:
        """Wait until little enough is held."""
        await self._room.wait()

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Hold an item until the block ends.

        Args:
            size: in bytes.
        """
        self._count(size, 1)
        try:
            yield
        finally:
            self._count(-size, -1)

    def _count(self, size: int, items: int) -> None:
        self._bytes += size
        self._items += items
        if self._bytes > self._most[0] or self._items > self._most[1]:
            self._room.clear()
        else:
            self._room.set()
