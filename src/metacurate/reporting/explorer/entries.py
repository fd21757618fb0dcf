"""The entries of a curated set, searched and sorted in memory."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.reporting.curated_set import CuratedSet
from metacurate.reporting.explorer.addresses import EntriesView

PAGE = 50  # entries


@dataclass(frozen=True)
class Entry:
    """An entry and its numbers.

    Attributes:
        id: of the entry. entry: itself. source: where it comes from.
        count: texts of the pool that match it. kept: of these, kept pairs.
        probability: with which each match of it keeps its pair.
    """

    id: int
    entry: str
    source: str
    count: int
    kept: int
    probability: float


@dataclass(frozen=True, eq=False)
class Entries:
    """All entries of a set.

    Attributes:
        curated: the set.
    """

    curated: CuratedSet

    def __len__(self) -> int:
        """Number of entries."""
        return len(self.curated.entries)

    def __getitem__(self, entry_id: int) -> Entry:
        """An entry.

        Args:
            entry_id: from 0.
        """
        curated = self.curated
        return Entry(
            entry_id,
            curated.entries[entry_id].as_py(),
            curated.sources[entry_id].as_py(),
            int(curated.counts.values[entry_id]),
            int(curated.kept[entry_id]),
            float(curated.balance.entry_probabilities[entry_id]),
        )

    @cached_property
    def sources(self) -> list[str]:
        """All sources, the largest first."""
        counted = pc.value_counts(self.curated.sources).to_pylist()
        return [c["values"] for c in sorted(counted, key=lambda c: (-c["counts"], c["values"]))]

    def search(self, view: EntriesView) -> tuple[list[Entry], int]:
        """Find entries.

        Args:
            view: what to look for, and which page of it.

        Returns:
            The entries of the page, and how many there are in all.
        """
        curated = self.curated
        found: Any = None
        if view.q:
            find = pc.starts_with if view.where == "beginning" else pc.match_substring
            found = find(curated.entries, view.q, ignore_case=True)
        if view.source:
            of_source = pc.equal(curated.sources, view.source)
            found = of_source if found is None else pc.and_(found, of_source)
        order = self._order(view.sort)
        if found is not None:
            order = order[found.to_numpy(zero_copy_only=False)[order]]
        if view.reverse:
            order = order[::-1]
        shown = order[view.page * PAGE : (view.page + 1) * PAGE]
        return [self[int(i)] for i in shown], len(order)

    def _order(self, sort: str) -> npt.NDArray[np.int64]:
        """Ids of all entries, sorted; equal ones by id."""
        if sort not in self._orders:
            self._orders[sort] = self._sorted(sort)
        return self._orders[sort]

    @cached_property
    def _orders(self) -> dict[str, npt.NDArray[np.int64]]:
        return {}

    def _sorted(self, sort: str) -> npt.NDArray[np.int64]:
        curated = self.curated
        if sort == "id":
            return np.arange(len(self))
        if sort in ("entry", "source"):
            column: pa.Array = curated.entries if sort == "entry" else curated.sources
            table = pa.table({"key": column, "id": np.arange(len(self))})
            keys = [("key", "ascending"), ("id", "ascending")]
            return np.asarray(pc.sort_indices(table, sort_keys=keys), np.int64)
        numbers = {
            "count": curated.counts.values.astype(np.float64),
            "kept": curated.kept.astype(np.float64),
            "probability": curated.balance.entry_probabilities,
        }[sort]
        return np.argsort(-numbers, kind="stable")
