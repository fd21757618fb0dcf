"""Images prepared by this process or by several."""

import multiprocessing

import numpy as np
import pytest

from metacurate.errors import MetacurateError
from metacurate.evaluation.datasets import Picture
from metacurate.evaluation.decoding import prepared
from metacurate.evaluation.preprocessing import Preparation
from tests.evaluation.made import encoded, picture

SMALL = Preparation(20, None, (20, 20))


def test_what_is_missing_has_a_reason() -> None:
    pictures = [Picture(0, "file", "a", None), Picture(1, "file", "b", None, "is too large")]
    found = [told for _, told in prepared(pictures, SMALL, 0)]
    assert found == ["there is no image", "is too large"]


def test_a_process_that_is_killed() -> None:
    pictures = (Picture(i, "file", str(i), encoded(picture(i))) for i in range(200))
    others = multiprocessing.active_children()
    found = prepared(pictures, SMALL, 1)
    next(found)
    (worker,) = (one for one in multiprocessing.active_children() if one not in others)
    worker.kill()
    with pytest.raises(MetacurateError, match="a process that decodes images has ended"):
        list(found)


def test_processes_end_with_who_asks_for_them() -> None:
    pictures = (Picture(i, "file", str(i), encoded(picture(i))) for i in range(100))
    others = multiprocessing.active_children()
    found = prepared(pictures, SMALL, 1)
    next(found)
    found.close()
    assert multiprocessing.active_children() == others


def test_processes_give_the_same_in_the_same_order() -> None:
    contents = [encoded(picture(i)) if i % 9 else b"broken" for i in range(40)]
    pictures = [Picture(i, "file", str(i), content) for i, content in enumerate(contents)]
    here = list(prepared(pictures, SMALL, 0))
    there = list(prepared(pictures, SMALL, 2))
    assert [one.index for one, _ in there] == list(range(40))
    assert [one.content for one, _ in there] == [None] * 40
    for (_, expected), (_, found) in zip(here, there, strict=True):
        assert np.array_equal(expected, found)
