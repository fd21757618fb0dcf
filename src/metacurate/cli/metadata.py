"""Commands for lists of concepts: info and convert."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from metacurate.cli import options
from metacurate.cli.printing import print_summary, printable

log = logging.getLogger(__name__)

app = typer.Typer(no_args_is_help=True, help="Look at and convert lists of concepts.")


@app.command()
def info(
    file: Annotated[Path, typer.Argument(help="The concepts: .parquet, .json, or text lines.")],
    as_json: options.Json = False,
) -> None:
    """Tell what a list of concepts holds: entries by source, digest, entries that never match.

    Example:

        metacurate metadata info metadata.parquet
    """
    from metacurate.matching.automaton import count_unreachable
    from metacurate.metadata.metadata import Metadata

    metadata = Metadata.read(file)
    summary = {
        "entries": len(metadata),
        "repeats_dropped": metadata.repeats,
        "sources": metadata.per_source(),
        "never_match_in_mode_paper": count_unreachable(metadata.entries),
        "digest": metadata.digest,
    }
    print_summary(summary, str(file), as_json)


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(help="What to read.")],
    out: Annotated[Path, typer.Argument(help="What to write: .parquet, .json, or text lines.")],
) -> None:
    """Write a list of concepts in another format; the ending of its name tells which.

    Example:

        metacurate metadata convert metadata.json metadata.parquet
    """
    from metacurate.metadata.metadata import Metadata

    metadata = Metadata.read(file)
    metadata.write(out)
    if out.suffix.lower() != ".parquet" and set(metadata.per_source()) != {"user"}:
        log.warning("%s holds the entries alone: their sources are in Parquet only", out)
    typer.echo(printable(f"{out}: {len(metadata):,} entries, digest {metadata.digest}"))
