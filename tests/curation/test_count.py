"""Counts add up, say what they were counted with, and survive being written."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import metacurate as mc
from metacurate.curation.count import Counts, count_texts
from metacurate.curation.job import read_counts
from metacurate.errors import InputError, MetacurateError, UsageError
from metacurate.schema import COUNTS

from .pools import ENTRIES, write_pool, zipf_pool
from .twin import Twin, count

TEXTS = st.lists(st.sampled_from(["a", "a b", "b, c", "", "x", None]))


@pytest.fixture(scope="module")
def metadata() -> mc.Metadata:
    return mc.Metadata.from_entries(["a", "b", "a b", "never"])


@pytest.fixture(scope="module")
def matcher(metadata: mc.Metadata) -> mc.Matcher:
    return mc.Matcher(metadata)


def fields(counts: Counts) -> tuple[Any, ...]:
    return (
        counts.values.tolist(), counts.texts, counts.matched_texts, counts.matches,
        counts.metadata_digest, counts.mode, counts.pool,
    )  # fmt: skip


def test_count_texts(matcher: mc.Matcher) -> None:
    counts = count_texts(["a b", "a a a", "b", None, "", "x"], matcher)
    digest = matcher.metadata.digest
    assert fields(counts) == ([2, 2, 1, 0], 5, 3, 5, digest, "paper", "")
    assert counts.values.dtype == np.uint64


@given(one=TEXTS, other=TEXTS)
def test_counts_add(matcher: mc.Matcher, one: list[str | None], other: list[str | None]) -> None:
    added = count_texts(one, matcher) + count_texts(other, matcher)
    assert fields(added) == fields(count_texts(one + other, matcher))


def test_adding_changes_neither(matcher: mc.Matcher) -> None:
    one = count_texts(["a"], matcher)
    assert (one + one).values.tolist() == [2, 0, 0, 0]
    assert one.values.tolist() == [1, 0, 0, 0]


def test_counts_of_other_metadata_or_mode_do_not_add(metadata: mc.Metadata) -> None:
    here = count_texts(["a"], mc.Matcher(metadata))
    other = mc.Metadata.from_entries(["b", "a", "a b", "never"])
    with pytest.raises(MetacurateError, match=f"{metadata.digest}, not {other.digest}"):
        here + count_texts(["a"], mc.Matcher(other))
    with pytest.raises(MetacurateError, match="in mode 'paper', not 'spaced'"):
        here + count_texts(["a"], mc.Matcher(metadata, "spaced"))


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder, pool = tmp_path_factory.mktemp("count"), zipf_pool(3_000)
    return (
        write_pool(folder / "one", [pool.slice(0, 1_000)]),
        write_pool(folder / "other", [pool.slice(1_000)]),
    )


def test_a_pools_counts(pools: tuple[Path, Path]) -> None:
    twin, matcher = Twin(ENTRIES), mc.Matcher(mc.Metadata.from_entries(ENTRIES))
    texts = [text for text in zipf_pool(3_000)["text"].to_pylist() if text is not None]
    matches = [twin.match(text) for text in texts]
    values = count(matches)
    one, other = (mc.count(pool, matcher) for pool in pools)
    both = mc.count(list(pools), matcher)
    assert both.values.tolist() == [values[i] for i in range(len(ENTRIES))]
    assert both.texts == len(texts)
    assert both.matched_texts == sum(map(bool, matches))
    assert both.matches == sum(map(len, matches))
    assert fields(one + other)[:-1] == fields(both)[:-1]
    assert len({one.pool, other.pool, both.pool, ""}) == 4
    assert (one + other).pool == ""


def test_the_file_of_counts(pools: tuple[Path, Path], tmp_path: Path) -> None:
    metadata = mc.Metadata.from_entries(ENTRIES)
    counts = mc.count(pools[0], mc.Matcher(metadata, "spaced"), out=tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "counts.parquet")
    assert table.schema.equals(COUNTS, check_metadata=False)
    assert table["entry_id"].to_pylist() == list(range(len(ENTRIES)))
    assert table["entry"].to_pylist() == ENTRIES
    assert table["source"].to_pylist() == ["user"] * len(ENTRIES)
    assert table["count"].to_pylist() == counts.values.tolist()
    assert table["count"].to_pylist().count(0) > 0
    totals = {
        name.decode().removeprefix("metacurate."): value.decode()
        for name, value in table.schema.metadata.items()
    }
    assert totals == {
        "texts": str(counts.texts),
        "matched_texts": str(counts.matched_texts),
        "matches": str(counts.matches),
        "metadata_digest": metadata.digest,
        "mode": "spaced",
        "pool": counts.pool,
    }
    for path in (tmp_path / "out", tmp_path / "out" / "counts.parquet"):
        assert fields(read_counts(path)) == fields(counts)


def test_a_large_count_survives(metadata: mc.Metadata, tmp_path: Path) -> None:
    values = np.array([2**64 - 1, 2**63, 2**53 + 1, 0], np.uint64)
    counts = Counts(values, 2**64, 3, metadata.digest, "paper", "p")
    pq.write_table(counts.to_table(metadata), tmp_path / "counts.parquet")
    read = read_counts(tmp_path)
    assert read.values.tolist() == values.tolist()
    assert read.texts == 2**64


def test_counts_are_not_written_beside_other_metadata(matcher: mc.Matcher) -> None:
    other = mc.Metadata.from_entries(["a", "b", "a b", "else"])
    with pytest.raises(MetacurateError, match="the counts belong to metadata of digest"):
        count_texts(["a"], matcher).to_table(other)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(pa.table({"count": [1, 2]}), id="no totals"),
        pytest.param(pa.table({"entry": ["a"]}), id="no counts"),
        pytest.param(
            pa.table({"count": [1]}).replace_schema_metadata({"metacurate.texts": "many"}),
            id="a total that is no number",
        ),
    ],
)
def test_a_file_that_is_none_of_counts(table: pa.Table, tmp_path: Path) -> None:
    file = tmp_path / "counts.parquet"
    pq.write_table(table, file)
    with pytest.raises(InputError, match="not a table of counts"):
        read_counts(file)


def test_a_broken_file_of_counts(tmp_path: Path) -> None:
    file = tmp_path / "counts.parquet"
    file.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"counts\.parquet: can't be read"):
        read_counts(tmp_path)


@pytest.mark.parametrize("name", ["", "counts.parquet", "nowhere"])
def test_no_file_of_counts(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no such file of counts"):
        read_counts(tmp_path / name)
