"""The census of a pool's pairs: equal to counting by hand, however it is split up."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import metacurate as mc
from metacurate.curation.census import (
    LONGEST_VALUE,
    MOST_MATCHES,
    MOST_VALUES,
    Census,
    threshold_grid,
    valued_columns,
)
from metacurate.curation.curate import plan

from .pools import ENTRIES, write_pool, zipf_pool


class Pair(NamedTuple):
    smallest: float
    length: int
    keep: bool
    language: str | None


T = 7.25
SMALLEST = st.floats(0.001, 1e11) | st.sampled_from(
    [1.0, 7.0, T, math.nextafter(T, 8), 10.0, 9.9e9]
)
PAIRS = st.lists(
    st.builds(
        Pair, SMALLEST, st.integers(1, 80), st.booleans(), st.sampled_from(["en", "de", "", None])
    )
    | st.builds(Pair, st.just(math.inf), st.just(0), st.just(False), st.none()),
    max_size=30,
)


def made(batches: list[list[Pair]]) -> Census:
    census = Census.empty(T)
    for pairs in batches:
        census.add(
            np.array([p.smallest for p in pairs], np.float64),
            np.array([p.length for p in pairs], np.int32),
            np.array([p.keep for p in pairs], np.bool_),
            {"language": pa.array([p.language for p in pairs], pa.string())},
        )
    return census


def test_the_grid_is_of_round_numbers_and_the_run_s_own() -> None:
    grid = threshold_grid(20_000.0)
    assert len(grid) == 900
    assert grid[[0, 1, 89, 90, -1]].tolist() == [1.0, 1.1, 9.9, 10.0, 9.9e9]
    assert 20_000.0 in grid
    assert (np.diff(grid) > 0).all()
    assert len(threshold_grid(T)) == 901
    assert T in threshold_grid(T)
    assert threshold_grid(0.5)[0] == 0.5


@given(batches=st.lists(PAIRS, max_size=4))
@example(batches=[])
@example(batches=[[Pair(T, 64, True, "en"), Pair(T, 65, True, "en")]])
def test_numbers(batches: list[list[Pair]]) -> None:
    census = made(batches)
    pairs = [pair for batch in batches for pair in batch]
    card = census.to_card(math.inf)
    for i in [*range(0, 901, 37), *np.searchsorted(census.thresholds, [1, 7, T, 10, 9.9e9])]:
        t = card["thresholds"][i]
        within = [pair for pair in pairs if pair.smallest <= t]
        assert (card["kept"][i], card["kept_matches"][i]) == (
            len(within), sum(pair.length for pair in within)
        )  # fmt: skip
    told = card["matches_per_text"]
    for name, of in (("pool", pairs), ("kept", [pair for pair in pairs if pair.keep])):
        lengths = Counter(min(pair.length, MOST_MATCHES) for pair in of)
        assert {n: number for n, number in enumerate(told[name]) if number} == dict(lengths)
    assert len(told["pool"]) == len(told["kept"])
    languages = Counter(pair.language or "" for pair in pairs)
    kept = Counter(pair.language or "" for pair in pairs if pair.keep)
    found = card["values"].get("language", {})
    assert found == {name: [n, kept[name]] for name, n in languages.items()}
    assert [*found] == sorted(found, key=lambda name: (-languages[name], name))


@given(batches=st.lists(PAIRS, max_size=4), cut=st.integers(0, 4))
def test_it_does_not_matter_who_counted(batches: list[list[Pair]], cut: int) -> None:
    one, other = made(batches[:cut]), made(batches[cut:])
    sent = Census.from_bytes(other.to_bytes(), T)
    whole = made(batches).to_card(math.inf)
    for first, second in ((one, sent), (sent, one)):
        total = Census.empty(T)
        total.merge(first)
        total.merge(second)
        assert total.to_card(math.inf) == whole


def test_columns_of_too_many_values_are_not_told() -> None:
    def of(first: int, number: int) -> Census:
        census = Census.empty(T)
        names = pa.array([str(i) for i in range(first, first + number)])
        nothing = np.zeros(number, np.int32)
        census.add(np.full(number, np.inf), nothing, nothing > 0, {"attribute": names})
        return census

    most, next_one = of(0, MOST_VALUES), of(MOST_VALUES, 1)
    assert len(most.to_card(1)["values"]["attribute"]) == MOST_VALUES
    for parts in ((most, next_one, next_one), (next_one, next_one, most), (of(0, 2000),)):
        total = Census.empty(T)
        for part in parts:
            total.merge(part)
        assert total.to_card(1)["values"] == {"attribute": None}


def test_which_columns_are_counted() -> None:
    text = pa.array(["en", None])
    batch = pa.record_batch(
        [text, text.dictionary_encode(), pa.array([1, 2])], ["text", "language", "attribute"]
    )
    assert [*valued_columns(batch)] == ["language"]
    twice = pa.record_batch([text, text], ["language", "language"])
    assert valued_columns(twice) == {}
    census = Census.empty(T)
    broken = pa.array([b"\xff" * 300, b"\xff" * 200], pa.binary()).view(pa.string())
    no = np.zeros(2, np.int32)
    census.add(np.full(2, np.inf), no, no > 0, {"language": broken})
    assert census.to_card(1)["values"] == {"language": {"\ufffd" * LONGEST_VALUE: [2, 0]}}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = zipf_pool(6_000)
    languages = [["en", "de", None][i % 5 % 3] for i in range(len(table))]
    table = table.append_column("language", pa.array(languages))
    folder = tmp_path_factory.mktemp("census")
    return write_pool(folder / "pool", [table.slice(0, 2_000), table.slice(2_000)])


def read_card(out: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((out / "datacard.json").read_text())
    return card


def test_the_card_answers_as_a_plan_does(pool: Path, tmp_path: Path) -> None:
    metadata = mc.Metadata.from_entries(ENTRIES)
    mc.curate(pool, metadata, threshold=T, out=tmp_path / "out", seed=3)
    card = read_card(tmp_path / "out")
    census = card["census"]
    answers = plan(pool, metadata, thresholds=census["thresholds"], seed=3)["answers"]
    assert census["kept"] == [answer["kept"] for answer in answers]
    assert census["kept_matches"] == [answer["matches_kept"] for answer in answers]
    at = census["thresholds"].index(T)
    assert (census["kept"][at], census["kept_matches"][at]) == (card["kept"], card["kept_matches"])
    assert census["kept"][-1] == card["matched_texts"] - _without_url(pool)
    per_text = census["matches_per_text"]
    assert sum(per_text["pool"]) == card["rows_read"] - card["invalid"]
    assert per_text["pool"][0] == card["unmatched"]
    assert (sum(per_text["kept"]), per_text["kept"][0]) == (card["kept"], 0)
    languages = census["values"]["language"]
    assert languages.keys() == {"en", "de", ""}
    assert sum(n for n, _ in languages.values()) == card["rows_read"] - card["invalid"]
    assert sum(n for _, n in languages.values()) == card["kept"]


def _without_url(pool: Path) -> int:
    """Texts that match, and are counted, but are no pairs."""
    table = pa.concat_tables(pa.parquet.read_table(path) for path in sorted(pool.iterdir()))
    matcher = mc.Matcher(mc.Metadata.from_entries(ENTRIES))
    texts = table.filter(pa.compute.is_null(table["url"]))["text"].combine_chunks()
    return sum(len(ids or ()) > 0 for ids in matcher.match(texts).to_pylist())


def test_it_is_the_same_for_any_workers(pool: Path, tmp_path: Path) -> None:
    metadata = mc.Metadata.from_entries(ENTRIES)
    cards = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        mc.curate(pool, metadata, threshold=T, out=out, workers=workers)
        cards.append(read_card(out))
    assert cards[0] == cards[1]
