"""The loop: batch by batch, with metrics and checkpoints."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from metacurate.engine.progress import Progress
from metacurate.errors import MetacurateError, UsageError, first_line
from metacurate.images.online.loader import Loader
from metacurate.training.checkpoint import (
    State,
    Trained,
    read_state,
    read_tensors,
    write_checkpoint,
)
from metacurate.training.contrastive import Towers, backward
from metacurate.training.data import Batch, join, slice_of
from metacurate.training.distributed import World
from metacurate.training.interrupt import Interrupt
from metacurate.training.metrics import MetricsLog
from metacurate.training.model import TrainedTowers
from metacurate.training.optimizer import learning_rate
from metacurate.training.recipe import Recipe
from metacurate.training.timing import Shares, Stopwatch

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Pace:
    """How a training computes and tells: what changes no more than rounding.

    Attributes:
        accumulate: parts in which each batch is computed, one after another.
        checkpoint_activations: whether layers are computed again for their gradients.
        compile: whether PyTorch compiles the model.
        checkpoint_every, log_every: steps.
    """

    accumulate: int = 1
    checkpoint_activations: bool = False
    compile: bool = False
    checkpoint_every: int = 1000
    log_every: int = 10


class Training:
    """A model that is trained, and how far that is.

    Attributes:
        step: how many are done.
    """

    def __init__(
        self, recipe: Recipe, pace: Pace, world: World, trained: Trained, loader: Loader[Batch]
    ) -> None:
        """Prepare the first step.

        Args:
            recipe: what to do. pace: how. world: the processes.
            trained: the model, on the world's device.
            loader: of slices of this process's batches, as large as `slice_of` has it.
        """
        self.step = self._told = 0
        self._recipe = recipe
        self._pace = pace
        self._world = world
        self._trained = trained
        self._loader = loader
        own = recipe.batch // world.size
        self._slices = own // slice_of(own)
        if pace.checkpoint_activations:
            trained.model.activation_checkpointing_enable(
                activation_checkpointing_kwargs={"use_reentrant": False}
            )
        trained.model.train()
        self._towers = _towers(trained, pace, world)
        self._scaler = torch.amp.GradScaler(world.device.type, enabled=recipe.precision == "fp16")

    def run(
        self, folder: Path, interrupt: Interrupt, progress: Progress
    ) -> tuple[Shares, float | None]:
        """Take all steps that are left.

        Args:
            folder: of the run. interrupt: ends the loop behind a step, after a checkpoint.
            progress: to be told of pairs.

        Returns:
            Seconds, and what they were used for; and the last loss that was told.

        Raises:
            InputError: when a shard is damaged.
            MetacurateError: when the loss is no number any more, a worker dies, or the disk is
                full.
        """
        recipe, pace, world = self._recipe, self._pace, self._world
        progress.start("training", (recipe.steps - self.step) * recipe.batch)
        watch, total, last = Stopwatch(world.device), Shares(0.0, 0.0, 0.0), None
        begun = self.step
        with MetricsLog(folder, self.step) if world.is_first else nullcontext() as log:
            batches = iter(self._loader)
            while self.step < recipe.steps:
                with watch.waiting():
                    slices = [_next(batches) for _ in range(self._slices)]
                if self.step == begun:
                    watch.read()  # time counts from the first batch on: workers have started
                with watch.computing():
                    loss = self._take(slices)
                self.step += 1
                progress.advance(recipe.batch)
                ended = self.step == recipe.steps
                told = ended or self.step % pace.log_every == 0
                if told:
                    shares = watch.read()
                    total = _sum(total, shares)
                    last = world.mean(loss)
                    metrics = self._metrics(last, shares)
                    if log is not None:
                        log.write(self.step, metrics)
                stops = interrupt.agree(world.gather)
                if ended or stops or self.step % pace.checkpoint_every == 0:
                    self._write(folder)
                if stops:
                    break
        progress.end()
        return total, last

    def _take(self, slices: Sequence[Batch]) -> torch.Tensor:
        """One step; its loss on this process."""
        rate = learning_rate(self.step, self._recipe)
        for group in self._trained.optimizer.param_groups:
            group["lr"] = rate
        batch = join(slices, self._trained.tokenizer.pad_token_id, self._world.device)
        parts = list(zip(*(tensor.chunk(self._pace.accumulate) for tensor in batch), strict=True))
        loss = backward(self._towers, parts, self._world, self._autocast, self._scaler.scale)
        self._scaler.step(self._trained.optimizer)
        self._scaler.update()
        self._trained.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            self._trained.model.logit_scale.clamp_(0, self._recipe.largest_scale)
        return loss

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = DTYPES.get(self._recipe.precision)
        return nullcontext() if dtype is None else torch.autocast(self._world.device.type, dtype)

    def _metrics(self, loss: float, shares: Shares) -> dict[str, float | int]:
        if not math.isfinite(loss):
            raise MetacurateError(
                f"step {self.step}: the loss is {loss}: try a smaller learning rate, a longer "
                "warm-up, or another precision"
            )
        steps, self._told = self.step - self._told, self.step
        return {
            "pairs_seen": self.step * self._recipe.batch,
            "epoch": max(self._loader.epochs),
            "loss": loss,
            "learning_rate": learning_rate(self.step - 1, self._recipe),
            "logit_scale": self._trained.model.logit_scale.exp().item(),
            "pairs_per_second": steps * self._recipe.batch / shares.seconds,
            "waiting": shares.waiting,
            "computing": shares.computing,
        }

    def _write(self, folder: Path) -> None:
        """Write a checkpoint; all processes take part."""
        state = self._loader.state_dict()
        places = self._world.gather(
            [state["epoch"], state["turn"], *state["epochs"], *state["consumed"]]
        )
        if self._world.is_first:
            write_checkpoint(
                folder,
                self.step,
                self._trained,
                {
                    "step": self.step,
                    "pairs_seen": self.step * self._recipe.batch,
                    "loader": state,
                    "places": places,
                    "scaler": self._scaler.state_dict(),
                },
            )
        self._world.wait()

    def load(self, checkpoint: Path) -> None:
        """Go on from a checkpoint.

        Args:
            checkpoint: its folder.

        Raises:
            InputError: when it is broken.
            UsageError: when it is of other shards, ranks or workers.
        """
        state = read_state(checkpoint)
        self._loader.load_state_dict(_loader_state(state, self._world))
        read_tensors(checkpoint, self._trained)
        if state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])
        self.step = self._told = state["step"]


def _towers(trained: Trained, pace: Pace, world: World) -> Towers:
    """The model as processes compute it together."""
    towers: Any = TrainedTowers(trained.model).to(world.device)
    if pace.compile:
        towers = torch.compile(towers)
    if world.size == 1:
        return towers  # type: ignore[no-any-return]
    devices = [world.device] if world.device.type == "cuda" else None
    return DistributedDataParallel(
        towers, device_ids=devices, gradient_as_bucket_view=True, broadcast_buffers=False
    )


def _next(batches: Iterator[Batch]) -> Batch:
    try:
        return next(batches)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise MetacurateError(
            f"a process that reads shards has died, which may be for lack of memory: "
            f"{first_line(error)}"
        ) from error


def _loader_state(state: State, world: World) -> State:
    """What the loader of this process told, of what the first one wrote for all."""
    loader: State = state["loader"]
    places = state["places"]
    if len(places) != world.size:
        raise UsageError(
            f"the checkpoint is of {len(places)} processes, not {world.size}: its data are dealt "
            "out among them"
        )
    epoch, turn, *rest = places[world.rank]
    half = len(rest) // 2
    return {
        **loader, "rank": world.rank, "epoch": epoch, "turn": turn, "epochs": rest[:half],
        "consumed": rest[half:],
    }  # fmt: skip


def _sum(one: Shares, other: Shares) -> Shares:
    """Shares of both times together."""
    seconds = one.seconds + other.seconds
    return Shares(
        seconds,
        (one.seconds * one.waiting + other.seconds * other.waiting) / seconds,
        (one.seconds * one.computing + other.seconds * other.computing) / seconds,
    )
