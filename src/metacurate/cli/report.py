"""The command that shows what a curated set looks like."""

import logging
from importlib.util import find_spec
from typing import Annotated, Literal

import typer

from metacurate.cli import options
from metacurate.cli.printing import print_json, printable

log = logging.getLogger(__name__)

Format = Literal["html", "json", "md", "png"]


def report(
    out: options.Folder,
    format_: Annotated[
        Format,
        typer.Option(
            "--format", "-f", help="A page, its figures, Markdown, or a picture of each plot."
        ),
    ] = "html",
    to: Annotated[
        str | None,
        typer.Option(
            "--to", help="File, or folder of pictures. [default: report.html and the like in OUT]"
        ),
    ] = None,
    threshold: Annotated[
        list[float] | None,
        typer.Option(
            "--threshold",
            "-t",
            help="Draw cumulative counts for this threshold, too; more than one can be asked for. "
            "[default: a tenth and ten times the set's own]",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show what a curated set looks like: one page, which opens without a network.

    Example:

        metacurate report curated/
    """
    from metacurate.reporting.report import Report

    places = [str(place) for place in Report(out, tuple(threshold or ())).write(format_, to)]
    if as_json:
        print_json({"files": places})
        return
    for place in places:
        typer.echo(printable(place))


def report_on(out: str) -> None:
    """Report on a set that was just made, where the extra is installed; else say how to get it.

    Args:
        out: its output folder.
    """
    missing = [name for name in ("altair", "duckdb", "jinja2", "vl_convert") if not find_spec(name)]
    if missing:
        log.info('no report.html, which needs more packages: pip install "metacurate[report]"')
        return
    from metacurate.reporting.report import Report

    log.info("the set at a glance: %s", Report(out).describe())
