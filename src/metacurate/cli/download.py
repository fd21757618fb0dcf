"""Commands that get images, and tell what became of them: images download and info."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any

import typer

from metacurate.cli import options
from metacurate.cli.engines import on_any_engine
from metacurate.cli.printing import print_json, print_summary, print_table
from metacurate.errors import UsageError

PANEL = "How images are asked for"


def _limit(name: str, text: str) -> Any:
    return typer.Option(name, help=text, rich_help_panel=PANEL)


@on_any_engine
def download(
    pool: Annotated[
        list[str],
        typer.Argument(help="A curated set, or any pool with urls; as for `metacurate curate`."),
    ],
    out: options.Out,
    contact: Annotated[
        str,
        typer.Option(
            "--contact",
            help="Address of mail or of the web at which site owners reach you: they are sent it.",
        ),
    ],
    images_per_shard: Annotated[
        int, typer.Option("--images-per-shard", help="Images of each shard, but of the last.")
    ] = 10_000,
    resize: Annotated[
        int | None,
        typer.Option(
            "--resize",
            help="Make JPEGs whose smallest side has so many pixels, where it has more. "
            "[default: keep images as they come]",
        ),
    ] = None,
    quality: Annotated[
        int, typer.Option("--quality", help="Of the JPEGs that --resize makes, 1 to 95.")
    ] = 95,
    max_pixels: Annotated[
        int, typer.Option("--max-pixels", help="Larger images are not decoded.")
    ] = 100_000_000,
    max_bytes: Annotated[
        int, _limit("--max-bytes", "Larger images are not read to their end.")
    ] = 32 << 20,
    connections: Annotated[int, _limit("--connections", "Requests at once, of each worker.")] = 128,
    per_host: Annotated[
        int, _limit("--per-host", "Requests at once to one host, of all workers; each has one.")
    ] = 4,
    host_pause: Annotated[
        float, _limit("--host-pause", "Seconds between two requests of a worker to one host.")
    ] = 0.0,
    connect_timeout: Annotated[
        float, _limit("--connect-timeout", "Seconds to look a host up and connect to it.")
    ] = 10.0,
    timeout: Annotated[float, _limit("--timeout", "Seconds for the whole of a request.")] = 60.0,
    tries: Annotated[int, _limit("--tries", "Of an image, where a fault may pass.")] = 3,
    respect_opt_out: Annotated[
        bool,
        typer.Option(
            "--respect-opt-out/--ignore-opt-out",
            help="Leave images alone whose X-Robots-Tag says noai or noimageai.",
            rich_help_panel=PANEL,
        ),
    ] = True,
    allow_network: Annotated[
        list[str] | None,
        _limit(
            "--allow-network",
            "A network that is not public and may be reached all the same, as 10.1.0.0/16; may be "
            "repeated.",
        ),
    ] = None,
    where: options.Where = None,
    columns: options.Columns = None,
    url_column: options.UrlColumn = None,
    text_column: options.TextColumn = None,
    on_error: options.OnErrorOption = "fail",
    as_json: options.Json = False,
    **runs: Any,
) -> None:
    """Download the images of pairs into WebDataset shards, in img2dataset's layout.

    One sample is one image, with all of its pairs. Only public http and https addresses are
    reached. The same command goes on where a run was cut off, and asks for nothing twice.

    Needs the extra `images`: pip install "metacurate[images]"

    Examples:

        metacurate images download curated/ -o shards/ --contact me@example.org

        metacurate images download curated/ -o shards/ --contact me@example.org --resize 256
    """
    from metacurate.engine.progress import terminal_progress
    from metacurate.images.download import download as run
    from metacurate.images.fetching.limits import FetchLimits

    limits = FetchLimits(
        connect_seconds=connect_timeout, total_seconds=timeout, max_bytes=max_bytes, tries=tries,
        per_host=per_host, host_pause=host_pause, connections=connections,
        respect_opt_out=respect_opt_out, allow=tuple(map(_network, allow_network or ())),
    )  # fmt: skip
    with terminal_progress() as progress:
        summary = run(
            pool, out, contact=contact, images_per_shard=images_per_shard, resize=resize,
            quality=quality, max_pixels=max_pixels, limits=limits, where=where,
            columns=options.split_columns(columns), url_column=url_column,
            text_column=text_column, on_error=on_error, progress=progress, **runs,
        )  # fmt: skip
    print_summary(summary, f"Images in {out}", as_json)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise UsageError(f"--allow-network: {error}") from error


def info(
    shards: Annotated[list[str], typer.Argument(help="Shards: a folder, tars, or globs.")],
    hosts: Annotated[
        int,
        typer.Option("--hosts", min=0, help="Of how many hosts to tell, those with most images."),
    ] = 20,
    sample: Annotated[
        int | None,
        typer.Option("--sample", help="Write a page with so many images and their captions."),
    ] = None,
    to: Annotated[
        str, typer.Option("--to", help="Where that page is written.")
    ] = "contact-sheet.html",
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Tell what became of images, by cause and by host; show some of them.

    Examples:

        metacurate images info shards/

        metacurate images info shards/ --sample 64 --to sheet.html
    """
    from metacurate.engine.stores import here
    from metacurate.images.fetching.statuses import Status
    from metacurate.images.info import read_info
    from metacurate.images.shards import list_shards

    if sample is None and (to, seed) != ("contact-sheet.html", 0):
        raise UsageError("--to and --seed are for --sample")
    listed = list_shards(shards)
    found = read_info(listed, hosts)
    if sample is not None:
        from metacurate.reporting.contact_sheet import write_contact_sheet

        found["sheet"] = write_contact_sheet(listed, Path(here(to)), sample, seed)
    if as_json:
        print_json(found)
        return
    known = {str(status): status.explanation for status in Status}
    print_table(
        f"{found['images']:,} images of {found['pairs']:,} pairs in {found['shards']:,} shards",
        ("status", "what it means", "images", "pairs"),
        [
            (one["status"], known.get(one["status"], ""), f"{one['images']:,}", f"{one['pairs']:,}")
            for one in found["status"]
        ],
        lefts=2,
    )
    print_table(
        "Hosts",
        ("host", "else", "images", "success"),
        [
            (
                one["host"],
                ", ".join(f"{status} {n:,}" for status, n in list(one["status"].items())[:3]),
                f"{one['images']:,}",
                f"{one['success']:,}",
            )
            for one in found["hosts"]
        ],
        lefts=2,
    )
    if sample is not None:
        typer.echo(f"{found['sheet']['images']:,} images: {found['sheet']['file']}")
