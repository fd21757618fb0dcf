"""The plots of a report: figures in, Altair charts out, with what they say and their numbers."""

import json
from typing import Any

import altair as alt

from metacurate.reporting.bars import (
    plot_hosts,
    plot_matches_per_text,
    plot_most_matched,
    plot_sources,
    plot_values,
)
from metacurate.reporting.figures import FATES
from metacurate.reporting.plot import (
    CHOSEN,
    HEIGHT,
    KEPT,
    NO_MATCH,
    OTHERS,
    POOL,
    THRESHOLD,
    TICKS,
    WIDTH,
    ZERO,
    Plot,
    data_of,
    log_axis,
    shown,
    whole_axis,
)

FATE_COLOURS = {
    "read": POOL,
    "matched": "#56B4E9",
    "kept": KEPT,
    "balanced_away": "#E69F00",
    "unmatched": "#B3B3B3",
    "invalid": THRESHOLD,
    "other_caption": "#009E73",
    "filtered": "#CC79A7",
}


def make_plots(figures: dict[str, Any]) -> list[Plot]:
    """The plots of a report, in the order in which it shows them.

    Args:
        figures: from `make_figures`.
    """
    return [
        _flow(figures),
        _cumulative(figures),
        _thresholds(figures),
        _balance(figures),
        plot_sources(figures),
        plot_most_matched(figures),
        plot_matches_per_text(figures),
        *(
            plot_values(name, told)
            for name, told in figures["values"].items()
            if told is not None and told["top"]
        ),
        *([plot_hosts(figures["hosts"])] if figures["hosts"] is not None else []),
    ]


def _flow(figures: dict[str, Any]) -> Plot:
    told = figures["flow"]
    names = {"read": "read", "matched": "matched", **FATES}
    lost = [name for name in told["fates"] if name not in ("kept", "balanced_away")]
    steps: list[tuple[str, list[tuple[str, int]]]] = [
        ("pool", [("read", told["read"])]),
        (
            "after matching",
            [("matched", told["matched"]), *((name, told["fates"][name]) for name in lost)],
        ),
        (
            "after balancing",
            [(name, told["fates"][name]) for name in ("kept", "balanced_away")],
        ),
    ]
    rows = []
    for step, parts in steps:
        start = 0
        for name, number in parts:
            share = number / told["read"] if told["read"] else 0.0
            rows.append(
                {
                    "step": step,
                    "fate": names[name],
                    "start": start,
                    "end": start + number,
                    "pairs": number,
                    "share": share,
                    "label": f"{names[name]}: {number:,}",
                }
            )
            start += number
    used = dict.fromkeys(name for _, parts in steps for name, number in parts if number)
    y = alt.Y("step:N", sort=[step for step, _ in steps], title=None, axis=alt.Axis(domain=False))
    base = alt.Chart(data_of("flow", rows))
    bars = base.mark_bar(height={"band": 0.8}).encode(
        alt.X("start:Q", title="pairs", axis=whole_axis(5)),
        alt.X2("end:Q"),
        y,
        alt.Color(
            "fate:N",
            title=None,
            scale=alt.Scale(
                domain=[names[name] for name in used], range=[FATE_COLOURS[n] for n in used]
            ),
            legend=alt.Legend(orient="bottom"),
        ),
        tooltip=[
            alt.Tooltip("step:N"),
            alt.Tooltip("fate:N"),
            alt.Tooltip("pairs:Q", format=","),
            alt.Tooltip("share:Q", format=".2%", title="share of rows read"),
        ],
    )
    labels = (
        base.mark_text(fontWeight="bold", clip=True)
        .encode(
            alt.X("middle:Q"),
            y,
            text=alt.when("datum.share * width > 7 * length(datum.label)")
            .then("label:N")
            .otherwise(alt.value("")),
            color=alt.when("datum.fate == 'kept'")
            .then(alt.value("white"))
            .otherwise(alt.value("black")),
        )
        .transform_calculate(middle="(datum.start + datum.end) / 2")
    )
    kept = told["fates"]["kept"]
    return Plot(
        "flow",
        f"Of {told['read']:,} pairs, {told['matched']:,} match an entry and {kept:,} are kept",
        f"Three bars, one below the other, of the same scale. All {told['read']:,} pairs of the "
        "pool; what matching makes of them; and the matched ones, cut into kept and balanced "
        "away. "
        + ", ".join(f"{names[name]}: {number:,}" for name, number in told["fates"].items())
        + ".",
        {"step": "step", "fate": "fate", "pairs": "pairs", "share": "share of rows read"},
        rows,
        (bars + labels).properties(width=WIDTH, height=150),
    )


def _cumulative(figures: dict[str, Any]) -> Plot:
    told = figures["cumulative"]
    own = figures["threshold"]
    names = {"pool": "pool, no threshold", "kept": "matches of kept pairs"}
    for i, curve in enumerate(told["curves"]):
        names[f"curve_{i}"] = f"counts up to t = {shown(curve['threshold'])}" + (
            ", this set's" if curve["threshold"] == own else ""
        )
    fields = {
        "entries": told["entries"],
        "pool": told["pool"],
        "kept": told["kept"],
        **{f"curve_{i}": curve["matches"] for i, curve in enumerate(told["curves"])},
    }
    rows = [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]
    others = iter(OTHERS * len(told["curves"]))
    colours = {
        "pool": POOL,
        "kept": KEPT,
        **{
            f"curve_{i}": THRESHOLD if curve["threshold"] == own else next(others)
            for i, curve in enumerate(told["curves"])
        },
    }
    x = alt.X(
        "entries:Q",
        title="entries that match, the rarest first",
        axis=whole_axis(6),
        scale=alt.Scale(nice=False),
    )
    scale = alt.Scale(domain=list(names.values()), range=list(colours.values()))
    base = alt.Chart(data_of("cumulative", rows))
    lines = [
        base.mark_line(strokeWidth=2.5, strokeDash=[7, 3] if name.startswith("curve") else [1, 0])
        .transform_calculate(part=json.dumps(names[name]))
        .encode(
            x,
            alt.Y(
                f"{name}:Q",
                title="matches so far",
                axis=whole_axis(5),
            ),
            alt.Color(
                "part:N",
                scale=scale,
                title=None,
                legend=alt.Legend(orient="bottom"),
            ),
        )
        for name in names
    ]
    chosen = (
        alt.Chart(alt.InlineData(values=[], name=CHOSEN))
        .mark_line(color="currentColor", strokeWidth=4, opacity=0.45)
        .encode(x, alt.Y("matches:Q"))
    )
    total, kept = figures["flow"]["matches"], figures["flow"]["kept_matches"]
    head = figures["head"]
    return Plot(
        "cumulative",
        f"The {head['entries']:,} entries of the head hold {head['share']:.1%} of all matches, "
        f"and {head['kept_share']:.1%} of those that are kept"
        if total
        else NO_MATCH,
        "Lines of cumulative counts over entries, from the rarest that matches to the most "
        f"matched. That of the pool ends at {total:,} matches, that of the kept pairs at "
        f"{kept:,}. Where counts are cut off at a threshold, the line goes on straight from "
        "there. A pair is kept with all of its matches, so that the kept ones may lie above the "
        f"line of t = {shown(own)}. {told['unmatched']:,} entries that match nothing are left out.",
        {"entries": "entries", **names},
        rows,
        alt.layer(chosen, *lines).properties(width=WIDTH, height=HEIGHT),
    )


def _thresholds(figures: dict[str, Any]) -> Plot:
    told = figures["slider"]
    fields = {name: told[name] for name in SLIDER}
    rows = [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]
    own = figures["threshold"]
    at = rows[told["thresholds"].index(own)]
    x = alt.X(
        "thresholds:Q",
        title="threshold t",
        scale=alt.Scale(type="log", nice=False),
        axis=log_axis(told["thresholds"][0], told["thresholds"][-1]),
    )
    base = alt.Chart(data_of("thresholds", rows))
    line = base.mark_line(color=KEPT, strokeWidth=2.5).encode(
        x, alt.Y("kept:Q", title="pairs kept", axis=whole_axis(5))
    )
    points = base.mark_circle(color=KEPT, opacity=0, size=80).encode(
        x,
        alt.Y("kept:Q"),
        tooltip=[
            alt.Tooltip("thresholds:Q", title="t", format=",~r"),
            alt.Tooltip("kept:Q", title="kept", format=","),
            alt.Tooltip("share:Q", title="share of the pool", format=".2%"),
            alt.Tooltip("tail_share:Q", title="tail share", format=".2%"),
        ],
    )
    here = alt.Chart(alt.InlineData(values=[at], name=CHOSEN))
    rule = here.mark_rule(color=THRESHOLD, strokeDash=[7, 3], strokeWidth=2).encode(x)
    point = here.mark_point(color=THRESHOLD, filled=True, size=90).encode(x, alt.Y("kept:Q"))
    return Plot(
        "thresholds",
        f"This set's threshold, {shown(own)}, keeps {at['share']:.1%} of the pool's pairs",
        f"A line that rises from {told['kept'][0]:,} pairs at t = {shown(told['thresholds'][0])} "
        f"to {told['kept'][-1]:,} at t = {shown(told['thresholds'][-1])}, from where on all "
        f"matched pairs are kept. At t = {shown(own)}, {at['kept']:,} are.",
        SLIDER,
        rows,
        alt.layer(line, points, rule, point).properties(width=WIDTH, height=240),
    )


SLIDER = {
    "thresholds": "threshold",
    "kept": "pairs kept",
    "share": "share of the pool",
    "kept_matches": "matches kept",
    "tail_share": "tail share",
    "head_entries": "head entries",
    "tail_entries": "tail entries",
    "tail_matches": "matches of the tail",
}


def _balance(figures: dict[str, Any]) -> Plot:
    rows = figures["before_after"]
    own = figures["threshold"]
    highest = max([10.0, own, *(float(row["count_high"]) for row in rows)]) + 0.5
    scale = alt.Scale(type="log", domain=[ZERO - 0.1, highest], nice=False)
    ticks = [ZERO, *(10**i for i in range(20) if 10**i <= highest)]
    axis = alt.Axis(values=ticks, labelExpr=TICKS, labelOverlap=True)
    count = alt.X("x1:Q", title="pairs that match the entry, in the pool", scale=scale, axis=axis)
    kept = alt.Y("y1:Q", title="of those, kept", scale=scale, axis=axis)
    cells = (
        alt.Chart(data_of("balance", rows))
        .transform_calculate(
            x1=f"datum.count_low == 0 ? {ZERO - 0.1} : datum.count_low - 0.5",
            x2="datum.count_high + 0.5",
            y1=f"datum.kept_low == 0 ? {ZERO - 0.1} : datum.kept_low - 0.5",
            y2="datum.kept_high + 0.5",
        )
        .mark_rect(color=KEPT)
        .encode(
            count,
            kept,
            alt.X2("x2:Q"),
            alt.Y2("y2:Q"),
            alt.Opacity(
                "entries:Q",
                title="entries",
                scale=alt.Scale(
                    type="log",
                    domain=[1, max([10, *(row["entries"] for row in rows)])],
                    range=[0.3, 1],
                ),
                legend=alt.Legend(orient="bottom", symbolType="square", format="~s", tickCount=5),
            ),
            tooltip=[
                alt.Tooltip(f"{field}:Q", title=title, format=",")
                for field, title in _CELLS.items()
            ],
        )
    )
    ends = {"values": [{"x1": ZERO - 0.1, "y1": ZERO - 0.1}, {"x1": highest, "y1": highest}]}
    same = alt.Chart(alt.Data(**ends)).mark_line(color=POOL, strokeWidth=1.5).encode(count, kept)
    at = {"values": [{"x1": own, "y1": own, "label": f"t = {shown(own)}"}]}
    capped = alt.Chart(alt.Data(**at)).mark_rule(
        color=THRESHOLD, strokeDash=[7, 3], strokeWidth=1.5
    )
    label = alt.Chart(alt.Data(**at)).mark_text(
        color=THRESHOLD, align="left", baseline="bottom", dx=4, dy=-4, fontWeight="bold"
    )
    return Plot(
        "balance",
        f"Below t = {shown(own)}, entries stay whole; above, the more they match, the more they "
        "are thinned"
        if rows
        else NO_MATCH,
        "A field of squares on two logarithmic axes: how many entries have which count in the "
        "pool, and which over the kept pairs. Entries of the tail lie on the line where both are "
        "equal. Those of the head bend away from it, towards the level of the threshold, and lie "
        "above that where pairs are kept for the sake of rarer entries.",
        _CELLS,
        rows,
        alt.layer(
            cells,
            same,
            capped.encode(kept),
            capped.encode(count),
            label.encode(kept, alt.Text("label:N"), x=alt.value(0)),
        ).properties(width=WIDTH, height=420),
    )


_CELLS = {
    "count_low": "count from",
    "count_high": "count to",
    "kept_low": "kept from",
    "kept_high": "kept to",
    "entries": "entries",
}
