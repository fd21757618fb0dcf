"""A finished curated set, read from its output folder alone; and the pool that it came from."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metacurate.curation.balance import Balance
from metacurate.curation.count import Counts
from metacurate.curation.job import COLUMN_OPTIONS
from metacurate.engine.manifest import read_manifest
from metacurate.engine.storage import is_file, list_folder, read_bytes, table_of
from metacurate.engine.stores import Place, place_of
from metacurate.errors import InputError, MetacurateError, UsageError, first_line
from metacurate.metadata.metadata import Metadata
from metacurate.pool.convert import read_converted
from metacurate.pool.files import COUNTS_FILE, CURATED_FOLDER, find_files
from metacurate.pool.opening import Asked, parse_where
from metacurate.pool.tables import Pool, read_footers
from metacurate.schema import KEPT

DATACARD_FILE = "datacard.json"


@dataclass(frozen=True, eq=False)
class CuratedSet:
    """What `curate` or `sample` left in a folder.

    Attributes:
        folder: the output folder.
        manifest: manifest.json. card: datacard.json.
        entries: string[entries]. sources: string[entries].
        counts: over the pool.
        kept: uint64[entries], kept pairs that match each entry.
    """

    folder: Place
    manifest: dict[str, Any]
    card: dict[str, Any]
    entries: pa.Array
    sources: pa.Array
    counts: Counts
    kept: npt.NDArray[np.uint64]

    @classmethod
    def read(cls, out: str | Place) -> Self:
        """Read a curated set.

        Args:
            out: the output folder of a finished run of `curate` or `sample`.

        Raises:
            UsageError: when no finished curated set is there.
            InputError: when one of its files is broken.
        """
        folder = place_of(out)
        manifest = read_manifest(folder)
        if manifest is None:
            raise UsageError(
                f"{out} holds no finished curated set: metacurate status tells how far a run is"
            )
        command = manifest["configuration"].get("command")
        if command not in ("curate", "sample"):
            raise UsageError(f"{out} holds no curated set, but what metacurate {command} made")
        table = _read(folder, COUNTS_FILE, table_of)
        card = _read(folder, DATACARD_FILE, json.loads)
        if KEPT.name not in table.column_names or "census" not in card:
            raise UsageError(
                f"{out} was made by an older metacurate: the same command again brings it up to "
                "date"
            )
        try:
            counts = Counts.from_table(table)
        except MetacurateError as error:
            raise InputError(str(folder / COUNTS_FILE), f"can't be read: {error}") from error
        return cls(
            folder,
            manifest,
            card,
            table["entry"].combine_chunks(),
            table["source"].combine_chunks(),
            counts,
            table[KEPT.name].to_numpy(),
        )

    @property
    def threshold(self) -> float:
        """The threshold that it was drawn with."""
        return float(self.card["threshold"])

    @property
    def seed(self) -> int:
        """Of its draws."""
        return int(self.card["seed"])

    @property
    def round(self) -> int:
        """Of its draws."""
        return int(self.card["round"])

    @property
    def unseen_entries(self) -> int | None:
        """Entries that match here and have no count; None but where counts are of another pool."""
        unseen: int | None = self.manifest["totals"].get("unseen_entries")
        return unseen

    @cached_property
    def balance(self) -> Balance:
        """Keep probabilities."""
        return Balance(self.counts, self.threshold)

    @cached_property
    def metadata(self) -> Metadata:
        """The entries that were looked for."""
        table = pa.table({"entry": self.entries, "source": self.sources})
        return Metadata.from_table(table)

    @cached_property
    def tables(self) -> list[str]:
        """Paths or URIs of the Parquet files of the kept pairs, sorted; none where none is kept.

        Raises:
            InputError: when there is none though pairs were kept.
        """
        folder = self.folder / CURATED_FOLDER
        names = sorted(name for name in list_folder(folder) if name.endswith(".parquet"))
        if not names:
            self.check_pairs(0)
        return [str(folder / name) for name in names]

    def check_pairs(self, found: int) -> None:
        """Refuse tables that hold other pairs than the run left: some are gone, or were added.

        Args:
            found: number of their rows.

        Raises:
            InputError: when it is not that of the kept pairs.
        """
        if found != self.card["kept"]:
            raise InputError(
                str(self.folder / CURATED_FOLDER),
                f"holds {found:,} pairs, but {self.card['kept']:,} were kept",
            )

    @cached_property
    def pool(self) -> Pool:
        """The pool that it was drawn from, its files as they are now.

        Raises:
            MetacurateError: when they are gone, or can't be read any more.
        """
        configuration = self.manifest["configuration"]
        files = find_files(configuration["pool"])
        where = parse_where(configuration["where"])
        asked = Asked(files, where=where, round_=self.round, **self._columns)
        return asked.open(read_converted(files, self.folder))

    def open_kept(self, tables: Sequence[str]) -> Pool:
        """Open tables of kept pairs: the same columns make a pair there as in the pool.

        Args:
            tables: some of this set's, at least one.

        Raises:
            InputError: when none of them can be read.
        """
        files = find_files(tables)
        asked = Asked(files, round_=self.round, may_be_empty=True, **self._columns)
        return asked.open(read_footers(files))

    @property
    def _columns(self) -> dict[str, Any]:
        """Columns that were named when the set was drawn."""
        return {name: self.manifest["configuration"][name] for name in COLUMN_OPTIONS}


def _read(folder: Place, name: str, read: Any) -> Any:
    place = folder / name
    if not is_file(place):
        raise InputError(str(place), "is missing, though the run is complete")
    try:
        return read(read_bytes(place))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(str(place), f"can't be read: {first_line(error)}") from error
