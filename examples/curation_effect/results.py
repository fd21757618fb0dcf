"""What came out: means and spreads by arm and by how frequent classes are; table and plot."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from examples.curation_effect.captions import SHARES
from metacurate.errors import MetacurateError

GROUPS = ("all", "head", "middle", "tail")
TELLING_KINDS = ("plain", "buried")  # captions that tell what the image shows


def group_classes(sizes: Mapping[str, int]) -> dict[str, list[str]]:
    """Sort classes into thirds by the number of their pairs.

    Args:
        sizes: pairs of each class in the pool, by wnid.

    Returns:
        wnids by group; `all` has all of them.
    """
    order = sorted(sizes, key=lambda wnid: (-sizes[wnid], wnid))
    third = round(len(order) / 3)
    tail = len(order) - third
    return dict(zip(GROUPS, (order, order[:third], order[third:tail], order[tail:]), strict=True))


def summarize(
    runs: Sequence[Mapping[str, Any]], groups: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """Means over the seeds of each arm.

    Args:
        runs: of all arms and seeds: `arm`, `seed`, `threshold`, `pairs`, `kinds`, and `accuracy` by
            wnid.
        groups: wnids of each group of classes.

    Returns:
        For each arm, in the order of its first run: `arm`, `threshold`, `seeds`, `pairs` (mean),
        `kinds` (share of each), and `top1`: for each group `mean`, `deviation` (over seeds; None
        for one), and `seeds`, all in percent.
    """
    found = []
    for arm in dict.fromkeys(run["arm"] for run in runs):
        some = [run for run in runs if run["arm"] == arm]
        pairs = sum(run["pairs"] for run in some)
        top1 = {}
        for group, wnids in groups.items():
            values = [
                100 * statistics.fmean(run["accuracy"][wnid] for wnid in wnids) for run in some
            ]
            top1[group] = {
                "mean": statistics.fmean(values),
                "deviation": statistics.stdev(values) if len(values) > 1 else None,
                "seeds": values,
            }
        found.append(
            {
                "arm": arm,
                "threshold": some[0]["threshold"],
                "seeds": len(some),
                "pairs": pairs / len(some),
                "kinds": {kind: sum(run["kinds"][kind] for run in some) / pairs for kind in SHARES},
                "top1": top1,
            }
        )
    return found


def make_table(arms: Sequence[Mapping[str, Any]], classes: int) -> str:
    """The results as Markdown.

    Args:
        arms: from `summarize`. classes: how many there are.
    """
    lines = [
        "| trained on | t | pairs | that tell what is shown | "
        + " | ".join(f"{group} classes" for group in GROUPS)
        + " |",
        "|---|--:|--:|--:|" + "--:|" * len(GROUPS),
    ]
    for arm in arms:
        telling = sum(arm["kinds"][kind] for kind in TELLING_KINDS)
        threshold = "" if arm["threshold"] is None else f"{arm['threshold']:g}"
        cells = [arm["arm"], threshold, f"{arm['pairs']:,.0f}", f"{telling:.0%}"]
        for group in GROUPS:
            score = arm["top1"][group]
            spread = "" if score["deviation"] is None else f" ± {score['deviation']:.2f}"
            cells.append(f"{score['mean']:.2f}{spread}")
        lines.append(f"| {' | '.join(cells)} |")
    chance = f"{100 / classes:.2f}"
    lines.append(f"| chance | | | | {' | '.join([chance] * len(GROUPS))} |")
    return "\n".join(lines) + "\n"


def draw(arms: Sequence[Mapping[str, Any]], classes: int) -> str:
    """The results as a picture: a panel for each group of classes, a dot for each seed.

    Args:
        arms: from `summarize`. classes: how many there are.

    Returns:
        SVG.

    Raises:
        MetacurateError: when the extra `report` is not installed.
    """
    try:
        import altair as alt
        import vl_convert

        from metacurate.reporting.plot import KEPT, POOL, THRESHOLD
    except ImportError as error:
        raise MetacurateError(
            'the picture is drawn by altair: pip install "metacurate[report]"'
        ) from error
    names = [arm["arm"] for arm in arms]
    rows = [
        {"arm": arm["arm"], "group": f"{group} classes", "seed": value, "mean": score["mean"]}
        for arm in arms
        for group, score in arm["top1"].items()
        for value in score["seeds"]
    ]
    colours = [POOL if name == names[0] else KEPT for name in names]
    x = alt.X("seed:Q", title="top-1, %", scale=alt.Scale(zero=True))
    y = alt.Y("arm:N", title=None, sort=names)
    colour = alt.Color("arm:N", legend=None, scale=alt.Scale(domain=names, range=colours))
    base = alt.Chart().encode(y=y, color=colour)
    panel = (
        base.mark_point(size=36, opacity=0.6).encode(x=x)
        + base.mark_tick(thickness=3, size=16).encode(x="mean:Q")
        + alt.Chart()
        .mark_rule(strokeDash=[3, 3], color=THRESHOLD)
        .encode(x=alt.datum(100 / classes))
    ).properties(width=150, height=24 * len(names))
    panels = alt.layer(panel, data=alt.Data(values=rows)).facet(
        column=alt.Column("group:N", title=None, sort=[f"{group} classes" for group in GROUPS])
    )
    title = alt.TitleParams(
        "Zero-shot accuracy by the data that a model was trained on",
        subtitle="a dot for each seed, a bar for their mean; dashed: chance",
    )
    svg: str = vl_convert.vegalite_to_svg(panels.properties(title=title).to_json())
    return svg
