import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.evaluation.metrics import (
    best_places,
    mean_per_class,
    per_class,
    ranks,
    roc_auc,
    top_k,
)

sklearn = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")

Scores = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@st.composite
def classified(draw: st.DrawFn, least: int = 2) -> tuple[Scores, Labels]:
    """Scores and labels; few different values, so that many scores are equal."""
    rows, classes = draw(st.integers(1, 30)), draw(st.integers(least, 8))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = draw(st.sampled_from([2, 4, 1000]))
    scores = random.integers(0, values, (rows, classes)) / np.float32(7)
    return scores.astype(np.float32), random.integers(0, classes, rows)


@pytest.mark.filterwarnings("ignore:'k'")
@given(classified(least=3), st.integers(1, 8))
def test_top_k_is_scikit_learns(case: tuple[Scores, Labels], k: int) -> None:
    scores, labels = case
    classes = scores.shape[1]
    # Of equal scores, scikit-learn takes the last class first: the classes are turned around.
    expected = sklearn.top_k_accuracy_score(
        classes - 1 - labels, scores[:, ::-1], k=k, labels=np.arange(classes)
    )
    assert top_k(ranks(scores, labels), k) == pytest.approx(expected)


@given(classified())
def test_top_1_is_argmax(case: tuple[Scores, Labels]) -> None:
    scores, labels = case
    assert ((ranks(scores, labels) == 0) == (scores.argmax(axis=1) == labels)).all()


@given(classified())
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_mean_per_class_is_scikit_learns(case: tuple[Scores, Labels]) -> None:
    scores, labels = case
    expected = sklearn.balanced_accuracy_score(labels, scores.argmax(axis=1))
    found = mean_per_class(ranks(scores, labels), labels, scores.shape[1])
    assert found == pytest.approx(expected)


def test_a_class_without_images_has_no_accuracy() -> None:
    labels = np.array([0, 0, 2])
    rows, accuracies = per_class(np.array([0, 1, 0]), labels, 4)
    assert rows.tolist() == [2, 0, 1, 0]
    assert accuracies[0] == 0.5
    assert np.isnan(accuracies[1])
    assert mean_per_class(np.array([0, 1, 0]), labels, 4) == 0.75


@given(classified(), st.randoms(use_true_random=False))
def test_roc_auc_is_scikit_learns(case: tuple[Scores, Labels], random: object) -> None:
    scores = np.concatenate([case[0][:, 0], [0.1, 0.2]])
    positive = np.concatenate([case[1] % 2 == 0, [True, False]])
    expected = sklearn.roc_auc_score(positive, scores)
    assert roc_auc(scores, positive) == pytest.approx(expected)


def test_equal_scores_count_half() -> None:
    assert roc_auc(np.array([1.0, 1.0]), np.array([True, False])) == 0.5


@given(classified(least=4), st.integers(0, 2**32))
def test_best_places_are_those_of_a_plain_loop(case: tuple[Scores, Labels], seed: int) -> None:
    scores, _ = case
    random = np.random.default_rng(seed)
    number = scores.shape[1]
    own = [
        np.sort(random.choice(number, random.integers(1, number + 1), replace=False))
        for _ in scores
    ]
    expected = []
    for row, targets in zip(scores, own, strict=True):
        order = sorted(range(number), key=lambda i: (-row[i], i))
        expected.append(min(order.index(target) for target in targets))
    assert best_places(scores, own).tolist() == expected
