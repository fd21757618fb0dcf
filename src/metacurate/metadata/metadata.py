"""The list of concepts: reading, writing, checking, and its digest."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from metacurate.engine.storage import is_file, read_bytes, table_of, write_parquet, write_text
from metacurate.engine.stores import place_of
from metacurate.errors import InputError, UsageError, first_line
from metacurate.schema import METADATA, is_text

log = logging.getLogger(__name__)

OTHER_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".gz", ".zst", ".bz2", ".xz", ".zip", ".tar")

Source: TypeAlias = str | Path

DIGEST = "metacurate.digest"  # in the file's metadata


@dataclass(frozen=True, eq=False)
class Metadata:
    """Metadata entries in their order; an entry's position is its id.

    Attributes:
        table: columns entry, source, score, language (`metacurate.schema.METADATA`).
        repeats: how many repeated entries were dropped when it was made.
    """

    table: pa.Table
    repeats: int = field(default=0)

    @classmethod
    def from_entries(cls, entries: Sequence[str], source: str = "user") -> "Metadata":
        """Make metadata of a list of strings.

        Args:
            entries: the concepts; a repeat is dropped and reported.
            source: where they come from.

        Raises:
            UsageError: for an empty list, or an entry that is empty or not a string.
        """
        if isinstance(entries, str):
            raise UsageError("one string is no list of entries")
        for position, entry in enumerate(entries):
            if not isinstance(entry, str):
                raise UsageError(f"entry {position} is {type(entry).__name__}, not a string")
        try:
            column = pa.array(entries, pa.string())
        except ValueError as error:  # a lone surrogate has no UTF-8
            raise UsageError(f"an entry is no valid Unicode: {error}") from error
        return cls._checked(pa.table({"entry": column}), source, None)

    @classmethod
    def from_table(cls, table: pa.Table) -> "Metadata":
        """Make metadata of a table that has a column `entry`, and perhaps the others.

        Args:
            table: see `metacurate.schema.METADATA`; a repeat is dropped and reported.

        Raises:
            UsageError: for an empty table, or an entry that is empty or not a string.
        """
        return cls._checked(table, "user", None)

    @classmethod
    def read(cls, path: Source) -> "Metadata":
        """Read metadata from Parquet, a JSON list, or a text file of one entry a line.

        Args:
            path: a file; its ending tells the format: .parquet, .json, or else text. Empty lines
                at the end of a text are passed over.

        Raises:
            UsageError: when there is no such file, or it has the ending of another format.
            InputError: when it can't be parsed, holds no entries, or an empty one.
        """
        place = place_of(path)
        if not is_file(place):
            raise UsageError(f"{path}: no such metadata file")
        content = read_bytes(place)
        suffix = place.suffix.lower()
        if suffix in OTHER_ENDINGS:
            raise UsageError(
                f"{path}: metadata is Parquet, a JSON list (.json), or a text of one entry a line"
            )
        try:
            if suffix == ".parquet":
                table = table_of(content)
            elif suffix == ".json":
                entries = json.loads(content)
                if not isinstance(entries, list) or not all(isinstance(e, str) for e in entries):
                    raise InputError(str(path), "not a JSON list of strings")
                table = pa.table({"entry": pa.array(entries, pa.string())})
            else:
                lines = content.decode("utf-8-sig").split("\n")
                lines = [line.removesuffix("\r") for line in lines]
                while lines and not lines[-1]:
                    lines.pop()
                table = pa.table({"entry": pa.array(lines, pa.string())})
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(str(path), f"can't be read: {first_line(error)}") from error
        if "entry" not in table.column_names:
            raise InputError(
                str(path), f"no column 'entry'; its columns are {', '.join(table.column_names)}"
            )
        return cls._checked(table, "user", str(path))

    @classmethod
    def _checked(cls, table: pa.Table, source: str, path: str | None) -> "Metadata":
        def refuse(reason: str) -> InputError | UsageError:
            return InputError(path, reason) if path else UsageError(reason)

        columns = {}
        kind = table["entry"].type
        if len(table) and not is_text(kind):
            raise refuse(f"column 'entry' is of type {kind}, not strings")
        for wanted in METADATA:
            if wanted.name in table.column_names:
                try:
                    columns[wanted.name] = table[wanted.name].cast(wanted.type).combine_chunks()
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                    raise refuse(f"column '{wanted.name}': {first_line(error)}") from error
            elif wanted.name == "source":
                columns["source"] = pa.array([source] * len(table), pa.string())
            else:
                columns[wanted.name] = pa.nulls(len(table), wanted.type)
        entries = columns["entry"]
        if len(entries) == 0:
            raise refuse("the list of entries is empty")
        for name in ("entry", "source", "language"):
            try:
                columns[name].validate(full=True)
            except pa.ArrowInvalid as error:
                raise refuse(f"column '{name}' is no valid UTF-8: {first_line(error)}") from error
        empty = pc.fill_null(pc.equal(entries, ""), True)
        if pc.any(empty).as_py():
            raise refuse(f"entry {pc.index(empty, True).as_py()} (counted from 0) is empty")
        columns["source"] = pc.fill_null(columns["source"], source)
        made = pa.table(list(columns.values()), schema=METADATA)
        encoded = entries.dictionary_encode()
        repeats = len(entries) - len(encoded.dictionary)
        if repeats:
            seen: set[str] = set()
            first = [e not in seen and not seen.add(e) for e in entries.to_pylist()]  # type: ignore[func-returns-value]
            made = made.filter(pa.array(first))
            log.warning(
                "%s%d repeated %s dropped: an entry counts once",
                f"{path}: " if path else "",
                repeats,
                "entry was" if repeats == 1 else "entries were",
            )
        return cls(made.combine_chunks(), repeats)

    def __len__(self) -> int:
        """Number of entries."""
        return len(self.table)

    @property
    def entries(self) -> pa.StringArray:
        """The entries, string[entries]."""
        return _single(self.table["entry"])

    @property
    def sources(self) -> pa.StringArray:
        """Where each entry comes from, string[entries]."""
        return _single(self.table["source"])

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the entries in order, each as length (8 bytes, little-endian) and UTF-8."""
        digest = hashlib.sha256()
        for entry in self.entries.to_pylist():
            encoded = entry.encode()
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
        return digest.hexdigest()

    def per_source(self) -> dict[str, int]:
        """Number of entries of each source, in the order of their first entry."""
        return dict(Counter(self.sources.to_pylist()))

    def write(self, path: Source) -> None:
        """Write metadata; the ending tells the format, as in `read`.

        JSON and text hold the entries only; a text file can't hold an entry with a line break.

        Raises:
            UsageError: when the format can't hold an entry.
            MetacurateError: when the file can't be written.
        """
        place = place_of(path)
        if place.suffix.lower() == ".parquet":
            write_parquet(place, self.table.replace_schema_metadata({DIGEST: self.digest}))
            return
        entries = self.entries.to_pylist()
        if place.suffix.lower() == ".json":
            write_text(place, json.dumps(entries, ensure_ascii=False))
            return
        for position, entry in enumerate(entries):
            if "\n" in entry or entry.endswith("\r"):
                raise UsageError(
                    f"entry {position} ({entry!r}) has a line break: write .json or .parquet"
                )
        write_text(place, "".join(f"{entry}\n" for entry in entries))


def _single(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
