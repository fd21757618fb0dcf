"""Shards as an epoch reads them: over ranks and workers, each image considered once."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from metacurate.curation.balance import Balance
from metacurate.engine.workspace import OnError
from metacurate.errors import InputError, UsageError
from metacurate.hashing.pairs import check_seed
from metacurate.images.online.balancing import OUT, Draw, WebSample
from metacurate.images.online.reading import (
    Counts,
    Part,
    count_samples,
    deal,
    read_part,
    rows_there,
    shuffled,
    torch_worker,
    web_sample,
)
from metacurate.images.online.stream import Kept, Stream
from metacurate.images.shards import Shard, list_shards
from metacurate.matching.matcher import Matcher
from metacurate.pool.files import Source
from metacurate.pool.tables import TEXT_NAMES, many_at_once

Even: TypeAlias = Literal["pad", "stop"]

BUFFER = 1000


@dataclass(frozen=True)
class BalancedShards:
    """Shards, balanced anew in each epoch, as ranks and workers read them.

    All samples, in an order of shards that is the epoch's own, are cut into as many ranges as there
    are slots (a slot is a worker of a rank), so that each image is considered exactly once.

    Attributes:
        source: the shards: a folder, a tar, a glob, or a list of these.
        matcher, balance: what decides which pairs are kept; see `online_balance`. Without both
            every pair is, and an epoch draws one caption of each image.
        seed: of draws and shuffles, uint64.
        epoch: from 0 on.
        rank, world_size: of this process among those that train together.
        buffer: samples that are shuffled together, of each worker.
        even: what to do about slots that keep fewer images than others, as random draws have it:
            ``pad`` has them begin again until all have yielded as many as the longest; ``stop``
            ends all with the shortest; None yields each image once, so ranks differ in length.
        on_error: ``fail`` when a tar is damaged, or ``skip`` the rest of it, and log that.
        shards: found by `source`, sorted.
        samples: int64[shards], how many each holds.
    """

    source: Source
    matcher: Matcher | None = None
    balance: Balance | None = None
    seed: int = 0
    epoch: int = 0
    rank: int = 0
    world_size: int = 1
    buffer: int = BUFFER
    even: Even | None = None
    on_error: OnError = "fail"
    shards: tuple[Shard, ...] = field(default=(), repr=False)
    samples: Counts | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find the shards, and refuse what can't be.

        Raises:
            UsageError: for a number out of range, or where there are no shards.
            InputError: when a shard can't be read.
        """
        check_seed(self.seed)
        check_seed(self.epoch, "epoch")
        if (self.matcher is None) != (self.balance is None):
            raise UsageError("a matcher and a balance go together: each needs the other")
        if not 0 <= self.rank < self.world_size:
            raise UsageError(f"rank {self.rank} is none of {self.world_size}")
        if self.buffer < 1:
            raise UsageError(f"a buffer of {self.buffer} samples is too small: 1 is the least")
        if self.even not in (None, "pad", "stop"):
            raise UsageError(f"even {self.even!r} is neither 'pad' nor 'stop'")
        if not self.shards:
            object.__setattr__(self, "shards", tuple(list_shards(self.source)))
        if self.samples is None:
            object.__setattr__(self, "samples", count_samples(self.shards, self.on_error))

    @property
    def draw(self) -> Draw:
        """What decides in this epoch."""
        return Draw(self.matcher, self.balance, self.seed, self.epoch)

    @cached_property
    def identity(self) -> str:
        """Names the shards and how many samples each has, in hex; copies have the same."""
        assert self.samples is not None
        counted = zip(self.shards, self.samples.tolist(), strict=True)
        text = "\n".join(f"{shard.name} {number}" for shard, number in counted)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def deal(self, workers: int) -> list[list[Part]]:
        """The parts of all slots, rank by rank.

        Args:
            workers: of each rank.
        """
        assert self.samples is not None
        order = shuffled(self.shards, self.seed, self.epoch)
        shards = [self.shards[place] for place in order]
        return deal(shards, self.samples[order], self.world_size * workers)

    def length(self, workers: int) -> int | None:
        """How many samples each slot yields; None where each yields those that it keeps.

        All captions are matched, and no image is read. Each rank computes the same number.

        Args:
            workers: of each rank.

        Raises:
            InputError: when a shard can't be read.
        """
        if self.even is None:
            return None
        kept = self.lengths(workers)
        return max(kept) if self.even == "pad" else min(kept)

    def lengths(self, workers: int) -> list[int]:
        """How many images each slot keeps in this epoch, rank by rank.

        Args:
            workers: of each rank.

        Raises:
            InputError: when a shard can't be read.
        """
        dealt = self.deal(workers)
        parts = [part for some in dealt for part in some]
        found = iter(many_at_once(self._kept, parts))
        return [sum(next(found) for _ in some) for some in dealt]

    def _kept(self, part: Part) -> int:
        """How many images of a part are kept; by the table, where it tells as much as the tar."""
        if part.shard.table is None or part.first or part.stop is not None:
            entries = list(read_part(part, lambda _: False, self.on_error))
            urls = [sample.url(shard.file_name) for shard, sample in entries]
            texts = [sample.texts for _, sample in entries]
            return int((self.draw.choose(urls, texts) != OUT).sum())
        keys, names, captions = _pairs(part.shard)
        kept = self.draw.kept(names, captions)
        return len(pc.unique(keys.filter(pa.array(kept))))

    def stream(self, worker: int, workers: int, length: int | None, skip: int = 0) -> Stream:
        """What one worker of this rank yields.

        Args:
            worker: from 0 on. workers: of this rank.
            length: from `length`. skip: samples that were consumed before.
        """
        slot = self.rank * workers + worker
        return Stream(
            self.deal(workers)[slot],
            self.draw,
            slot=slot,
            buffer=self.buffer,
            length=length,
            skip=skip,
            on_error=self.on_error,
        )

    def __iter__(self) -> Iterator[WebSample]:
        """The samples of this rank, or of this worker of its DataLoader; see `to_sample`."""
        worker, workers = torch_worker()
        for kept in self.stream(worker, workers, self.length(workers)):
            yield to_sample(kept, self.epoch)


def to_sample(kept: Kept, epoch: int) -> WebSample:
    """A kept sample as webdataset has it.

    Args:
        kept: of a stream. epoch: in which it was drawn.

    Returns:
        `__key__`, `__url__`, the image by its ending as bytes, `txt` with the chosen caption,
        `json` as a dict, `__pair__`, the caption's place among the image's pairs, and `__epoch__`.
    """
    sample = web_sample(kept.shard.tar, kept.sample)
    return {**sample, "txt": kept.text, "__pair__": kept.place, "__epoch__": epoch}


def _pairs(shard: Shard) -> tuple[pa.ChunkedArray, pa.ChunkedArray, pa.ChunkedArray]:
    """Keys, urls and captions of the pairs of a shard's images, as its table tells them.

    Raises:
        InputError: when the table has no keys, or no captions.
    """
    table = rows_there(shard, ["key", "url", *TEXT_NAMES])
    column = next((name for name in TEXT_NAMES if name in table.column_names), None)
    if column is None:
        raise InputError(str(shard.table), f"has no column of captions: {' or '.join(TEXT_NAMES)}")
    keys = table["key"].cast(pa.large_string())
    urls = pc.binary_join_element_wise(_large(shard.file_name), keys, _large("/"))
    if "url" in table.column_names:
        urls = pc.coalesce(table["url"].cast(pa.large_string()), urls)
    return keys, urls, table[column].cast(pa.large_string())


def _large(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())
