"""The command line: parses, calls the API, prints. Nothing heavy is imported for --help."""

import logging
import os
import shlex
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from metacurate import __version__
from metacurate.cli import (
    compare,
    curation,
    evaluate,
    explore,
    extract,
    folders,
    images,
    metadata,
    pools,
    report,
    train,
)
from metacurate.cli.printing import StandardError, printable
from metacurate.engine.command_line import COMMAND_LINE
from metacurate.errors import MetacurateError, UsageError, first_line

INTERRUPTED = 130  # the shell's exit code for it
RESUMED = (
    "curate", "plan", "count", "sample", "extract", "dedup", "pack", "metadata build",
    "metadata fetch", "images download", "images filter", "images select",
)  # fmt: skip

app = typer.Typer(
    name="metacurate",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Balanced, reproducible training sets for CLIP, by the MetaCLIP method.\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage. Results go to standard output, progress and "
    "messages to standard error.",
)


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Balanced, reproducible training sets for CLIP."""
    if version:
        typer.echo(f"metacurate {__version__}")
        raise typer.Exit


for command in (
    curation.curate,
    curation.plan,
    curation.count,
    curation.sample,
    curation.match,
    extract.extract,
    pools.dedup,
    pools.pack,
    folders.info,
    folders.status,
    report.report,
    compare.compare,
    explore.explore,
    train.train,
    evaluate.evaluate,
    pools.demo,
):
    app.command()(command)
app.add_typer(metadata.app, name="metadata")
app.add_typer(images.app, name="images")


def main() -> None:
    """Run a command and turn the errors that metacurate raises into a line and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # where it is no UTF-8
    logging.basicConfig(
        level=logging.WARNING, format="metacurate: %(message)s", handlers=[StandardError()]
    )
    logging.getLogger("metacurate").setLevel(logging.INFO)  # of libraries, warnings only
    typed = COMMAND_LINE.set(shlex.join(["metacurate", *sys.argv[1:]]))
    try:
        app()
    except MetacurateError as error:
        sys.stderr.write(f"metacurate: error: {printable(str(error))}\n")
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except BrokenPipeError:  # the reader of our output has gone: `metacurate match ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # of a file or folder that may not be read, which it names
        sys.stderr.write(f"metacurate: error: {printable(first_line(error))}\n")
        sys.exit(1)
    except KeyboardInterrupt:  # before typer listens for it
        _tell_interrupted()
        sys.exit(INTERRUPTED)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer's own, on Ctrl-C
            _tell_interrupted()
        raise
    finally:
        COMMAND_LINE.reset(typed)


def _tell_interrupted() -> None:
    called = " ".join(sys.argv[1:3])
    kept = any(argument.startswith(("-o", "--out")) for argument in sys.argv[2:])
    resumes = kept and (called in RESUMED or called.partition(" ")[0] in RESUMED)
    goes_on = "; the same command goes on where this stopped" if resumes else ""
    if called.startswith("train"):
        goes_on = "; the same command with --resume goes on from the last checkpoint"
    sys.stderr.write(f"metacurate: interrupted{goes_on}\n")
