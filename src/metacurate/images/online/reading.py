"""Samples of shards as webdataset has them, and parts of shards in the order of an epoch."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.engine.workspace import OnError
from metacurate.errors import InputError
from metacurate.hashing.pairs import draw_seed, hash_columns
from metacurate.images.shards import (
    SUCCESS,
    Sample,
    Shard,
    list_shards,
    read_columns,
    read_samples,
)
from metacurate.pool.files import Source
from metacurate.pool.tables import many_at_once

log = logging.getLogger(__name__)

Counts = npt.NDArray[np.int64]


class Part(NamedTuple):
    """Samples of a shard that one slot considers.

    Attributes:
        shard: which. first: number of the first of them in the tar.
        stop: of the first behind them; None for all that follow.
    """

    shard: Shard
    first: int
    stop: int | None


def samples_of(source: Source, rank: int = 0, world_size: int = 1) -> Iterator[dict[str, Any]]:
    """Samples of shards, one after another, for a pipeline of webdataset.

    In place of webdataset's own reader, whose `pipe:` runs commands. Shards are dealt out in turn:
    all ranks and the workers of their PyTorch DataLoaders together read each of them once.

    Args:
        source: a folder, a tar, a glob, or a list of these; paths or URIs.
        rank, world_size: of this process among those that train together.

    Yields:
        `__key__`, `__url__` (the tar), the image by its ending, `txt` as a string, and `json` as a
        dict.

    Raises:
        UsageError: when there are none, or a source is a command to be run.
        InputError: when a tar is damaged, or holds a pickle.
    """
    worker, workers = torch_worker()
    for shard in list_shards(source)[rank * workers + worker :: world_size * workers]:
        for sample in read_samples(shard.tar):
            yield web_sample(shard.tar, sample)


def torch_worker() -> tuple[int, int]:
    """This process's number among the workers of a PyTorch DataLoader, and theirs; else 0 of 1."""
    torch = sys.modules.get("torch.utils.data")  # in its workers it is there
    info = None if torch is None else torch.get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)


def web_sample(tar: str, sample: Sample) -> dict[str, Any]:
    """A sample as webdataset has it.

    Args:
        tar: path or URI. sample: of it.
    """
    made: dict[str, Any] = {"__key__": sample.key, "__url__": tar}
    if sample.ending is not None:
        made[sample.ending] = sample.image
    if sample.text is not None:
        made["txt"] = sample.text
    return {**made, "json": dict(sample.fields)}


def count_samples(shards: Sequence[Shard], on_error: OnError = "fail") -> Counts:
    """How many samples shards hold: by their tables, or where there is none by the tars.

    Args:
        shards: which.
        on_error: ``fail`` for a damaged tar without a table; or ``skip`` the rest of it.

    Returns:
        int64[shards].

    Raises:
        InputError: when one can't be read, and that is not to be skipped.
    """
    return np.array(many_at_once(partial(_count, on_error=on_error), shards), np.int64)


def _count(shard: Shard, on_error: OnError) -> int:
    if shard.table is None:
        number = 0
        try:
            for _ in read_samples(shard.tar, images=lambda _: False):
                number += 1
        except InputError:
            if on_error == "fail":
                raise
        return number
    return len(pc.unique(rows_there(shard, ["key"])["key"]))


def rows_there(shard: Shard, columns: Sequence[str]) -> pa.Table:
    """The rows of a table whose image is there.

    Args:
        shard: which. columns: to read; `key` must be there, the others may be missing.

    Raises:
        InputError: when it can't be read.
    """
    table = read_columns(shard, [*columns, "status"])
    if "key" not in table.column_names:
        raise InputError(str(shard.table), "has no column 'key'")
    if "status" in table.column_names:
        table = table.filter(pc.equal(table["status"], SUCCESS)).drop_columns(["status"])
    return table


def shuffled(shards: Sequence[Shard], seed: int, epoch: int) -> list[int]:
    """An order of shards: by the hash of their names, of purpose `shuffle` and index epoch.

    Args:
        shards: which. seed, epoch: uint64.

    Returns:
        Places among them.
    """
    names = pa.array([shard.name for shard in shards], pa.string())
    hashes = hash_columns([names], [draw_seed(seed, "shuffle", epoch)])[0]
    order: list[int] = np.argsort(hashes, kind="stable").tolist()
    return order


def deal(shards: Sequence[Shard], samples: Counts, slots: int) -> list[list[Part]]:
    """Deal samples out so that each slot considers as many as the others, or one more.

    All samples in the order of the shards are cut into ranges: so a slot reads whole shards, but
    for the first and last of its own.

    Args:
        shards: in order. samples: int64[shards], how many they hold. slots: how many there are.

    Returns:
        The parts of each slot. What a tar holds beyond its number goes to who has its end, also of
        one that should be empty.
    """
    starts = np.concatenate([[0], np.cumsum(samples)])
    edges = int(starts[-1]) * np.arange(slots + 1) // slots
    dealt: list[list[Part]] = [[] for _ in range(slots)]
    for shard, begin, end in zip(shards, starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        outer = np.searchsorted(edges, [begin, max(begin, end - 1)], side="right") - 1
        first, last = np.minimum(outer, slots - 1).tolist()
        if begin == end:
            dealt[last].append(Part(shard, 0, None))
            continue
        for slot in range(first, last + 1):
            low, high = max(begin, int(edges[slot])), min(end, int(edges[slot + 1]))
            if low < high:
                dealt[slot].append(Part(shard, low - begin, None if slot == last else high - begin))
    return dealt


def read_part(
    part: Part, images: Callable[[str], bool], on_error: OnError
) -> Iterator[tuple[Shard, Sample]]:
    """The samples of a part that have an image.

    Args:
        part: which. images: whether to read an image, by the sample's key.
        on_error: ``fail`` for a damaged tar; or ``skip`` the rest of it, and log that.

    Raises:
        InputError: when a tar is damaged, and that is not to be skipped.
    """
    place = 0

    def wanted(key: str) -> bool:
        return part.first <= place and images(key)

    try:
        for sample in read_samples(part.shard.tar, images=wanted):
            if part.stop is not None and place >= part.stop:
                return
            if place >= part.first and sample.ending is not None:
                yield part.shard, sample
            place += 1
    except InputError as error:
        if on_error == "fail":
            raise
        log.warning("skipped: %s", error)


def read_images(entries: Iterable[tuple[Shard, str]]) -> dict[tuple[str, str], bytes]:
    """Read some images, each shard once.

    Args:
        entries: shard and key of each.

    Returns:
        Their bytes, by tar and key.

    Raises:
        InputError: when a tar is damaged, or one is not there any more.
    """
    wanted: dict[str, set[str]] = {}
    for shard, key in entries:
        wanted.setdefault(shard.tar, set()).add(key)
    found: dict[tuple[str, str], bytes] = {}
    for tar, keys in wanted.items():
        left = len(keys)
        for sample in read_samples(tar, images=keys.__contains__):
            if sample.image is not None:
                found[tar, sample.key] = sample.image
                left -= 1
            if not left:
                break
        if left:
            raise InputError(tar, "has lost a sample since it was read last")
    return found
