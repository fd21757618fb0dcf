"""Which pairs of a shard stay, and for which reason the others go."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.errors import InputError, first_line
from metacurate.images.results import choose_captions
from metacurate.images.selection.curated_pairs import text_column
from metacurate.images.shards import (
    SUCCESS,
    Pair,
    Sample,
    Shard,
    pair_fields,
    read_samples,
    read_table,
)
from metacurate.pool.tables import STATUS
from metacurate.pool.where import Where
from metacurate.schema import CURATED

KEY, ERROR = "key", "error_message"
DROPPED = "dropped"  # the status of pairs that are out of a shard by selection
BY_WHERE, BY_PAIRS, MISSING = "where", "pairs", "missing"
ROW = "__row__"
CURATED_PAIRS = "curated pairs"  # that are in the shards

Matched = Sequence[dict[str, Any] | None]
UNCOMPARED = frozenset({STATUS, ERROR, *CURATED.names})


@dataclass(frozen=True)
class Rows:
    """A shard's pairs.

    Attributes:
        table: a row for each, with the columns key and one of texts.
        text: name of that column.
        there: bool[rows], whose image is in the tar.
    """

    table: pa.Table
    text: str
    there: list[bool]

    @property
    def keys(self) -> list[str]:
        """Of each row's sample."""
        return self.table[KEY].to_pylist()  # type: ignore[no-any-return]

    @property
    def texts(self) -> list[str]:
        """Of each row."""
        return self.table[self.text].to_pylist()  # type: ignore[no-any-return]


def read_rows(shard: Shard) -> Rows:
    """Read a shard's pairs: of the table beside the tar, or where it has none of the samples.

    Args:
        shard: which.

    Raises:
        InputError: when it can't be read, or the table has no texts.
    """
    if shard.table is not None:
        table = read_table(shard)
        if KEY in table.column_names:
            text = text_column(table.column_names)
            if text is None:
                raise InputError(shard.table, "has no column of texts")
            keys = table[KEY].cast(pa.string())
            table = table.set_column(table.schema.get_field_index(KEY), KEY, keys)
            there = keys.is_valid().to_pylist()
            if STATUS in table.column_names:
                status = table[STATUS].to_pylist()
                there = [k and s == SUCCESS for k, s in zip(there, status, strict=True)]
            return Rows(table, text, there)
    rows = [
        {KEY: sample.key, "url": sample.fields.get("url"), "text": pair["text"]}
        for sample in read_samples(shard.tar, images=lambda _: False)
        for pair in sample.pairs or [{"text": None}]
    ]
    schema = pa.schema([(name, pa.string()) for name in (KEY, "url", "text")])
    return Rows(pa.Table.from_pylist(rows, schema), "text", [True] * len(rows))


def reasons(
    rows: Rows,
    verdicts: pa.Table | None,
    drop: Sequence[str],
    where: Where | None,
    matched: Matched | None,
) -> list[str | None]:
    """Why each pair goes: the first cause, or None for one that stays or was not there.

    Args:
        rows: of the shard.
        verdicts: on its samples, where there are any. drop: those for which an image goes.
        where: what a pair must meet, of the table's columns and those of verdicts.
        matched: what was curated of each pair, from `match_curated`; None for all to stay.

    Raises:
        UsageError: when the condition does not fit.
        pa.ArrowException: when it can't be computed.
    """
    found: list[str | None] = [None] * len(rows.there)

    def go(reason: str, gone: Sequence[bool | None]) -> None:
        for i, out in enumerate(gone):
            if out and found[i] is None and rows.there[i]:
                found[i] = reason

    table = rows.table
    if verdicts is not None:
        places = pc.index_in(table[KEY], verdicts[KEY])
        go(MISSING, pc.is_null(places).to_pylist())
        beside = verdicts.take(places)
        for name in drop:
            go(name, beside[name].to_pylist())
        for field in verdicts.drop_columns([KEY]).schema:
            if field.name in table.column_names:
                table = table.drop_columns([field.name])
            table = table.append_column(field.name, beside[field.name])
    if where is not None:
        columns = table.select([n for n in dict.fromkeys(where.columns) if n in table.column_names])
        expression = where.bind(table.schema)
        numbered = columns.append_column(ROW, pa.array(np.arange(len(table))))
        passing = set(numbered.filter(expression)[ROW].to_pylist())
        go(BY_WHERE, [i not in passing for i in range(len(table))])
    if matched is not None:
        go(BY_PAIRS, [one is None for one in matched])
    return found


def match_curated(rows: Rows, curated: Sequence[Mapping[str, Any]]) -> Matched:
    """Find the pairs that were curated; of pairs that repeat, as many as there are.

    Args:
        rows: of the shard. curated: rows of what was curated of it, with `key` and `text`.

    Returns:
        For each pair what was curated, or None: rows with the same key, text and url, those first
        that are equal in all columns that both have.
    """
    waiting: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for row in curated:
        waiting.setdefault((row["key"], row["text"]), []).append(dict(row))
    found: list[dict[str, Any] | None] = [None] * len(rows.there)
    table = rows.table.rename_columns(
        ["text" if name == rows.text else name for name in rows.table.column_names]
    ).to_pylist()
    for like in (_same_row, _same_image):
        for i, row in enumerate(table):
            some = waiting.get((row[KEY], row["text"]), [])
            if rows.there[i] and found[i] is None:
                place = next((n for n, one in enumerate(some) if like(row, one)), None)
                found[i] = None if place is None else some.pop(place)
    return found


def _same_row(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[name] == other[name] for name in one.keys() & other.keys() - UNCOMPARED)


def _same_image(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    urls = one.get("url"), other.get("url")
    return None in urls or urls[0] == urls[1]


class Choice:
    """What stays of a shard, and what each sample that stays has of its pairs."""

    def __init__(self, rows: Rows, gone: Sequence[str | None], matched: Matched | None) -> None:
        """Sort out pairs by sample.

        Args:
            rows: of the shard. gone: from `reasons`. matched: as there.
        """
        self._rows, self._gone, self._matched = rows, list(gone), matched
        self._by_key: dict[str, list[int]] = {}
        self._texts = rows.texts
        for i, key in enumerate(rows.keys):
            if rows.there[i]:
                self._by_key.setdefault(key, []).append(i)

    @property
    def keys(self) -> list[str]:
        """Of the samples that stay, in the order of the table."""
        return [key for key, at in self._by_key.items() if self._staying(at)]

    def _staying(self, at: Sequence[int]) -> list[int]:
        return [i for i in at if self._gone[i] is None]

    def sample(self, sample: Sample, shard: Shard) -> Sample | None:
        """A sample with the pairs that stay; None for one that goes.

        Args:
            sample: of the shard. shard: which.

        Raises:
            InputError: when its table tells nothing of the sample.
        """
        at = self._by_key.get(sample.key)
        if at is None:
            raise InputError(
                shard.tar, f"sample {sample.key!r} has no row in the table beside the tar"
            )
        staying = self._staying(at)
        if not staying:
            return None
        if len(staying) == len(at) and self._matched is None:
            return sample
        texts = [self._texts[i] for i in staying]
        pairs: list[Pair]
        if self._matched is None:
            pairs = _left(
                sample.pairs, [self._texts[i] for i in at], [at.index(i) for i in staying]
            )
        else:
            pairs = [pair_fields(self._matched[i] or {"text": self._texts[i]}) for i in staying]
        urls = [sample.url(shard.file_name)] * len(texts)
        text = texts[choose_captions(urls, texts, np.array([0, len(texts)]))[0]]
        fields = {**sample.fields, "pairs": pairs}
        if "caption" in fields:
            fields["caption"] = text
        return Sample(sample.key, sample.image, sample.ending, text, fields)

    def miss(self, seen: set[str]) -> None:
        """Take pairs out whose sample was not in the tar.

        Args:
            seen: keys of all that were.
        """
        for key, at in self._by_key.items():
            if key not in seen:
                for i in self._staying(at):
                    self._gone[i] = MISSING

    def counts(self) -> Counter[tuple[str, str]]:
        """Number of images and of pairs, by what became of them: "" for those that stay.

        An image that goes does so for the reason of its first pair.
        """
        found: Counter[tuple[str, str]] = Counter()
        for at in self._by_key.values():
            found.update(("pairs", self._gone[i] or "") for i in at)
            found["images", "" if self._staying(at) else self._gone[at[0]] or ""] += 1
        return found

    def table(self, metadata: Mapping[bytes, bytes]) -> pa.Table:
        """The new shard's table: all rows, those that are out with the status `dropped` and why.

        Args:
            metadata: of curation, in place of what the table has.
        """
        rows, gone = self._rows, self._gone
        table = rows.table
        old = table[STATUS].to_pylist() if STATUS in table.column_names else [SUCCESS] * len(table)
        told = table[ERROR].to_pylist() if ERROR in table.column_names else [None] * len(table)
        columns: dict[str, pa.Array] = {
            STATUS: pa.array(
                [s if why is None else DROPPED for s, why in zip(old, gone, strict=True)],
                pa.string(),
            ),
            ERROR: pa.array(
                [t if why is None else why for t, why in zip(told, gone, strict=True)],
                pa.string(),
            ),
        }
        if self._matched is not None:
            pairs = zip(self._matched, gone, rows.there, strict=True)
            kept = [one if one is not None and there and why is None else {}
                for one, why, there in pairs]  # fmt: skip
            for field in CURATED:
                values = [one.get(field.name) for one in kept]
                columns[field.name] = pa.array(values, field.type)
        for name, column in columns.items():
            place = table.schema.get_field_index(name)
            table = (
                table.append_column(name, column)
                if place < 0
                else table.set_column(place, name, column)
            )
        return table.replace_schema_metadata({**(table.schema.metadata or {}), **metadata})


def _left(pairs: Sequence[Pair], texts: Sequence[str], staying: Sequence[int]) -> list[Pair]:
    """A sample's pairs that stay: by their places, or where these differ as often as they do."""
    if [pair["text"] for pair in pairs] == list(texts):
        return [pairs[place] for place in staying]
    left = Counter(texts[place] for place in staying)
    found: list[Pair] = []
    for pair in pairs:
        if left[pair["text"]] > 0:
            left[pair["text"]] -= 1
            found.append(pair)
    return found


def error_of(where: Where, error: pa.ArrowException) -> str:
    """What is wrong with a value that a condition can't be computed of.

    Args:
        where: the condition. error: Arrow's.
    """
    return f"{where.text!r} can't be computed: {first_line(error)}"
