"""The command that compares finished curated sets."""

import logging
from typing import Annotated, Any

import typer

from metacurate.cli import options
from metacurate.cli.printing import print_json, print_table, shown

log = logging.getLogger(__name__)

LONGEST = 60  # characters of an entry in a table

Outs = Annotated[
    list[str],
    typer.Argument(help="Output folders of curate or sample, two or more.", metavar="OUT"),
]
Top = Annotated[int, typer.Option("--top", help="Entries of each kind to tell.")]
Html = Annotated[str | None, typer.Option("--html", help="Write a page to this file, too.")]


def compare(outs: Outs, top: Top = 10, html: Html = None, as_json: options.Json = False) -> None:
    """Compare curated sets: totals, settings, shared pairs, and what entries gained and lost.

    Examples:

        metacurate compare curated-t5/ curated-t20/

        metacurate compare a/ b/ c/ --top 50 --html comparison.html
    """
    from metacurate.reporting.compare import compare as run

    found = run(outs, top=top)
    if html is not None:
        from metacurate.engine.storage import write_text
        from metacurate.engine.stores import place_of
        from metacurate.reporting.comparison_page import make_page

        write_text(place_of(html), make_page(found))
        log.info("the comparison as a page: %s", html)
    if as_json:
        print_json(found)
        return
    _print_totals(found)
    _print_settings(found)
    _print_overlap(found)
    for changes in found["entries"]:
        _print_entries(found, changes)
    _print_sources(found)


def _labels(found: dict[str, Any]) -> list[str]:
    from metacurate.reporting.compare import label_of

    return [label_of(place) for place in range(len(found["sets"]))]


def _print_totals(found: dict[str, Any]) -> None:
    sets, labels = found["sets"], _labels(found)
    print_table(
        "Sets",
        None,
        [(label, one["name"]) for label, one in zip(labels, sets, strict=True)],
        lefts=2,
    )
    names = list(dict.fromkeys(name for one in sets for name in one["totals"]))
    rows = []
    for name in names:
        values = [one["totals"].get(name) for one in sets]
        cells = ["-" if value is None else shown(value) for value in values]
        if len(values) == 2:
            known = None not in values
            cells.append(_change(values[1] - values[0]) if known else "-")
        rows.append([name.replace("_", " "), *cells])
    print_table("Totals", ("", *labels, *(["change"] if len(sets) == 2 else [])), rows)


def _print_settings(found: dict[str, Any]) -> None:
    sets, labels = found["sets"], _labels(found)
    if not found["differ"]:
        print_table("Settings", None, [("all settings are the same",)])
        return
    rows = [
        [name.replace("_", " "), *(_setting(one["settings"][name]) for one in sets)]
        for name in found["differ"]
    ]
    print_table("Settings that differ", ("", *labels), rows, lefts=len(labels) + 1)


def _print_overlap(found: dict[str, Any]) -> None:
    overlap, labels = found["overlap"], _labels(found)
    rows = [
        ["distinct pairs", *(f"{one['distinct']:,}" for one in overlap["sets"])],
        ["in no other set", *(f"{one['only']:,}" for one in overlap["sets"])],
        ["repeated rows", *(f"{one['repeated']:,}" for one in overlap["sets"])],
        ["told apart by", *(name or "-" for name in overlap["identities"])],
        *(
            [f"shared with {label}", *(f"{number:,}" for number in numbers)]
            for label, numbers in zip(labels, overlap["both"], strict=True)
        ),
        *(
            [f"Jaccard with {label}", *(f"{share:.6g}" for share in shares)]
            for label, shares in zip(labels, overlap["jaccard"], strict=True)
        ),
    ]
    title = f"Pairs: {overlap['all']:,} in all sets, {overlap['any']:,} in any"
    print_table(title, ("", *labels), rows)


def _print_entries(found: dict[str, Any], changes: dict[str, Any]) -> None:
    labels = _labels(found)
    first, second = labels[changes["from"]], labels[changes["to"]]
    print_table(
        f"Entries, from {first} to {second}",
        None,
        [
            (f"with more kept pairs in {second}", f"{changes['grew']:,}"),
            (f"with fewer kept pairs in {second}", f"{changes['shrank']:,}"),
            ("with as many", f"{changes['same']:,}"),
            (f"only in {first}'s metadata", f"{changes['only_first']['number']:,}"),
            (f"only in {second}'s metadata", f"{changes['only_second']['number']:,}"),
        ],
    )
    for kind, title in (("gained", "gained most pairs"), ("lost", "lost most pairs")):
        rows = [
            (_cut(e["entry"]), _cut(e["source"]), *map(shown, e["kept"]), _change(_of(e["kept"])))
            for e in changes[kind]
        ]
        if rows:
            headings = ("entry", "source", f"kept in {first}", f"in {second}", "change")
            print_table(f"Entries that {title}, from {first} to {second}", headings, rows, lefts=2)
        shares = [
            (
                _cut(e["entry"]), _cut(e["source"]), *(f"{share:.4%}" for share in e["share"]),
                f"{100 * _of(e['share']):+.4f}",
            )
            for e in changes[f"{kind}_share"]
        ]  # fmt: skip
        if shares:
            headings = ("entry", "source", f"share in {first}", f"in {second}", "points")
            title = title.replace("pairs", "of their share of matches")
            print_table(
                f"Entries that {title}, from {first} to {second}", headings, shares, lefts=2
            )
    for side, label in (("only_first", first), ("only_second", second)):
        alone = [
            (_cut(e["entry"]), _cut(e["source"]), shown(e["count"]), shown(e["kept"]))
            for e in changes[side]["top"]
        ]
        if alone:
            names = ("entry", "source", "pairs before", "after")
            print_table(f"Entries that only {label}'s metadata have", names, alone, lefts=2)


def _print_sources(found: dict[str, Any]) -> None:
    sets, labels = found["sets"], _labels(found)
    names = list(dict.fromkeys(name for one in sets for name in one["sources"]))
    rows = [
        [_cut(name), *(_matches(one, name) for one in sets)]
        for name in names
    ]  # fmt: skip
    print_table("Matches after balancing, by source of the entry", ("source", *labels), rows)


def _matches(one: dict[str, Any], source: str) -> str:
    known = one["sources"].get(source)
    if known is None:
        return "-"
    share = known["kept_matches"] / max(1, one["totals"]["kept_matches"])
    return f"{known['kept_matches']:,} ({share:.2%})"


def _of(values: list[float]) -> float:
    return values[1] - values[0]


def _change(value: float) -> str:
    return f"+{shown(value)}" if value > 0 else shown(value)


def _setting(value: Any) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else shown(value)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "\u2026"
