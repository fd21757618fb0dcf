"""Arguments and options that several commands share."""

from typing import Annotated, Literal

import typer

Mode = Literal["paper", "spaced"]
OnError = Literal["fail", "skip"]
PerImage = Literal["all", "one"]

Pool = Annotated[
    list[str],
    typer.Argument(
        help="The pool: files, folders, globs or URIs of Parquet, CSV, TSV, JSON lines "
        "(plain, .gz, .zst) or WebDataset tars."
    ),
]
Metadata = Annotated[
    str, typer.Option("--metadata", "-m", help="The concepts: .parquet, .json, or text lines.")
]


def _without_slash(folder: str) -> str:
    return folder.rstrip("/") or folder


Out = Annotated[
    str,
    typer.Option(
        "--out", "-o", help="Output folder; or s3:// or gs:// URI.", callback=_without_slash
    ),
]
Folder = Annotated[str, typer.Argument(help="An output folder.")]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", "-t", help="Thin concepts with more matches than this."),
]
TailShare = Annotated[
    float | None,
    typer.Option(
        "--tail-share",
        help="Take the threshold whose tail holds this share of matches. "
        "[default: 0.06, where nothing else is given]",
    ),
]
Budget = Annotated[
    int | None,
    typer.Option(
        "--budget", help="Take the largest threshold that keeps no more than so many pairs."
    ),
]
Counts = Annotated[
    str, typer.Option("--counts", "-c", help="counts.parquet, or a folder that holds it.")
]
ForeignCounts = Annotated[
    bool, typer.Option("--foreign-counts", help="Allow counts of another pool.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of the draws, 0 to 2^64 - 1.")]
ModeOption = Annotated[
    Mode,
    typer.Option("--mode", help="Entries as they are (paper), or spaced like texts (spaced)."),
]
Where = Annotated[
    str | None,
    typer.Option("--where", help='Rows to take, as "similarity > 0.28 and width >= 200".'),
]
PerImageOption = Annotated[
    PerImage,
    typer.Option(
        "--per-image", help="Take all matched captions of an image, or draw one of them first."
    ),
]
Round = Annotated[
    int | None,
    typer.Option(
        "--round",
        help="Of balancing: 1 for a pool that is balanced already. [default: what its files tell]",
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns", help="Names of all columns, for CSV and TSV without a header: text,url"
    ),
]
UrlColumn = Annotated[
    str | None, typer.Option("--url-column", help="[default: url, URL or image_url]")
]
TextColumn = Annotated[
    str | None, typer.Option("--text-column", help="[default: text, TEXT or caption]")
]
IdColumn = Annotated[
    str | None,
    typer.Option(
        "--id-column",
        help="For pools without urls: what tells images apart. [tars: \\_\\_id\\_\\_]",
    ),
]
Uids = Annotated[
    str | None,
    typer.Option("--uids", help="Write DataComp's list of the kept pairs' uids to this .npy file."),
]
OnErrorOption = Annotated[
    OnError,
    typer.Option("--on-error", help="Corrupt input: fail after all others are done, or skip it."),
]
Report = Annotated[bool, typer.Option(help="Write report.html, where what it needs is installed.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def split_columns(columns: str | None) -> list[str] | None:
    """Names that are separated by commas.

    Args:
        columns: as on the command line.
    """
    return None if columns is None else [name.strip() for name in columns.split(",")]
