"""The report as Markdown: its figures as sentences and tables."""

from collections.abc import Iterable, Sequence
from typing import Any

from metacurate.curation.readme import escape_markdown
from metacurate.reporting.figures import FATES
from metacurate.reporting.visible import shorten


def make_markdown(figures: dict[str, Any]) -> str:
    """Write a report's figures as Markdown.

    Args:
        figures: from `make_figures`.

    Returns:
        Markdown, in which what comes from data is text.
    """
    flow, at = figures["flow"], figures["slider"]
    own = at["thresholds"].index(figures["threshold"])
    head, run = figures["head"], figures["run"]
    parts = [
        f"# {flow['fates']['kept']:,} balanced image-text pairs",
        f"Drawn from {flow['read']:,} pairs at threshold {_number(figures['threshold'])}, seed "
        f"{run['seed']}, round {run['round']}.",
        *_foreign(figures["unseen_entries"]),
        "## From the pool to the set",
        _table(
            ("pairs", "number", "share"),
            [
                *(
                    (FATES[name], f"{number:,}", _share(number, flow["read"]))
                    for name, number in flow["fates"].items()
                ),
                ("read", f"{flow['read']:,}", _share(flow["read"], flow["read"])),
            ],
        ),
        f"{flow['matches']:,} matches before, {flow['kept_matches']:,} after. The "
        f"{head['entries']:,} entries of the head hold {head['share']:.2%} of the matches before, "
        f"and {head['kept_share']:.2%} after.",
        "## What other thresholds would keep",
        _table(
            ("threshold", "pairs kept", "share", "tail share", "head entries"),
            [
                (
                    _number(at["thresholds"][i]),
                    f"{at['kept'][i]:,}",
                    f"{at['share'][i]:.2%}",
                    f"{at['tail_share'][i]:.2%}",
                    f"{at['head_entries'][i]:,}",
                )
                for i in _some(at["thresholds"], own)
            ],
        ),
        "## The most matched entries",
        _table(
            ("entry", "source", "pairs before", "after", "keep probability"),
            [
                (
                    _text(one["entry"]),
                    _text(one["source"]),
                    f"{one['count']:,}",
                    f"{one['kept']:,}",
                    f"{one['probability']:.3g}",
                )
                for one in figures["most_matched"]
            ],
            texts=2,
        ),
        "## Matches by source of the entry",
        _table(
            ("source", "entries", "that match", "matches before", "after"),
            [
                (
                    _source(one),
                    *(
                        f"{one[name]:,}"
                        for name in ("entries", "matched_entries", "matches", "kept_matches")
                    ),
                )
                for one in figures["sources"]
            ],
        ),
        f"## Entries of the tail: some of {figures['tail']['entries']:,}",
        _table(
            ("entry", "source", "pairs before", "after"),
            [
                (_text(o["entry"]), _text(o["source"]), f"{o['count']:,}", f"{o['kept']:,}")
                for o in figures["tail"]["sample"]
            ],
            texts=2,
        ),
        f"## Entries that match nothing: some of {figures['unmatched']['entries']:,}",
        _table(
            ("source", "entries", "that match nothing"),
            [
                (_source(one), f"{one['entries']:,}", f"{one['unmatched']:,}")
                for one in figures["unmatched"]["by_source"]
            ],
        ),
        _table(
            ("entry", "source"),
            [(_text(o["entry"]), _text(o["source"])) for o in figures["unmatched"]["sample"]],
            texts=2,
        ),
        "## Matches per text",
        _table(
            ("matches", "texts of the pool", "kept"),
            [
                (f"{i}{' or more' if i == 64 else ''}", f"{pool:,}", f"{kept:,}")
                for i, (pool, kept) in enumerate(
                    zip(*figures["matches_per_text"].values(), strict=True)
                )
            ],
        ),
        *(part for name, told in figures["values"].items() for part in _values(name, told)),
        *_hosts(figures["hosts"]),
        "## How it was made",
        _table(
            ("what", "value"),
            [
                ("command", _text(run["command_line"] or "from Python")),
                *(
                    (_text(name.replace("_", " ")), _text(str(value)))
                    for name, value in run["configuration"].items()
                    if value is not None and name != "command"
                ),
                *((f"digest of the {name}", _text(v)) for name, v in run["digests"].items()),
                *((f"version of {name}", _text(v)) for name, v in run["versions"].items()),
            ],
            texts=2,
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _foreign(unseen: int | None) -> list[str]:
    if unseen is None:
        return []
    return [
        "The counts of the entries are those of another pool: matches before are those there. "
        f"Entries that match here and have no count there: {unseen:,}; all of their pairs are kept."
    ]


def _values(name: str, told: dict[str, Any] | None) -> list[str]:
    heading = f"## Pairs by {_text(name)}"
    if told is None:
        return [heading, "The column has too many values for them to be counted one by one."]
    rows = [
        (_text(o["value"] or "(none)"), f"{o['pool']:,}", f"{o['kept']:,}") for o in told["top"]
    ]
    others = told["others"]
    if others["number"]:
        rows.append((f"{others['number']:,} others", f"{others['pool']:,}", f"{others['kept']:,}"))
    return [heading, _table(("value", "pairs of the pool", "kept"), rows)]


def _hosts(told: dict[str, Any] | None) -> list[str]:
    if told is None:
        return []
    return [
        f"## Hosts of the kept pairs' images: the first of {told['hosts']:,}",
        _table(
            ("host", "kept pairs"),
            [(_text(one["host"]), f"{one['pairs']:,}") for one in told["top"]],
        ),
    ]


def _some(thresholds: Sequence[float], own: int) -> list[int]:
    """Places of the run's own threshold, the first, the last, and of 1, 2 and 5 times powers."""
    round_ = {float(d) * 10.0**power for power in range(20) for d in (1, 2, 5)}
    places = {i for i, t in enumerate(thresholds) if t in round_}
    return sorted({0, own, len(thresholds) - 1, *places})


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    marks = ["---" if i < texts else "---:" for i in range(len(headings))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, marks, *rows))


def _source(one: dict[str, Any]) -> str:
    return f"{one['number']:,} others" if one["source"] is None else _text(one["source"])


def _text(text: str) -> str:
    return escape_markdown(shorten(text))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def _number(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:,.6g}"
