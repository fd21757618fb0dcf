"""How often each entry is matched in a pool."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metacurate.errors import MetacurateError
from metacurate.matching.matcher import MatchCounts, Matcher, Texts
from metacurate.metadata.metadata import Metadata
from metacurate.schema import COUNTS, KEPT


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of all entries over a pool, and what they were counted with.

    Attributes:
        values: uint64[entries], number of texts that match each entry.
        texts: number of texts, without invalid ones.
        matched_texts: number of texts that match at least one entry.
        metadata_digest: of the metadata, in hex.
        mode: the matching mode.
        pool: identity of the pool, in hex; "" for texts that are no pool.
    """

    values: npt.NDArray[np.uint64]
    texts: int
    matched_texts: int
    metadata_digest: str
    mode: str
    pool: str = ""

    @property
    def matches(self) -> int:
        """Sum of all counts."""
        return int(self.values.sum())

    @property
    def digest(self) -> str:
        """SHA-256 over the counts and what they were counted with, in hex."""
        digest = hashlib.sha256(self.values.tobytes())
        digest.update(f"{self.metadata_digest} {self.mode} {self.pool}".encode())
        return digest.hexdigest()

    def __add__(self, other: "Counts") -> "Counts":
        """Counts over both sets of texts.

        Raises:
            MetacurateError: when the two were made with other metadata or another mode.
        """
        self.check(other.metadata_digest, other.mode)
        return replace(
            self,
            values=self.values + other.values,
            texts=self.texts + other.texts,
            matched_texts=self.matched_texts + other.matched_texts,
            pool=self.pool if self.pool == other.pool else "",
        )

    def check(self, metadata_digest: str, mode: str) -> None:
        """Refuse to serve other metadata or another mode than these counts were made with.

        Raises:
            MetacurateError: naming both.
        """
        if self.metadata_digest != metadata_digest:
            raise MetacurateError(
                f"the counts belong to metadata of digest {self.metadata_digest}, "
                f"not {metadata_digest}"
            )
        if self.mode != mode:
            raise MetacurateError(f"the counts were made in mode '{self.mode}', not '{mode}'")

    def to_table(self, metadata: Metadata, kept: npt.NDArray[np.uint64] | None = None) -> pa.Table:
        """The counts as `metacurate.schema.COUNTS`, totals and digests in its metadata.

        Args:
            metadata: what was counted.
            kept: uint64[entries], counts over a balanced subset; adds a column.

        Raises:
            MetacurateError: when it is other metadata.
        """
        self.check(metadata.digest, self.mode)
        totals = {
            "metacurate.texts": str(self.texts),
            "metacurate.matched_texts": str(self.matched_texts),
            "metacurate.matches": str(self.matches),
            "metacurate.metadata_digest": self.metadata_digest,
            "metacurate.mode": self.mode,
            "metacurate.pool": self.pool,
        }
        ids = pa.array(np.arange(len(metadata), dtype=np.uint32))
        columns = [ids, metadata.entries, metadata.sources, pa.array(self.values)]
        table = pa.table(columns, schema=COUNTS.with_metadata(totals))
        return table if kept is None else table.append_column(KEPT, pa.array(kept))

    @classmethod
    def from_table(cls, table: pa.Table) -> "Counts":
        """Read what `to_table` made.

        Raises:
            MetacurateError: when the table is none of counts.
        """
        totals: dict[str, Any] = {
            key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()
        }
        try:
            ids = table["entry_id"].to_numpy()
            if table["count"].null_count or not np.array_equal(ids, np.arange(len(ids))):
                raise MetacurateError("its rows are not one for each entry, in order")
            return cls(
                values=table["count"].to_numpy().astype(np.uint64),
                texts=int(totals["metacurate.texts"]),
                matched_texts=int(totals["metacurate.matched_texts"]),
                metadata_digest=totals["metacurate.metadata_digest"],
                mode=totals["metacurate.mode"],
                pool=totals["metacurate.pool"],
            )
        except (KeyError, ValueError) as error:
            raise MetacurateError(f"not a table of counts: it lacks {error}") from error


def count_texts(texts: Texts, matcher: Matcher) -> Counts:
    """Count the entries of some texts (Algorithm 1, step 1).

    Args:
        texts: any Arrow string array, or a sequence of str and None.
        matcher: of the metadata.

    Returns:
        The counts.
    """
    found: MatchCounts = matcher.count(texts)
    return Counts(
        found.values, found.texts, found.matched_texts, matcher.metadata.digest, matcher.mode
    )
