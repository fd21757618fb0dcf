"""XXH64 is what the xxhash package makes of the same bytes, in all of Arrow's layouts."""

import struct
from typing import get_args

import pyarrow as pa
import pytest
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st

from metacurate.errors import UsageError
from metacurate.hashing.pairs import Purpose, draw_seed, hash_columns, hash_pairs, xxh64

UINT64 = st.integers(0, 2**64 - 1)
TEXTS = st.lists(st.text() | st.none(), max_size=8)


@given(message=st.binary(max_size=200), seed=UINT64)
@example(message=b"", seed=0)
@example(message=bytes(range(256)) * 9, seed=2**64 - 1)
def test_xxh64(message: bytes, seed: int) -> None:
    assert xxh64(message, seed) == xxhash.xxh64_intdigest(message, seed)


@pytest.mark.parametrize("length", range(100))
def test_xxh64_of_every_short_length(length: int) -> None:
    message = bytes(255 - i for i in range(length))
    assert xxh64(message, length) == xxhash.xxh64_intdigest(message, length)


@given(seed=UINT64, purpose=st.sampled_from(get_args(Purpose)), index=UINT64)
def test_draw_seed(seed: int, purpose: Purpose, index: int) -> None:
    expected = xxhash.xxh64_intdigest(purpose.encode() + struct.pack("<Q", index), seed)
    assert draw_seed(seed, purpose, index) == expected


@given(texts=TEXTS, seeds=st.lists(UINT64, max_size=3))
def test_one_column(texts: list[str | None], seeds: list[int]) -> None:
    """With any number of seeds at once; null counts as empty."""
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        found = hash_columns([pa.array(["é", *texts, None], kind)[1:-1]], seeds)
        assert found.shape == (len(seeds), len(texts))
        messages = [(text or "").encode() for text in texts]
        expected = [[xxhash.xxh64_intdigest(m, seed) for m in messages] for seed in seeds]
        assert found.tolist() == expected


@given(pairs=st.lists(st.tuples(st.text(), st.text()), max_size=8), seed=UINT64)
def test_two_columns(pairs: list[tuple[str, str]], seed: int) -> None:
    urls, texts = [url for url, _ in pairs], [text for _, text in pairs]
    found = hash_columns([urls, texts], [0, seed])
    messages = [f"{url}\0{text}".encode() for url, text in pairs]
    assert found[0].tolist() == [xxhash.xxh64_intdigest(m, 0) for m in messages]
    assert found[1].tolist() == [xxhash.xxh64_intdigest(m, seed) for m in messages]
    drawn = [xxhash.xxh64_intdigest(m, draw_seed(seed, "dedup")) for m in messages]
    assert hash_pairs(urls, texts, seed, "dedup").tolist() == drawn


def test_columns_of_different_lengths() -> None:
    with pytest.raises(UsageError, match="1 urls and 2 texts are no pairs"):
        hash_columns([["a"], ["b", "c"]], [0])
