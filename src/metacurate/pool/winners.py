"""Which one of the rows that share a key stays: decided over all files, in bounded memory.

Rows do not move: tasks leave keys sorted, winners are found in one range of keys after another,
and what comes back is a byte for each row of the pool.
"""

import io
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.engine.stage import Task, Unit
from metacurate.engine.storage import (
    LocalCopies,
    list_folder,
    read_arrow,
    remove,
    write_atomically,
)
from metacurate.engine.stores import Place, reaching
from metacurate.hashing.pairs import Hashes, hash_columns
from metacurate.matching.matcher import without_nulls
from metacurate.pool.reader import Positions
from metacurate.pool.tables import Pool

KEY_FORMAT = 1  # raise with each change of what tasks leave
KEY_SEEDS = (0, 1)  # of the two halves of a key
PARTITION_ROWS = 4_000_000  # so many keys, or a quarter more, are sorted at once
MOST_PARTITIONS = 256  # else more: each partition opens each file of keys
RECORD_BYTES = 64 << 20  # of keys, after which a task is recorded
WRITE_BYTES = 1 << 24
READ_ROWS = 1 << 24

FREE, LOST, HELD = range(3)  # fates: nothing speaks against the row, or another row, or pool

Bytes: TypeAlias = npt.NDArray[np.uint8]
Columns: TypeAlias = dict[str, npt.NDArray[Any]]


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
        pool: whose rows. place: a .npy file, uint8[rows of the pool].
        key: names what the decision depends on, in hex.
    """

    pool: Pool
    place: Place
    key: str

    def of(self, source: str, positions: Positions) -> Bytes:
        """The fates of some rows.

        Args:
            source: path of their file. positions: int64[rows], in the file.

        Returns:
            uint8[rows].
        """
        if not len(positions):
            return np.zeros(0, np.uint8)
        start, stop = int(positions.min()), int(positions.max()) + 1
        first = self.pool.first_rows[source]
        return self._read(first + start, first + stop)[positions - start]

    def count(self) -> int:
        """Number of rows that are left out."""
        rows = self.pool.rows
        return sum(
            int(np.count_nonzero(self._read(start, min(rows, start + READ_ROWS))))
            for start in range(0, rows, READ_ROWS)
        )

    def _read(self, start: int, stop: int) -> Bytes:
        """The fates of rows, counted through over all files; workers elsewhere read them, too."""
        if isinstance(self.place, Path):
            return np.load(self.place, mmap_mode="r")[start:stop]  # type: ignore[no-any-return]
        skip = len(_header(self.pool.rows))
        with reaching(self.place):
            content = self.place.fs.cat_file(self.place.path, start=skip + start, end=skip + stop)
        return np.frombuffer(content, np.uint8)

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

    mapped: ClassVar[bool] = True

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
    folder: Place, key: str, pool: Pool, keys: Sequence[Place], elsewhere: Sequence[Place] = ()
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
    name = f"fates-{key[:16]}.npy"
    there = list_folder(folder)
    size = len(_header(pool.rows)) + pool.rows  # less of it is what a loss of power leaves
    if name not in there or there[name].size != size:
        remove(folder / old for old in there if old.startswith("fates-"))
        here, others = LocalCopies(keys), LocalCopies(elsewhere)
        write_atomically(
            folder / name, lambda path: write_fates(path, pool, here.paths, others.paths)
        )
    return Fates(pool, folder / name, key)


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
    files = [_KeyFile.open(path, None) for path in elsewhere]  # first: what they hold is known
    files += [_KeyFile.open(path, starts) for path in keys]
    total = sum(file.size for file in files)
    rows = max(PARTITION_ROWS, -(-total // MOST_PARTITIONS))
    parts = -(-total // rows)
    edges = np.array([2**64 * part // max(1, parts) for part in range(1, parts)], np.uint64)
    cuts = [file.cut(edges) for file in files]
    for part in range(parts):
        _decide_partition(
            fates,
            rows,
            [_Range(file, *cut[part : part + 2]) for file, cut in zip(files, cuts, strict=True)],
        )
    fates.flush()


def _decide_partition(fates: Bytes, rows_at_once: int, ranges: Sequence["_Range"]) -> None:
    """Decide about a range of keys, in pieces where a frequent key makes it large.

    Only the best row of each key is carried from one piece to the next: the others have lost,
    whatever follows.

    Args:
        fates: uint8[rows of the pool], where to write.
        rows_at_once: so many keys, or a quarter more, are sorted together.
        ranges: of all files, other pools' first.
    """
    waiting = deque(each for each in ranges if each.size)
    columns: Columns = {"rows": np.zeros(0, np.int64)}
    while waiting:
        room = max(rows_at_once * 5 // 4 - len(columns["rows"]), rows_at_once // 4)
        piece: list[_Range] = []
        while waiting and (not piece or waiting[0].size <= room):
            room -= waiting[0].size
            piece.append(waiting.popleft())
        columns = _gather(columns, piece)
        rows = columns["rows"]
        ranks = [columns[name] for name in sorted(columns) if name.startswith("rank")]
        found = judge(columns["high"], columns["low"], ranks, rows)
        out = (found != FREE) & (rows >= 0)
        fates[rows[out]] = found[out]
        if waiting:
            best = found == FREE
            columns = {name: values[best] for name, values in columns.items()}


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

    def read(self, start: int, stop: int) -> Columns:
        """The keys of a partition; their rows in the pool, or -1 in another."""
        table = read_arrow(self.path).slice(start, stop - start)
        columns = {name: table[name].to_numpy() for name in table.column_names}
        row, unit = columns.pop("row"), columns.pop("unit")
        rows = np.full(len(row), -1) if self.starts is None else self.starts[unit] + row
        return {**columns, "rows": rows}


@dataclass(frozen=True)
class _Range:
    """Some keys of a file: from `start` to before `stop`."""

    file: _KeyFile
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


def _gather(carried: Columns, ranges: Sequence[_Range]) -> Columns:
    """Keys in one array of each column; those of other pools have ranks of 0."""
    total = len(carried["rows"]) + sum(each.size for each in ranges)
    columns: Columns = {}
    done = 0
    for some in chain([carried], (each.file.read(each.start, each.stop) for each in ranges)):
        for name, values in some.items():
            if name not in columns:
                columns[name] = np.zeros(total, values.dtype)
            columns[name][done : done + len(values)] = values
        done += len(some["rows"])
    return columns


def _map_zeros(path: Path, size: int) -> Any:
    """Map uint8[size] in a .npy file, all of it written: a full disk would kill a sparse one."""
    with path.open("wb") as file:
        file.write(_header(size))
        for start in range(0, size, WRITE_BYTES):
            file.write(bytes(min(WRITE_BYTES, size - start)))
    return np.load(path, mmap_mode="r+")


def _header(size: int) -> bytes:
    """How a .npy file of uint8[size] begins."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        content, {"descr": "|u1", "fortran_order": False, "shape": (size,)}
    )
    return content.getvalue()


def judge(high: Hashes, low: Hashes, ranks: Sequence[Hashes], rows: Positions) -> Bytes:
    """Fates of rows: one of each key is free, the others are not.

    Args:
        high, low: uint64[rows], halves of each row's key.
        ranks: uint64[rows] each, the smallest wins; the next decides between equal ones.
        rows: int64[rows], where in the pool, which decides where all ranks are equal; or
            negative for keys that another pool holds, which win over all.

    Returns:
        uint8[rows].
    """
    fates = np.zeros(len(rows), np.uint8)
    order = _repeated(high, low)
    groups = _number_groups(high[order], low[order])
    best = np.arange(len(order))
    for rank in (rows >= 0, *ranks, rows):
        best = best[_is_least(rank[order[best]], groups[best])]
    best = best[np.diff(groups[best], prepend=-1) > 0]  # of what other pools hold, all are equal
    held = rows[order[best]] < 0
    fates[order] = np.where(held, HELD, LOST).astype(np.uint8)[groups]
    fates[order[best]] = FREE
    return fates


def _number_groups(high: Hashes, low: Hashes) -> npt.NDArray[np.int32]:
    """Count through the different ones of keys that are sorted."""
    first = np.zeros(len(high), bool)
    first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    return np.cumsum(first, dtype=np.int32)


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


def _is_least(values: npt.NDArray[Any], groups: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Which values are the smallest of their group; groups are ascending."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    least = np.minimum.reduceat(values, starts) if len(values) else values
    is_least: npt.NDArray[np.bool_] = values == np.repeat(
        least, np.diff(starts, append=len(values))
    )
    return is_least
