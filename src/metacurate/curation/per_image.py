"""One caption per image: which of an image's matched captions is chosen, over all shards."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metacurate.curation.balance import list_arrays
from metacurate.curation.sample import hash_pairs
from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.storage import read_arrow, write_atomically
from metacurate.engine.workspace import Workspace
from metacurate.matching.automaton import FORMAT
from metacurate.matching.matcher import Matcher
from metacurate.pool.reader import Positions, Reader, id_texts, valid_texts
from metacurate.pool.tables import Pool

PARTITION_ROWS = 4_000_000  # so many captions are sorted at once
WRITE_BYTES = 1 << 24
KEY_SEEDS = (0, 1)  # of the two halves of an image's 128-bit key

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Choice:
    """The captions of a pool that are left out, because their image has another one.

    Attributes:
        pool: whose captions. others: bool[rows of the pool], True for those that are left out.
        key: names what the choice depends on, in hex.
    """

    pool: Pool
    others: npt.NDArray[np.bool_]
    key: str

    def holds(self, source: str, positions: Positions) -> npt.NDArray[np.bool_]:
        """Which rows are left out.

        Args:
            source: path of their file. positions: int64[rows], in the file.

        Returns:
            bool[rows].
        """
        return self.others[positions + self.pool.first_rows[source]]


@dataclass(frozen=True)
class CaptionStage(Stage):
    """One pass over ids and texts: which captions match, and what each of them draws.

    Attributes:
        pool: what to read. matcher: what to look for. seed: of the draws, uint64.
    """

    pool: Pool
    matcher: Matcher
    seed: int
    name = "captions"

    def configuration(self) -> dict[str, Any]:
        """All that decides what a caption draws, and whether it takes part."""
        return {
            "id_column": self.pool.id_column,
            "text_column": self.pool.text_column,
            "where": self.pool.where and self.pool.where.text,
            "metadata": self.matcher.metadata.digest,
            "mode": self.matcher.mode,
            "seed": self.seed,
            "format": FORMAT,
        }

    @cached_property
    def choice_key(self) -> str:
        """Names the choice: it depends on all files, not on one unit."""
        text = json.dumps([self.configuration(), self.pool.identity], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def units(self) -> Sequence[Unit]:
        """The pool's."""
        return self.pool.units

    def task(self, outputs: Path, watch: Watch) -> "CaptionTask":  # noqa: ARG002
        """Begin to draw; nothing is written into `outputs`."""
        return CaptionTask(self, watch)


class CaptionTask(Task):
    """Draws for the captions of several units."""

    def __init__(self, stage: CaptionStage, watch: Watch) -> None:
        """Start with no captions."""
        self._stage = stage
        pool = stage.pool
        self._reader = Reader(pool, [pool.id_column, pool.text_column], watch)
        self._units: list[str] = []
        self._captions: list[pa.Table] = []

    def process(self, unit: Unit) -> UnitRecord:
        """Draw for a unit's matched captions.

        Raises:
            InputError: when the file is broken.
            StoppedError: when the run is to end.
        """
        began = time.monotonic()
        stage, captions = self._stage, []
        for rows in self._reader.batches(unit):
            ids, _ = valid_texts(id_texts(rows.batch.column(stage.pool.id_column)))
            texts, _ = valid_texts(rows.batch.column(stage.pool.text_column))
            matched = np.diff(list_arrays(stage.matcher.match(texts))[0]) > 0
            for array in (ids, texts):
                matched &= array.is_valid().to_numpy(zero_copy_only=False)
            mask = pa.array(matched)
            ids, texts = ids.filter(mask), texts.filter(mask)
            empty = pa.array([""]).take(pa.array(np.zeros(len(ids), np.int32)))
            high, low = (hash_pairs(ids, empty, seed) for seed in KEY_SEEDS)
            captions.append(
                pa.table(
                    {
                        "high": high,
                        "low": low,
                        "draw": hash_pairs(ids, texts, stage.seed, "caption"),
                        "unit": np.full(len(ids), len(self._units), np.uint32),
                        "row": (rows.positions[matched] - unit.first_row).astype(np.uint32),
                    }
                )
            )
        self._captions += captions
        self._units.append(unit.name)
        return UnitRecord.of(unit, began, rows_read=unit.rows, invalid=0)

    def partial(self) -> pa.Table:
        """All drawn captions by key, and the names of their units in the table's metadata."""
        if not self._captions:
            return pa.table({})
        table = pa.concat_tables(self._captions).combine_chunks()
        order = np.argsort(table["high"].to_numpy())
        return table.take(pa.array(order)).replace_schema_metadata(
            {"units": json.dumps(self._units)}
        )


def choose_captions(space: Workspace, stage: CaptionStage) -> Choice:
    """Choose one of each image's matched captions (Meta CLIP 2's order: caption, then pair).

    The caption with the smallest draw of purpose `caption` wins, wherever its row is; of rows
    that are equal in url and text the first in the order of files. An image is a url, compared
    by two XXH64 of it.

    Args:
        space: where what was drawn is kept. stage: what draws.

    Returns:
        The captions that are left out.
    """
    outcome = space.run(stage)
    key = outcome.identity(stage.choice_key)  # what could not be read had no say
    path = space.work / f"others-{key[:16]}.npy"
    if not _is_whole(path, stage.pool.rows):
        for stale in space.work.glob("others-*.npy"):
            stale.unlink()
        write_atomically(path, lambda temporary: _choose(outcome.partials, stage.pool, temporary))
    return Choice(stage.pool, np.load(path, mmap_mode="r"), key)


def _is_whole(path: Path, rows: int) -> bool:
    """Whether the file is there, and not what a machine left that lost its power."""
    try:
        return len(np.load(path, mmap_mode="r")) == rows
    except (OSError, ValueError, EOFError):
        return False


def _choose(partials: Sequence[Path], pool: Pool, path: Path) -> None:
    """Write bool[rows of the pool]: partition by partition, so that memory is bounded."""
    others = _map_zeros(path, pool.rows)
    starts = {unit.name: pool.first_rows[unit.source] + unit.first_row for unit in pool.units}
    tables = [table for table in map(read_arrow, partials) if len(table)]
    offsets = [
        np.array([starts[name] for name in json.loads(table.schema.metadata[b"units"])])
        for table in tables
    ]
    keys = [table["high"].to_numpy() for table in tables]
    n_partitions = -(-sum(map(len, tables)) // PARTITION_ROWS)
    edges = [2**64 * part // max(1, n_partitions) for part in range(n_partitions + 1)]
    for low, high in pairwise(edges):
        pieces = []
        for table, offset, key in zip(tables, offsets, keys, strict=True):
            start = np.searchsorted(key, np.uint64(low))
            stop = len(key) if high == 2**64 else np.searchsorted(key, np.uint64(high))
            piece = table.slice(start, stop - start)
            rows = offset[piece["unit"].to_numpy()] + piece["row"].to_numpy()
            pieces.append([*(piece[name].to_numpy() for name in ("high", "low", "draw")), rows])
        columns = [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
        others[losers(*columns)] = True
    others.flush()


def _map_zeros(path: Path, size: int) -> Any:
    """Map bool[size] in a .npy file, all of it written: a full disk would kill a sparse one."""
    header = {"descr": "|b1", "fortran_order": False, "shape": (size,)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, size, WRITE_BYTES):
            file.write(bytes(min(WRITE_BYTES, size - start)))
    return np.load(path, mmap_mode="r+")


def losers(high: Hashes, low: Hashes, draws: Hashes, rows: Positions) -> Positions:
    """Rows that do not win their image.

    Args:
        high, low: uint64[captions], halves of each image's key.
        draws: uint64[captions], the smallest wins.
        rows: int64[captions], where in the pool; decides between equal draws.

    Returns:
        int64, some of `rows`.
    """
    order = np.lexsort((rows, draws, low, high))
    high, low = high[order], low[order]
    same = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
    lost: Positions = rows[order[1:][same]]
    return lost
