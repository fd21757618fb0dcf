"""Metrics of classification and retrieval, over NumPy arrays.

Where scores are equal the smaller index goes first, as in `argmax`: results never depend on how
something was sorted.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.int64]


def ranks(scores: Floats, targets: Integers) -> Integers:
    """The place of a target among all candidates, 0 for the best.

    Args:
        scores: [rows, candidates]. targets: int64[rows], the candidate that is looked for.

    Returns:
        int64[rows]: candidates with a higher score, and those before it with an equal one.
    """
    own = np.take_along_axis(scores, targets[:, None], axis=1)
    before = np.arange(scores.shape[1])[None] < targets[:, None]
    places: Integers = ((scores > own) | ((scores == own) & before)).sum(axis=1, dtype=np.int64)
    return places


def top_k(places: Integers, k: int) -> float:
    """Share of rows whose target is among the best k.

    Args:
        places: int64[rows], from `ranks`. k: from 1 on.
    """
    return float((places < k).mean())


def per_class(places: Integers, labels: Integers, classes: int) -> tuple[Integers, list[float]]:
    """Top-1 accuracy of each class.

    Args:
        places: int64[rows], from `ranks`. labels: int64[rows], from 0 on. classes: how many.

    Returns:
        int64[classes], rows of each; and their accuracies, NaN for classes without rows.
    """
    rows = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[places == 0], minlength=classes)
    with np.errstate(invalid="ignore"):
        return rows, (hits / rows).tolist()


def mean_per_class(places: Integers, labels: Integers, classes: int) -> float:
    """The mean of the classes' accuracies, each class with the same weight.

    Args:
        places, labels, classes: as for `per_class`; classes without rows do not count.
    """
    return float(np.nanmean(per_class(places, labels, classes)[1]))


def roc_auc(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """The area under the ROC curve.

    It is the share of pairs of a positive and a negative row in which the positive one has the
    higher score, equal scores counted as one half.

    Args:
        scores: [rows]. positive: bool[rows], some of them true and some not.
    """
    values, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    del values
    last = np.cumsum(counts)
    mean_rank = last - (counts - 1) / 2  # of equal scores, counted from 1
    yes = int(positive.sum())
    no = len(positive) - yes
    total = mean_rank[inverse][positive].sum()
    return float((total - yes * (yes + 1) / 2) / (yes * no))


def best_places(scores: Floats, own: Sequence[Integers]) -> Integers:
    """The place of the best of several targets, 0 where one of them is the best of all.

    Args:
        scores: [rows, candidates]. own: for each row, its targets in ascending order.

    Returns:
        int64[rows]. A row is a hit among the best k where it is below k.
    """
    best = [targets[scores[i, targets].argmax()] for i, targets in enumerate(own)]
    return ranks(scores, np.array(best, np.int64))
