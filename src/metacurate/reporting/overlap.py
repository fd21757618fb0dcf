"""Which pairs finished curated sets share: exactly, in bounded memory, whatever the sets' sizes.

A pair is its identity and its text, and counts once in a set, however often it is repeated there.
It goes by a key of 128 bits; DuckDB groups the keys of all sets, and puts aside on the disk what
does not fit into memory.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from metacurate.engine.stores import answering
from metacurate.errors import InputError, MetacurateError, first_line
from metacurate.pool.reader import id_texts, valid_texts
from metacurate.pool.tables import open_parquet
from metacurate.pool.winners import hash_keys
from metacurate.reporting.curated_set import CuratedSet
from metacurate.reporting.database import open_database

MOST = 63  # sets: each is a bit of a whole number
BATCH_ROWS = 32_768
KEYS = pa.schema([("high", pa.uint64()), ("low", pa.uint64()), ("bit", pa.int64())])
SHARED = """
    SELECT sets, count(*) FROM (SELECT bit_or(bit) AS sets FROM keys GROUP BY high, low)
    GROUP BY sets ORDER BY sets
"""


@dataclass(frozen=True)
class Overlap:
    """How many pairs are in which of some sets.

    Attributes:
        rows: of each set, repeated pairs each time.
        pairs: numbers of distinct pairs by the sets that they are in: bit i for set i.
    """

    rows: tuple[int, ...]
    pairs: dict[int, int]

    def both(self, one: int, other: int) -> int:
        """Number of distinct pairs that two sets share; of one and the same, all that it has.

        Args:
            one, other: positions of the sets.
        """
        wanted = 1 << one | 1 << other
        return sum(number for sets, number in self.pairs.items() if sets & wanted == wanted)

    def to_json(self) -> dict[str, Any]:
        """The overlap of all sets.

        Returns:
            JSON. For each set: `rows`, `distinct` pairs, `repeated` rows, and pairs that are
            `only` there; then matrices over the sets: `both`, numbers of shared pairs, and
            `jaccard`, shared ones per pair that is in either (1 where both sets are empty); and
            pairs that are in `all` sets, or in `any`.
        """
        places = range(len(self.rows))
        both = [[self.both(i, j) for j in places] for i in places]
        distinct = [both[i][i] for i in places]
        everywhere = (1 << len(self.rows)) - 1
        return {
            "sets": [
                {
                    "rows": self.rows[i],
                    "distinct": distinct[i],
                    "repeated": self.rows[i] - distinct[i],
                    "only": self.pairs.get(1 << i, 0),
                }
                for i in places
            ],
            "both": both,
            "jaccard": [
                [_share(both[i][j], distinct[i] + distinct[j] - both[i][j]) for j in places]
                for i in places
            ],
            "all": self.pairs.get(everywhere, 0),
            "any": sum(self.pairs.values()),
        }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


@dataclass(frozen=True)
class KeptPairs:
    """The kept pairs of a set, as its files hold them.

    Attributes:
        tables: paths or URIs of Parquet files.
        id_column, text_column: what makes a pair; None where there is no file.
    """

    tables: tuple[str, ...]
    id_column: str | None
    text_column: str | None

    @classmethod
    def of(cls, found: CuratedSet) -> "KeptPairs":
        """Find the files and their columns.

        Args:
            found: a curated set.

        Raises:
            MetacurateError: when one of the files is broken.
        """
        if not found.tables:
            return cls((), None, None)
        pool = found.open_kept(found.tables)
        for file in pool.files:
            if file.problem is not None:
                raise InputError(file.path, file.problem)
        return cls(tuple(file.table for file in pool.files), pool.id_column, pool.text_column)

    def keys(self, bit: int) -> Iterator[pa.RecordBatch]:
        """Keys of all pairs.

        Args:
            bit: that stands for the set.

        Yields:
            Batches of `KEYS`.

        Raises:
            InputError: when a file is broken.
            StorageError: when its store does not answer.
        """
        for table in self.tables:
            try:
                with answering(table):
                    columns = [self.id_column, self.text_column]
                    for batch in open_parquet(table, 2).iter_batches(BATCH_ROWS, columns=columns):
                        ids, _ = valid_texts(id_texts(batch.column(self.id_column)))
                        texts, _ = valid_texts(batch.column(self.text_column))
                        high, low = hash_keys([ids, texts])
                        bits = np.full(len(high), bit, np.int64)
                        yield pa.RecordBatch.from_arrays(
                            [pa.array(high), pa.array(low), pa.array(bits)], schema=KEYS
                        )
            except (pa.ArrowException, OSError) as error:
                raise InputError(table, f"can't be read: {first_line(error)}") from error


def find_overlap(sets: Sequence[KeptPairs], memory: int | None = None) -> Overlap:
    """Count the pairs that sets share.

    Args:
        sets: at most 63.
        memory: that DuckDB may take before it writes to the disk, in bytes; 80 % of the machine's
            without it.

    Returns:
        The overlap.

    Raises:
        InputError: when a file is broken.
        StorageError: when a store does not answer.
        MetacurateError: when DuckDB, of the extra `report`, is missing, or memory and disk do not
            suffice.
    """
    rows = [0] * len(sets)
    failures: list[Exception] = []

    def read() -> Iterator[pa.RecordBatch]:
        try:
            for place, pairs in enumerate(sets):
                for batch in pairs.keys(1 << place):
                    rows[place] += len(batch)
                    yield batch
        except Exception as error:
            failures.append(error)
            raise

    try:
        with open_database("sets are compared", "the sets can't be compared", memory) as connection:
            connection.register("keys", pa.RecordBatchReader.from_batches(KEYS, read()))
            found = _run(connection, SHARED)
    except MetacurateError as error:
        if failures:  # of what was read, not of the database
            raise failures[0] from error
        raise
    return Overlap(tuple(rows), {int(bits): int(number) for bits, number in found})


def _run(connection: Any, query: str) -> list[tuple[int, int]]:
    """Query in another thread: while DuckDB is at it, this one hears Ctrl-C."""
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(lambda: connection.execute(query).fetchall())
        try:
            found: list[tuple[int, int]] = future.result()
        except BaseException:
            connection.interrupt()
            raise
        return found
