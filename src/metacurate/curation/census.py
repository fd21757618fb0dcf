"""What one pass finds out about all pairs of a pool, kept or not: numbers by what they have."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.schema import is_text

Values = npt.NDArray[np.uint64]
Numbers = dict[str, list[int]]  # of a value: pairs of the pool, and kept ones

FORMAT = 1
VALUED = ("language", "attribute")  # columns whose values are counted
MOST_VALUES = 1000  # of a column; of one with more, none are told
LONGEST_VALUE = 100  # characters; the rest is cut off
MOST_MATCHES = 64  # of a text that are told apart
DECADES = 10


def threshold_grid(threshold: float) -> npt.NDArray[np.float64]:
    """The thresholds that a census answers for: round numbers, and the run's own.

    Args:
        threshold: t.

    Returns:
        float64, ascending: all numbers of two digits times a power of ten, from 1 to 9.9 * 10^9,
        and t.
    """
    steps = np.arange(10, 100, dtype=np.float64)
    rounds = [steps / 10, *(steps * 10.0**power for power in range(DECADES - 1))]
    return np.unique(np.concatenate([*rounds, [threshold]]))


@dataclass
class Census:
    """Numbers of a pool's pairs, which grow batch by batch.

    Attributes:
        thresholds: float64[n], ascending.
        pairs_from, matches_from: uint64[n + 1], matched pairs, and their matches, that are kept
            from the threshold of that place on but not by the one before; the last, by none.
        matches_per_text: uint64[2, MOST_MATCHES + 1], texts with so many matches, in the pool and
            kept; the last: so many or more.
        values: of columns in `VALUED` that the pool has, by value; None where they are too many.
    """

    thresholds: npt.NDArray[np.float64]
    pairs_from: Values
    matches_from: Values
    matches_per_text: npt.NDArray[np.uint64]
    values: dict[str, Numbers | None] = field(default_factory=dict)

    @classmethod
    def empty(cls, threshold: float) -> "Census":
        """Nothing counted yet.

        Args:
            threshold: of the run.
        """
        grid = threshold_grid(threshold)
        size = len(grid) + 1
        return cls(
            grid,
            np.zeros(size, np.uint64),
            np.zeros(size, np.uint64),
            np.zeros((2, MOST_MATCHES + 1), np.uint64),
        )

    def add(
        self,
        mins: npt.NDArray[np.float64],
        lengths: npt.NDArray[Any],
        keep: npt.NDArray[np.bool_],
        columns: Mapping[str, pa.Array],
    ) -> None:
        """Count some valid pairs.

        Args:
            mins: float64[pairs], smallest thresholds; infinity where nothing matches.
            lengths: int[pairs], numbers of matches.
            keep: bool[pairs].
            columns: those in `VALUED`, string[pairs].
        """
        matched = lengths > 0
        lengths = lengths.astype(np.int64)
        places = np.searchsorted(self.thresholds, mins[matched], "left")
        size = len(self.pairs_from)
        self.pairs_from += np.bincount(places, minlength=size).astype(np.uint64)
        weights = np.bincount(places, weights=lengths[matched], minlength=size)
        self.matches_from += weights.astype(np.uint64)  # exact: a batch is small
        told = np.minimum(lengths, MOST_MATCHES)
        for row, numbers in enumerate((told, told[keep])):
            self.matches_per_text[row] += np.bincount(numbers, minlength=MOST_MATCHES + 1).astype(
                np.uint64
            )
        for name, column in columns.items():
            mask = pa.array(keep)
            found = (_count_values(column), _count_values(column.filter(mask)))
            self.values[name] = _merged(
                self.values.get(name, {}),
                {value: [number, found[1].get(value, 0)] for value, number in found[0].items()},
            )

    def merge(self, other: "Census") -> None:
        """Add what was counted elsewhere, for the same thresholds.

        Args:
            other: stays as it is.
        """
        self.pairs_from += other.pairs_from
        self.matches_from += other.matches_from
        self.matches_per_text += other.matches_per_text
        for name, numbers in other.values.items():
            self.values[name] = _merged(self.values.get(name, {}), numbers)

    def to_bytes(self) -> bytes:
        """All of it but the thresholds, as JSON."""
        numbers = (self.pairs_from, self.matches_from, self.matches_per_text)
        return json.dumps([*(n.tolist() for n in numbers), self.values]).encode()

    @classmethod
    def from_bytes(cls, content: bytes, threshold: float) -> "Census":
        """Read what `to_bytes` made.

        Args:
            content: JSON. threshold: of the run.
        """
        pairs, matches, per_text, values = json.loads(content)
        return cls(
            threshold_grid(threshold),
            np.array(pairs, np.uint64),
            np.array(matches, np.uint64),
            np.array(per_text, np.uint64),
            values,
        )

    def to_card(self, highest: float) -> dict[str, Any]:
        """What the data card says of it.

        Args:
            highest: the largest count of an entry: from there on, nothing is thinned.

        Returns:
            JSON: `thresholds`, up to the first that keeps all, with `kept` pairs and
            `kept_matches` for each; `matches_per_text`, numbers of texts of the `pool` and `kept`
            ones with 0, 1, 2 ... matches, the last with 64 or more, less zeros at the end;
            `values` of columns: numbers of pairs of the pool, and kept, by value.
        """
        stop = min(int(np.searchsorted(self.thresholds, highest)) + 1, len(self.thresholds))
        used = int(np.flatnonzero(self.matches_per_text[0]).max(initial=0)) + 1
        pool, kept = self.matches_per_text[:, :used].tolist()
        return {
            "thresholds": self.thresholds[:stop].tolist(),
            "kept": np.cumsum(self.pairs_from)[:stop].tolist(),
            "kept_matches": np.cumsum(self.matches_from)[:stop].tolist(),
            "matches_per_text": {"pool": pool, "kept": kept},
            "values": {
                name: None
                if numbers is None
                else dict(sorted(numbers.items(), key=lambda item: (-item[1][0], item[0])))
                for name, numbers in sorted(self.values.items())
            },
        }


def valued_columns(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """The columns of some rows that a census counts the values of.

    Args:
        batch: of a pool.
    """
    found = {}
    for name in VALUED:
        index = batch.schema.get_field_index(name)  # -1 where there are several, too
        if index >= 0 and is_text(batch.schema.field(index).type):
            found[name] = batch.column(index)
    return found


def _count_values(column: pa.Array) -> dict[str, int]:
    """Numbers of rows by value; of null, under an empty name."""
    counted = pc.value_counts(column)
    values, numbers = counted.field(0), counted.field(1).to_numpy()
    values = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
    known = pc.fill_null(values.cast(pa.large_binary()), b"").to_pylist()
    found: dict[str, int] = {}
    for value, number in zip(known, numbers.tolist(), strict=True):
        name = value.decode(errors="replace")[:LONGEST_VALUE]
        found[name] = found.get(name, 0) + number
    return found


def _merged(one: Numbers | None, other: Numbers | None) -> Numbers | None:
    if one is None or other is None:
        return None
    merged = {name: list(numbers) for name, numbers in one.items()}
    for name, (pool, kept) in other.items():
        known = merged.setdefault(name, [0, 0])
        known[0] += pool
        known[1] += kept
    return merged if len(merged) <= MOST_VALUES else None
