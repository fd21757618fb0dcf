"""The command evaluate: zero-shot scores of a CLIP checkpoint."""

from typing import Annotated, Any, Literal

import typer

from metacurate.cli import options
from metacurate.cli.printing import print_json, print_table
from metacurate.cli.threads import wait_without_spinning


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="A checkpoint's folder, a folder of `metacurate train`, or a name on the "
            "Hugging Face hub, NAME or NAME@REVISION."
        ),
    ],
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            help="A dataset: a folder of CLIP_benchmark's layout, a folder with one for each "
            "class, or Parquet; may be repeated.",
        ),
    ],
    batch: Annotated[int, typer.Option("--batch", help="Images at once.")] = 256,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            help="Processes that decode images; 0 for none. [default: on a GPU one for each core, "
            "up to 16; else 0]",
        ),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option("--device", help="What runs the model.")
    ] = "auto",
    split: Annotated[
        str,
        typer.Option("--split", help="Which part of a dataset, by the names of folders or files."),
    ] = "test",
    label_column: Annotated[
        str | None,
        typer.Option("--label-column", help="Of Parquet. [default: label, cls or class]"),
    ] = None,
    templates: Annotated[
        str | None,
        typer.Option(
            "--templates", help="Prompts for all datasets, one a line, {c} for the class."
        ),
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(
            "--cache", help="Folder of embedded prompts. [default: ~/.cache/metacurate/prompts]"
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", help="File for all results, as JSON; written after each dataset."
        ),
    ] = None,
    on_error: options.OnErrorOption = "fail",
    as_json: options.Json = False,
) -> None:
    """Score a CLIP checkpoint zero-shot: the paper's 26 tasks, and datasets of yours.

    A dataset with the name of a task and as many classes is scored by the task's metric, others by
    top-1 accuracy; with captions in place of labels, by recall.

    Needs the extra `train`: pip install "metacurate[train]".

    Examples:

        metacurate evaluate run/ --data wds_imagenet1k --data wds_vtab-pets -o scores.json

        metacurate evaluate facebook/metaclip-b32-400m@refs/pr/1 --data val.parquet
    """
    wait_without_spinning()
    from metacurate.engine.progress import terminal_progress
    from metacurate.evaluation import UnfinishedError
    from metacurate.evaluation import evaluate as score

    unfinished: UnfinishedError | None = None
    with terminal_progress() as progress:
        try:
            results = score(
                model, data, batch=batch, workers=workers, device=device, split=split,
                label_column=label_column, templates=templates, cache=cache, out=out,
                on_error=on_error, progress=progress,
            )  # fmt: skip
        except UnfinishedError as error:
            unfinished, results = error, error.results
    if as_json:
        print_json(results)
    elif results["datasets"]:
        _print(results)
    if unfinished is not None:
        raise unfinished


def _print(results: dict[str, Any]) -> None:
    rows = []
    for one in results["datasets"]:
        prompts = one["templates"]
        told = "-" if prompts is None else f"{prompts['number']:,}"
        if prompts is not None and prompts["file"] is None:
            told += " (default)"
        images = f"{one['images']:,}"
        if one["skipped"]:
            images += f" ({one['skipped']:,} skipped)"
        metric = one["metric"].replace("_", " ")
        rows.append((one["name"], metric, told, images, _percent(one["score"])))
    print_table(
        f"Zero-shot scores of {results['model']}, in percent (on {results['device']})",
        ("dataset", "metric", "templates", "images", "score"),
        rows,
        lefts=2,
    )
    is_whole = results["tasks"] == results["of_tasks"]
    imagenet = [one["score"] for one in results["datasets"] if one["task"] == "imagenet1k"]
    own = {"imagenet1k": imagenet[0]} if imagenet else {}
    if is_whole:
        own["average"] = results["average"]
    if results["paper"] is not None and own:
        headings = {"imagenet1k": "ImageNet", "average": f"average of {results['of_tasks']}"}
        print_table(
            f"Beside the paper's {results['size']}",
            ("model", *(headings[name] for name in own)),
            [
                (name, *(_percent(figures[one]) for one in own))
                for name, figures in [("this one", own), *results["paper"].items()]
            ],
        )
    elif is_whole:
        print_table("All tasks", None, [("average", _percent(results["average"]))])


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
