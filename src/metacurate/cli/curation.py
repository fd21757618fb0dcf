"""The main job and its steps: curate, plan, count, sample, and match to explain them."""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from metacurate.cli import options
from metacurate.cli.engines import on_any_engine
from metacurate.cli.printing import json_line, print_json, print_summary, print_table, shown
from metacurate.cli.report import report_on
from metacurate.errors import MetacurateError, UsageError


@on_any_engine
def curate(
    pool: options.Pool,
    metadata: options.Metadata,
    out: options.Out,
    threshold: options.Threshold = None,
    tail_share: options.TailShare = None,
    budget: options.Budget = None,
    seed: options.Seed = 0,
    mode: options.ModeOption = "paper",
    where: options.Where = None,
    per_image: options.PerImageOption = "all",
    round_: options.Round = None,
    columns: options.Columns = None,
    url_column: options.UrlColumn = None,
    text_column: options.TextColumn = None,
    id_column: options.IdColumn = None,
    uids: options.Uids = None,
    on_error: options.OnErrorOption = "fail",
    report: options.Report = True,
    as_json: options.Json = False,
    **runs: Any,
) -> None:
    """Balance a pool: count, find the threshold, sample, write the data card.

    The same command goes on where a run was cut off; with other options it does again what they
    change.

    Examples:

        metacurate curate pool/ -m metadata.parquet -t 20000 -o curated/

        metacurate curate 'laion/*.parquet' -m concepts.txt --budget 1000000 -o out --json

        metacurate curate cc12m.tsv --columns url,text -m metadata.parquet -o out

        metacurate curate shards/ -m metadata.parquet --where "similarity > 0.28" -o out
    """
    from metacurate.curation.curate import curate as run
    from metacurate.engine.progress import terminal_progress
    from metacurate.metadata.metadata import Metadata

    concepts = Metadata.read(metadata)
    with terminal_progress() as progress:
        result = run(
            pool, concepts, threshold=threshold, tail_share=tail_share, budget=budget, out=out,
            seed=seed, mode=mode, where=where, per_image=per_image, round=round_, uids=uids,
            columns=options.split_columns(columns), url_column=url_column,
            text_column=text_column, id_column=id_column, on_error=on_error,
            progress=progress, **runs,
        )  # fmt: skip
    print_summary(result.summary, f"Curated into {out}", as_json)
    if report:
        report_on(out)


@on_any_engine
def plan(
    pool: options.Pool,
    metadata: options.Metadata,
    threshold: Annotated[
        list[float] | None,
        typer.Option("--threshold", "-t", help="A threshold to ask about; may be repeated."),
    ] = None,
    tail_share: Annotated[
        list[float] | None,
        typer.Option(
            "--tail-share",
            help="A tail share to ask about; may be repeated. [default: 0.06, where nothing else "
            "is asked]",
        ),
    ] = None,
    budget: Annotated[
        list[int] | None,
        typer.Option("--budget", help="A number of pairs to ask about; may be repeated."),
    ] = None,
    counts: Annotated[
        str | None,
        typer.Option("--counts", "-c", help="Counts that were made before, or their folder."),
    ] = None,
    foreign_counts: options.ForeignCounts = False,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", help="Folder that keeps what was found, so that asking again is quick."
        ),
    ] = None,
    seed: options.Seed = 0,
    mode: options.ModeOption = "paper",
    where: options.Where = None,
    per_image: options.PerImageOption = "all",
    round_: options.Round = None,
    columns: options.Columns = None,
    url_column: options.UrlColumn = None,
    text_column: options.TextColumn = None,
    id_column: options.IdColumn = None,
    on_error: options.OnErrorOption = "fail",
    as_json: options.Json = False,
    **runs: Any,
) -> None:
    """Tell exactly what curate would keep, for any thresholds, tail shares and budgets.

    Examples:

        metacurate plan pool/ -m metadata.parquet -t 5000 -t 10000 -t 20000

        metacurate plan pool/ -m metadata.parquet --tail-share 0.06 --budget 1000000 -o plan/
    """
    from metacurate.curation.curate import plan as run
    from metacurate.engine.progress import terminal_progress
    from metacurate.metadata.metadata import Metadata

    concepts = Metadata.read(metadata)
    with terminal_progress() as progress:
        summary = run(
            pool, concepts, thresholds=threshold or (), tail_shares=tail_share or (),
            budgets=budget or (), counts=counts, foreign_counts=foreign_counts, out=out,
            seed=seed, mode=mode, where=where, per_image=per_image, round=round_,
            columns=options.split_columns(columns), url_column=url_column,
            text_column=text_column, id_column=id_column, on_error=on_error,
            progress=progress, **runs,
        )  # fmt: skip
    if as_json:
        print_json(summary)
        return
    print_answers(summary)


def print_answers(summary: dict[str, Any]) -> None:
    """Print what a plan answers.

    Args:
        summary: of a plan.
    """
    rows = [
        (
            f"{_ASKED[answer['asked']]} {shown(answer['value'])}",
            f"{answer['threshold']:,.9g}",
            f"{answer['kept']:,}",
            f"{answer['share']:.2%}",
            f"{answer['tail_share']:.2%}",
            f"{answer['head_entries']:,}",
            f"{answer['tail_entries']:,}",
            f"{answer['matches_kept']:,}",
        )
        for answer in summary["answers"]
    ]
    print_table(
        f"{summary['rows_read'] - summary.get('filtered', 0):,} pairs, "
        f"{summary['matches']:,} matches",
        ("asked", "t", "pairs kept", "share", "tail share", "head", "tail", "matches kept"),
        rows,
    )


_ASKED = {"threshold": "t", "tail_share": "tail share", "budget": "budget"}


@on_any_engine
def count(
    pool: options.Pool,
    metadata: options.Metadata,
    out: options.Out,
    mode: options.ModeOption = "paper",
    where: options.Where = None,
    per_image: options.PerImageOption = "all",
    seed: Annotated[
        int, typer.Option("--seed", help="Of the draws, where one caption per image is chosen.")
    ] = 0,
    columns: options.Columns = None,
    url_column: options.UrlColumn = None,
    text_column: options.TextColumn = None,
    id_column: options.IdColumn = None,
    on_error: options.OnErrorOption = "fail",
    as_json: options.Json = False,
    **runs: Any,
) -> None:
    """Count how many texts of a pool match each entry, into OUT/counts.parquet.

    Example:

        metacurate count pool/ -m metadata.parquet -o counts/
    """
    from metacurate.curation.curate import count as run
    from metacurate.curation.job import read_summary
    from metacurate.engine.progress import terminal_progress
    from metacurate.matching.matcher import Matcher
    from metacurate.metadata.metadata import Metadata

    matcher = Matcher(Metadata.read(metadata), mode)
    with terminal_progress() as progress:
        run(
            pool, matcher, out=out, seed=seed, where=where, per_image=per_image,
            columns=options.split_columns(columns), url_column=url_column,
            text_column=text_column, id_column=id_column, on_error=on_error,
            progress=progress, **runs,
        )  # fmt: skip
    print_summary(read_summary(out), f"Counted into {out}", as_json)


@on_any_engine
def sample(
    pool: options.Pool,
    metadata: options.Metadata,
    counts: options.Counts,
    out: options.Out,
    threshold: options.Threshold = None,
    tail_share: options.TailShare = None,
    budget: options.Budget = None,
    seed: options.Seed = 0,
    mode: options.ModeOption = "paper",
    foreign_counts: options.ForeignCounts = False,
    where: options.Where = None,
    per_image: options.PerImageOption = "all",
    round_: options.Round = None,
    columns: options.Columns = None,
    url_column: options.UrlColumn = None,
    text_column: options.TextColumn = None,
    id_column: options.IdColumn = None,
    uids: options.Uids = None,
    on_error: options.OnErrorOption = "fail",
    report: options.Report = True,
    as_json: options.Json = False,
    **runs: Any,
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
            pool, concepts, counts, threshold=threshold, tail_share=tail_share, budget=budget,
            out=out, seed=seed, mode=mode, foreign_counts=foreign_counts, where=where,
            per_image=per_image, round=round_, uids=uids, columns=options.split_columns(columns),
            url_column=url_column, text_column=text_column, id_column=id_column,
            on_error=on_error, progress=progress, **runs,
        )  # fmt: skip
    print_summary(result.summary, f"Sampled into {out}", as_json)
    if report:
        report_on(out)


def match(
    metadata: options.Metadata,
    file: Annotated[
        Path | None, typer.Argument(help="Texts, one a line. [default: standard input]")
    ] = None,
    mode: options.ModeOption = "paper",
    counts: Annotated[
        str | None,
        typer.Option(
            "--counts",
            "-c",
            help="counts.parquet, or an output folder: adds counts and probabilities.",
        ),
    ] = None,
    threshold: options.Threshold = None,
    tail_share: options.TailShare = None,
    url: Annotated[
        str | None, typer.Option("--url", "-u", help="The texts' image: adds draw and fate.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of the draws. [default: the folder's, or 0]")
    ] = None,
    round_: Annotated[
        int | None,
        typer.Option(
            "--round",
            help="Of balancing: 1 for a pool that is balanced already. [default: the folder's, "
            "or 0]",
        ),
    ] = None,
) -> None:
    """Tell which entries a text matches, and why its pair would be kept or not.

    One JSON object a line: the text and its entries; with --counts their counts, probabilities
    and the pair's keep probability; with --url also its draw, smallest threshold and fate. Where
    --counts names the folder of a curated set, its threshold, seed and round are taken.

    Examples:

        echo "a red fox in the snow" | metacurate match -m metadata.parquet

        metacurate match -m metadata.parquet texts.txt -c out/ -u https://a.b/c.jpg
    """
    from metacurate.curation.balance import Balance
    from metacurate.curation.explain import Explainer
    from metacurate.curation.job import read_counts, read_settings
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
        settings = read_settings(counts)
        if threshold is None and tail_share is None:
            threshold = settings.get("threshold")
        seed = settings.get("seed") if seed is None else seed
        round_ = settings.get("round") if round_ is None else round_
        balance = Balance(known, threshold, tail_share)
    explainer = Explainer(matcher, balance, url, seed or 0, round_ or 0)
    for texts in _read_lines(file):
        for told in explainer.explain(texts):
            sys.stdout.write(json_line(told) + "\n")
        sys.stdout.flush()


def _read_lines(file: Path | None) -> Iterator[list[str]]:
    """Read texts, one a line: a line at a time from a terminal, else thousands at once."""
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
