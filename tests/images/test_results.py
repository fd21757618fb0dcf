import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from metacurate.curation.sample import draws
from metacurate.images.results import (
    OUTCOME,
    choose_captions,
    count_statuses,
    make_samples,
    make_stats,
    pairs_table,
)

IMAGES = pa.table(
    {
        "key": ["000000000", "000000001", "000000002"],
        "url": ["https://a/0", "https://a/1", "https://a/2"],
        "uid": ["u0", "u1", "u2"],
        "pairs": [
            [{"text": "x", "entries": [1, 2], "probability": 0.5, "min_threshold": 3.0, "n": 7},
             {"text": "y", "entries": [2], "probability": 0.25, "min_threshold": 4.0, "n": 8}],
            [{"text": "z", "entries": [], "probability": 1.0, "min_threshold": 1.0, "n": 9}],
            [{"text": "v", "entries": [3], "probability": 1.0, "min_threshold": 1.0, "n": None}],
        ],
    }
)  # fmt: skip
OUTCOMES = pa.table(
    {
        "status": ["success", "not_found", "success"],
        "error_message": [None, "404 Not Found", None],
        "width": [1, None, 3],
        "height": [1, None, 3],
        "original_width": [2, None, 3],
        "original_height": [2, None, 3],
        "sha256": ["aa", None, "cc"],
        "ending": ["jpg", None, "png"],
    }
)


def test_the_table_has_a_row_for_each_pair() -> None:
    table = pairs_table(IMAGES, OUTCOMES, {"metacurate.round": "0"})
    assert table.column_names == [
        "key", "url", "text", "entries", "probability", "min_threshold", "n", "uid", *OUTCOME,
    ]  # fmt: skip
    assert table["text"].to_pylist() == ["x", "y", "z", "v"]
    assert table["key"].to_pylist() == ["000000000", "000000000", "000000001", "000000002"]
    assert table["uid"].to_pylist() == ["u0", "u0", "u1", "u2"]
    assert table["status"].to_pylist() == ["success", "success", "not_found", "success"]
    assert table["n"].to_pylist() == [7, 8, 9, None]
    assert table.schema.metadata == {b"metacurate.round": b"0"}


def test_samples_are_the_images_that_are_there() -> None:
    first, second = make_samples(IMAGES, OUTCOMES, lambda index: bytes([index]))
    assert (first.key, first.image, first.ending) == ("000000000", b"\0", "jpg")
    assert (second.key, second.image, second.ending) == ("000000002", b"\2", "png")
    assert first.fields["pairs"] == [
        {"text": "x", "entries": [1, 2], "probability": 0.5, "min_threshold": 3.0},
        {"text": "y", "entries": [2], "probability": 0.25, "min_threshold": 4.0},
    ]
    assert first.text == first.fields["caption"]
    assert first.fields["original_width"] == 2
    assert second.text == "v"


@given(st.lists(st.lists(st.text("ab", max_size=4), min_size=1, max_size=4), max_size=6))
def test_the_caption_with_the_smallest_draw(images: list[list[str]]) -> None:
    urls = [f"https://a/{i}" for i, texts in enumerate(images) for _ in texts]
    texts = [text for one in images for text in one]
    offsets = np.cumsum([0, *map(len, images)])
    chosen = choose_captions(pa.array(urls, pa.string()), pa.array(texts, pa.string()), offsets)
    drawn = draws(urls, texts, 0, "caption")
    for start, stop, place in zip(offsets[:-1], offsets[1:], chosen, strict=True):
        assert start <= place < stop
        assert drawn[place] == min(drawn[start:stop])


def test_statistics() -> None:
    counted = count_statuses(IMAGES, OUTCOMES)
    assert counted.to_pylist() == [
        {"status": "not_found", "images": 1, "pairs": 1},
        {"status": "success", "images": 2, "pairs": 3},
    ]
    stats = make_stats(counted, 10.0, 12.5)
    assert stats == {
        "count": 3, "successes": 2, "failed_to_download": 1, "failed_to_resize": 0,
        "duration": 2.5, "start_time": 10.0, "end_time": 12.5,
        "status_dict": {"not_found": 1, "success": 2}, "pairs": 4,
    }  # fmt: skip


def test_no_images() -> None:
    none, nothing = IMAGES.slice(0, 0), OUTCOMES.slice(0, 0)
    assert len(pairs_table(none, nothing, {})) == 0
    assert list(make_samples(none, nothing, lambda _: b"")) == []
    assert make_stats(count_statuses(none, nothing), 0, 0)["count"] == 0
