"""Zero-shot classification: an image belongs to the class whose prompts are most like it."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from metacurate.errors import InputError
from metacurate.evaluation.embedding import Embedder
from metacurate.evaluation.metrics import (
    mean_per_class,
    per_class,
    ranks,
    roc_auc,
    top_k,
)
from metacurate.evaluation.prompts import class_embeddings
from metacurate.evaluation.tasks import Metric, Task

TOP = 5  # classes, for the second accuracy


def classify(embedder: Embedder, task: Task | None, cache: Path | None) -> dict[str, Any]:
    """Score a model on a dataset with labels.

    Args:
        embedder: of the dataset's images, and the model.
        task: whose metric is the score; None for top-1.
        cache: folder of embedded classes; None for none.

    Returns:
        JSON: the metric's name and the score, all metrics, and accuracies by class.

    Raises:
        InputError: when an image is broken, or a metric can't be computed.
    """
    dataset = embedder.dataset
    assert dataset.labels is not None
    metric: Metric = "top1" if task is None else task.metric
    classes = class_embeddings(
        embedder.model, dataset.classes, dataset.templates, cache=cache, batch=embedder.batch,
        progress=embedder.progress, title=f"{dataset.name}: prompts",
    )  # fmt: skip
    places, labels, second = [], [], []
    for indices, embedded in embedder.embedded():
        similar = embedded @ classes.T
        labels.append(dataset.labels[indices])
        places.append(ranks(similar, labels[-1]))
        if metric == "roc_auc":
            second.append(similar[:, 1] - similar[:, 0])
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
