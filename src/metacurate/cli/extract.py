"""From archives of the web to a pool: extract."""

from typing import Annotated, Any, Literal

import typer

from metacurate.cli import options
from metacurate.cli.engines import on_any_engine
from metacurate.cli.printing import print_summary
from metacurate.errors import MetacurateError


@on_any_engine
def extract(
    out: options.Out,
    archives: Annotated[
        list[str] | None,
        typer.Argument(
            help="WAT or WARC files, plain, .gz or .zst: paths, folders, globs, s3:// or https:// "
            "URIs."
        ),
    ] = None,
    crawl: Annotated[
        str | None,
        typer.Option("--crawl", help="Read a crawl of Common Crawl instead, as CC-MAIN-2024-22."),
    ] = None,
    kind: Annotated[
        Literal["wat", "warc"],
        typer.Option("--kind", help="Of a crawl: what its own parser found, or the pages."),
    ] = "wat",
    limit: Annotated[
        int | None,
        typer.Option("--limit", help="So many of a crawl's archives, drawn by the seed."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of that draw, 0 to 2^64 - 1.")] = 0,
    paths_root: Annotated[
        str,
        typer.Option(
            "--paths-root", help="Where crawls are: a URL, s3://commoncrawl, or a folder."
        ),
    ] = "https://data.commoncrawl.org",
    metadata: Annotated[
        str | None,
        typer.Option("--metadata", "-m", help="Keep only texts that match one of these entries."),
    ] = None,
    mode: options.ModeOption = "paper",
    language: Annotated[
        str | None,
        typer.Option("--language", help="Keep only texts of this language, as en."),
    ] = None,
    min_language_score: Annotated[
        float,
        typer.Option("--min-language-score", help="The model's probability, at least: 0 to 1."),
    ] = 0.0,
    min_chars: Annotated[int, typer.Option("--min-chars", help="Of a text, at least.")] = 1,
    max_chars: Annotated[int, typer.Option("--max-chars", help="Of a text, at most.")] = 10_000,
    block_domains: Annotated[
        list[str] | None,
        typer.Option(
            "--block-domains", help="File of domains to leave out, one a line; may be repeated."
        ),
    ] = None,
    block_url_hashes: Annotated[
        list[str] | None,
        typer.Option(
            "--block-url-hashes",
            help="File of hashes (MD5, SHA-1, SHA-224, SHA-256 or uids, in hex) of image URLs to "
            "leave out; may be repeated.",
        ),
    ] = None,
    block_words: Annotated[
        list[str] | None,
        typer.Option(
            "--block-words",
            help="File of words and phrases that no text may hold; may be repeated.",
        ),
    ] = None,
    on_error: options.OnErrorOption = "fail",
    as_json: options.Json = False,
    **runs: Any,
) -> None:
    """Find the image-text pairs of web archives, and write them as a pool.

    Every image of every page, with each of its texts, its absolute URL and its language. The same
    command goes on where a run was cut off.

    Needs the extra `commoncrawl`: pip install "metacurate[commoncrawl]"

    Examples:

        metacurate extract --crawl CC-MAIN-2024-22 --limit 100 --language en -o pool/

        metacurate extract 'crawl/*.warc.wat.gz' -m metadata.parquet -o pool/

        metacurate extract pages.warc.gz --block-domains domains.txt -o pool/
    """
    from metacurate.engine.progress import terminal_progress

    try:
        from metacurate.pool.web.extract import extract as run
        from metacurate.pool.web.sieve import Wanted
    except ImportError as error:
        raise MetacurateError(
            f"archives are read with packages that are missing ({error.name}): pip install "
            '"metacurate[commoncrawl]"'
        ) from error

    wanted = Wanted(
        min_chars, max_chars, tuple(block_domains or ()), tuple(block_url_hashes or ()),
        tuple(block_words or ()), language, min_language_score,
        None if metadata is None else str(metadata), mode,
    )  # fmt: skip
    with terminal_progress() as progress:
        summary = run(
            archives or None, out, crawl=crawl, kind=kind, limit=limit, seed=seed,
            paths_root=paths_root, wanted=wanted, on_error=on_error,
            progress=progress, **runs,
        )  # fmt: skip
    print_summary(summary, f"Extracted into {out}", as_json)
