"""The command that trains: metacurate train."""

import os
from contextlib import nullcontext
from typing import Annotated, Any, Literal

import typer

from metacurate.cli import options
from metacurate.cli.printing import print_summary
from metacurate.cli.threads import wait_without_spinning
from metacurate.errors import UsageError

Precision = Literal["bf16", "fp16", "fp32"]
RECIPE_PANEL = "In place of the recipe's own"
ONLINE_PANEL = "Balancing in training"
PACE_PANEL = "How it is computed"


def _of_recipe(name: str, text: str) -> Any:
    return typer.Option(name, help=text, rich_help_panel=RECIPE_PANEL)


def _of_pace(name: str, text: str) -> Any:
    return typer.Option(name, help=text, rich_help_panel=PACE_PANEL)


def train(
    shards: Annotated[
        list[str],
        typer.Argument(help="Shards of images: folders, tars, globs or URIs of WebDataset tars."),
    ],
    out: Annotated[
        str, typer.Option("--out", "-o", help="Folder of the run, on a disk of this machine.")
    ],
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe", help="What is trained: vit-b-32, vit-b-16, vit-l-14, vit-h-14 or tiny."
        ),
    ],
    pairs_seen: Annotated[
        int | None, _of_recipe("--pairs-seen", "Of the whole training, repeated ones too.")
    ] = None,
    batch: Annotated[
        int | None, _of_recipe("--batch", "Pairs of a step, over all processes.")
    ] = None,
    learning_rate: Annotated[float | None, _of_recipe("--learning-rate", "At its peak.")] = None,
    warmup: Annotated[
        int | None, _of_recipe("--warmup", "Steps until the learning rate has its peak.")
    ] = None,
    precision: Annotated[
        Precision | None, _of_recipe("--precision", "Of the model's arithmetic.")
    ] = None,
    tokenizer: Annotated[
        str | None,
        _of_recipe(
            "--tokenizer",
            "A folder, a name on the Hugging Face hub, or `train`: make one of the captions.",
        ),
    ] = None,
    metadata: Annotated[
        str | None,
        typer.Option(
            "--metadata",
            "-m",
            help="The concepts; as for `metacurate curate`.",
            rich_help_panel=ONLINE_PANEL,
        ),
    ] = None,
    counts: Annotated[
        str | None,
        typer.Option(
            "--counts",
            "-c",
            help="Of the shards' pairs: counts.parquet, or a folder with it.",
            rich_help_panel=ONLINE_PANEL,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            "-t",
            help="Thin concepts with more matches, anew in each epoch.",
            rich_help_panel=ONLINE_PANEL,
        ),
    ] = None,
    tail_share: Annotated[
        float | None,
        typer.Option(
            "--tail-share",
            help="Take the threshold whose tail holds this share of matches.",
            rich_help_panel=ONLINE_PANEL,
        ),
    ] = None,
    mode: Annotated[
        options.Mode,
        typer.Option("--mode", help="Of matching, as of the counts.", rich_help_panel=ONLINE_PANEL),
    ] = "paper",
    device: Annotated[
        str, _of_pace("--device", "auto (a GPU where there is one), cpu or cuda.")
    ] = "auto",
    workers: Annotated[
        int | None,
        _of_pace(
            "--workers",
            "Processes that decode images, beside each that trains. [default: 1; up to 8 for a "
            "GPU]",
        ),
    ] = None,
    accumulate: Annotated[
        int, _of_pace("--accumulate", "Compute each batch in so many parts, to save memory.")
    ] = 1,
    checkpoint_activations: Annotated[
        bool,
        _of_pace("--checkpoint-activations", "Compute layers twice, to save memory."),
    ] = False,
    compile_: Annotated[bool, _of_pace("--compile", "Have PyTorch compile the model.")] = False,
    checkpoint_every: Annotated[
        int, _of_pace("--checkpoint-every", "Steps between two checkpoints.")
    ] = 1000,
    log_every: Annotated[int, _of_pace("--log-every", "Steps between two lines of metrics.")] = 10,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint of the run.")
    ] = False,
    seed: options.Seed = 0,
    on_error: options.OnErrorOption = "fail",
    as_json: options.Json = False,
) -> None:
    """Train a CLIP model on shards of images.

    The output has checkpoints that transformers loads, the tokenizer, metrics.jsonl and events for
    TensorBoard. Ctrl-C and SIGTERM end it after a checkpoint; with --resume it goes on, to the
    same numbers as if it had not ended.

    Several processes train together when torchrun starts them.

    Needs the extra `train`: pip install "metacurate[train]"

    Examples:

        metacurate train balanced-shards/ --recipe vit-b-32 -o run/

        metacurate train shards/ --recipe vit-b-32 -o run/ -m metadata.parquet -c counts/ -t 20000

        torchrun --nproc-per-node 8 -m metacurate train shards/ --recipe vit-b-16 -o run/ --resume

        metacurate train shards/ --recipe tiny -o run/ --pairs-seen 100000
    """
    wait_without_spinning()
    from dataclasses import replace

    from metacurate.engine.progress import Silent, terminal_progress
    from metacurate.training import Online, Pace, recipe_of
    from metacurate.training import train as run

    changed: dict[str, Any] = {
        "pairs_seen": pairs_seen, "batch": batch, "learning_rate": learning_rate,
        "warmup": warmup, "precision": precision, "tokenizer": tokenizer,
    }  # fmt: skip
    chosen = replace(
        recipe_of(recipe), **{name: value for name, value in changed.items() if value is not None}
    )
    online = None
    if metadata is not None and counts is not None:
        online = Online(metadata, counts, threshold, tail_share, mode)
    elif any(value is not None for value in (metadata, counts, threshold, tail_share)):
        raise UsageError("balancing in training needs both --metadata and --counts")
    first = os.environ.get("RANK", "0") == "0"
    with terminal_progress() if first else nullcontext(Silent()) as progress:
        summary = run(
            shards, out, chosen, online=online, seed=seed, device=device, workers=workers,
            pace=Pace(
                accumulate=accumulate, checkpoint_activations=checkpoint_activations,
                compile=compile_, checkpoint_every=checkpoint_every, log_every=log_every,
            ),
            resume=resume, on_error=on_error, progress=progress,
        )  # fmt: skip
    if first:
        print_summary(summary, f"Trained in {out}", as_json)
