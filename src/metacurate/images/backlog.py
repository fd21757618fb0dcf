"""How many bytes wait to be worked on: so that memory stays bounded."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Backlog:
    """Counts bytes that are held, and lets nobody begin while they are too many."""

    def __init__(self, most: int) -> None:
        """Begin with none.

        Args:
            most: bytes, above which nobody begins.
        """
        self._most = most
        self._held = 0
        self._room = asyncio.Event()
        self._room.set()

    async def has_room(self) -> None:
        """Wait until few enough are held."""
        await self._room.wait()

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Hold bytes until the block ends.

        Args:
            size: how many.
        """
        self._count(size)
        try:
            yield
        finally:
            self._count(-size)

    def _count(self, size: int) -> None:
        self._held += size
        if self._held > self._most:
            self._room.clear()
        else:
            self._room.set()
