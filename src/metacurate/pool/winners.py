"""Which one of the rows that share a key stays: decided over all files, in bounded memory.

Rows do not move: tasks leave keys sorted, winners are found in one range of keys after another,
and what comes back is a byte for each row of the pool.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.engine.stage import Task, Unit
from metacurate.engine.storage import read_arrow, write_atomically
from metacurate.hashing.pairs import Hashes, hash_columns
from metacurate.matching.matcher import without_nulls
from metacurate.pool.reader import Positions
from metacurate.pool.tables import Pool

KEY_FORMAT = 1  # raise with each change of what tasks leave
KEY_SEEDS = (0, 1)  # of the two halves of a key
PARTITION_ROWS = 4_000_000  # so many keys are sorted at once
RECORD_BYTES = 8 << 20  # of keys, after which a task is recorded: small, so that it is mapped
WRITE_BYTES = 1 << 24

FREE, LOST, HELD = range(3)  # fates: nothing speaks against the row, or another row, or pool

Bytes: TypeAlias = npt.NDArray[np.uint8]


class Keyed(NamedTuple):
    """Some rows that take part, with what decides about them.

    Attributes:
        positions: int64[rows], in their file.
        keys: uint64[2, rows], the halves of the rows' keys.
        ranks: uint64[rows] each: of the rows of a key, the one with the smallest wins, and the
            next decides between equal ones.
    """

    positions: Positions
    keys: Hashes
    ranks: tuple[Hashes, ...] = ()


@dataclass(frozen=True, eq=False)
class Fates:
    """What was decided about the rows of a pool.

    Attributes:
        pool: whose rows. values: uint8[rows of the pool].
        key: names what the decision depends on, in hex.
    """

    pool: Pool
    values: Bytes
    key: str

    def of(self, source: str, positions: Positions) -> Bytes:
        """The fates of some rows.

        Args:
            source: path of their file. positions: int64[rows], in the file.

        Returns:
            uint8[rows].
        """
        fates: Bytes = self.values[positions + self.pool.first_rows[source]]
        return fates

    def holds(self, source: str, positions: Positions) -> npt.NDArray[np.bool_]:
        """Which rows are left out; see `metacurate.pool.reader.Left`."""
        left: npt.NDArray[np.bool_] = self.of(source, positions) != FREE
        return left


def hash_keys(columns: Sequence[pa.Array]) -> Hashes:
    """128-bit keys of rows: two XXH64 of one column, or of two with a zero byte between them.

    Where there are two, the first one's length tells where it ends: it may hold zero bytes.

    Args:
        columns: string or large_string, equally long; one or two.

    Returns:
        uint64[2, rows].
    """
    keys = hash_columns(columns, KEY_SEEDS)
    if len(columns) == 2:
        keys[1] ^= pc.binary_length(without_nulls(columns[0])).to_numpy().astype(np.uint64)
    return keys


class KeyTask(Task):
    """Collects the keys of several units; implementations say which rows take part."""

    def __init__(self) -> None:
        """Start with none."""
        self.clear()

    def clear(self) -> None:
        """Begin again with no keys."""
        self._units: list[str] = []
        self._tables: list[pa.Table] = []

    @property
    def full(self) -> bool:
        """Whether so many keys were collected that they should be recorded."""
        size: int = sum(table.nbytes for table in self._tables)
        return size >= RECORD_BYTES

    def collect(self, unit: Unit, parts: Sequence[Keyed]) -> None:
        """Take in a whole unit.

        Args:
            unit: which. parts: its rows that take part.
        """
        for positions, keys, ranks in parts:
            columns = {
                "high": keys[0],
                "low": keys[1],
                **{f"rank{i}": rank for i, rank in enumerate(ranks)},
                "unit": np.full(len(positions), len(self._units), np.uint32),
                "row": (positions - unit.first_row).astype(np.uint32),
            }
            self._tables.append(pa.table(columns))
        self._units.append(unit.name)

    def partial(self) -> pa.Table:
        """All collected keys, sorted, and the names of their units in the table's metadata."""
        if not self._tables:
            return pa.table({})
        table = pa.concat_tables(self._tables).combine_chunks()
        order = np.argsort(table["high"].to_numpy())
        return table.take(pa.array(order)).replace_schema_metadata(
            {"units": json.dumps(self._units)}
        )


def decide(
    folder: Path, key: str, pool: Pool, keys: Sequence[Path], elsewhere: Sequence[Path] = ()
) -> Fates:
    """Decide which row of each key stays, or take what was decided before.

    The one with the smallest rank wins, wherever it is; of rows that are equal in all ranks the
    first in the order of files.

    Args:
        folder: where the decision is kept, in place of an earlier one.
        key: names all that it depends on, in hex.
        pool: whose rows. keys: what tasks left of it.
        elsewhere: what they left of other pools, whose keys take the pool's rows out.

    Returns:
        The fates of all rows.
    """
    path = folder / f"fates-{key[:16]}.npy"
    if not _is_whole(path, pool.rows):
        for stale in folder.glob("fates-*.npy"):
            stale.unlink()
        write_atomically(path, lambda temporary: write_fates(temporary, pool, keys, elsewhere))
    return Fates(pool, np.load(path, mmap_mode="r"), key)


def _is_whole(path: Path, rows: int) -> bool:
    """Whether the file is there, and not what a machine left that lost its power."""
    try:
        found: Bytes = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return len(found) == rows


def write_fates(
    path: Path, pool: Pool, keys: Sequence[Path], elsewhere: Sequence[Path] = ()
) -> None:
    """Write the fates of a pool's rows, partition by partition.

    Args:
        path: of a .npy file, uint8[rows of the pool].
        pool, keys, elsewhere: as for `decide`.
    """
    fates = _map_zeros(path, pool.rows)
    starts = {unit.name: pool.first_rows[unit.source] + unit.first_row for unit in pool.units}
    files = [_KeyFile.open(path, starts) for path in keys]
    files += [_KeyFile.open(path, None) for path in elsewhere]
    parts = -(-sum(file.size for file in files) // PARTITION_ROWS)
    edges = np.array([2**64 * part // max(1, parts) for part in range(1, parts)], np.uint64)
    cuts = [file.cut(edges) for file in files]
    for part in range(parts):
        ranges = [cut[part : part + 2] for cut in cuts]
        columns = _read_ranges(files, ranges)
        lost, held = losers(*columns)
        fates[lost], fates[held] = LOST, HELD
    fates.flush()


@dataclass(frozen=True)
class _KeyFile:
    """Keys that a task left, opened anew for each use: what is mapped counts as memory.

    Attributes:
        path: of an Arrow file. size: number of keys.
        starts: int64[units], where each unit begins in the pool; None for another pool's keys.
    """

    path: Path
    size: int
    starts: Positions | None

    @classmethod
    def open(cls, path: Path, starts: dict[str, int] | None) -> "_KeyFile":
        table = read_arrow(path)
        if not len(table) or starts is None:
            return cls(path, len(table), None)
        names = json.loads(table.schema.metadata[b"units"])
        return cls(path, len(table), np.array([starts[name] for name in names], np.int64))

    def cut(self, edges: Hashes) -> list[int]:
        """Where the partitions begin and end."""
        if not self.size:
            return [0] * (len(edges) + 2)
        inner = np.searchsorted(read_arrow(self.path)["high"].to_numpy(), edges)
        return [0, *inner.tolist(), self.size]

    def read(self, start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
        """The keys of a partition; their rows in the pool, or -1 in another."""
        table = read_arrow(self.path).slice(start, stop - start)
        columns = {name: table[name].to_numpy() for name in table.column_names}
        row, unit = columns.pop("row"), columns.pop("unit")
        rows = np.full(len(row), -1) if self.starts is None else self.starts[unit] + row
        return {**columns, "rows": rows}


def _read_ranges(
    files: Sequence[_KeyFile], ranges: Sequence[Sequence[int]]
) -> tuple[Hashes, Hashes, list[Hashes], Positions]:
    """The keys of a partition, from all files: halves of keys, ranks, and rows."""
    total = sum(stop - start for start, stop in ranges)
    columns: dict[str, npt.NDArray[Any]] = {}
    done = 0
    for file, (start, stop) in zip(files, ranges, strict=True):
        if start == stop:
            continue
        for name, values in file.read(start, stop).items():
            column = columns.setdefault(name, np.zeros(total, values.dtype))
            column[done : done + len(values)] = values
        done += stop - start
    if not columns:
        none = np.zeros(0, np.uint64)
        return none, none, [], none.astype(np.int64)
    ranks = [columns[name] for name in sorted(columns) if name.startswith("rank")]
    return columns["high"], columns["low"], ranks, columns["rows"]


def _map_zeros(path: Path, size: int) -> Any:
    """Map uint8[size] in a .npy file, all of it written: a full disk would kill a sparse one."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (size,)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, size, WRITE_BYTES):
            file.write(bytes(min(WRITE_BYTES, size - start)))
    return np.load(path, mmap_mode="r+")


def losers(
    high: Hashes, low: Hashes, ranks: Sequence[Hashes], rows: Positions
) -> tuple[Positions, Positions]:
    """Rows that do not stay.

    Args:
        high, low: uint64[rows], halves of each row's key.
        ranks: uint64[rows] each, the smallest wins; the next decides between equal ones.
        rows: int64[rows], where in the pool, which decides where all ranks are equal; or
            negative for keys that another pool holds.

    Returns:
        Those that another row of their key wins over, and those whose key another pool holds;
        int64, some of `rows`.
    """
    order = _repeated(high, low)
    rows, high, low = rows[order], high[order], low[order]
    first = np.ones(len(rows), bool)
    first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    groups = np.cumsum(first) - 1
    foreign = np.zeros(int(first.sum()), bool)
    foreign[groups[rows < 0]] = True
    foreign = foreign[groups]
    winner = np.flatnonzero(~foreign)
    for rank in [*(rank[order] for rank in ranks), rows]:
        winner = winner[_is_least(rank[winner], groups[winner])]
    lost = ~foreign
    lost[winner] = False
    return rows[lost], rows[foreign & (rows >= 0)]


def _repeated(high: Hashes, low: Hashes) -> Positions:
    """Places of keys that may occur more than once, sorted by key: few, so it pays to find them."""
    order = np.argsort(high)
    ordered = high[order]
    same = ordered[1:] == ordered[:-1]
    repeats = np.zeros(len(high), bool)
    repeats[1:] |= same
    repeats[:-1] |= same
    order = order[repeats]
    ordered, lows = high[order], low[order]
    if np.any((ordered[1:] == ordered[:-1]) & (lows[1:] != lows[:-1])):  # half of a key collides
        order = order[np.lexsort((lows, ordered))]
    return order


def _is_least(values: npt.NDArray[Any], groups: Positions) -> npt.NDArray[np.bool_]:
    """Which values are the smallest of their group; groups are ascending."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    least = np.minimum.reduceat(values, starts) if len(values) else values
    is_least: npt.NDArray[np.bool_] = values == np.repeat(
        least, np.diff(starts, append=len(values))
    )
    return is_least
