"""Counts that are added up and ranked on disk are what plain Python makes of them."""

import math
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metacurate.engine.storage import write_arrow
from metacurate.errors import InputError, MetacurateError
from metacurate.metadata import totals
from metacurate.metadata.buckets import BUCKETS, cut, join
from metacurate.metadata.ngrams import NgramCounter, least_association
from metacurate.metadata.titles import VIEWS
from metacurate.metadata.totals import BELOW, Ranking, Store
from metacurate.schema import NGRAMS, RANKED

from .ngram_oracle import TEXTS, Counted, association, count

MEMORY = 256 << 20


def write_partials(folder: Path, parts: list[list[str]]) -> list[Path]:
    """As tasks leave them: some in one table, some joined."""
    paths = []
    for i, texts in enumerate(parts):
        counters = [NgramCounter(i), NgramCounter(i + 1)]
        counters[0].add(texts[::2])
        counters[1].add(texts[1::2])
        paths.append(folder / f"{i}.arrow")
        table = join([counter.to_table() for counter in counters])
        write_arrow(paths[-1], table, compressed=bool(i % 2))
    return paths


def pairs(ranking: Ranking) -> list[tuple[str, Any]]:
    assert ranking.listed.schema.equals(RANKED)
    return [(row["entry"], row["score"]) for row in ranking.listed.to_pylist()]


def rank_words(counted: Counted, min_count: int, most: int) -> list[tuple[str, float]]:
    enough = [(word, float(n)) for word, n in counted.words.items() if n >= min_count]
    return sorted(enough, key=lambda pair: (-pair[1], pair[0]))[:most]


def rank_bigrams(
    counted: Counted, min_pmi: float, min_count: int, most: int
) -> list[tuple[str, float]]:
    total = sum(counted.words.values())
    found = []
    for (first, second), n in counted.bigrams.items():
        exact = association(n, counted.words[first], counted.words[second], total)
        if n >= min_count and exact >= 2**min_pmi:
            found.append((-exact, f"{first} {second}"))
    return [(entry, math.log2(-exact)) for exact, entry in sorted(found)[:most]]


@settings(max_examples=30)
@given(
    parts=st.lists(st.lists(TEXTS, max_size=6), max_size=4),
    min_count=st.integers(0, 3),
    min_pmi=st.integers(-2, 6),
    most=st.integers(1, 40),
    most_rows=st.sampled_from([1, 50, 10**6]),
)
def test_equals_the_oracle(
    parts: list[list[str]], min_count: int, min_pmi: int, most: int, most_rows: int
) -> None:
    counted = count(text for part in parts for text in part)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = Store(folder, MEMORY, 2)
        made = store.add_up("made", cut(write_partials(folder, parts), most_rows))
        assert (made.words, made.bigrams) == (len(counted.words), len(counted.bigrams))
        assert made.tokens == sum(counted.words.values())
        words = made.rank_words(min_count, most)
        assert pairs(words) == rank_words(counted, min_count, most)
        assert words.read == len(counted.words)
        below = sum(n < min_count for n in counted.words.values())
        assert words.dropped == {BELOW: below}
        bigrams = made.rank_bigrams(least_association(min_pmi), min_count, most)
        expected = rank_bigrams(counted, min_pmi, min_count, most)
        assert [entry for entry, _ in pairs(bigrams)] == [entry for entry, _ in expected]
        assert [s for _, s in pairs(bigrams)] == pytest.approx([s for _, s in expected])
        everything = rank_bigrams(counted, min_pmi, min_count, 10**6)
        assert bigrams.read == sum(bigrams.dropped.values()) + len(everything)


def test_a_word_lies_in_one_part(tmp_path: Path) -> None:
    texts = [" ".join(f"w{i}" for i in range(start, start + 300)) for start in range(0, 3000, 200)]
    parts = cut(write_partials(tmp_path, [texts[:5], texts[5:]]), 200)
    seen: Counter[str] = Counter()
    rows = 0
    for part in parts:
        batches = list(part())
        assert all(batch.schema.equals(NGRAMS) for batch in batches)
        seen.update({word for batch in batches for word in batch["first"].to_pylist()})
        rows += sum(batch.num_rows for batch in batches)
    assert 10 < len(parts) <= BUCKETS
    assert set(seen.values()) == {1}
    assert rows > len(seen) == 3100


def test_parts_of_what_is_no_counts(tmp_path: Path) -> None:
    write_arrow(tmp_path / "a.arrow", pa.table({"x": [1]}))
    with pytest.raises(InputError, match="holds no counts in buckets"):
        cut([tmp_path / "a.arrow"], 100)


def test_in_several_parts_the_order_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"a{i % 7} b{i % 11} c{i % 13}" for i in range(300)]
    made = Store(tmp_path, MEMORY, 2).add_up("t", cut(write_partials(tmp_path, [texts]), 100))
    whole = made.rank_bigrams(0.0, 2, 50)
    monkeypatch.setattr(totals, "BYTES_OF_WORD", MEMORY // 4)
    cut_up = made.rank_bigrams(0.0, 2, 50)
    assert (cut_up.read, cut_up.dropped) == (whole.read, whole.dropped)
    assert cut_up.listed.equals(whole.listed)
    assert len(whole.listed) == 50


def rows(*found: tuple[str, str | None, int]) -> Iterator[pa.RecordBatch]:
    yield pa.RecordBatch.from_pylist(
        [{"first": a, "second": b, "count": n} for a, b, n in found], NGRAMS
    )


def test_a_folder_whose_name_is_a_pattern(tmp_path: Path) -> None:
    found = {}
    for name, texts in (("it's 1", ["c d e", "c d"]), ("it's [1]", ["a b", "a"])):
        folder = tmp_path / name
        folder.mkdir()
        made = Store(folder, MEMORY, 1).add_up("t", cut(write_partials(folder, [texts]), 100))
        found[name] = (made.words, made.rank_bigrams(0.0, 1, 50).listed["entry"].to_pylist())
    assert found == {"it's 1": (3, ["c d", "d e"]), "it's [1]": (2, ["a b"])}


def test_bigrams_with_a_word_that_was_never_counted(tmp_path: Path) -> None:
    found = [("a", None, 4), ("b", None, 2), ("a", "b", 1), ("a", "b", 1), ("x", "b", 1),
        ("a", "y", 3)]  # fmt: skip
    made = Store(tmp_path, MEMORY, 1).add_up("t", [lambda: rows(*found)])
    ranking = made.rank_bigrams(0.0, 1, 10)
    assert pairs(ranking) == [("a b", math.log2(2 * 6 / (4 * 2)))]
    assert ranking.read == 3
    assert ranking.dropped["a word was never counted"] == 2


def test_what_is_there_is_not_added_up_again(tmp_path: Path) -> None:
    store = Store(tmp_path, MEMORY, 1)
    first = store.add_up("t", [lambda: rows(("a", None, 4))])

    def never() -> Iterator[pa.RecordBatch]:
        raise AssertionError

    assert store.add_up("t", [never]) == first
    assert store.add_up("u", [lambda: rows()]).tokens == 0


def test_a_run_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from rows(("a", None, 4))
        raise InputError("list.tsv", "is cut short")

    store = Store(tmp_path, MEMORY, 1)
    with pytest.raises(InputError, match=r"^list.tsv: is cut short$"):
        store.add_up("t", [broken])
    assert list(tmp_path.iterdir()) == []


def test_totals_of_which_one_is_lost_are_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path, MEMORY, 1)
    first = store.add_up("t", [lambda: rows(("a", None, 4), ("a", "a", 1))])
    for path in (first.words_file, first.bigrams_file):
        path.unlink()
        assert store.add_up("t", [lambda: rows(("a", None, 4), ("a", "a", 1))]) == first


def test_counts_that_add_up_to_too_much(tmp_path: Path) -> None:
    most = 2**63 - 1
    with pytest.raises(MetacurateError, match="add up to more than 2"):
        Store(tmp_path, MEMORY, 1).add_up("t", [lambda: rows(("a", None, most), ("a", None, 1))])


def test_large_counts_are_exact(tmp_path: Path) -> None:
    large = 2**53 + 1
    made = Store(tmp_path, MEMORY, 1).add_up("t", [lambda: rows(("a", None, large), ("b", None, large - 1))])  # fmt: skip # noqa: E501
    assert made.tokens == 2 * large - 1
    assert [entry for entry, _ in pairs(made.rank_words(large, 5))] == ["a"]


def views(**found: int) -> list[pa.RecordBatch]:
    return [pa.record_batch([list(found), list(found.values())], schema=VIEWS)]


def test_titles(tmp_path: Path) -> None:
    store = Store(tmp_path, MEMORY, 1)
    viewed = {"Fox": 70, "Den": 69, "Talk:Fox": 900, "Zoo": 100, "Ape": 100}
    ranking = store.rank_titles([*views(**viewed), *views(Den=5)], None, 72, 10)
    assert pairs(ranking) == [("Ape", 100), ("Zoo", 100), ("Den", 74)]
    assert (ranking.read, ranking.dropped) == (5, {"with a colon": 1, BELOW: 1})
    ranking = store.rank_titles(views(**viewed), views(Fox=0, Den=0, Other=0), 70, 10)
    assert pairs(ranking) == [("Fox", 70)]
    assert ranking.dropped == {"with a colon": 1, "in no list of titles": 2, BELOW: 1}
    ranking = store.rank_titles(None, views(Zoo=0, Ape=0, Fox=0, **{"A:b": 0}), 70, 2)
    assert pairs(ranking) == [("Ape", None), ("Fox", None)]
    assert (ranking.read, ranking.dropped) == (4, {"with a colon": 1})


def test_association_in_python_is_that_of_the_database(tmp_path: Path) -> None:
    found = [("a", None, 3), ("b", None, 7), ("c", None, 999_999_937), ("a", "b", 2), ("c", "b", 5)]
    made = Store(tmp_path, MEMORY, 1).add_up("t", [lambda: rows(*found)])
    for pair, first, entry in ((2, 3, "a b"), (5, 999_999_937, "c b")):
        least = association(pair, first, 7, made.tokens)
        assert entry in dict(pairs(made.rank_bigrams(least, 1, 5)))
        above = made.rank_bigrams(math.nextafter(least, math.inf), 1, 5)
        assert entry not in dict(pairs(above))


def test_ctrl_c_is_heard_while_the_database_works(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    began = time.monotonic()
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        with (
            pytest.raises(KeyboardInterrupt),
            Store(tmp_path, MEMORY, 2).connect() as connection,
        ):
            connection.rows("SELECT count(*) FROM range(100000000000) AS t(i) WHERE hash(i) = 3")
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 20
