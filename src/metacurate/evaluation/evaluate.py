"""Zero-shot scores of a checkpoint on datasets: `metacurate evaluate`."""

import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from metacurate import __version__
from metacurate.engine.local import default_workers
from metacurate.engine.progress import Progress, Silent
from metacurate.engine.storage import write_atomically
from metacurate.engine.workspace import OnError
from metacurate.errors import MetacurateError, UsageError
from metacurate.evaluation.checkpoint import Checkpoint, open_checkpoint
from metacurate.evaluation.datasets import Dataset, Templates, check_split, with_templates
from metacurate.evaluation.embedding import Embedder
from metacurate.evaluation.layouts import open_dataset
from metacurate.evaluation.prompts import default_cache
from metacurate.evaluation.retrieval import retrieve
from metacurate.evaluation.tasks import PAPER, REPORTED, TASKS, Task, recognise, size_of
from metacurate.evaluation.zeroshot import classify

log = logging.getLogger(__name__)

BATCH = 256
MOST_WORKERS = 16  # that are started unasked


class UnfinishedError(MetacurateError):
    """Some datasets could not be evaluated, or the results not be written.

    Attributes:
        results: of those that were evaluated, as `evaluate` returns them.
    """

    def __init__(self, message: str, results: dict[str, Any]) -> None:
        """Tell of it.

        Args:
            message: what happened. results: of what was finished.
        """
        super().__init__(message)
        self.results = results

    def __reduce__(self) -> tuple[type["UnfinishedError"], tuple[str, dict[str, Any]]]:
        """Rebuild from both arguments when the error crosses a process border."""
        return type(self), (str(self), self.results)


@dataclass(frozen=True)
class _Subject:
    """A dataset, and the paper's task that it is of, if it is."""

    dataset: Dataset
    task: Task | None


def evaluate(
    model: str | Path,
    data: str | Path | Sequence[str | Path],
    *,
    batch: int = BATCH,
    workers: int | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    split: str = "test",
    label_column: str | None = None,
    templates: str | Path | None = None,
    cache: str | Path | None = None,
    out: str | Path | None = None,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a CLIP model zero-shot, on datasets with labels or captions.

    Args:
        model: a checkpoint's folder, a folder of `metacurate train`, or NAME or NAME@REVISION
            on the Hugging Face hub.
        data: datasets: folders or Parquet files, in the layouts that docs/evaluation.md tells.
        batch: images, or texts, at once.
        workers: processes that decode images, 0 for this one. Without it: on a GPU one for each
            core, up to 16; else 0, for the model keeps all cores busy.
        device: cpu, cuda, or auto for a GPU where there is one.
        split: folder of a dataset's tars, or of its classes; what names of Parquet files begin
            with.
        label_column: of Parquet files; label, cls or class without it.
        templates: file of prompts for all datasets; without it, what each one brings.
        cache: folder of embedded classes; without it, `prompts` in metacurate's cache folder.
        out: file for the results, as JSON; written anew after each dataset.
        on_error: ``fail`` where an image is broken, after the other datasets are done; or ``skip``
            it, and count it.
        progress: told of prompts and images that are done.

    Returns:
        Results, JSON; scores are shares from 0 to 1.

    Raises:
        UsageError: for an argument that can't be.
        InputError: when the model is broken, or a dataset before any image is read.
        UnfinishedError: when a dataset could not be evaluated after all, or `out` not be written;
            it has the results of the others.
        MetacurateError: when PyTorch or transformers is missing, the model does not fit into
            memory, or nothing can be written where `out` is.
    """
    _check(batch, workers, out)
    check_split(split)
    paths = [Path(one).absolute() for one in ([data] if isinstance(data, str | Path) else data)]
    if not paths:
        raise UsageError("there is nothing to evaluate on: name a dataset")
    told = progress or Silent()

    from metacurate.evaluation.model import Clip, choose_device

    chosen = choose_device(device)
    if device == "auto":
        log.info("the model runs on %s", chosen)
    given = None if templates is None else Templates.read(Path(templates))
    place = None if out is None else Path(out)
    if place is not None:
        _check_writable(place)
    checkpoint = open_checkpoint(str(model))
    subjects = _open(paths, split, label_column, given)
    clip = Clip(checkpoint, chosen)
    if workers is None:
        workers = min(MOST_WORKERS, default_workers()) if chosen == "cuda" else 0
    folder = default_cache() if cache is None else Path(cache)
    found: list[dict[str, Any]] = []
    errors: list[MetacurateError] = []
    unwritten: MetacurateError | None = None
    for subject in subjects:
        embedder = Embedder(clip, subject.dataset, batch, workers, on_error == "skip", told)
        try:
            found.append(_score(embedder, subject, folder))
        except MetacurateError as error:
            errors.append(error)
        if place is not None:
            unwritten = _write(place, _results(checkpoint, chosen, found, errors))
    results = _results(checkpoint, chosen, found, errors)
    if unwritten is not None:
        errors.append(unwritten)
    if errors:
        raise UnfinishedError(_listed(errors), results) from errors[0]
    return results


def _listed(errors: Sequence[MetacurateError]) -> str:
    listed = "\n".join(map(str, errors))
    return listed if len(errors) == 1 else f"{len(errors)} errors kept it from the end\n{listed}"


def _check_writable(out: Path) -> None:
    """Refuse a file that can't be written, before hours of work go into its content.

    Raises:
        MetacurateError: saying why.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise MetacurateError(f"{out}: can't be written: {error}") from error


def _write(out: Path, results: dict[str, Any]) -> MetacurateError | None:
    """Write what is finished; what keeps it from that is returned, for the work goes on."""
    text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
    content = text.encode(errors="backslashreplace")  # names of files need not be UTF-8
    try:
        write_atomically(out, lambda temporary: temporary.write_bytes(content))
    except MetacurateError as error:
        return error
    return None


def _check(batch: int, workers: int | None, out: str | Path | None) -> None:
    if batch < 1:
        raise UsageError(f"a batch of {batch} images is too small: 1 is the least")
    if workers is not None and workers < 0:
        raise UsageError(f"{workers} workers can't work: 0 is the least")
    if out is not None and Path(out).is_dir():
        raise UsageError(f"{out}: is a folder, and the results are one file")


def _open(
    paths: Sequence[Path], split: str, label_column: str | None, templates: Templates | None
) -> list[_Subject]:
    """Open all datasets, so that what is wrong with one shows before any is scored."""
    subjects: list[_Subject] = []
    seen: dict[str, str] = {}
    for path in paths:
        dataset = with_templates(open_dataset(path, split, label_column), templates)
        task = _task(dataset)
        if task is not None:
            if task.name in seen:
                raise UsageError(
                    f"{seen[task.name]} and {path} are both {task.name}: evaluate one of them"
                )
            seen[task.name] = dataset.path
            _compare_templates(dataset, task)
        subjects.append(_Subject(dataset, task))
    return subjects


def _task(dataset: Dataset) -> Task | None:
    """The paper's task that a dataset is of, by its name and the number of its classes."""
    task = None if dataset.labels is None else recognise(dataset.name)
    if task is None or task.fits(len(dataset.classes)):
        return task
    log.warning(
        "%s is named like the paper's task %s, but has %d classes in place of %d: it is scored by "
        "top-1 accuracy, as data of your own",
        dataset.path, task.name, len(dataset.classes), task.classes,
    )  # fmt: skip
    return None


def _compare_templates(dataset: Dataset, task: Task) -> None:
    templates = dataset.templates
    if templates.path is None:
        log.warning(
            "%s brings no templates: its only prompt is %r; the paper's for %s are %d",
            dataset.path, templates.prompts[0], task.name, task.templates,
        )  # fmt: skip
    elif len(templates.prompts) != task.templates:
        log.warning(
            "%s holds %d templates; the paper's for %s are %d: scores will differ",
            templates.path, len(templates.prompts), task.name, task.templates,
        )  # fmt: skip


def _score(embedder: Embedder, subject: _Subject, cache: Path | None) -> dict[str, Any]:
    dataset, task = subject.dataset, subject.task
    if dataset.labels is None:
        scored = retrieve(embedder)
        prompts = None
    else:
        scored = classify(embedder, task, cache)
        prompts = {
            "number": len(dataset.templates.prompts),
            "file": dataset.templates.path,
            "paper": None if task is None else task.templates,
        }
    if embedder.skipped:
        log.warning("%s: %d broken images were left out", dataset.path, len(embedder.skipped))
    return {
        "name": dataset.name,
        "path": dataset.path,
        "split": dataset.split,
        "kind": "retrieval" if dataset.labels is None else "classification",
        "task": None if task is None else task.name,
        "images": dataset.images - len(embedder.skipped),
        "skipped": len(embedder.skipped),
        "classes": None if dataset.labels is None else len(dataset.classes),
        "templates": prompts,
        **scored,
        "skipped_images": embedder.skipped,
    }


def _results(
    checkpoint: Checkpoint,
    device: str,
    found: Sequence[dict[str, Any]],
    errors: Sequence[MetacurateError],
) -> dict[str, Any]:
    tasks = [one for one in found if one["task"] is not None]
    scores = [one["score"] for one in tasks]
    size = size_of(checkpoint.vision)
    # Without a split in its names a dataset is taken for what the figures are of.
    comparable = all(one["split"] in (None, *REPORTED) for one in tasks)
    return {
        "model": checkpoint.name,
        "checkpoint": str(checkpoint.folder),
        "digest": checkpoint.digest,
        "size": size,
        "metacurate": __version__,
        "device": device,
        "average": sum(scores) / len(scores) if scores else None,
        "tasks": len(scores),
        "of_tasks": len(TASKS),
        "paper": None
        if size is None or not comparable
        else {
            name: {"average": round(average / 100, 4), "imagenet1k": round(imagenet / 100, 4)}
            for name, (average, imagenet) in PAPER[size].items()
        },
        "datasets": list(found),
        "errors": [str(error) for error in errors],
    }
