"""Shared pairs are counted as plain Python counts them, however large, odd or repeated they are."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metacurate.errors import InputError, MetacurateError
from metacurate.reporting.overlap import KeptPairs, Overlap, find_overlap

Pair = tuple[str, str]

TEXTS = st.sampled_from(["", "a", "b", "\0", "a\0", "\0b", "é", "🦊 fox"]) | st.text(max_size=3)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), max_size=12)


def write(path: Path, pairs: list[Pair], kind: Any = None) -> KeptPairs:
    kind = kind or pa.string()
    ids, texts = [one for one, _ in pairs], [text for _, text in pairs]
    pq.write_table(pa.table({"url": pa.array(ids, kind), "text": pa.array(texts, kind)}), path)
    return KeptPairs((str(path),), "url", "text")


def expected(sets: list[list[Pair]]) -> dict[str, Any]:
    """The same by sets of Python."""
    distinct = [set(pairs) for pairs in sets]
    every = [pair for pairs in distinct for pair in pairs]
    times = Counter(every)
    return {
        "sets": [
            {
                "rows": len(pairs),
                "distinct": len(one),
                "repeated": len(pairs) - len(one),
                "only": sum(times[pair] == 1 for pair in one),
            }
            for pairs, one in zip(sets, distinct, strict=True)
        ],
        "both": [[len(one & other) for other in distinct] for one in distinct],
        "jaccard": [
            [len(one & other) / len(one | other) if one | other else 1.0 for other in distinct]
            for one in distinct
        ],
        "all": sum(number == len(sets) for number in times.values()),
        "any": len(times),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("overlap")


NUMBERS = count()


@settings(max_examples=60)
@given(sets=st.lists(PAIRS, min_size=2, max_size=4), together=st.booleans())
@example(sets=[[("a\0", "b")], [("a", "\0b")]], together=False)
@example(sets=[[("a", "b")] * 3, [("a", "b")], []], together=True)
def test_as_sets_of_python(folder: Path, sets: list[list[Pair]], together: bool) -> None:
    if together:  # so that they share some
        sets = [sets[0] + pairs for pairs in sets]
    written = [write(folder / f"{next(NUMBERS)}.parquet", pairs) for pairs in sets]
    assert find_overlap(written).to_json() == expected(sets)


def test_many_sets(folder: Path) -> None:
    sets = [[(str(i % n), "x") for i in range(40)] for n in range(1, 64)]
    written = [write(folder / f"many-{i}.parquet", pairs) for i, pairs in enumerate(sets)]
    assert find_overlap(written).to_json() == expected(sets)


def test_any_layout_of_texts(folder: Path) -> None:
    pairs = [("a", "x"), ("b", "y"), ("a", "x")]
    kinds = [pa.string(), pa.large_string(), pa.string_view()]
    written = [write(folder / f"kind-{i}.parquet", pairs, kind) for i, kind in enumerate(kinds)]
    table = pa.table({"url": ["a", "b", "a"], "text": ["x", "y", "x"]})
    coded = pa.table({n: table[n].dictionary_encode() for n in ("url", "text")})
    pq.write_table(coded, folder / "coded.parquet")
    written.append(KeptPairs((str(folder / "coded.parquet"),), "url", "text"))
    assert find_overlap(written).pairs == {0b1111: 2}


def test_whole_numbers_are_their_digits(folder: Path) -> None:
    numbers = pa.table({"key": pa.array([7, 8], pa.uint8()), "text": ["x", "x"]})
    pq.write_table(numbers, folder / "numbers.parquet")
    digits = write(folder / "digits.parquet", [("7", "x"), ("08", "x")])
    both = find_overlap([KeptPairs((str(folder / "numbers.parquet"),), "key", "text"), digits])
    assert both.pairs == {0b11: 1, 0b01: 1, 0b10: 1}


@contextmanager
def watched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Sizes of what lies in the folder for temporary files, in bytes, again and again."""
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    sizes, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            with suppress(FileNotFoundError):  # it has gone meanwhile
                sizes.append(sum(path.stat().st_size for path in folder.rglob("*")))

    with ThreadPoolExecutor(1) as threads:
        threads.submit(watch)
        try:
            yield sizes
        finally:
            over.set()


def test_memory_that_does_not_suffice_for_all(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two and a half million keys take more than DuckDB may have: it puts them aside."""
    rows = 1_250_000
    ids = pa.array(np.arange(2 * rows)).cast(pa.string())
    text = pa.array(["x"]).take(pa.array(np.zeros(rows, np.int8)))
    sets = []
    for i, first in enumerate((0, rows // 2)):
        path = folder / f"large-{i}.parquet"
        pq.write_table(pa.table({"url": ids.slice(first, rows), "text": text}), path)
        sets.append(KeptPairs((str(path),), "url", "text"))
    with watched(tmp_path, monkeypatch) as sizes:
        found = find_overlap(sets, memory=48 << 20)
    assert max(sizes) > 10 << 20
    assert found == Overlap((rows, rows), {1: rows // 2, 2: rows // 2, 3: rows - rows // 2})


def test_too_little_memory_is_told(folder: Path) -> None:
    pairs = [write(folder / f"little-{i}.parquet", [("a", "b")] * 40_000) for i in range(2)]
    with pytest.raises(MetacurateError, match=r"^the sets can't be compared: .*[Mm]emory"):
        find_overlap(pairs, memory=1 << 10)


def test_a_broken_file_is_named(folder: Path) -> None:
    good = write(folder / "good.parquet", [("a", "b")])
    bad = write(folder / "bad.parquet", [(str(i), "b" * 50) for i in range(1000)])
    content = bytearray((folder / "bad.parquet").read_bytes())
    content[100:400] = bytes(300)
    (folder / "bad.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.parquet: can't be read"):
        find_overlap([good, bad])
    gone = KeptPairs((str(folder / "gone.parquet"),), "url", "text")
    with pytest.raises(InputError, match=r"gone\.parquet: can't be read"):
        find_overlap([good, gone])


def test_nothing_is_left(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pairs = [write(folder / f"left-{i}.parquet", [("a", "b")]) for i in range(2)]
    find_overlap(pairs)
    assert list(tmp_path.iterdir()) == []
