"""Finished curated sets side by side: totals, settings, shared pairs, and what entries gained."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.engine.stores import Place, place_of
from metacurate.errors import UsageError
from metacurate.reporting.curated_set import CuratedSet
from metacurate.reporting.overlap import MOST, KeptPairs, find_overlap

TOP = 20
TOTALS = (
    "rows_read", "kept", "balanced_away", "unmatched", "invalid", "other_caption", "filtered",
    "matched_texts", "threshold", "tail_share", "entries", "head_entries", "tail_entries",
    "unmatched_entries", "matches", "kept_matches",
)  # fmt: skip
ASKED = (
    "command", "pool", "where", "per_image", "url_column", "text_column", "id_column", "columns",
    "budget", "counts",
)  # fmt: skip

Numbers = npt.NDArray[np.int64]


def compare(
    outs: Sequence[str | Place], *, top: int = TOP, memory: int | None = None
) -> dict[str, Any]:
    """Compare finished curated sets.

    Args:
        outs: two or more output folders of `curate` or `sample`.
        top: so many entries of each kind are told.
        memory: see `find_overlap`.

    Returns:
        JSON: `sets`, for each its `name`, `totals`, `settings` and `sources`; names of settings
        that `differ`; `overlap`, see `Overlap.to_json`, and by which column each set tells images
        apart (`identities`); `entries`, for each set but the first, what changed `from` the first
        `to` it, see `compare_entries`.

    Raises:
        UsageError: for fewer than two sets, one that is named twice, or a folder that holds none.
        InputError: when a file of a set is broken.
        MetacurateError: when DuckDB, of the extra `report`, is missing or fails.
    """
    _check_number(outs, top)
    sets = [CuratedSet.read(out) for out in outs]
    pairs = [KeptPairs.of(found) for found in sets]
    settings = [settings_of(found) for found in sets]
    entries = [Entries.of(found) for found in sets]
    overlap = find_overlap(pairs, memory)
    for found, rows in zip(sets, overlap.rows, strict=True):
        found.check_pairs(rows)
    return {
        "sets": [
            {
                "name": str(out),
                "totals": {name: found.card[name] for name in TOTALS if name in found.card},
                "settings": setting,
                "sources": found.card["sources"],
            }
            for out, found, setting in zip(outs, sets, settings, strict=True)
        ],
        "differ": [
            name for name in settings[0] if any(s[name] != settings[0][name] for s in settings)
        ],
        "overlap": {
            "identities": [one.id_column for one in pairs],
            **overlap.to_json(),
        },
        "entries": [
            {"from": 0, "to": place, **compare_entries(entries[0], other, top)}
            for place, other in enumerate(entries)
            if place
        ],
    }


def label_of(place: int) -> str:
    """A short name for a set: A, B ... Z, AA, AB and so on.

    Args:
        place: of the set, from 0.
    """
    letter = chr(ord("A") + place % 26)
    return letter if place < 26 else label_of(place // 26 - 1) + letter


def _check_number(outs: Sequence[str | Place], top: int) -> None:
    if not 2 <= len(outs) <= MOST:
        raise UsageError(f"name 2 to {MOST} curated sets, not {len(outs)}")
    if top < 0:
        raise UsageError(f"top {top} is below 0")
    seen: dict[str, str] = {}
    for out in outs:
        place = place_of(out)
        where = str(place.resolve())
        if where in seen:
            raise UsageError(f"{seen[where]} and {out} are the same set")
        seen[where] = str(out)


def settings_of(found: CuratedSet) -> dict[str, Any]:
    """All that may have decided about a set, by name.

    Args:
        found: a curated set.

    Returns:
        JSON, in an order that is the same for all sets.
    """
    asked, card = found.manifest["configuration"], found.card
    return {
        **{name: card[name] for name in ("threshold", "seed", "round", "mode")},
        "tail_share_asked": asked["tail_share"],
        **{name: asked[name] for name in ASKED},
        "metadata_digest": card["metadata_digest"],
        "pool_identity": card["pool"],
        **{
            f"version_of_{name}": found.manifest["versions"].get(name)
            for name in ("metacurate", "python", "numba", "numpy", "pyarrow")
        },
    }


@dataclass(frozen=True, eq=False)
class Entries:
    """The entries of a set, with what balancing left of each.

    Attributes:
        names: string[entries], each once. sources: string[entries].
        counts: int64[entries], pairs of the pool. kept: int64[entries], kept pairs.
    """

    names: pa.Array
    sources: pa.Array
    counts: Numbers
    kept: Numbers

    @classmethod
    def of(cls, found: CuratedSet) -> "Entries":
        """Those of a curated set.

        Args:
            found: which.
        """
        counts, kept = found.counts.values.astype(np.int64), found.kept.astype(np.int64)
        return cls(found.entries, found.sources, counts, kept)

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """Of all matches of kept pairs, each entry's; 0 where there is none."""
        return self.kept / max(1, int(self.kept.sum()))

    def only(self, common: Numbers, top: int) -> dict[str, Any]:
        """Tell of the entries that another set has not.

        Args:
            common: int64[entries in common], ids of those that it has.
            top: so many are named.

        Returns:
            JSON: their `number`, how many of them `matched`, their `matches` and `kept_matches`;
            and the `top` by kept pairs.
        """
        alone = np.ones(len(self.names), np.bool_)
        alone[common] = False
        ids = np.flatnonzero(alone)
        order = ids[np.lexsort((ids, -self.counts[ids], -self.kept[ids]))][:top]
        return {
            "number": len(ids),
            "matched": int(np.count_nonzero(self.counts[ids])),
            "matches": int(self.counts[ids].sum()),
            "kept_matches": int(self.kept[ids].sum()),
            "top": [
                {
                    "entry": self.names[int(i)].as_py(),
                    "source": self.sources[int(i)].as_py(),
                    "count": int(self.counts[i]),
                    "kept": int(self.kept[i]),
                }
                for i in order
                if self.counts[i]
            ],
        }


def compare_entries(first: Entries, second: Entries, top: int) -> dict[str, Any]:
    """Tell which entries gained and lost kept pairs from one set to another.

    Entries are the same when their names are, whatever their ids.

    Args:
        first, second: what to compare. top: so many are told of each kind.

    Returns:
        JSON: numbers of entries in `common`, and of those that `grew`, `shrank` or stayed as they
        were (`same`); lists `gained` and `lost` by kept pairs, `gained_share` and `lost_share` by
        the share of their set's matches, each with the entry, its source, and `count`, `kept` and
        `share` in both sets; `only_first`, `only_second`: see `Entries.only`.
    """
    ours, theirs = _common(first.names, second.names)
    change = second.kept[theirs] - first.kept[ours]
    share_change = second.shares[theirs] - first.shares[ours]

    def told(changes: npt.NDArray[Any]) -> list[dict[str, Any]]:
        order = np.lexsort((ours, -changes))[:top]
        return [
            {
                "entry": first.names[int(ours[i])].as_py(),
                "source": first.sources[int(ours[i])].as_py(),
                "count": [int(first.counts[ours[i]]), int(second.counts[theirs[i]])],
                "kept": [int(first.kept[ours[i]]), int(second.kept[theirs[i]])],
                "share": [float(first.shares[ours[i]]), float(second.shares[theirs[i]])],
            }
            for i in order
            if changes[i] > 0
        ]

    return {
        "common": len(ours),
        "grew": int(np.count_nonzero(change > 0)),
        "shrank": int(np.count_nonzero(change < 0)),
        "same": int(np.count_nonzero(change == 0)),
        "gained": told(change),
        "lost": told(-change),
        "gained_share": told(share_change),
        "lost_share": told(-share_change),
        "only_first": first.only(ours, top),
        "only_second": second.only(theirs, top),
    }


def _common(first: pa.Array, second: pa.Array) -> tuple[Numbers, Numbers]:
    """Ids of the entries that both have, in the order of the first."""
    if first.equals(second):
        ids = np.arange(len(first))
        return ids, ids
    places = pc.index_in(first, value_set=second)
    ours = np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False))
    return ours, places.drop_null().to_numpy().astype(np.int64)
