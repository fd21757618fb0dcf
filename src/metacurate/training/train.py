"""One call from shards to a trained CLIP: it opens what is needed, and goes on where it stopped."""

import logging
import os
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from metacurate.engine.lock import lock
from metacurate.engine.manifest import WORK
from metacurate.engine.progress import Progress, Silent
from metacurate.engine.stores import place_of
from metacurate.engine.workspace import OnError
from metacurate.errors import UsageError
from metacurate.hashing.pairs import check_seed
from metacurate.images.online import BalancedShards
from metacurate.pool.files import Source
from metacurate.training.checkpoint import Trained, list_checkpoints, write_folder
from metacurate.training.data import Online, captions_of, make_loader, open_shards, slice_of
from metacurate.training.distributed import World, join
from metacurate.training.interrupt import interruptible
from metacurate.training.loop import Pace, Training
from metacurate.training.model import make_model
from metacurate.training.optimizer import make_optimizer
from metacurate.training.recipe import TRAIN, Recipe
from metacurate.training.run_folder import TOKENIZER, Settings, open_run
from metacurate.training.tokenizer import load_tokenizer, train_tokenizer

MOST_WORKERS = 8  # of a process that has a GPU, where nobody says otherwise

log = logging.getLogger(__name__)


def train(
    shards: Source,
    out: str | Path,
    recipe: Recipe,
    *,
    online: Online | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
    pace: Pace | None = None,
    resume: bool = False,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a CLIP model on shards of images (Xu et al. 2023, section 4).

    Started by torchrun, its processes train together: the first one writes. Ctrl-C and SIGTERM end
    it after a checkpoint.

    Args:
        shards: a folder of WebDataset tars, a tar, a glob, or a list of these; paths or URIs.
        out: folder of the run, on this machine or one that all processes see: checkpoints/,
            tokenizer/, metrics.jsonl, tensorboard/ and run.json.
        recipe: what to train, and how. `dataclasses.replace` changes one.
        online: how to balance in training. None trains on all pairs; of an image with several
            captions each epoch draws one.
        seed: of weights, shuffles, crops and draws, uint64.
        device: ``auto``, ``cpu`` or ``cuda``.
        workers: processes that decode images, of each process; 0 for none. Without a number: one on
            a CPU, and up to eight beside a GPU; a run that goes on keeps its own.
        pace: how to compute it, and when to write.
        resume: go on from the last checkpoint; from the beginning where there is none yet.
        on_error: ``fail`` at a broken image or tar, or ``skip`` it, and log that.
        progress: told of pairs; the first process tells.

    Returns:
        Totals: `steps`, `pairs_seen`, `loss` of the last metrics (not where nothing was left to
        do), `seconds` and `pairs_per_second` of this call, `waiting` and `computing` as shares of
        it, `checkpoint`.

    Raises:
        UsageError: when the call is wrong; when `out` holds a run and `resume` is False, or a run
            of something else.
        InputError: when a shard or a checkpoint is broken.
        MetacurateError: when the disk is full, or the loss is no number any more.
    """
    check_seed(seed)
    pace = Pace() if pace is None else pace
    folder = _folder(out)
    with ExitStack() as stack:
        world = stack.enter_context(join(device))
        _check(recipe, pace, workers, world)
        if world.is_first:
            stack.enter_context(lock(folder / WORK))
        found = open_shards(shards, online, seed, world, on_error, folder / WORK)
        settings = open_run(
            folder, _settings(found, recipe, workers, world), resume, world,
            free=["workers"] if workers is None else [],
        )  # fmt: skip
        tokenizer = _tokenizer(folder, recipe, found, world)
        trained = _trained(recipe, tokenizer, seed, world)
        loader = make_loader(
            found, recipe, tokenizer, slice_of(recipe.batch // world.size), settings["workers"],
            pinned=world.device.type == "cuda",
        )  # fmt: skip
        training = Training(recipe, pace, world, trained, loader)
        if checkpoints := list_checkpoints(folder):
            training.load(checkpoints[-1])
            log.info("goes on from %s", checkpoints[-1])
        before = training.step
        with interruptible() as interrupt:
            shares, loss = training.run(folder, interrupt, progress or Silent())
    pairs = (training.step - before) * recipe.batch
    return {
        "steps": training.step,
        "pairs_seen": training.step * recipe.batch,
        **({} if loss is None else {"loss": loss}),
        "seconds": round(shares.seconds, 1),
        "pairs_per_second": round(pairs / max(1e-9, shares.seconds), 1),
        "waiting": round(shares.waiting, 4),
        "computing": round(shares.computing, 4),
        "checkpoint": str(list_checkpoints(folder)[-1]),
    }


def _folder(out: str | Path) -> Path:
    place = place_of(str(out))
    if not isinstance(place, Path):
        raise UsageError(f"{out}: a run writes to a folder of this machine, or one mounted there")
    return place


def _check(recipe: Recipe, pace: Pace, workers: int | None, world: World) -> None:
    for name in ("accumulate", "checkpoint_every", "log_every"):
        if getattr(pace, name) < 1:
            raise UsageError(f"{name.replace('_', ' ')} {getattr(pace, name)} is less than 1")
    if workers is not None and workers < 0:
        raise UsageError(f"{workers} workers can't work: 0 is the least")
    parts = world.size * pace.accumulate
    if recipe.batch % parts:
        raise UsageError(
            f"a batch of {recipe.batch} pairs can't be dealt out evenly: {world.size} processes "
            f"with {pace.accumulate} parts each"
        )


def _settings(
    shards: BalancedShards, recipe: Recipe, workers: int | None, world: World
) -> Settings:
    balance = shards.balance
    return {
        "recipe": asdict(recipe),
        "shards": shards.identity,
        "threshold": None if balance is None else balance.threshold,
        "seed": shards.seed,
        "processes": world.size,
        "workers": _default_workers(world) if workers is None else workers,
    }


def _default_workers(world: World) -> int:
    if world.device.type == "cpu":
        return 1
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(MOST_WORKERS, (os.cpu_count() or 1) // local - 1))


def _tokenizer(
    folder: Path, recipe: Recipe, shards: BalancedShards, world: World
) -> PreTrainedTokenizerBase:
    """The run's own tokenizer; the first process makes it where there is none yet."""
    own = folder / TOKENIZER
    if world.is_first and not own.is_dir():
        if recipe.tokenizer == TRAIN:
            made = train_tokenizer(captions_of(shards), recipe.vocabulary)
        else:
            made = load_tokenizer(recipe.tokenizer)
        made.model_max_length = recipe.context
        write_folder(own, made.save_pretrained)
    world.wait()
    return load_tokenizer(str(own))


def _trained(
    recipe: Recipe, tokenizer: PreTrainedTokenizerBase, seed: int, world: World
) -> Trained:
    model = make_model(recipe, tokenizer, seed).to(world.device)
    return Trained(model, make_optimizer(model, recipe), tokenizer)
