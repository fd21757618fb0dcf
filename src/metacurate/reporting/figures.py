"""The figures of a report: what a curated set is, as JSON, from its counts and its census."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from metacurate.curation.balance import check_threshold, tail_share_of
from metacurate.hashing.pairs import draw_seed, hash_columns
from metacurate.reporting.curated_set import CuratedSet
from metacurate.reporting.domains import count_hosts

Values = npt.NDArray[np.uint64]

FORMAT = 1
POINTS = 200  # of a curve: so many evenly spaced, and so many ever denser towards the head
PER_DECADE = 8  # bins of counts
SAMPLE = 20  # entries that are drawn to be looked at
MOST_NAMES = 20  # sources, values that are told one by one
FATES = {
    "kept": "kept",
    "balanced_away": "balanced away",
    "unmatched": "unmatched",
    "invalid": "invalid",
    "other_caption": "left for another caption of their image",
    "filtered": "left out by the filter",
}


def make_figures(found: CuratedSet, thresholds: Sequence[float] = ()) -> dict[str, Any]:
    """All figures of a report.

    Args:
        found: the curated set.
        thresholds: for which cumulative counts are told besides the run's own; without any, a
            tenth and ten times that one, where they would thin anything.

    Returns:
        JSON, whose keys are the report's parts.

    Raises:
        UsageError: for a threshold that is no number above 0.
        InputError: when a table is broken.
        MetacurateError: when a package of the extra `report` is missing.
    """
    card, values = found.card, found.counts.values
    own = found.threshold
    asked = [check_threshold(t) for t in thresholds]
    if not asked:
        highest = float(values.max(initial=0))
        asked = [t for t in (own / 10, own * 10) if 1 <= t < highest]
    return {
        "format": FORMAT,
        "threshold": own,
        "unseen_entries": found.unseen_entries,
        "flow": flow(card),
        "slider": slider(card, values),
        "cumulative": cumulative(values, found.kept, sorted({*asked, own})),
        "head": head(values, found.kept, own),
        "before_after": before_after(values, found.kept),
        "sources": per_source(card),
        "most_matched": card["most_matched"],
        **samples(found),
        "matches_per_text": card["census"]["matches_per_text"],
        "values": {name: _most(told) for name, told in card["census"]["values"].items()},
        "hosts": count_hosts(found),
        "run": {
            "command_line": found.manifest.get("command_line"),
            "configuration": found.manifest["configuration"],
            "seed": found.seed,
            "round": found.round,
            "mode": card["mode"],
            "digests": found.manifest["digests"],
            "versions": found.manifest["versions"],
        },
    }


def flow(card: dict[str, Any]) -> dict[str, Any]:
    """Rows by fate.

    Args:
        card: the data card.

    Returns:
        JSON: rows `read`, `matched` ones, of which some are kept, and the `fates`, which add up
        to all that are read; and numbers of matches before and after.
    """
    fates = {name: card[name] for name in FATES if name in card}
    return {
        "read": card["rows_read"],
        "matched": card["kept"] + card["balanced_away"],
        "fates": fates,
        "matches": card["matches"],
        "kept_matches": card["kept_matches"],
    }


def slider(card: dict[str, Any], values: Values) -> dict[str, list[Any]]:
    """What each of many thresholds would keep, exactly.

    Args:
        card: the data card.
        values: uint64[entries], counts.

    Returns:
        JSON arrays of one length, thresholds ascending. Of pairs, numbers `kept` and their
        `share` of the pool; `kept_matches`; `tail_share`; `head_entries` and `tail_entries`;
        `tail_matches`, sum of the tail entries' counts.
    """
    census = card["census"]
    thresholds, kept, matches = (
        list(census[name]) for name in ("thresholds", "kept", "kept_matches")
    )
    if card["threshold"] > thresholds[-1]:  # nothing is thinned from the last on
        thresholds.append(card["threshold"])
        kept.append(kept[-1])
        matches.append(matches[-1])
    ordered = np.sort(values)
    upto = np.concatenate([np.zeros(1, np.uint64), np.cumsum(ordered)])
    tails = np.searchsorted(ordered.astype(np.float64), thresholds, "left")
    pairs = card["rows_read"] - card.get("filtered", 0)
    total = int(upto[-1])
    tail_matches = upto[tails].tolist()
    return {
        "thresholds": thresholds,
        "kept": kept,
        "share": [number / pairs if pairs else 0.0 for number in kept],
        "kept_matches": matches,
        "tail_share": [number / total if total else 0.0 for number in tail_matches],
        "head_entries": (len(values) - tails).tolist(),
        "tail_entries": tails.tolist(),
        "tail_matches": tail_matches,
    }


def cumulative(values: Values, kept: Values, thresholds: Sequence[float]) -> dict[str, Any]:
    """Sums of counts over entries from tail to head, for the pool, thresholds and what was kept.

    Only some of the points are told; those are exact.

    Args:
        values: uint64[entries], counts. kept: the same over kept pairs.
        thresholds: each caps the counts.

    Returns:
        JSON: `unmatched`, number of entries that match nothing, which come before all others;
        `entries`, numbers of those that follow, up to a point; sums up to there, of matches in
        the `pool`, of `kept` ones, and for `curves`, each of a `threshold`, of min(count, t).
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    unmatched = int(np.searchsorted(ordered, np.uint64(1)))
    tails = np.searchsorted(ordered.astype(np.float64), np.array(thresholds, np.float64))
    points = _points(len(values) - unmatched, np.maximum(tails - unmatched, 0))
    at = points + unmatched
    sums = _sums(ordered)
    return {
        "unmatched": unmatched,
        "entries": points.tolist(),
        "pool": sums[at].tolist(),
        "kept": _sums(kept[order])[at].tolist(),
        "curves": [
            {
                "threshold": t,
                "matches": [float(sums[min(i, tail)]) + t * max(i - tail, 0) for i in at.tolist()],
            }
            for t, tail in zip(thresholds, tails.tolist(), strict=True)
        ],
    }


def head(values: Values, kept: Values, threshold: float) -> dict[str, Any]:
    """What the head holds.

    Args:
        values: uint64[entries], counts. kept: the same over kept pairs. threshold: t.

    Returns:
        JSON: numbers of head `entries` and `tail_entries`; the head's `share` of the matches in
        the pool, and of the kept ones.
    """
    of = values.astype(np.float64) >= threshold
    after = int(kept.sum())
    return {
        "entries": int(of.sum()),
        "tail_entries": int((~of).sum()),
        "share": 1 - tail_share_of(values, threshold) if values.any() else 0.0,
        "kept_share": int(kept[of].sum()) / after if after else 0.0,
    }


def before_after(values: Values, kept: Values) -> list[dict[str, int]]:
    """How many entries have which count, and which over kept pairs.

    Args:
        values: uint64[entries], counts. kept: the same over kept pairs.

    Returns:
        JSON: bins that hold entries, each with its lowest and highest `count` and `kept`, both
        included. Entries with neither are in none.
    """
    some = (values > 0) | (kept > 0)
    edges = _edges(max(int(values.max(initial=0)), int(kept.max(initial=0))))
    lows = np.array(edges, np.uint64)
    rows, columns = (np.searchsorted(lows, of[some], "right") - 1 for of in (values, kept))
    cells, numbers = np.unique(rows * len(edges) + columns, return_counts=True)
    return [
        {
            "count_low": edges[row],
            "count_high": edges[row + 1] - 1,
            "kept_low": edges[column],
            "kept_high": edges[column + 1] - 1,
            "entries": number,
        }
        for (row, column), number in zip(
            (divmod(cell, len(edges)) for cell in cells.tolist()), numbers.tolist(), strict=True
        )
    ]


def per_source(card: dict[str, Any]) -> list[dict[str, Any]]:
    """Totals by the entries' source.

    Args:
        card: the data card.

    Returns:
        JSON: those with the most matches, in the card's order, and, under the `source` null, the
        sum of all others.
    """
    told = card["sources"]
    most = set(sorted(told, key=lambda name: -told[name]["matches"])[:MOST_NAMES])
    rows: list[dict[str, Any]] = [{"source": name, **told[name]} for name in told if name in most]
    others = [told[name] for name in told if name not in most]
    if others:
        fields = others[0]
        rows.append({"source": None, **{f: sum(one[f] for one in others) for f in fields}})
        rows[-1]["number"] = len(others)
    return rows


def samples(found: CuratedSet) -> dict[str, Any]:
    """Entries of the tail, and ones that match nothing, drawn by the run's seed.

    Args:
        found: the curated set.

    Returns:
        JSON: `tail` and `unmatched`, with the number of such entries and a `sample` of them; of
        the unmatched ones, also their numbers `by_source`.
    """
    values = found.counts.values
    drawn = hash_columns([found.entries], [draw_seed(found.seed, "shuffle")])[0]

    def sample(of: npt.NDArray[np.bool_]) -> list[dict[str, Any]]:
        ids = np.flatnonzero(of)
        ids = ids[np.lexsort((ids, drawn[ids]))][:SAMPLE]
        return [
            {
                "entry_id": i,
                "entry": found.entries[i].as_py(),
                "source": found.sources[i].as_py(),
                "count": int(values[i]),
                "kept": int(found.kept[i]),
            }
            for i in ids.tolist()
        ]

    tail = (values > 0) & (values.astype(np.float64) < found.threshold)
    return {
        "tail": {"entries": int(tail.sum()), "sample": sample(tail)},
        "unmatched": {
            "entries": int(np.count_nonzero(values == 0)),
            "by_source": [
                {
                    "source": one["source"],
                    "number": one.get("number", 1),
                    "entries": one["entries"],
                    "unmatched": one["entries"] - one["matched_entries"],
                }
                for one in per_source(found.card)
            ],
            "sample": sample(values == 0),
        },
    }


def _most(told: dict[str, list[int]] | None) -> dict[str, Any] | None:
    """Numbers by value; None where they were too many to be counted."""
    if told is None:
        return None
    rows = [{"value": value, "pool": pool, "kept": kept} for value, (pool, kept) in told.items()]
    others = rows[MOST_NAMES:]
    return {
        "top": rows[:MOST_NAMES],
        "others": {
            "number": len(others),
            "pool": sum(row["pool"] for row in others),
            "kept": sum(row["kept"] for row in others),
        },
    }


def _points(size: int, more: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Where a curve over so many entries is told: its ends, and denser where it is steep."""
    even = np.linspace(0, size, POINTS)
    near = size + 1 - np.geomspace(1, size + 1, POINTS)
    return np.unique(np.rint(np.concatenate([even, near, more, [0, size]]))).astype(np.int64)


def _sums(values: Values) -> Values:
    """Sums of the first 0, 1, 2 ... values."""
    return np.concatenate([np.zeros(1, np.uint64), np.cumsum(values, dtype=np.uint64)])


def _edges(highest: int) -> list[int]:
    """Lowest numbers of bins: 0, 1, 2 ... and ever wider ones, the last above the highest."""
    edges, i = [0, 1], 0
    while edges[-1] <= highest:
        i += 1
        edges.append(max(round(10 ** (i / PER_DECADE)), edges[-1]))
    return sorted(set(edges))
