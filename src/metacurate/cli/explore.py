"""The command explore: a page of this machine on which one reads a curated set."""

import os
import sys
from typing import Annotated

import typer

from metacurate.cli.printing import printable


def explore(
    out: Annotated[str, typer.Argument(help="The output folder of curate or sample.")],
    port: Annotated[
        int, typer.Option("--port", help="To listen at, on this machine; 0 for any free one.")
    ] = 8765,
    opens: Annotated[bool, typer.Option("--open", help="Open the page in your browser.")] = False,
) -> None:
    """Read a curated set in the browser: entries, pairs, and why each is in or out.

    It listens on 127.0.0.1 only, changes nothing, and loads images only when you ask for them.
    Ctrl-C ends it, with exit code 0.

    Example:

        metacurate explore curated/
    """
    from metacurate.reporting.explorer.server import serve

    def started(address: str) -> None:
        typer.echo(f"Explore {printable(out)} at {address} (Ctrl-C ends it)", err=True)
        if opens:
            typer.launch(address)

    serve(out, port, started)
    # Threads may still be compiling the matcher, and can't be broken off: nothing is lost by it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
