"""The command that builds metadata, and how its report is shown."""

from pathlib import Path
from typing import Annotated, Any

import typer

from metacurate.cli import options
from metacurate.cli.printing import print_json, print_table, printable, shown

SHOWN_INPUTS = 12  # files
SHOWN_DIGITS = 16  # of a digest; the report has all


def build(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write: .parquet, .json, or .txt.")
    ],
    wordnet: Annotated[
        Path | None,
        typer.Option(
            "--wordnet", help="WordNet: a database folder, .tar.gz, NLTK's .zip, or WN-LMF XML."
        ),
    ] = None,
    wikipedia: Annotated[
        list[str] | None,
        typer.Option(
            "--wikipedia",
            help="Text: Parquet with a column text, or pages-articles dumps (.xml, .bz2, .gz); "
            "files, folders, globs.",
        ),
    ] = None,
    unigram_counts: Annotated[
        str | None,
        typer.Option(
            "--unigram-counts", help="A list of words and counts, in place of --wikipedia."
        ),
    ] = None,
    bigram_counts: Annotated[
        str | None,
        typer.Option(
            "--bigram-counts", help="A list of two words and counts; needs --unigram-counts."
        ),
    ] = None,
    pageviews: Annotated[
        list[str] | None,
        typer.Option("--pageviews", help="Hourly pageviews-*.gz; files, folders, globs."),
    ] = None,
    title_list: Annotated[
        str | None,
        typer.Option(
            "--title-list",
            help="all-titles-in-ns0: with --pageviews, titles that are not in it are left out; "
            "alone, it gives all its titles, by text.",
        ),
    ] = None,
    unigram_min_count: Annotated[
        int | None,
        typer.Option(
            "--unigram-min-count", help="Least count of a word. [default: 100, without --unigrams]"
        ),
    ] = None,
    unigrams: Annotated[
        int | None,
        typer.Option("--unigrams", help="Take at most so many new words, the most frequent first."),
    ] = None,
    bigram_min_pmi: Annotated[
        float | None,
        typer.Option(
            "--bigram-min-pmi",
            help="Least PMI of two words, in bits. [default: 30, without --bigrams]",
        ),
    ] = None,
    bigram_min_count: Annotated[
        int,
        typer.Option(
            "--bigram-min-count", help="Least count of two words: PMI alone prefers rare ones."
        ),
    ] = 1,
    bigrams: Annotated[
        int | None,
        typer.Option("--bigrams", help="Take at most so many new bigrams, by PMI."),
    ] = None,
    title_min_views: Annotated[
        int | None,
        typer.Option(
            "--title-min-views", help="Least views of a title. [default: 70, without --titles]"
        ),
    ] = None,
    titles: Annotated[
        int | None,
        typer.Option("--titles", help="Take at most so many new titles, the most viewed first."),
    ] = None,
    hour_min_views: Annotated[
        int,
        typer.Option("--hour-min-views", help="Least views in an hour, for the hour to count."),
    ] = 50,
    project: Annotated[
        str, typer.Option("--project", help="Code of the wiki in page views.")
    ] = "en",
    limit: Annotated[
        int, typer.Option("--limit", help="The most entries that the list may have.")
    ] = 500_000,
    spaced: Annotated[
        bool,
        typer.Option("--spaced", help='Space entries like texts, so that "st. louis" can match.'),
    ] = False,
    drop_unmatchable: Annotated[
        bool,
        typer.Option("--drop-unmatchable", help="Leave out what no text can match in mode paper."),
    ] = False,
    case_variants: Annotated[
        bool,
        typer.Option(
            "--case-variants", help="Append entries in lower case, with a Capital, in Title Case."
        ),
    ] = False,
    memory: Annotated[
        str, typer.Option("--memory", help="About how much memory to use: 800MB, 4GB.")
    ] = "4GB",
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Number of threads or processes. [default: all cores]"),
    ] = None,
    on_error: options.OnErrorOption = "fail",
    as_json: options.Json = False,
) -> None:
    """Build a list of concepts from WordNet and Wikipedia: the paper's 500,000, or yours.

    Numbers, WordNet, unigrams, bigrams and titles, in this order, each entry once. All sources are
    optional; what is given is used. A report of what became of each candidate is written beside the
    list, as NAME.build.json. Counts are kept in the folder NAME.build, so that a run that was cut
    off goes on, and other thresholds need no other count; it can be removed. Needs the extra
    `metadata`: pip install "metacurate[metadata]"

    Examples:

        metacurate metadata build --wordnet /usr/share/wordnet -o metadata.parquet

        metacurate metadata build --wordnet WNdb-3.0.tar.gz --wikipedia wikipedia/*.parquet
        --bigrams 100646 --bigram-min-count 20 --pageviews pageviews/ -o metadata.parquet

        metacurate metadata build --unigram-counts counts.csv.gz --unigrams 50000 -o words.txt
    """
    from metacurate.engine.progress import terminal_progress
    from metacurate.metadata.build import build_metadata, parse_size
    from metacurate.metadata.recipe import Recipe

    recipe = Recipe(
        wordnet=None if wordnet is None else str(wordnet), wikipedia=tuple(wikipedia or ()),
        unigram_counts=unigram_counts, bigram_counts=bigram_counts,
        pageviews=tuple(pageviews or ()), title_list=title_list,
        unigram_min_count=unigram_min_count, unigrams=unigrams, bigram_min_pmi=bigram_min_pmi,
        bigram_min_count=bigram_min_count, bigrams=bigrams, title_min_views=title_min_views,
        titles=titles, hour_min_views=hour_min_views, project=project, limit=limit, spaced=spaced,
        drop_unmatchable=drop_unmatchable, case_variants=case_variants,
    )  # fmt: skip
    with terminal_progress() as progress:
        report = build_metadata(
            recipe, out, workers=workers, memory=parse_size(memory), on_error=on_error,
            progress=progress,
        )  # fmt: skip
    if as_json:
        print_json(report)
        return
    print_report(report, str(out))


def print_report(report: dict[str, Any], title: str) -> None:
    """Print the report of a build: what became of each source's candidates, and where they came from.

    Args:
        report: from `metacurate.metadata.build`. title: above it.
    """  # noqa: E501
    rows = []
    for source in report["sources"]:
        selection = ", ".join(
            f"{name.replace('_', ' ')} {shown(value)}"
            for name, value in source["selection"].items()
            if value is not None
        )
        counts = (shown(source["read"]), shown(source["kept"]))
        rows.append((source["source"], selection, *counts, ""))
        for reason, n in source["dropped"].items():
            rows.append(("", f"  {reason}", "", "", shown(n)))
    rows.append(("all", "", "", shown(report["entries"]), ""))
    print_table(
        title,
        ("source", "rule, or why left out", "candidates", "entries", "left out"),
        rows,
        lefts=2,
    )
    print_table("Read", ("file", "SHA-256", "for", "licence"), _inputs(report), lefts=4)
    told: dict[str, list[str]] = {}
    for source in report["sources"]:
        numbers = (f"{name.replace('_', ' ')} {shown(n)}" for name, n in source["counted"].items())
        told.setdefault(", ".join(numbers), []).append(source["source"])
    for counted, names in told.items():
        if counted:
            typer.echo(printable(f"{', '.join(names)}: {counted}"))
    if never := report["never_match_in_mode_paper"]:
        typer.echo(
            f"{never:,} entries can never match: --drop-unmatchable leaves them out, --spaced lets "
            "them match"
        )
    for error in dict.fromkeys(e for source in report["sources"] for e in source["errors"]):
        typer.echo(printable(f"skipped: {error}"))
    typer.echo(f"digest {report['digest']}")


def _inputs(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row for each file that was read; of many, the first."""
    readers: dict[tuple[str, str, str], list[str]] = {}
    for source in report["sources"]:
        for one in source["inputs"]:
            key = (
                one["file"],
                (one["sha256"] or "can't be read")[:SHOWN_DIGITS],
                source["licence"] or "",
            )
            readers.setdefault(key, []).append(source["source"])
    rows: list[tuple[str, ...]] = []
    for (file, sha256, licence), names in readers.items():
        rows.append((file, sha256, ", ".join(names), licence))
    if len(rows) > SHOWN_INPUTS:
        more = len(rows) - SHOWN_INPUTS + 1
        rows[SHOWN_INPUTS - 1 :] = [(f"and {more:,} more: see the report", "", "", "")]
    return rows
