"""Commands that make pools: dedup, pack, and the demo's."""

from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from metacurate.cli import options
from metacurate.cli.engines import on_any_engine
from metacurate.cli.printing import print_json, print_summary, print_table

By = Literal["pair", "url", "text"]


@on_any_engine
def dedup(
    pool: options.Pool,
    out: options.Out,
    by: Annotated[
        By,
        typer.Option("--by", help="What no two rows may share: url and text (pair), url, or text."),
    ] = "pair",
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against", help="Another pool, whose rows are not to come again; may be repeated."
        ),
    ] = None,
    seed: options.Seed = 0,
    where: options.Where = None,
    columns: options.Columns = None,
    url_column: options.UrlColumn = None,
    text_column: options.TextColumn = None,
    id_column: options.IdColumn = None,
    on_error: options.OnErrorOption = "fail",
    as_json: options.Json = False,
    **runs: Any,
) -> None:
    """Keep one row of those that share a url, a text or both; what is written is a pool again.

    The same rows stay in whatever order and files they come, and balancing draws anew. The same
    command goes on where a run was cut off.

    Examples:

        metacurate dedup pool/ -o unique/

        metacurate dedup 'new/*.parquet' --by url --against old/ --against blocked.csv -o unique/
    """
    from metacurate.engine.progress import terminal_progress
    from metacurate.pool.dedup import dedup as run

    with terminal_progress() as progress:
        summary = run(
            pool, out, by=by, against=against, seed=seed, where=where,
            columns=options.split_columns(columns), url_column=url_column,
            text_column=text_column, id_column=id_column, on_error=on_error,
            progress=progress, **runs,
        )  # fmt: skip
    print_summary(summary, f"Rows without duplicates in {out}", as_json)


@on_any_engine
def pack(
    pool: options.Pool,
    out: options.Out,
    rows_per_shard: Annotated[
        int, typer.Option("--rows-per-shard", help="Rows of each file, but of the last.")
    ] = 1_000_000,
    columns: options.Columns = None,
    on_error: options.OnErrorOption = "fail",
    as_json: options.Json = False,
    **runs: Any,
) -> None:
    """Write a pool's rows into Parquet files of even size, in the order of its files.

    For many small files, and for pools of other formats that are read more than once.

    Examples:

        metacurate pack out/curated -o packed/ --rows-per-shard 100000

        metacurate pack Train_GCC-training.tsv --columns text,url -o cc3m/
    """
    from metacurate.engine.progress import terminal_progress
    from metacurate.pool.pack import pack as run

    with terminal_progress() as progress:
        summary = run(
            pool, out, rows_per_shard=rows_per_shard, columns=options.split_columns(columns),
            on_error=on_error, progress=progress, **runs,
        )  # fmt: skip
    print_summary(summary, f"Packed into {out}", as_json)


def demo(
    out: Annotated[str, typer.Option("--out", "-o", help="Output folder.")] = "build/demo",
    as_json: options.Json = False,
) -> None:
    """Make a pool of 200,000 pairs, balance it, and draw a picture: no download, seconds.

    Needs the extra `demo`: pip install "metacurate[demo]"

    Example:

        metacurate demo -o build/demo
    """
    from metacurate.demo import run_demo
    from metacurate.engine.progress import terminal_progress

    with terminal_progress() as progress:
        result = run_demo(out, progress)
    if as_json:
        print_json(result.summary)
        return
    print_table(result.title, result.columns, result.rows)
    Console().print(result.story, highlight=False, markup=False)
