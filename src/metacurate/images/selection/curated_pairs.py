"""What curation kept of shards, found shard by shard without reading all of it each time."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metacurate.engine.stores import answering
from metacurate.errors import InputError, UsageError, first_line
from metacurate.images.shards import Shard
from metacurate.pool.files import InputFile, Source, find_files
from metacurate.pool.tables import TAR_ID, TEXT_NAMES, many_at_once, open_parquet
from metacurate.schema import CURATED

KEY = "key"


def text_column(names: Sequence[str]) -> str | None:
    """The column of captions among some, or None.

    Args:
        names: of columns.
    """
    by_name = {name.lower(): name for name in reversed(names)}
    return next((by_name[name] for name in TEXT_NAMES if name in by_name), None)


@dataclass(frozen=True)
class Group:
    """A row group, and the range of its keys; None where the file does not tell.

    Attributes:
        path: of the file. number: of the row group in it. rows: of it. low, high: keys.
    """

    path: str
    number: int
    rows: int
    low: str | None
    high: str | None


@dataclass(frozen=True)
class CuratedPairs:
    """The output of a run of curation over shards.

    Attributes:
        groups: all row groups. key_column, text_column: of its files.
        identity: what changes when the files do, in hex.
        metadata: of the files: the round that drew them.
    """

    groups: tuple[Group, ...]
    key_column: str
    text_column: str
    identity: str
    metadata: Mapping[bytes, bytes]
    _read: dict[Group, pa.Table] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def open(cls, source: Source) -> "CuratedPairs":
        """Read the footers of all files.

        Args:
            source: output folder of `metacurate curate SHARDS`, or the files that it, or
                `metacurate pack`, has written.

        Raises:
            UsageError: when they are something else, or not complete.
            InputError: when one can't be read.
        """
        files = find_files(source)
        if files[0].format != "parquet":
            raise UsageError(f"--pairs {source}: holds no Parquet files of curated pairs")
        looked = many_at_once(_look_at, files)
        _, schema, _ = looked[0]
        key = next((name for name in (TAR_ID, KEY) if name in schema.names), None)
        text = text_column(schema.names)
        if any(file.sidecar for file in files):
            raise UsageError(f"--pairs {source}: are shards, not what was curated of them")
        if key is None or text is None or not set(CURATED.names) <= set(schema.names):
            raise UsageError(
                f"--pairs {source}: {files[0].path} has no columns of keys, texts and "
                "probabilities: it is not what was curated of shards"
            )
        told = _metadata(schema)
        for file, (_, other, _) in zip(files, looked, strict=True):
            if _metadata(other) != told or not {key, text} <= set(other.names):
                raise UsageError(
                    f"--pairs {source}: {file.path} and {files[0].path} are not of one run"
                )
        groups = [g for _, _, of_key in looked for g in of_key[key]]
        names = "\n".join(f"{file.path} {file.identity}" for file in files)
        identity = hashlib.sha256(names.encode()).hexdigest()
        return cls(tuple(groups), key, text, identity, told)

    @property
    def rows(self) -> int:
        """How many pairs there are."""
        return sum(group.rows for group in self.groups)

    def of(self, shard: Shard, keys: Sequence[str | None]) -> list[dict[str, Any]]:
        """The pairs of a shard.

        Args:
            shard: which. keys: of its samples, or null.

        Returns:
            Rows with all columns; `key` and `text` have these names.

        Raises:
            InputError: when a file can't be read.
        """
        named = [key for key in keys if key is not None]
        if not named:
            return []
        prefix = f"{shard.file_name}/" if self.key_column == TAR_ID else ""
        wanted = pa.array([prefix + key for key in named], pa.string())
        low, high = min(wanted.to_pylist()), max(wanted.to_pylist())
        found: list[dict[str, Any]] = []
        for group in self.groups:
            if (group.low is None or group.low <= high) and (
                group.high is None or group.high >= low
            ):
                table = self._table(group)
                names = table[self.key_column].cast(pa.string())
                for row in table.filter(pc.is_in(names, wanted)).to_pylist():
                    key = row.pop(self.key_column).removeprefix(prefix)
                    found.append({**row, "text": row.pop(self.text_column), "key": key})
        return found

    def _table(self, group: Group) -> pa.Table:
        """A row group; the last one is kept, since shards that follow one another share it."""
        if group not in self._read:
            self._read.clear()
            try:
                with answering(group.path):
                    file = open_parquet(group.path)
                    self._read[group] = file.read_row_group(group.number, use_threads=False)
            except (OSError, pa.ArrowException) as error:
                raise InputError(group.path, f"can't be read: {first_line(error)}") from error
        return self._read[group]


def _metadata(schema: pa.Schema) -> dict[bytes, bytes]:
    found = (schema.metadata or {}).items()
    return {name: value for name, value in found if name.startswith(b"metacurate.")}


def _look_at(file: InputFile) -> tuple[str, pa.Schema, dict[str, list[Group]]]:
    """A file's columns, and its row groups by the column that their ranges are of."""
    groups: dict[str, list[Group]] = {KEY: [], TAR_ID: []}
    try:
        with answering(file.path):
            opened = open_parquet(file.path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(file.path, f"can't be read: {first_line(error)}") from error
    footer = opened.metadata
    for column, found in groups.items():
        places = [i for i in range(footer.num_columns)
            if footer.schema.column(i).path == column]  # fmt: skip
        for number in range(footer.num_row_groups) if places else ():
            told = footer.row_group(number).column(places[0]).statistics
            ranged = told is not None and told.has_min_max and isinstance(told.min, str)
            low, high = (told.min, told.max) if ranged else (None, None)
            rows = footer.row_group(number).num_rows
            found.append(Group(file.path, number, rows, low, high))
    return file.path, opened.schema_arrow, groups
