"""The compiled counter counts what the oracle counts."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.errors import UsageError
from metacurate.metadata import ngrams
from metacurate.metadata.ngrams import NgramCounter, least_association
from metacurate.metadata.words import LETTER, class_table
from metacurate.schema import NGRAMS

from .ngram_oracle import TEXTS, Counted, association, count, read


def counted(texts: Any, seed: int = 0) -> Counted:
    counter = NgramCounter(seed)
    counter.add(texts)
    table = counter.to_table()
    assert table.schema.remove_metadata().equals(NGRAMS)
    found = read([table])
    assert (counter.words, counter.bigrams) == (len(found.words), len(found.bigrams))
    assert len(table) == counter.words + counter.bigrams  # each once
    return found


@given(st.lists(st.none() | TEXTS, max_size=8), st.integers(0, 2**64 - 1))
def test_equals_the_oracle(texts: list[str | None], seed: int) -> None:
    assert counted(pa.array(texts, pa.string()), seed) == count(texts)


@given(st.lists(st.lists(TEXTS, max_size=4), max_size=4))
def test_texts_that_come_one_after_another_add_up(parts: list[list[str]]) -> None:
    counter = NgramCounter()
    for part in parts:
        counter.add(part)
    assert read([counter.to_table()]) == count(text for part in parts for text in part)
    assert counter.texts == sum(map(len, parts))


@given(st.lists(TEXTS, min_size=1, max_size=12))
def test_tables_grow_in_the_middle_of_a_text(texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, room in (("FIRST_WORDS", 1), ("FIRST_BYTES", 1), ("FIRST_PAIRS", 64)):
            patch.setattr(ngrams, name, room)
        assert counted([" ".join(texts), *texts]) == count([" ".join(texts), *texts])


ARRAYS: list[Callable[[Sequence[str | None]], Any]] = [
    list,
    lambda texts: pa.array(texts, pa.string()),
    lambda texts: pa.array(texts, pa.large_string()),
    lambda texts: pa.array(texts, pa.string_view()),
    lambda texts: pa.array(texts).dictionary_encode(),
    lambda texts: pa.array(["not", *texts, "these"]).slice(1, len(texts)),
    lambda texts: pa.chunked_array([texts[:2], texts[2:]], pa.string()),
]


@pytest.mark.parametrize("make", ARRAYS)
def test_arrays_of_any_layout(make: Callable[[Sequence[str | None]], Any]) -> None:
    texts = ["the red fox", None, "", "the red den", "北京 é"]
    assert counted(make(texts)) == count(texts)


def test_other_types_are_refused() -> None:
    with pytest.raises(UsageError, match="int64, not strings"):
        NgramCounter().add(pa.array([1]))


@pytest.mark.parametrize("texts", [[], [""], [None], ["..."]])
def test_nothing_to_count(texts: list[str | None]) -> None:
    assert counted(pa.array(texts, pa.string())) == Counted({}, {})


def test_what_was_counted() -> None:
    counter = NgramCounter()
    counter.add(["the red fox", "the den"])
    found = (counter.texts, counter.words, counter.bigrams, counter.tokens, counter.word_bytes)
    assert found == (2, 4, 3, 5, len("theredfoxden"))


def test_a_long_text_and_long_words() -> None:
    words = [f"w{i % 5000}" for i in range(200_000)]
    text = " ".join(["x" * 3_000_000, *words, "x" * 3_000_000])
    assert counted([text]) == count([text])


def test_all_letters_are_read_as_they_are_written() -> None:
    letters = [chr(code) for code in np.flatnonzero(class_table() == LETTER)[::97]]
    assert counted([" ".join(letters)]) == count([" ".join(letters)])


def test_association_is_what_pmi_is_the_logarithm_of() -> None:
    # 8 of 1,000 words are "hot dog", each of whose words occurs 10 and 16 times
    found = association(8, 10, 16, 1000)
    assert found == 50
    assert found >= least_association(math.log2(50) - 1e-12)
    assert least_association(30) == 2**30
    assert least_association(5000) == math.inf
