"""Commands for lists of concepts: build, fetch, info, diff and convert."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from metacurate.cli import options
from metacurate.cli.build import build, print_report
from metacurate.cli.fetch import fetch
from metacurate.cli.many import ManyValues
from metacurate.cli.printing import print_json, print_summary, print_table, printable, shown

log = logging.getLogger(__name__)

EXAMPLES = 5  # entries of a source that are named; JSON has more

app = typer.Typer(no_args_is_help=True, help="Build, look at and convert lists of concepts.")
app.command(cls=ManyValues)(build)
app.command()(fetch)


@app.command()
def info(
    file: Annotated[str, typer.Argument(help="The concepts: .parquet, .json, or text lines.")],
    as_json: options.Json = False,
) -> None:
    """Tell what a list of concepts holds: entries by source, digest, entries that never match.

    Where `metadata build` left a report beside it, it tells how the list came about, too.

    Example:

        metacurate metadata info metadata.parquet
    """
    from metacurate.metadata.build import read_report
    from metacurate.metadata.describe import describe_metadata
    from metacurate.metadata.metadata import Metadata

    metadata = Metadata.read(file)
    report = read_report(Path(file), metadata)
    summary = describe_metadata(metadata)
    if as_json:
        print_json({**summary, "build": report})
        return
    print_summary(summary, str(file), as_json)
    if report is not None:
        print_report(report, "How it was built")


@app.command()
def diff(
    left: Annotated[str, typer.Argument(help="A list of concepts.")],
    right: Annotated[str, typer.Argument(help="Another one.")],
    as_json: options.Json = False,
) -> None:
    """Tell what two lists of concepts share and what each of them lacks, by source.

    Example:

        metacurate metadata diff metadata.parquet other.parquet
    """
    from metacurate.metadata.diff import diff_metadata
    from metacurate.metadata.metadata import Metadata

    found = diff_metadata(Metadata.read(left), Metadata.read(right))
    if as_json:
        print_json(found)
        return
    numbers = ("left", "right", "shared", "other_source", "only_left", "only_right")
    rows = [
        (source["source"], *(shown(source[name]) for name in numbers))
        for source in found["sources"]
    ]
    totals = [sum(source[name] for source in found["sources"]) for name in numbers]
    rows.append(("all", *map(shown, totals)))
    columns = ("source", "left", "right", "shared", "of another source", "only left", "only right")
    print_table(f"left: {left}, right: {right}", columns, rows)
    for source in found["sources"]:
        for side in ("left", "right"):
            examples = ", ".join(source[f"only_{side}_first"][:EXAMPLES])
            if examples:
                typer.echo(printable(f"{source['source']}, only {side}: {examples}"))
    same = "the same, in the same order" if found["same"] else "not the same"
    until = "" if found["same"] else f"; their first {found['same_until']:,} entries are"
    typer.echo(f"The lists are {same}{until}.")


@app.command()
def convert(
    file: Annotated[str, typer.Argument(help="What to read.")],
    out: Annotated[str, typer.Argument(help="What to write: .parquet, .json, or text lines.")],
) -> None:
    """Write a list of concepts in another format; the ending of its name tells which.

    Example:

        metacurate metadata convert metadata.json metadata.parquet
    """
    from metacurate.metadata.metadata import Metadata

    metadata = Metadata.read(file)
    metadata.write(out)
    if not out.lower().endswith(".parquet") and set(metadata.per_source()) != {"user"}:
        log.warning("%s holds the entries alone: their sources are in Parquet only", out)
    typer.echo(printable(f"{out}: {len(metadata):,} entries, digest {metadata.digest}"))
