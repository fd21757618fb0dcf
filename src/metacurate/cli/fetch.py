"""The command that downloads the public sources of concepts: metadata fetch."""

import logging
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from metacurate.cli import options
from metacurate.cli.printing import print_json, print_table, printable, shown_bytes
from metacurate.errors import UsageError

log = logging.getLogger(__name__)


def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE",
            help="wordnet, wikipedia, dump, titles, pageviews. Without any, all are listed.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Output folder: each source gets a folder in it."),
    ] = None,
    language: Annotated[
        str,
        typer.Option(
            "--language", help="Of wikipedia, dump and titles: Wikipedia's code, like simple."
        ),
    ] = "en",
    days: Annotated[
        str | None,
        typer.Option(
            "--days",
            help="Of pageviews: 2021-01-01,2021-02-01 and so on. "
            "[default: the first of 26 months, from January 2021]",
        ),
    ] = None,
    dump_date: Annotated[
        str | None,
        typer.Option("--dump-date", help="Of dump: YYYYMMDD. [default: the latest dump]"),
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            "--mirror",
            help="Take URLs that begin with FROM from TO instead, as FROM=TO; may be repeated.",
        ),
    ] = None,
    urls: Annotated[
        bool,
        typer.Option("--urls", help="Only print the files' URLs, one a line, without the network."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """List or download the public sources of concepts; `metadata build` reads them.

    Sizes are shown before anything is downloaded. The same command goes on where one was cut
    off, and gets only what is missing or has changed. Checksums are verified where the source
    publishes them (wikipedia, dump, titles). A proxy is taken from the environment. wikipedia
    and dump hold the same articles, as plain text and as wikitext: one of the two will do.

    Needs the extra `metadata`: pip install "metacurate[metadata]"

    Examples:

        metacurate metadata fetch

        metacurate metadata fetch wordnet wikipedia titles pageviews -o sources/

        metacurate metadata fetch dump titles -o sources/ --language simple

        metacurate metadata fetch pageviews --days 2024-05-01,2024-06-01 --urls

        metacurate metadata fetch titles -o sources/
        --mirror https://dumps.wikimedia.org=https://dumps.wikimedia.your.org
    """
    from metacurate.engine.progress import terminal_progress
    from metacurate.metadata.fetching.fetch import fetch_sources, list_sources

    names, mirrors, dates = names or [], mirror or [], options.split_columns(days)
    if urls or not names:
        sources = list_sources(
            names, language=language, days=dates, dump_date=dump_date, mirrors=mirrors
        )
        _print_sources(sources, urls, as_json)
        return
    if out is None:
        list_sources(names)  # a name that is wrong comes first
        raise UsageError("give --out DIR to download to, or --urls to list the files")
    with terminal_progress() as progress:
        result = fetch_sources(
            names, out, language=language, days=dates, dump_date=dump_date, mirrors=mirrors,
            progress=progress, tell=_print_plan,
        )  # fmt: skip
    if as_json:
        print_json(result)
        return
    print_table(
        f"Downloaded to {out}",
        ("source", "files", "size", "new"),
        [
            (found["path"], f"{found['files']:,}", shown_bytes(found["bytes"]),
             f"{found['downloaded']:,}")
            for found in result["sources"].values()
        ],
    )  # fmt: skip
    typer.echo("They are read by:\n\n" + printable(result["build"]))


def _print_sources(sources: list[dict[str, Any]], urls: bool, as_json: bool) -> None:
    """Print which sources there are: URLs, JSON, or a table."""
    if as_json:
        print_json(sources)
        return
    if urls:
        for source in sources:
            for url in source["urls"]:
                typer.echo(printable(url))
            if not source["urls"]:
                log.info("%s: its files are listed by %s", source["name"], source["listing"])
        return
    print_table(
        "Public sources of concepts: metacurate metadata fetch SOURCE... --out DIR",
        ("source", "what", "licence", "read by", "checksum", "files", "about"),
        [
            (
                source["name"],
                source["what"],
                source["licence"],
                source["flag"],
                source["checksum"] or "-",
                "?" if source["files"] is None else f"{source['files']:,}",
                "?" if source["about_bytes"] is None else shown_bytes(source["about_bytes"]),
            )
            for source in sources
        ],
        lefts=5,
    )


def _print_plan(plan: list[dict[str, Any]]) -> None:
    """Show what is about to be downloaded, on standard error."""
    rows = [
        (
            of["source"], f"{of['files']:,}", shown_bytes(of["bytes"]), f"{of['here']:,}",
            f"{of['missing']:,}", shown_bytes(of["missing_bytes"]),
        )
        for of in plan
    ]  # fmt: skip
    with redirect_stdout(sys.stderr):
        print_table(
            "To download", ("source", "files", "size", "there", "missing", "to download"), rows
        )
