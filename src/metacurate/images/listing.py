"""Which images a pool's pairs are of: one row for each url with all of its pairs, cut into shards.

Tasks leave rows sorted by a hash of their urls; one range of hashes after another is brought
together, so that memory stays bounded. Shards hold images in the order of that hash, which spreads
each host's images over all shards.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.storage import (
    LocalCopies,
    list_folder,
    read_arrow,
    read_bytes,
    remove,
    write_atomically,
    write_json,
)
from metacurate.engine.stores import Place, reaching
from metacurate.errors import UsageError, first_line
from metacurate.hashing.pairs import draw_seed, hash_columns
from metacurate.hashing.rows import hash_rows
from metacurate.images.shards import sample_key, shard_name
from metacurate.pool.reader import CorruptRows, Reader, read_texts, without_views
from metacurate.pool.tables import TAR_ID, Pool, open_parquet
from metacurate.pool.uid import uid_of

LIST_FORMAT = 1  # raise with each change of what lists hold
RECORD_BYTES = 64 << 20  # of rows, after which a task is recorded
PART_ROWS = 500_000  # so many rows, or PART_BYTES of them, are brought together at once
PART_BYTES = 256 << 20
SHARDS_PER_LIST = 16

PLACE, TIE = "__place__", "__tie__"  # hash of the url; of the whole row
RESERVED = frozenset({
    "key", "status", "error_message", "width", "height", "original_width", "original_height",
    "sha256", PLACE, TIE,
})  # fmt: skip

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ListStage(Stage):
    """One pass over all columns: rows with a url and a text, sorted by a hash of the url.

    Attributes:
        pool: what to read.
    """

    pool: Pool
    name = "list"

    def configuration(self) -> dict[str, Any]:
        """All that decides which rows there are, and how they are sorted."""
        return {
            "id_column": self.pool.id_column,
            "text_column": self.pool.text_column,
            "where": self.pool.where and self.pool.where.text,
            "format": LIST_FORMAT,
        }

    def units(self) -> Sequence[Unit]:
        """The pool's."""
        return self.pool.units

    def task(self, outputs: Place, watch: Watch) -> "ListTask":  # noqa: ARG002
        """Begin to collect; nothing is written into `outputs`."""
        return ListTask(self.pool, watch)


class ListTask(Task):
    """Collects the rows of several units."""

    mapped: ClassVar[bool] = True

    def __init__(self, pool: Pool, watch: Watch) -> None:
        """Start with no rows."""
        self._pool = pool
        self._reader = Reader(pool, None, watch)
        self.clear()

    def clear(self) -> None:
        """Begin again with no rows."""
        self._tables: list[pa.Table] = []

    @property
    def full(self) -> bool:
        """Whether so many rows were collected that they should be recorded."""
        size: int = sum(table.nbytes for table in self._tables)
        return size >= RECORD_BYTES

    def process(self, unit: Unit) -> UnitRecord:
        """Collect a unit's rows.

        Raises:
            InputError: when the file is broken.
            StoppedError: when the run is to end.
        """
        began = time.monotonic()
        corrupt = CorruptRows()
        tables: list[pa.Table] = []
        invalid = 0
        for rows in self._reader.batches(unit):
            names = self._pool.id_column, self._pool.text_column
            texts, valid = read_texts(names, rows, corrupt)
            urls, captions = (texts.pop(name) for name in names)
            others = [name for name in rows.batch.schema.names if name not in names]
            tables.append(list_rows(urls, captions, rows.batch.select(others), valid))
            invalid += int(np.count_nonzero(~valid))
        self._tables += tables
        return UnitRecord.of(
            unit,
            began,
            rows_read=unit.rows,
            invalid=invalid,
            filtered=self._reader.filtered,
            error=corrupt.message,
        )

    def partial(self) -> pa.Table:
        """All collected rows, sorted."""
        if not self._tables:
            return pa.table({})
        table = pa.concat_tables(self._tables, promote_options="permissive").combine_chunks()
        return table.take(pc.sort_indices(table[PLACE]))


def list_rows(urls: pa.Array, texts: pa.Array, others: pa.RecordBatch, valid: Mask) -> pa.Table:
    """Rows as lists hold them: `url`, `text`, all other columns, and what they are sorted by.

    Columns of names that shards use for what becomes of an image are left out.

    Args:
        urls, texts: strings. others: the pool's other columns, equally many rows.
        valid: bool[rows], which of them are listed.
    """
    kept = pa.array(valid)
    plain = without_views(others)
    columns: dict[str, pa.Array] = {"url": urls.cast(pa.string()), "text": texts.cast(pa.string())}
    for name in plain.schema.names:
        if name not in ("url", "text", *RESERVED):
            column = plain.column(name)
            is_coded = pa.types.is_dictionary(column.type)
            columns[name] = column.dictionary_decode() if is_coded else column
    found = pa.RecordBatch.from_pydict(columns).filter(kept)
    places = hash_columns([found.column("url")], [draw_seed(0, "shuffle")])[0]
    table = pa.Table.from_batches([found]).append_column(PLACE, pa.array(places))
    return table.append_column(TIE, pa.array(hash_rows(found, 0)))


def group_images(rows: pa.Table) -> pa.Table:
    """Bring the pairs of each url together.

    Args:
        rows: from `list_rows`, in any order.

    Returns:
        A row for each url: `url`; `uid` of the first pair, or where it has none of the url; and
        `pairs`, a list of all other columns. Images are sorted by the hash of their urls, pairs
        by their texts, and where these are equal by a hash of the row.
    """
    by = [(name, "ascending") for name in (PLACE, "url", "text", TIE)]
    rows = rows.take(pc.sort_indices(rows, sort_keys=by))
    urls = rows["url"].combine_chunks()
    is_first = np.ones(len(rows), bool)
    is_first[1:] = pc.not_equal(urls[1:], urls[:-1]).to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(is_first)
    names = [name for name in rows.column_names if name not in ("url", PLACE, TIE)]
    parts = [rows[name].combine_chunks() for name in names]
    pairs = pa.StructArray.from_arrays(parts, fields=[rows.schema.field(name) for name in names])
    offsets = pa.array(np.append(starts, len(rows)).astype(np.int32))
    first_urls = urls.take(pa.array(starts))
    given: list[str | None] = [None] * len(starts)
    if "uid" in names and pa.types.is_string(rows.schema.field("uid").type):
        given = parts[names.index("uid")].take(pa.array(starts)).to_pylist()
    told = zip(given, first_urls.to_pylist(), strict=True)
    uids = [uid_of(url) if uid is None else uid for uid, url in told]
    return pa.table(
        {
            "url": first_urls,
            "uid": pa.array(uids, pa.string()),
            "pairs": pa.ListArray.from_arrays(offsets, pairs),
        }
    )


@dataclass(frozen=True)
class ImageList:
    """Which images the shards are to hold.

    Attributes:
        folder: where the lists are. key: names what they depend on, in hex.
        images, pairs: how many there are. images_per_shard: of all shards but the last.
        digests: of what each shard is to hold, in hex.
        metadata: of the pool's files, what they agree in.
    """

    folder: Place
    key: str
    images: int
    pairs: int
    images_per_shard: int
    digests: tuple[str, ...]
    metadata: dict[str, str]

    @property
    def units(self) -> list[Unit]:
        """A unit for each shard: its number, as if the shards were rows of one file."""
        return [
            Unit(
                source=shard_name(first // self.images_per_shard),
                identity=self.digests[first // self.images_per_shard],
                first_row=first,
                rows=min(self.images_per_shard, self.images - first),
                anchor=first,
            )
            for first in range(0, self.images, self.images_per_shard)
        ]

    def read(self, unit: Unit) -> pa.Table:
        """The images of a shard, with their keys.

        Args:
            unit: of `units`.

        Raises:
            MetacurateError: when the list can't be read.
        """
        number = unit.first_row // self.images_per_shard
        place = self.folder / _list_name(self.key, number // SHARDS_PER_LIST)
        with reaching(place):
            file = open_parquet(str(place))
            images = file.read_row_group(number % SHARDS_PER_LIST, use_threads=False)
        keys = [sample_key(unit.source, i, self.images_per_shard) for i in range(len(images))]
        return images.add_column(0, "key", pa.array(keys, pa.string()))


def _list_name(key: str, number: int) -> str:
    return f"images-{key[:16]}-{number:05d}.parquet"


def refuse_without_urls(pool: Pool) -> None:
    """Refuse a pool whose images have no addresses.

    Args:
        pool: which.

    Raises:
        UsageError: naming the column that stands for the url.
    """
    if pool.id_column == TAR_ID:
        raise UsageError("the pool has no urls: there is nothing to download")


def write_lists(
    folder: Place, key: str, pool: Pool, partials: Sequence[Place], images_per_shard: int
) -> ImageList:
    """Cut the images of all rows into shards, or take the lists that were written before.

    Args:
        folder: where lists are kept, in place of earlier ones.
        key: names all that they depend on, in hex.
        pool: whose rows. partials: what the tasks of a `ListStage` left.
        images_per_shard: of all shards but the last.

    Raises:
        MetacurateError: when they can't be written.
    """
    there = list_folder(folder)
    told = f"images-{key[:16]}.json"  # written last
    if told not in there:
        remove(folder / old for old in there if old.startswith("images-"))
        here = LocalCopies(partials)
        n_images = n_pairs = 0
        digests: list[str] = []
        shards = _cut(_images(here.paths), images_per_shard)
        for number, some in enumerate(_some_at_once(shards, SHARDS_PER_LIST)):
            n_images += sum(map(len, some))
            n_pairs += sum(pc.sum(pc.list_value_length(s["pairs"])).as_py() for s in some)
            digests += map(_digest, some)
            _write_list(folder / _list_name(key, number), some)
        write_json(folder / told, {"images": n_images, "pairs": n_pairs, "digests": digests})
    known = json.loads(read_bytes(folder / told))
    return ImageList(
        folder, key, known["images"], known["pairs"], images_per_shard, tuple(known["digests"]),
        _shared_metadata(pool),
    )  # fmt: skip


def _digest(shard: pa.Table) -> str:
    """Names what a shard is to hold: so that it stays where only the files around it change."""
    found = hashlib.sha256()
    for batch in shard.to_batches():
        found.update(hash_rows(batch, 0).tobytes())
    return found.hexdigest()


def list_key(stage: ListStage, identity: str, images_per_shard: int) -> str:
    """Names all that lists depend on.

    Args:
        stage: that collected rows. identity: of what it read. images_per_shard: see `write_lists`.

    Returns:
        In hex.
    """
    text = json.dumps([stage.configuration(), identity, images_per_shard], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _write_list(place: Place, shards: Sequence[pa.Table]) -> None:
    def write(path: Path) -> None:
        with pq.ParquetWriter(path, shards[0].schema, compression="zstd") as writer:
            for shard in shards:
                writer.write_table(shard, row_group_size=len(shard))

    write_atomically(place, write)


def _images(partials: Sequence[Path]) -> Iterator[pa.Table]:
    """The images of all rows, one range of hashes after another; all tables have one schema."""
    tables = [table for table in map(read_arrow, partials) if len(table)]
    if not tables:
        return
    try:
        schema = pa.unify_schemas([t.schema for t in tables], promote_options="permissive")
    except pa.ArrowException as error:
        raise UsageError(f"the pool's files differ in types: {first_line(error)}") from error
    rows = sum(map(len, tables))
    parts = max(-(-rows // PART_ROWS), -(-sum(t.nbytes for t in tables) // PART_BYTES))
    edges = np.array([2**64 * part // parts for part in range(1, parts)], np.uint64)
    cuts = [
        [0, *np.searchsorted(table[PLACE].to_numpy(), edges).tolist(), len(table)]
        for table in tables
    ]
    for part in range(parts):
        slices = [
            table.slice(cut[part], cut[part + 1] - cut[part]).select(
                [name for name in schema.names if name in table.column_names]
            )
            for table, cut in zip(tables, cuts, strict=True)
        ]
        found = pa.concat_tables(slices, promote_options="permissive")
        yield group_images(found.select(schema.names).cast(schema))


def _cut(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Cut tables anew, into pieces of so many rows; the last may have fewer."""
    waiting: pa.Table | None = None
    for table in tables:
        waiting = table if waiting is None else pa.concat_tables([waiting, table])
        start = 0
        while len(waiting) - start >= rows:
            yield waiting.slice(start, rows).combine_chunks()
            start += rows
        waiting = waiting.slice(start)
    if waiting is not None and len(waiting):
        yield waiting.combine_chunks()


def _some_at_once(tables: Iterator[pa.Table], number: int) -> Iterator[list[pa.Table]]:
    some: list[pa.Table] = []
    for table in tables:
        some.append(table)
        if len(some) == number:
            yield some
            some = []
    if some:
        yield some


def _shared_metadata(pool: Pool) -> dict[str, str]:
    """What our own files of a pool all tell of how they were made."""
    schemas = [file.schema for file in pool.files if file.schema is not None]
    told = [set((schema.metadata or {}).items()) for schema in schemas]
    shared = set.intersection(*told) if told else set()
    return {k.decode(): v.decode() for k, v in sorted(shared) if k.startswith(b"metacurate.")}
