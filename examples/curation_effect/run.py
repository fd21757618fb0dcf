"""Does curation pay? Run the comparison: docs/curation-effect.md tells what it is.

python -m examples.curation_effect.run --data DATA --out OUT
"""

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from examples.curation_effect.arms import ARMS
from examples.curation_effect.experiment import Device, Experiment, run
from examples.curation_effect.pool import Shape
from metacurate.errors import MetacurateError, UsageError

QUICK: dict[str, Any] = {
    "shape": Shape(classes=12, head=60, shard=64),
    "arms": tuple(arm for arm in ARMS if arm.name in ("raw", "balanced-6")),
    "seeds": 1,
    "pairs_seen": 2048,
    "batch": 32,
    "warmup": 5,
    "at_once": 1,
}


def main(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for all that is made; goes on in it.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of images/ and metadata.parquet; METACURATE_DATA without it."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each arm.")] = 3,
    pairs_seen: Annotated[int, typer.Option(min=1, help="Of each training.")] = 50_000,
    device: Annotated[Device, typer.Option(help="What trains and scores.")] = "auto",
    at_once: Annotated[
        int, typer.Option(min=1, help="Trainings; each gets its share of the cores.")
    ] = 2,
    quick: Annotated[
        bool, typer.Option("--quick", help="12 classes, two arms, a seed: to see that it works.")
    ] = False,
) -> None:
    """Train the same model on the raw pool and on what curation makes of it; compare scores."""
    named = data or os.environ.get("METACURATE_DATA")
    if not named:
        raise UsageError("name the folder of images with --data, or by METACURATE_DATA")
    experiment = Experiment(
        Path(named), out, seeds=seeds, pairs_seen=pairs_seen, device=device, at_once=at_once
    )
    if quick:
        experiment = replace(experiment, **QUICK)
    run(experiment, lambda line: typer.echo(line, err=True))
    typer.echo((out / "table.md").read_text("utf-8"), nl=False)


def start() -> None:
    """Run, and turn errors into a line and an exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        typer.run(main)
    except MetacurateError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2 if isinstance(error, UsageError) else 1)


if __name__ == "__main__":
    start()
