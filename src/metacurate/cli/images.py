"""Commands for images: download and info (from download.py), filter and select."""

from typing import Annotated, Any

import typer

from metacurate.cli import download, options
from metacurate.cli.engines import on_any_engine
from metacurate.cli.printing import print_summary

app = typer.Typer(
    no_args_is_help=True, help="Download images into shards, filter them, and select from them."
)

Shards = Annotated[
    list[str],
    typer.Argument(help="Shards of images: folders, tars, globs or URIs of WebDataset tars."),
]
DISTANCE = 6  # bits; as metacurate.images.filters.verdicts has it, which --help does not import

app.command()(download.download)


@app.command(name="filter")
@on_any_engine
def filter_(
    shards: Shards,
    out: options.Out,
    near_duplicates: Annotated[
        bool,
        typer.Option(
            "--near-duplicates", help="Find images that look like another one of the set."
        ),
    ] = False,
    distance: Annotated[
        int,
        typer.Option(
            "--distance", help="Bits of 64-bit hashes in which images that look alike may differ."
        ),
    ] = DISTANCE,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            "--benchmark",
            help="Images to be kept out: a folder of them, a Parquet file with a column image, or "
            "a tar; may be repeated.",
        ),
    ] = None,
    sha256_list: Annotated[
        list[str] | None,
        typer.Option(
            "--sha256-list",
            help="Images to take down: SHA-256 of their files, one a line; may be repeated.",
        ),
    ] = None,
    pdq_list: Annotated[
        list[str] | None,
        typer.Option(
            "--pdq-list",
            help="Images to take down: PDQ hashes, one a line, up to 31 of 256 bits away; may be "
            "repeated.",
        ),
    ] = None,
    nsfw_model: Annotated[
        str | None,
        typer.Option("--nsfw-model", help="An ONNX classifier that scores images."),
    ] = None,
    nsfw_threshold: Annotated[
        float, typer.Option("--nsfw-threshold", help="The score from which on one is unsafe.")
    ] = 0.5,
    face_model: Annotated[
        str | None,
        typer.Option("--face-model", help="An ONNX detector of faces, of the UltraFace family."),
    ] = None,
    smallest_side: Annotated[
        int | None,
        typer.Option("--smallest-side", help="Pixels that an image has to have at least."),
    ] = None,
    aspect_ratio: Annotated[
        float | None,
        typer.Option("--aspect-ratio", help="Of an image's longer side to the other, at most."),
    ] = None,
    seed: options.Seed = 0,
    on_error: options.OnErrorOption = "fail",
    as_json: options.Json = False,
    **runs: Any,
) -> None:
    """Write what speaks against each image, as columns; none is removed before `images select`.

    The output has a Parquet file for each shard, with a row for each sample. Of images that look
    alike the largest stays. The same command goes on where a run was cut off.

    Needs the extra `images`: pip install "metacurate[images]"; models also need `onnx`.

    Examples:

        metacurate images filter shards/ -o verdicts/ --near-duplicates --benchmark imagenet/val

        metacurate images filter shards/ -o nsfw/ --nsfw-model falconsai/model.onnx
    """
    from metacurate.engine.progress import terminal_progress
    from metacurate.images.filters.filter import filter_images
    from metacurate.images.filters.verdicts import Filters

    filters = Filters(
        near_duplicates=near_duplicates,
        benchmarks=tuple(benchmark or ()),
        distance=distance,
        sha256_lists=tuple(sha256_list or ()),
        pdq_lists=tuple(pdq_list or ()),
        nsfw_model=nsfw_model,
        nsfw_threshold=nsfw_threshold,
        face_model=face_model,
        smallest_side=smallest_side,
        aspect_ratio=aspect_ratio,
        seed=seed,
    )
    with terminal_progress() as progress:
        summary = filter_images(shards, out, filters, on_error=on_error, progress=progress, **runs)
    print_summary(summary, f"Verdicts in {out}", as_json)


@app.command()
@on_any_engine
def select(
    shards: Shards,
    out: options.Out,
    verdicts: Annotated[
        list[str] | None,
        typer.Option("--verdicts", help="Output of `images filter`; may be repeated."),
    ] = None,
    drop: Annotated[
        str | None,
        typer.Option("--drop", help="Verdicts for which an image goes: near_duplicate,listed"),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--where", help='What stays, by columns of tables and verdicts: "nsfw_score < 0.2".'
        ),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option("--pairs", help="Output of `metacurate curate` over the shards: what stays."),
    ] = None,
    keys: Annotated[
        bool, typer.Option("--keys", help="Write lists of the keys that stay, not new shards.")
    ] = False,
    blur_faces: Annotated[
        bool, typer.Option("--blur-faces", help="Blur the faces that verdicts tell of.")
    ] = False,
    on_error: options.OnErrorOption = "fail",
    as_json: options.Json = False,
    **runs: Any,
) -> None:
    """Write new shards of the images and pairs that stay, under the same names and keys.

    A pair that goes keeps its row in the table beside the tar, with the status `dropped`. The
    same command goes on where a run was cut off.

    Examples:

        metacurate images select shards/ -o clean/ --verdicts verdicts/ --drop near_duplicate,benchmark

        metacurate images select clean/ -o train/ --pairs balanced/
    """  # noqa: E501 - an example is one line
    from metacurate.engine.progress import terminal_progress
    from metacurate.images.selection.select import select_images

    with terminal_progress() as progress:
        summary = select_images(
            shards, out, verdicts=verdicts or (), drop=options.split_columns(drop) or (),
            where=where, pairs=pairs, keys=keys, blur=blur_faces, on_error=on_error,
            progress=progress, **runs,
        )  # fmt: skip
    print_summary(summary, f"Selected into {out}", as_json)


app.command()(download.info)
