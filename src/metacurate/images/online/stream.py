"""The samples that one slot yields in an epoch: drawn in blocks, shuffled in a buffer."""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from metacurate.engine.workspace import OnError
from metacurate.errors import MetacurateError
from metacurate.hashing.pairs import draw_seed, xxh64
from metacurate.images.online.balancing import BLOCK, OUT, Draw, Share
from metacurate.images.online.reading import Part, read_images, read_part
from metacurate.images.shards import Sample, Shard


@dataclass(slots=True)
class Kept:
    """A sample that is kept.

    Attributes:
        shard: its. sample: its image may not have been read yet.
        place: of the chosen caption among its pairs. text: that caption.
    """

    shard: Shard
    sample: Sample
    place: int
    text: str


class Stream:
    """The samples of a slot in an epoch, from any place on.

    What comes depends on the draw, the parts, the size of the buffer and the slot's number alone.

    Attributes:
        share: of what was considered, and kept; what comes again is not counted again.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        draw: Draw,
        *,
        slot: int,
        buffer: int,
        length: int | None = None,
        skip: int = 0,
        on_error: OnError = "fail",
    ) -> None:
        """Prepare.

        Args:
            parts: what the slot considers. draw: what decides. slot: its number.
            buffer: samples that are shuffled together; 1 leaves them in their order.
            length: samples that it yields: it begins again where it has fewer, and ends where it
                has more; None for those that it has.
            skip: samples that were consumed before, whose images are not read again.
            on_error: see `read_part`.
        """
        self._parts = parts
        self._draw = draw
        self._slot = slot
        self._buffer = buffer
        self._length = length
        self._skip = skip
        self._on_error = on_error
        self._passed = 0
        self._awake = skip == 0
        self._again = False
        self.share = Share()

    def __iter__(self) -> Iterator[Kept]:
        """Yield samples, from the first on that was not consumed.

        Raises:
            InputError: when a tar is damaged.
            MetacurateError: when the slot has none, but is to yield some.
        """
        yielded = 0
        while self._length is None or yielded < self._length:
            before = yielded
            for kept in self._once():
                yielded += 1
                if yielded > self._skip:
                    yield kept
                if yielded == self._length:
                    return
            if self._length is None:
                return
            self._again = True
            if yielded == before:
                raise MetacurateError(
                    f"slot {self._slot} of this epoch keeps no image, and can't be padded: use "
                    "fewer ranks or workers, or a larger threshold"
                )

    def _once(self) -> Iterator[Kept]:
        """All samples, shuffled; images are read from the first that was not consumed on."""
        number = random.Random(  # noqa: S311 - no secret
            xxh64(
                self._slot.to_bytes(8, "little"),
                draw_seed(self._draw.seed, "shuffle", self._draw.epoch),
            )
        ).random
        waiting: list[Kept] = []
        block: deque[Kept] = deque()
        for block in self._blocks():
            while block:
                waiting.append(block.popleft())
                if len(waiting) >= self._buffer:
                    yield from self._out(waiting, number(), block)
        while waiting:
            yield from self._out(waiting, number(), block)

    def _out(self, waiting: list[Kept], number: float, block: "deque[Kept]") -> Iterator[Kept]:
        """Take a sample out; once none is passed over any more, read what was not."""
        place = int(number * len(waiting))
        waiting[place], waiting[-1] = waiting[-1], waiting[place]
        kept = waiting.pop()
        if self._awake:
            yield kept
            return
        if self._skip_one():
            self._load([*waiting, *block])
        yield kept

    def _skip_one(self) -> bool:
        """Count a sample that is passed over; whether it was the last."""
        self._passed += 1
        self._awake = self._passed == self._skip
        return self._awake

    def _blocks(self) -> "Iterator[deque[Kept]]":
        """The kept samples of one block after another."""
        block: list[tuple[Shard, Sample]] = []
        for part in self._parts:
            for entry in read_part(part, lambda _: self._awake, self._on_error):
                block.append(entry)
                if len(block) == BLOCK:
                    yield self._drawn(block)
                    block = []
        if block:
            yield self._drawn(block)

    def _drawn(self, block: Sequence[tuple[Shard, Sample]]) -> "deque[Kept]":
        """Those of a block that the epoch keeps."""
        urls = [sample.url(shard.file_name) for shard, sample in block]
        texts = [sample.texts for _, sample in block]
        chosen = self._draw.choose(urls, texts, None if self._again else self.share).tolist()
        kept = deque(
            Kept(shard, sample, place, some[place])
            for (shard, sample), some, place in zip(block, texts, chosen, strict=True)
            if place != OUT
        )
        if self._awake:
            self._load(kept)
        return kept

    def _load(self, entries: "Sequence[Kept] | deque[Kept]") -> None:
        """Read the images that were not read yet."""
        missing = [kept for kept in entries if kept.sample.image is None]
        if missing:
            found = read_images((kept.shard, kept.sample.key) for kept in missing)
            for kept in missing:
                image = found[kept.shard.tar, kept.sample.key]
                kept.sample = replace(kept.sample, image=image)
