"""The plots of a report that are bars: of sources, entries, texts, values and hosts."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from metacurate.reporting.plot import (
    KEPT,
    LABEL,
    NO_MATCH,
    POOL,
    WIDTH,
    ZERO,
    Plot,
    data_of,
    labelled,
    log_axis,
    part_colour,
    whole_axis,
)
from metacurate.reporting.visible import shorten


def plot_sources(figures: dict[str, Any]) -> Plot:
    """Matches by the entries' source, before and after.

    Args:
        figures: from `make_figures`.
    """
    named = [
        {
            **one,
            "source": f"{one['number']:,} others" if one["source"] is None else one["source"],
        }
        for one in figures["sources"]
    ]
    rows = labelled(named, "source")
    largest = max(rows, key=lambda row: row["matches"], default=None)
    total = figures["flow"]["matches"]
    title = NO_MATCH
    if largest is not None and total:
        source = shorten(largest["source"], LABEL)
        title = f"{largest['matches'] / total:.0%} of the matches are of entries from {source}"
    return Plot(
        "sources",
        title,
        "Bars of the number of matches, for each source of the entries: in the pool, and within "
        "them those of kept pairs.",
        {
            "source": "source",
            "entries": "entries",
            "matched_entries": "that match",
            "matches": "matches before",
            "kept_matches": "matches after",
        },
        rows,
        _bars("sources", rows, "source", "matches", "kept_matches", "matches"),
    )


def plot_most_matched(figures: dict[str, Any]) -> Plot:
    """What balancing did to the most matched entries.

    Args:
        figures: from `make_figures`.
    """
    rows = [{"rank": i, **one} for i, one in enumerate(figures["most_matched"], 1)]
    drawn = [{**row, "drawn": max(row["kept"], ZERO)} for row in labelled(rows, "entry")]
    labels = [row["label"] for row in drawn]
    highest = max([10, *(row["count"] for row in rows)])
    lowest = min([highest / 10, *(row["drawn"] for row in drawn)])
    scale = alt.Scale(type="log", domain=[lowest * 0.8, highest * 1.2], nice=False)
    axis = log_axis(lowest, highest)
    y = alt.Y("label:N", sort=labels, title=None)
    base = alt.Chart(data_of("most_matched", drawn))
    tips = [
        alt.Tooltip("label:N", title="entry"),
        alt.Tooltip("count:Q", title="in the pool", format=","),
        alt.Tooltip("kept:Q", title="kept", format=","),
        alt.Tooltip("probability:Q", title="keep probability", format=".3g"),
    ]
    legend = alt.Scale(domain=["in the pool", "kept"], range=[POOL, KEPT])
    shapes = alt.Scale(domain=["in the pool", "kept"], range=["circle", "diamond"])
    bottom = alt.Legend(orient="bottom")

    def ends(field: str, name: str) -> Any:
        named = base.transform_calculate(part=f"'{name}'")
        return named.mark_point(filled=True, size=80, opacity=1).encode(
            alt.X(f"{field}:Q", scale=scale),
            y,
            alt.Color("part:N", scale=legend, title=None, legend=bottom),
            alt.Shape("part:N", scale=shapes, title=None, legend=bottom),
            tooltip=tips,
        )

    lines = base.mark_rule(color=POOL, strokeWidth=2).encode(
        alt.X("drawn:Q", title="pairs that match the entry", scale=scale, axis=axis),
        alt.X2("count:Q"),
        y,
    )
    title = NO_MATCH
    if rows:
        before, after = rows[0]["count"], rows[0]["kept"]
        title = f"\u201c{labels[0]}\u201d, the most matched entry: {before:,} pairs, {after:,} kept"
    return Plot(
        "most_matched",
        title,
        f"For each of the {len(rows)} most matched entries a line on a logarithmic axis, from the "
        "number of pairs in the pool, a circle, to the number of kept ones, a diamond.",
        {
            "rank": "rank",
            "entry": "entry",
            "source": "source",
            "count": "count",
            "kept": "kept",
            "probability": "keep probability",
        },
        drawn,
        alt.layer(lines, ends("count", "in the pool"), ends("drawn", "kept")).properties(
            width=WIDTH, height=max(60, 20 * len(rows))
        ),
    )


def plot_matches_per_text(figures: dict[str, Any]) -> Plot:
    """How many entries the texts match, in the pool and in the set.

    Args:
        figures: from `make_figures`.
    """
    told = figures["matches_per_text"]
    last = len(told["pool"]) - 1
    rows = [
        {"matches": f"{i} or more" if i == last == 64 else str(i), "pool": pool, "kept": kept}
        for i, (pool, kept) in enumerate(zip(told["pool"], told["kept"], strict=True))
    ]
    slider, flow = figures["slider"], figures["flow"]
    matched, kept = slider["kept"][-1], flow["fates"]["kept"]  # the last threshold keeps all
    before = slider["kept_matches"][-1] / matched if matched else 0.0
    after = flow["kept_matches"] / kept if kept else 0.0
    return Plot(
        "matches_per_text",
        f"A matched text of the pool has {before:.1f} matches on average, a kept one {after:.1f}",
        "Bars of the number of texts that match 0, 1, 2 and more entries: in the pool, and within "
        "them the kept ones.",
        {"matches": "matches", "pool": "texts of the pool", "kept": "kept texts"},
        rows,
        _columns("matches_per_text", rows),
    )


def plot_values(name: str, told: dict[str, Any]) -> Plot:
    """Pairs by the value of a column, in the pool and in the set.

    Args:
        name: of the column. told: of the figures' `values`.
    """
    rows = [{**one, "value": one["value"] or "(none)"} for one in told["top"]]
    if told["others"]["number"]:
        others = told["others"]
        rows.append({**others, "value": f"{others['number']:,} others"})
    rows = labelled(rows, "value")
    first = rows[0]
    sums = {part: sum(row[part] for row in rows) for part in ("pool", "kept")}
    shares = [first[part] / total if total else 0.0 for part, total in sums.items()]
    return Plot(
        name,
        f"{name} {shorten(first['value'], LABEL)}: {shares[0]:.1%} of the pool's pairs, "
        f"{shares[1]:.1%} of the kept ones",
        f"Bars of the number of pairs, for each value of the column {name}: in the pool, and "
        "within them the kept ones.",
        {"value": name, "pool": "pairs of the pool", "kept": "kept pairs"},
        rows,
        _bars(name, rows, "value", "pool", "kept", "pairs"),
    )


def plot_hosts(told: dict[str, Any]) -> Plot:
    """Kept pairs by the host of their image.

    Args:
        told: of the figures' `hosts`.
    """
    rows = [*told["top"]]
    shown_pairs = sum(row["pairs"] for row in rows)
    left = told["pairs"] - told["without"] - shown_pairs
    if left:
        rows.append({"host": f"{told['hosts'] - len(rows):,} others", "pairs": left})
    if told["without"]:
        rows.append({"host": "no web address", "pairs": told["without"]})
    drawn = labelled(rows, "host")
    labels = [row["label"] for row in drawn]
    first = rows[0]
    chart = (
        alt.Chart(data_of("hosts", drawn))
        .mark_bar(color=KEPT)
        .encode(
            alt.X("pairs:Q", title="kept pairs", axis=whole_axis(5)),
            alt.Y("label:N", sort=labels, title=None),
            tooltip=[alt.Tooltip("label:N", title="host"), alt.Tooltip("pairs:Q", format=",")],
        )
        .properties(width=WIDTH, height=max(60, 20 * len(rows)))
    )
    return Plot(
        "hosts",
        f"{labels[0]} holds the images of {first['pairs'] / told['pairs']:.1%} of the kept pairs; "
        f"all hosts: {told['hosts']:,}",
        "Bars of the number of kept pairs, for each of the hosts that hold most of their images.",
        {"host": "host", "pairs": "kept pairs"},
        drawn,
        chart,
    )


def _bars(
    name: str, rows: Sequence[dict[str, Any]], key: str, pool: str, kept: str, unit: str
) -> Any:
    """Lying bars: of the pool, and within them of what was kept."""
    y = alt.Y("label:N", sort=[row["label"] for row in rows], title=None)
    base = alt.Chart(data_of(name, rows))
    tips = [
        alt.Tooltip("label:N", title=key),
        alt.Tooltip(f"{pool}:Q", title="pool", format=","),
        alt.Tooltip(f"{kept}:Q", title="kept", format=","),
    ]
    x = {"title": unit, "axis": whole_axis(5)}
    return alt.layer(
        *(
            base.mark_bar(height={"band": band})
            .transform_calculate(part=f"'{part}'")
            .encode(alt.X(f"{field}:Q", **x), y, part_colour(), tooltip=tips)
            for field, part, band in ((pool, "pool", 0.85), (kept, "kept", 0.45))
        )
    ).properties(width=WIDTH, height=max(60, 26 * len(rows)))


def _columns(name: str, rows: Sequence[dict[str, Any]]) -> Any:
    """Standing bars, in the order of the rows."""
    keys = [row["matches"] for row in rows]
    x = alt.X(
        "matches:N",
        sort=keys,
        title="entries that a text matches",
        axis=alt.Axis(labelAngle=0, labelOverlap=True, labelSeparation=4),
    )
    base = alt.Chart(data_of(name, rows))
    tips = [
        alt.Tooltip("matches:N", title="matches"),
        alt.Tooltip("pool:Q", title="texts of the pool", format=","),
        alt.Tooltip("kept:Q", title="kept texts", format=","),
    ]
    axis = whole_axis(5)
    return alt.layer(
        *(
            base.mark_bar(width={"band": band})
            .transform_calculate(part=f"'{field}'")
            .encode(x, alt.Y(f"{field}:Q", title="texts", axis=axis), part_colour(), tooltip=tips)
            for field, band in (("pool", 0.85), ("kept", 0.45))
        )
    ).properties(width=WIDTH, height=260)
