"""Zero-shot scores of a checkpoint on datasets: `metacurate evaluate`."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from metacurate import __version__
from metacurate.engine.local import default_workers
from metacurate.engine.progress import Progress, Silent
from metacurate.engine.storage import write_atomically
from metacurate.engine.workspace import OnError
from metacurate.errors import InputError, MetacurateError, UsageError
from metacurate.evaluation.checkpoint import open_checkpoint
from metacurate.evaluation.datasets import (
    Dataset,
    Templates,
    check_split,
    open_dataset,
    with_templates,
)
from metacurate.evaluation.embedding import Images
from metacurate.evaluation.prompts import default_cache
from metacurate.evaluation.retrieval import retrieve
from metacurate.evaluation.tasks import PAPER, TASKS, Task, recognise, size_of
from metacurate.evaluation.zeroshot import check_classes, classify

if TYPE_CHECKING:
    from metacurate.evaluation.model import Clip

log = logging.getLogger(__name__)

BATCH = 256
MOST_WORKERS = 16  # that are started unasked


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
        split: folder of a dataset's tars.
        label_column: of Parquet files; label, cls or class without it.
        templates: file of prompts for all datasets; without it, what each one brings.
        cache: folder of embedded classes; without it, `prompts` in metacurate's cache folder.
        out: file for the results, as JSON.
        on_error: ``fail`` where an image is broken, after the other datasets are done; or ``skip``
            it, and count it.
        progress: told of prompts and images that are done.

    Returns:
        Results, JSON; scores are shares from 0 to 1.

    Raises:
        UsageError: for an argument that can't be.
        InputError: when the model or a dataset is broken.
        MetacurateError: when several are, PyTorch or transformers is missing, or `out` can't be
            written.
    """
    _check(batch, workers, out)
    check_split(split)
    paths = [Path(one).absolute() for one in ([data] if isinstance(data, str | Path) else data)]
    if not paths:
        raise UsageError("there is nothing to evaluate on: name a dataset")
    told = progress or Silent()

    from metacurate.evaluation.model import Clip, choose_device

    chosen = choose_device(device)
    given = None if templates is None else Templates.read(Path(templates))
    subjects = _open(paths, split, label_column, given)
    checkpoint = open_checkpoint(str(model))
    clip = Clip(checkpoint, chosen)
    if workers is None:
        workers = min(MOST_WORKERS, default_workers()) if chosen == "cuda" else 0
    folder = default_cache() if cache is None else Path(cache)
    found: list[dict[str, Any]] = []
    errors: list[InputError] = []
    for subject in subjects:
        images = Images(clip, subject.dataset, batch, workers, on_error == "skip", told)
        try:
            found.append(_score(images, subject, folder))
        except InputError as error:
            errors.append(error)
    results = _results(clip, found, errors)
    if out is not None:
        _write(Path(out), results)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        listed = "\n".join(map(str, errors))
        raise MetacurateError(f"{len(errors)} datasets could not be evaluated\n{listed}")
    return results


def _write(out: Path, results: dict[str, Any]) -> None:
    text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
    content = text.encode(errors="backslashreplace")  # names of files need not be UTF-8
    write_atomically(out, lambda temporary: temporary.write_bytes(content))


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
        task = None if dataset.labels is None else recognise(path)
        if task is not None:
            if task.name in seen:
                raise UsageError(
                    f"{seen[task.name]} and {path} are both {task.name}: evaluate one of them"
                )
            seen[task.name] = dataset.path
            _compare_templates(dataset, task)
        if dataset.labels is not None:
            check_classes(dataset, task)
        subjects.append(_Subject(dataset, task))
    return subjects


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


def _score(images: Images, subject: _Subject, cache: Path | None) -> dict[str, Any]:
    dataset, task = subject.dataset, subject.task
    if dataset.labels is None:
        scored = retrieve(images)
        prompts = None
    else:
        scored = classify(images, task, cache)
        prompts = {
            "number": len(dataset.templates.prompts),
            "file": dataset.templates.path,
            "paper": None if task is None else task.templates,
        }
    if images.skipped:
        log.warning("%s: %d broken images were left out", dataset.path, len(images.skipped))
    return {
        "name": dataset.name,
        "path": dataset.path,
        "kind": "retrieval" if dataset.labels is None else "classification",
        "task": None if task is None else task.name,
        "images": dataset.images - len(images.skipped),
        "skipped": len(images.skipped),
        "classes": None if dataset.labels is None else len(dataset.classes),
        "templates": prompts,
        **scored,
        "skipped_images": images.skipped,
    }


def _results(
    clip: "Clip", found: Sequence[dict[str, Any]], errors: Sequence[InputError]
) -> dict[str, Any]:
    scores = [one["score"] for one in found if one["task"] is not None]
    size = size_of(clip.checkpoint.vision)
    return {
        "model": clip.checkpoint.name,
        "checkpoint": str(clip.checkpoint.folder),
        "digest": clip.checkpoint.digest,
        "size": size,
        "metacurate": __version__,
        "device": clip.device,
        "average": sum(scores) / len(scores) if scores else None,
        "tasks": len(scores),
        "of_tasks": len(TASKS),
        "paper": None
        if size is None
        else {
            name: {"average": round(average / 100, 4), "imagenet1k": round(imagenet / 100, 4)}
            for name, (average, imagenet) in PAPER[size].items()
        },
        "datasets": list(found),
        "errors": [str(error) for error in errors],
    }
