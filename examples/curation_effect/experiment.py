"""The comparison: each arm's training set, the same model on each, and its zero-shot scores."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import metacurate as mc
from examples.curation_effect.arms import ARMS, Arm, TrainingSet, captions_of, class_sizes, prepare
from examples.curation_effect.pool import Shape, read_images, write_pool, write_test
from examples.curation_effect.results import draw, group_classes, make_table, summarize
from metacurate.engine.storage import write_json, write_text
from metacurate.engine.stores import place_of
from metacurate.errors import InputError, UsageError, first_line

Tell = Callable[[str], None]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Experiment:
    """What is compared, and how.

    Attributes:
        data: folder with images/train.parquet, images/val.parquet and metadata.parquet.
        out: folder for all that is made; runs that are recorded in it are not run again.
        shape: of the pool.
        arms: to compare.
        seeds: runs of each arm: their seeds decide draws, first weights and order.
        pairs_seen, batch, learning_rate, warmup: of all trainings, by default those of the recipe
            `tiny`, as all the rest.
        device: `auto`, `cpu` or `cuda`.
        at_once: trainings; each gets its share of the cores.
    """

    data: Path
    out: Path
    shape: Shape = field(default_factory=Shape)
    arms: tuple[Arm, ...] = ARMS
    seeds: int = 3
    pairs_seen: int = 50_000
    batch: int = 128
    learning_rate: float = 2e-3
    warmup: int = 50
    device: Device = "auto"
    at_once: int = 2

    @property
    def settings(self) -> dict[str, Any]:
        """What all runs in a folder must share, JSON."""
        names = ("pairs_seen", "batch", "learning_rate", "warmup")
        return {
            "data": str(self.data.resolve()),
            "shape": asdict(self.shape),
            **{name: getattr(self, name) for name in names},
        }


def run(experiment: Experiment, tell: Tell) -> dict[str, Any]:
    """Make what is missing, and write results.json, table.md and curation-effect.svg.

    Args:
        experiment: what to compare. tell: is given lines for people.

    Returns:
        What results.json holds.

    Raises:
        UsageError: when the folder holds runs with other settings.
        InputError: when a file of the data is missing or broken.
        MetacurateError: when something can't be made.
    """
    out = experiment.out
    _claim(experiment)
    pool, test = out / "pool", out / "test"
    images = experiment.data / "images"
    if not pool.exists():
        tell("making the pool")
        pairs = write_pool(read_images(images / "train.parquet", experiment.shape.classes),
            experiment.shape, pool)  # fmt: skip
        tell(f"{pairs:,} pairs")
    tested = read_images(images / "val.parquet", experiment.shape.classes)
    write_test(tested, test)
    sizes = class_sizes(pool)
    if sizes.keys() != {one.wnid for one in tested}:
        raise InputError(str(images), "train.parquet and val.parquet have different classes")
    wnids = {one.names[0]: one.wnid for one in tested}
    tokenizer = _tokenizer(out, pool)
    planned = [(arm, seed) for seed in range(experiment.seeds) for arm in experiment.arms]
    records = [out / "runs" / f"{arm.name}-{seed}.json" for arm, seed in planned]
    missing = [
        (*run, record) for run, record in zip(planned, records, strict=True) if not record.exists()
    ]
    if missing:
        metadata = mc.Metadata.read(experiment.data / "metadata.parquet")
        with _processes(experiment.at_once) as processes:
            begun = []
            for arm, seed, record in missing:
                given = prepare(arm, pool, metadata, seed, out / "sets")
                one = Run(experiment, arm, seed, given, tokenizer, test, wnids, record)
                begun.append(processes.submit(one.make))
            for number, done in enumerate(as_completed(begun), 1):
                tell(f"{number} of {len(missing)}: {done.result()}")
    return _write(experiment, [_read(record) for record in records], group_classes(sizes))


@contextmanager
def _processes(at_once: int) -> Iterator[ProcessPoolExecutor]:
    """Processes for runs, each with its share of the cores; an error ends what has not begun."""
    threads = max(1, (os.cpu_count() or 1) // at_once)
    context = get_context("spawn")
    with ProcessPoolExecutor(at_once, context, _take_threads, (threads,)) as processes:
        try:
            yield processes
        except BaseException:
            processes.shutdown(wait=False, cancel_futures=True)
            raise


def _take_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _claim(experiment: Experiment) -> None:
    """Write down what the folder's runs share, or refuse a folder of other runs."""
    place = experiment.out / "settings.json"
    if not place.exists():
        write_json(place_of(place), experiment.settings)
    there = _read(place)
    others = [name for name, value in experiment.settings.items() if there.get(name) != value]
    if others:
        raise UsageError(
            f"{experiment.out}: holds runs with another {others[0].replace('_', ' ')}: "
            "give another folder"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(str(path), f"can't be read: {first_line(error)}") from error
    return content


@dataclass(frozen=True)
class Run:
    """One training and its scores.

    Attributes:
        experiment: that it is part of. arm, seed: which run. given: what it trains on.
        tokenizer, test: folders. wnids: of classes, by the names that scores have.
        record: file for what comes out.
    """

    experiment: Experiment
    arm: Arm
    seed: int
    given: TrainingSet
    tokenizer: Path
    test: Path
    wnids: Mapping[str, str]
    record: Path

    def make(self) -> str:
        """Train, score, and record it.

        Returns:
            A line for people.

        Raises:
            MetacurateError: when it can't be trained or scored.
        """
        from metacurate.evaluation import evaluate
        from metacurate.training import RECIPES, Online, train

        experiment, given = self.experiment, self.given
        online = None
        if self.arm.online:
            metadata = str(experiment.data / "metadata.parquet")
            online = Online(metadata, str(given.counts), threshold=given.threshold)
        recipe = replace(
            RECIPES["tiny"],
            pairs_seen=experiment.pairs_seen,
            batch=experiment.batch,
            learning_rate=experiment.learning_rate,
            warmup=experiment.warmup,
            tokenizer=str(self.tokenizer),
        )
        model = experiment.out / "models" / f"{self.arm.name}-{self.seed}"
        began = time.monotonic()
        trained = train(
            str(given.shards),
            model,
            recipe,
            online=online,
            seed=self.seed,
            device=experiment.device,
            workers=_workers(experiment.device),
            resume=True,
        )
        ended = time.monotonic()
        cache = model / "prompts"
        (scores,) = evaluate(model, self.test, device=experiment.device, cache=cache)["datasets"]
        accuracy = {self.wnids[one["name"]]: one["accuracy"] for one in scores["per_class"]}
        made = {
            "arm": self.arm.name,
            "seed": self.seed,
            "threshold": given.threshold,
            "pairs": given.pairs,
            "kinds": dict(given.kinds),
            "accuracy": accuracy,
            "loss": trained["loss"],
            "seconds_training": round(ended - began, 1),
            "seconds_scoring": round(time.monotonic() - ended, 1),
        }
        write_json(place_of(self.record), made)
        shutil.rmtree(model)
        top1 = sum(accuracy.values()) / len(accuracy)
        return f"{self.arm.name}, seed {self.seed}: {given.pairs:,} pairs, top-1 {top1:.2%}"


def _workers(device: Device) -> int | None:
    """None that only reads on a CPU, whose cores are at work; on a GPU what training chooses."""
    import torch

    return None if device != "cpu" and torch.cuda.is_available() else 0


def _tokenizer(out: Path, pool: Path) -> Path:
    """The tokenizer of all runs: learned from the captions of the raw pool."""
    folder = out / "tokenizer"
    if not folder.exists():
        from metacurate.training import RECIPES
        from metacurate.training.tokenizer import train_tokenizer

        unfinished = out / "tokenizer.unfinished"
        made = train_tokenizer(captions_of(pool), RECIPES["tiny"].vocabulary)
        made.save_pretrained(str(unfinished))
        unfinished.rename(folder)
    return folder


def _write(
    experiment: Experiment, runs: list[dict[str, Any]], groups: Mapping[str, list[str]]
) -> dict[str, Any]:
    """Write what came out."""
    arms = summarize(runs, groups)
    results = {
        "settings": experiment.settings,
        "groups": {group: len(wnids) for group, wnids in groups.items()},
        "arms": arms,
        "runs": runs,
    }
    classes = len(groups["all"])
    write_json(place_of(experiment.out / "results.json"), results)
    write_text(place_of(experiment.out / "table.md"), make_table(arms, classes))
    picture = draw(arms, classes)
    write_text(place_of(experiment.out / "curation-effect.svg"), picture)
    return results
