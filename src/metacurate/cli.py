"""The commands: parse, call the API, print. No logic, and nothing heavy is imported for --help."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metacurate import __version__
from metacurate.errors import MetacurateError, UsageError

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
metadata_app = typer.Typer(no_args_is_help=True, help="Look at and convert lists of concepts.")
app.add_typer(metadata_app, name="metadata")

INTERRUPTED = 130  # the shell's exit code for it

Mode = Literal["paper", "spaced"]
OnError = Literal["fail", "skip"]

PoolArgument = Annotated[
    list[str], typer.Argument(help="Parquet files of the pool: files, folders, globs or URIs.")
]
MetadataOption = Annotated[
    Path, typer.Option("--metadata", "-m", help="The concepts: .parquet, .json, or text lines.")
]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Output folder.")]
ThresholdOption = Annotated[
    float | None,
    typer.Option("--threshold", "-t", help="Thin concepts with more matches than this."),
]
TailShareOption = Annotated[
    float | None,
    typer.Option(
        "--tail-share",
        help="Take the threshold whose tail holds this share of matches. "
        "[default: 0.06, where no threshold is given]",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Of the draws, 0 to 2^64 - 1.")]
ModeOption = Annotated[
    Mode,
    typer.Option("--mode", help="Entries as they are (paper), or spaced like texts (spaced)."),
]
UrlColumnOption = Annotated[
    str | None, typer.Option("--url-column", help="[default: url, URL or image_url]")
]
TextColumnOption = Annotated[
    str | None, typer.Option("--text-column", help="[default: text, TEXT or caption]")
]
IdColumnOption = Annotated[
    str | None,
    typer.Option("--id-column", help="For pools without urls: what tells images apart."),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", help="Number of threads. [default: all cores]")
]
OnErrorOption = Annotated[
    OnError,
    typer.Option("--on-error", help="Corrupt input: fail after all others are done, or skip it."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Balanced, reproducible training sets for CLIP."""
    if version:
        typer.echo(f"metacurate {__version__}")
        raise typer.Exit


@app.command()
def curate(
    pool: PoolArgument,
    metadata: MetadataOption,
    out: OutOption,
    threshold: ThresholdOption = None,
    tail_share: TailShareOption = None,
    seed: SeedOption = 0,
    mode: ModeOption = "paper",
    url_column: UrlColumnOption = None,
    text_column: TextColumnOption = None,
    id_column: IdColumnOption = None,
    workers: WorkersOption = None,
    on_error: OnErrorOption = "fail",
    as_json: JsonOption = False,
) -> None:
    """Balance a pool: count, find the threshold, sample, write the data card.

    The same command goes on where a run was cut off.

    Examples:

        metacurate curate pool/ -m metadata.parquet -t 20000 -o curated/

        metacurate curate laion.parquet -m concepts.txt --tail-share 0.06 --seed 7 -o out --json
    """
    from metacurate.curation.curate import curate as run
    from metacurate.engine.progress import terminal_progress
    from metacurate.metadata.metadata import Metadata

    concepts = Metadata.read(metadata)
    with terminal_progress() as progress:
        result = run(
            pool, concepts, threshold=threshold, tail_share=tail_share, out=out, seed=seed,
            mode=mode, url_column=url_column, text_column=text_column, id_column=id_column,
            workers=workers, on_error=on_error, progress=progress,
        )  # fmt: skip
    _print_summary(result.summary, f"Curated into {out}", as_json)


@app.command()
def count(
    pool: PoolArgument,
    metadata: MetadataOption,
    out: OutOption,
    mode: ModeOption = "paper",
    url_column: UrlColumnOption = None,
    text_column: TextColumnOption = None,
    id_column: IdColumnOption = None,
    workers: WorkersOption = None,
    on_error: OnErrorOption = "fail",
    as_json: JsonOption = False,
) -> None:
    """Count how many texts of a pool match each entry, into OUT/counts.parquet.

    Example:

        metacurate count pool/ -m metadata.parquet -o counts/
    """
    from metacurate.curation.curate import count as run
    from metacurate.curation.curate import read_summary
    from metacurate.engine.progress import terminal_progress
    from metacurate.matching.matcher import Matcher
    from metacurate.metadata.metadata import Metadata

    matcher = Matcher(Metadata.read(metadata), mode)
    with terminal_progress() as progress:
        run(
            pool, matcher, out=out, url_column=url_column, text_column=text_column,
            id_column=id_column, workers=workers, on_error=on_error, progress=progress,
        )  # fmt: skip
    _print_summary(read_summary(out), f"Counted into {out}", as_json)


@app.command()
def sample(
    pool: PoolArgument,
    metadata: MetadataOption,
    counts: Annotated[
        Path, typer.Option("--counts", "-c", help="counts.parquet, or a folder that holds it.")
    ],
    out: OutOption,
    threshold: ThresholdOption = None,
    tail_share: TailShareOption = None,
    seed: SeedOption = 0,
    mode: ModeOption = "paper",
    foreign_counts: Annotated[
        bool, typer.Option("--foreign-counts", help="Allow counts of another pool.")
    ] = False,
    url_column: UrlColumnOption = None,
    text_column: TextColumnOption = None,
    id_column: IdColumnOption = None,
    workers: WorkersOption = None,
    on_error: OnErrorOption = "fail",
    as_json: JsonOption = False,
) -> None:
    """Draw a balanced subset of a pool with counts that were made before.

    Example:

        metacurate sample pool/ -m metadata.parquet -c counts/ -t 20000 -o curated/
    """
    from metacurate.curation.curate import sample as run
    from metacurate.engine.progress import terminal_progress
    from metacurate.metadata.metadata import Metadata

    concepts = Metadata.read(metadata)
    with terminal_progress() as progress:
        result = run(
            pool, concepts, counts, threshold=threshold, tail_share=tail_share, out=out,
            seed=seed, mode=mode, foreign_counts=foreign_counts, url_column=url_column,
            text_column=text_column, id_column=id_column, workers=workers, on_error=on_error,
            progress=progress,
        )  # fmt: skip
    _print_summary(result.summary, f"Sampled into {out}", as_json)


@app.command()
def match(
    metadata: MetadataOption,
    file: Annotated[
        Path | None, typer.Argument(help="Texts, one a line. [default: standard input]")
    ] = None,
    mode: ModeOption = "paper",
    counts: Annotated[
        Path | None,
        typer.Option("--counts", "-c", help="counts.parquet: adds counts and probabilities."),
    ] = None,
    threshold: ThresholdOption = None,
    tail_share: TailShareOption = None,
    url: Annotated[
        str | None, typer.Option("--url", "-u", help="The texts' image: adds draw and fate.")
    ] = None,
    seed: SeedOption = 0,
    round_: Annotated[
        int, typer.Option("--round", help="Of balancing: 1 for a pool that is balanced already.")
    ] = 0,
) -> None:
    """Tell which entries a text matches, and why its pair would be kept or not.

    One JSON object a line: the text and its entries; with --counts their counts, probabilities
    and the pair's keep probability; with --url also its draw, smallest threshold and fate.

    Examples:

        echo "a red fox in the snow" | metacurate match -m metadata.parquet

        metacurate match -m metadata.parquet texts.txt -c out/ -t 20000 -u https://a.b/c.jpg
    """
    from metacurate.curation.balance import Balance
    from metacurate.curation.curate import read_counts
    from metacurate.curation.explain import Explainer
    from metacurate.matching.matcher import Matcher
    from metacurate.metadata.metadata import Metadata

    if counts is None and (threshold is not None or tail_share is not None or url is not None):
        raise UsageError("--threshold, --tail-share and --url need --counts")
    if file is not None and not file.is_file():
        raise UsageError(f"{file}: no such file")
    matcher = Matcher(Metadata.read(metadata), mode)
    balance = None
    if counts is not None:
        known = read_counts(counts)
        known.check(matcher.metadata.digest, mode)
        balance = Balance(known, threshold, tail_share)
    explainer = Explainer(matcher, balance, url, seed, round_)
    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"  # then JSON escapes
    for texts in _read_lines(file):
        for told in explainer.explain(texts):
            sys.stdout.write(json.dumps(told, ensure_ascii=plain) + "\n")
        sys.stdout.flush()


@metadata_app.command("info")
def metadata_info(
    file: Annotated[Path, typer.Argument(help="The concepts: .parquet, .json, or text lines.")],
    as_json: JsonOption = False,
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
    _print_summary(summary, str(file), as_json)


@metadata_app.command("convert")
def metadata_convert(
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
    typer.echo(f"{out}: {len(metadata):,} entries, digest {metadata.digest}")


@app.command()
def demo(
    out: OutOption = Path("build/demo"),
    as_json: JsonOption = False,
) -> None:
    """Make a pool of 200,000 pairs, balance it, and draw a picture: no download, one minute.

    Needs the extra `demo`: pip install "metacurate[demo]"

    Example:

        metacurate demo -o build/demo
    """
    from metacurate.demo import run_demo
    from metacurate.engine.progress import terminal_progress

    with terminal_progress() as progress:
        result = run_demo(out, progress)
    if as_json:
        typer.echo(json.dumps(result.summary))
        return
    console = Console()
    table = Table(title=result.title, title_justify="left")
    for name in result.columns:
        table.add_column(name, justify="right" if name != result.columns[0] else "left")
    for row in result.rows:
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)
    console.print(result.story, highlight=False, markup=False)


def main() -> None:
    """Run a command and turn the errors that metacurate raises into a line and an exit code."""
    logging.basicConfig(
        level=logging.INFO, format="metacurate: %(message)s", handlers=[_StandardError()]
    )
    try:
        app()
    except MetacurateError as error:
        sys.stderr.write(f"metacurate: error: {error}\n")
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except BrokenPipeError:  # the reader of our output has gone: `metacurate match ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer's own, on Ctrl-C
            sys.stderr.write(
                "metacurate: interrupted; the same command goes on where this stopped\n"
            )
        raise


class _StandardError(logging.Handler):
    """Writes to what standard error is at the moment: a progress bar puts itself in between."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")


def _print_summary(summary: dict[str, Any], title: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary, ensure_ascii=False))
        return
    table = Table(title=escape(title), show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(justify="right", overflow="fold")
    for name, value in _flatten(summary):
        shown = f"{value:,}" if isinstance(value, int | float) else str(value)
        table.add_row(escape(name.replace("_", " ")), escape(shown))
    Console().print(table)


def _flatten(summary: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in summary.items():
        if isinstance(value, dict):
            yield from ((f"{name}: {key}", inner) for key, inner in value.items())
        else:
            yield name, value


def _read_lines(file: Path | None) -> Iterator[list[str]]:
    """Read texts, one a line: a line at a time from a terminal, else thousands at once."""
    from itertools import islice

    with sys.stdin.buffer if file is None else file.open("rb") as stream:
        at_once = 1 if stream.isatty() else 4096
        number = 0
        while lines := list(islice(stream, at_once)):
            texts = []
            for line in lines:
                number += 1
                try:
                    texts.append(line.removesuffix(b"\n").removesuffix(b"\r").decode())
                except UnicodeDecodeError as error:
                    yield texts
                    name = "standard input" if file is None else str(file)
                    raise MetacurateError(f"{name}: line {number} is no UTF-8: {error}") from error
            yield texts
