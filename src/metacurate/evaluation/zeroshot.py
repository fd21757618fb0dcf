"""Zero-shot classification: an image belongs to the class whose prompts are most like it."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from metacurate.errors import InputError
from metacurate.evaluation.datasets import Dataset
from metacurate.evaluation.embedding import Images
from metacurate.evaluation.metrics import (
    mean_per_class,
    per_class,
    probabilities,
    ranks,
    roc_auc,
    top_k,
)
from metacurate.evaluation.prompts import class_embeddings
from metacurate.evaluation.tasks import Metric, Task

TOP = 5  # classes, for the second accuracy


def check_classes(dataset: Dataset, task: Task | None) -> None:
    """Refuse a task's dataset to which its metric can't be applied.

    Args:
        dataset: for classification. task: whose it is; None for none of the paper's.

    Raises:
        InputError: when it has too few classes, or too many.
    """
    metric = None if task is None else task.metric
    classes = len(dataset.classes)
    if metric == "mean_top1_top5" and classes < TOP:
        raise InputError(dataset.path, f"has {classes} classes; top-5 accuracy needs {TOP}")
    if metric == "roc_auc" and classes != 2:
        raise InputError(dataset.path, f"has {classes} classes; ROC AUC is of two")


def classify(images: Images, task: Task | None, cache: Path | None) -> dict[str, Any]:
    """Score a model on a dataset with labels.

    Args:
        images: of the dataset, and the model. task: whose metric is the score; None for top-1.
        cache: folder of embedded classes; None for none.

    Returns:
        JSON: the metric's name and the score, all metrics, and accuracies by class.

    Raises:
        InputError: when an image is broken, or a metric can't be computed.
    """
    dataset = images.dataset
    assert dataset.labels is not None
    metric: Metric = "top1" if task is None else task.metric
    classes = class_embeddings(
        images.model, dataset.classes, dataset.templates, cache=cache, batch=images.batch,
        progress=images.progress, title=f"{dataset.name}: prompts",
    )  # fmt: skip
    places, labels, second = [], [], []
    for indices, embedded in images.embedded():
        similar = embedded @ classes.T
        labels.append(dataset.labels[indices])
        places.append(ranks(similar, labels[-1]))
        if metric == "roc_auc":
            second.append(probabilities(similar * images.model.logit_scale)[:, 1])
    place, label = np.concatenate(places), np.concatenate(labels)
    number = len(dataset.classes)
    found: dict[str, Any] = {
        "top1": top_k(place, 1),
        "top5": top_k(place, TOP) if number >= TOP else None,
        "mean_per_class": mean_per_class(place, label, number),
    }
    if metric == "mean_top1_top5":
        found[metric] = (found["top1"] + found["top5"]) / 2
    if metric == "roc_auc":
        if label.min() == label.max():
            raise InputError(dataset.path, "has images of one class only; ROC AUC needs both")
        found[metric] = roc_auc(np.concatenate(second), label == 1)
    rows, accuracies = per_class(place, label, number)
    return {
        "metric": metric,
        "score": found[metric],
        **found,
        "per_class": [
            {"name": name, "images": int(count), "accuracy": None if math.isnan(one) else one}
            for name, count, one in zip(dataset.classes, rows, accuracies, strict=True)
        ],
    }
