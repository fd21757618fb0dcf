"""The figures of a report are those of the files, of `plan`, and of plain Python."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import metacurate as mc
from metacurate.curation.balance import tail_share_of
from metacurate.curation.census import threshold_grid
from metacurate.curation.curate import plan, sample
from metacurate.engine.stores import place_of
from metacurate.errors import InputError, UsageError
from metacurate.reporting.compare import compare
from metacurate.reporting.curated_set import CuratedSet
from metacurate.reporting.domains import count_hosts, url_column
from metacurate.reporting.figures import before_after, cumulative, head, make_figures, slider
from metacurate.reporting.report import Report

from ..curation.pools import ENTRIES, read_curated
from .report_sets import (
    LANGUAGES,
    SEED,
    THRESHOLD,
    WHERE,
    make_discarded_set,
    make_filtered_set,
    make_set,
    make_small_set,
    make_unmatched_set,
)

GOLDEN = Path(__file__).parent / "figures.golden.json"
RUN = ("command_line", "configuration", "digests", "versions")  # differ by machine

Values = Sequence[tuple[int, int]]
VALUES = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=40)
THRESHOLDS = st.lists(st.floats(0.1, 60), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_set(tmp_path_factory.mktemp("figures"))


@pytest.fixture(scope="module")
def found(out: Path) -> CuratedSet:
    return CuratedSet.read(str(out))


@pytest.fixture(scope="module")
def figures(found: CuratedSet) -> dict[str, Any]:
    made = make_figures(found)
    json.dumps(made, allow_nan=False)
    return made


def test_they_stay_as_they_are(figures: dict[str, Any], tmp_path: Path) -> None:
    """Where a change is meant, the file that the message names takes the golden one's place."""
    told = {**figures, "run": {k: v for k, v in figures["run"].items() if k not in RUN}}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in told.items()]
    made = tmp_path / GOLDEN.name
    made.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    assert json.loads(made.read_text()) == json.loads(GOLDEN.read_text()), made


def test_they_are_the_same_each_time(figures: dict[str, Any], out: Path) -> None:
    assert make_figures(CuratedSet.read(str(out))) == figures


def test_every_row_has_a_fate(figures: dict[str, Any], out: Path) -> None:
    flow = figures["flow"]
    assert sum(flow["fates"].values()) == flow["read"] == 3_000
    assert flow["fates"]["filtered"] == 300
    assert flow["fates"]["kept"] == len(read_curated(out))
    shards = pq.read_table(out / "shards.parquet")
    for fate, number in flow["fates"].items():
        assert number == sum(shards[fate].to_pylist())
    manifest = json.loads((out / "manifest.json").read_text())
    assert flow["matched"] == manifest["totals"]["matched_texts"] - unmatched_url(out)
    assert (flow["matches"], flow["kept_matches"]) == tuple(
        manifest["totals"][name] for name in ("matches", "kept_matches")
    )


def unmatched_url(out: Path) -> int:
    """Rows without a url, whose texts are counted all the same, though they are no pairs."""
    rows = pq.read_table(out.parent / "pool.parquet").to_pylist()
    return sum(
        row["url"] is None and bool(row["text"]) and row["width"] > 9 and matches(row["text"])
        for row in rows
    )


def matches(text: str) -> bool:
    spaced = f" {text.replace(',', ' , ')} "
    return any(f" {entry} " in spaced for entry in ENTRIES)


def test_slider_against_plan(figures: dict[str, Any], found: CuratedSet, out: Path) -> None:
    told = figures["slider"]
    assert THRESHOLD in told["thresholds"]
    planned = plan(
        out.parent / "pool.parquet",
        found.metadata,
        thresholds=told["thresholds"],
        seed=SEED,
        where=WHERE,
    )["answers"]
    assert len(planned) == len(told["thresholds"]) > 100
    names = {"matches_kept": "kept_matches"}
    for name in ("kept", "share", "tail_share", "head_entries", "tail_entries", "matches_kept"):
        assert told[names.get(name, name)] == [answer[name] for answer in planned]


@given(VALUES, st.floats(0.1, 60))
@example([], 1.0)
@example([(0, 0)], 5.0)
@example([(3, 1)], 1e9)
def test_slider_against_balance(pairs: Values, threshold: float) -> None:
    values, _ = columns(pairs)
    grid = threshold_grid(threshold)
    size = int(np.searchsorted(grid, float(values.max(initial=0)))) + 1
    census = {
        "thresholds": grid[:size].tolist(),
        "kept": list(range(size)),
        "kept_matches": list(range(size)),
    }
    card = {"threshold": threshold, "rows_read": 90, "filtered": 10, "census": census}
    told = slider(card, values)
    assert threshold in told["thresholds"]
    assert sorted(told["thresholds"]) == told["thresholds"]
    assert {len(column) for column in told.values()} == {len(told["thresholds"])}
    for i, t in enumerate(told["thresholds"]):
        balance = mc.Balance(values, t)
        assert told["tail_share"][i] == balance.tail_share == tail_share_of(values, t)
        assert told["head_entries"][i] == sum(value >= t for value in values.tolist())
        assert told["tail_entries"][i] == sum(value < t for value in values.tolist())
        assert told["tail_matches"][i] == sum(v for v in values.tolist() if v < t)
        assert told["share"][i] == told["kept"][i] / 80


@given(VALUES, THRESHOLDS)
@example([], [1.0])
@example([(0, 7)], [1.0])
def test_cumulative_counts(pairs: Values, thresholds: list[float]) -> None:
    values, kept = columns(pairs)
    told = cumulative(values, kept, thresholds)
    ordered = sorted(zip(values.tolist(), range(len(pairs)), kept.tolist(), strict=True))
    unmatched = sum(value == 0 for value, _, _ in ordered)
    assert told["unmatched"] == unmatched
    assert told["entries"][0] == 0
    assert told["entries"][-1] == len(pairs) - unmatched
    assert told["entries"] == sorted(set(told["entries"]))
    for i, number in enumerate(told["entries"]):
        upto = ordered[: unmatched + number]
        assert told["pool"][i] == sum(value for value, _, _ in upto)
        assert told["kept"][i] == sum(number for _, _, number in upto)
        for curve in told["curves"]:
            t = curve["threshold"]
            assert curve["matches"][i] == pytest.approx(sum(min(value, t) for value, _, _ in upto))
    assert [curve["threshold"] for curve in told["curves"]] == thresholds
    tails = {sum(0 < value < t for value, _, _ in ordered) for t in thresholds}
    assert tails <= set(told["entries"])  # where the curves bend


def test_few_points_tell_of_many_entries() -> None:
    values = np.arange(500_000, dtype=np.uint64)
    told = cumulative(values, values, [1_000.0])
    assert 200 < len(told["entries"]) < 450
    at = told["entries"].index(999)
    assert told["curves"][0]["matches"][at] == told["pool"][at] == sum(range(1_000))


@given(VALUES)
@example([(10**12, 0), (0, 10**12)])
def test_counts_before_and_after(pairs: Values) -> None:
    values, kept = columns(pairs)
    bins = before_after(values, kept)
    for one in bins:
        assert one["entries"] == sum(
            one["count_low"] <= count <= one["count_high"]
            and one["kept_low"] <= left <= one["kept_high"]
            for count, left in pairs
        )
    assert sum(one["entries"] for one in bins) == sum(bool(c or k) for c, k in pairs)


@given(VALUES, st.floats(0.1, 60))
def test_the_head(pairs: Values, threshold: float) -> None:
    values, kept = columns(pairs)
    told = head(values, kept, threshold)
    of = [(count, left) for count, left in pairs if count >= threshold]
    assert told["entries"] == len(of)
    for name, place in (("share", 0), ("kept_share", 1)):
        total = sum(pair[place] for pair in pairs)
        part = sum(pair[place] for pair in of)
        assert told[name] == pytest.approx(part / total if total else 0)


def columns(pairs: Values) -> tuple[Any, Any]:
    values = np.array(pairs, np.uint64).reshape(-1, 2)
    return values[:, 0].copy(), values[:, 1].copy()


def test_thresholds_that_are_asked_for(found: CuratedSet, figures: dict[str, Any]) -> None:
    def told(*asked: float) -> list[float]:
        made = make_figures(found, asked)
        return [curve["threshold"] for curve in made["cumulative"]["curves"]]

    assert told(7, 1e6, 7) == [7, THRESHOLD, 1e6]
    assert told() == [2, 20, 200]
    with pytest.raises(UsageError, match="threshold -1 is not a number above 0"):
        told(-1)


def test_samples(figures: dict[str, Any], found: CuratedSet) -> None:
    values = found.counts.values.tolist()
    entries = found.entries.to_pylist()
    tail, unmatched = figures["tail"], figures["unmatched"]
    assert tail["entries"] == sum(0 < value < THRESHOLD for value in values)
    assert unmatched["entries"] == values.count(0)
    for part, lowest, limit in ((tail, 1, THRESHOLD), (unmatched, 0, 1)):
        ids = [one["entry_id"] for one in part["sample"]]
        assert len(set(ids)) == len(ids) == min(20, part["entries"])
        for one in part["sample"]:
            assert lowest <= values[one["entry_id"]] < limit
            assert one["entry"] == entries[one["entry_id"]]
            assert one["kept"] == found.kept[one["entry_id"]]
    assert ids != sorted(ids)
    by_source = {one["source"]: one["unmatched"] for one in unmatched["by_source"]}
    sources = found.sources.to_pylist()
    zeros = Counter(sources[i] for i, value in enumerate(values) if not value)
    assert by_source == {source: zeros[source] for source in by_source}


def test_values_of_columns(figures: dict[str, Any], out: Path) -> None:
    assert figures["values"]["attribute"] is None  # too many to be told
    kept = Counter(read_curated(out)["language"].to_pylist())
    top = figures["values"]["language"]["top"]
    assert {one["value"] or None: one["kept"] for one in top} == kept
    assert {one["value"] or None for one in top} == set(LANGUAGES)
    assert figures["values"]["language"]["others"] == {"number": 0, "pool": 0, "kept": 0}


def test_hosts(tmp_path: Path) -> None:
    urls = [
        *(f"https://h{i % 30}.example.org/{i}" for i in range(300)),
        *(f"HTTP://U:p@H{i % 3}.Example.org:8080?{i}" for i in range(50)),
        *(f"https://[2001:db8::1]:443/{i}" for i in range(40)),
        "https://a@b@c.org/x@y",
        "ftp://h1.example.org/",
        "javascript:alert(1)",
        "//h1.example.org/x",
        "",
        "https://",
    ]
    pool = pa.table({"URL": urls, "text": [f"some {i}" for i in range(len(urls))]})
    out = make_set(tmp_path, pool, mc.Metadata.from_entries(["some"]), threshold=1e6)
    found = CuratedSet.read(str(out))
    assert url_column(found) == "URL"
    told = count_hosts(found, top=100)
    assert told is not None
    expected = Counter(
        host
        for url in read_curated(out)["URL"].to_pylist()
        if url.lower().startswith("http") and (host := host_of(url))
    )
    assert {one["host"]: one["pairs"] for one in told["top"]} == expected
    assert told["hosts"] == len(expected) == 32
    assert (told["pairs"], told["without"]) == (len(urls), 5)
    numbers = [(-one["pairs"], one["host"]) for one in told["top"]]
    assert numbers == sorted(numbers)
    few = count_hosts(found, top=3)
    assert few is not None
    assert few == {**told, "top": told["top"][:3]}


def host_of(url: str) -> str | None:
    host = urlsplit(url).hostname
    return f"[{host}]" if host is not None and ":" in host else host


@pytest.mark.parametrize("ids", [pa.array(range(9)), pa.array(["key"] * 9)])
def test_pairs_without_urls_have_no_hosts(ids: pa.Array, tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": ids, "text": ["some"] * 9}), tmp_path / "pool.parquet")
    metadata = mc.Metadata.from_entries(["some"])
    out = tmp_path / "out"
    mc.curate(tmp_path / "pool.parquet", metadata, threshold=9, out=out, id_column="n")
    assert count_hosts(CuratedSet.read(str(out))) is None


def test_a_broken_table_is_named(tmp_path: Path) -> None:
    out = make_small_set(tmp_path)
    (table,) = (out / "curated").iterdir()
    table.write_bytes(table.read_bytes()[:-9])
    with pytest.raises(InputError, match="can't be read") as error:
        make_figures(CuratedSet.read(str(out)))
    assert str(table) in str(error.value)


def test_a_table_that_is_gone_is_missed(tmp_path: Path) -> None:
    out = make_small_set(tmp_path)
    found = CuratedSet.read(str(out))
    (table,) = (out / "curated").iterdir()
    pairs = pq.read_table(table)
    pq.write_table(pairs[1:], table)
    less = f"holds {len(pairs) - 1:,} pairs, but {len(pairs):,} were kept"
    with pytest.raises(InputError, match=less):
        make_figures(found)
    with pytest.raises(InputError, match=less):
        compare([str(out), str(make_small_set(tmp_path / "other"))])
    table.unlink()
    with pytest.raises(InputError, match="holds 0 pairs"):
        make_figures(CuratedSet.read(str(out)))


def test_a_store(tmp_path: Path, out: Path, figures: dict[str, Any]) -> None:
    """What lies elsewhere makes the same figures."""
    store = place_of(f"memory://report{abs(hash(str(tmp_path)))}/out")
    for path in out.rglob("*"):
        if path.is_file():
            (store / path.relative_to(out).as_posix()).write_bytes(path.read_bytes())
    assert make_figures(CuratedSet.read(store)) == figures


def test_counts_of_another_pool(out: Path, found: CuratedSet, tmp_path: Path) -> None:
    """Entries that the other pool never held are kept whole, and shown."""
    texts = [f"w{i} w{i % 7 * 2}" for i in range(0, 2_000, 2)]
    urls = [f"https://e.org/{i}" for i in range(len(texts))]
    pq.write_table(pa.table({"url": urls, "text": texts}), tmp_path / "other.parquet")
    asked: Any = {"counts": out, "foreign_counts": True, "seed": SEED}
    pool = tmp_path / "other.parquet"
    sample(pool, found.metadata, threshold=2, out=tmp_path / "out", **asked)
    figures = make_figures(CuratedSet.read(str(tmp_path / "out")))
    told = figures["slider"]
    planned = plan(pool, found.metadata, thresholds=told["thresholds"], **asked)["answers"]
    for name in ("kept", "share", "tail_share", "head_entries"):
        assert told[name] == [answer[name] for answer in planned]
    assert told["kept"][-1] == len(texts)
    unseen = sum(one["entries"] for one in figures["before_after"] if not one["count_high"])
    kept = CuratedSet.read(str(tmp_path / "out"))
    assert (
        unseen
        == figures["unseen_entries"]
        == int(((kept.counts.values == 0) & (kept.kept > 0)).sum())
        > 100
    )
    report = Report(str(tmp_path / "out"))
    said = "counts of the entries are those of another pool"
    assert said in report.markdown
    assert said in report.html
    assert said not in Report(str(out)).html


def test_one_caption_of_each_image(tmp_path: Path) -> None:
    pool = pa.table({"url": [f"u{i // 3}" for i in range(300)], "text": ["some words"] * 300})
    pq.write_table(pool, tmp_path / "pool.parquet")
    metadata = mc.Metadata.from_entries(["some"])
    out = tmp_path / "out"
    mc.curate(tmp_path / "pool.parquet", metadata, threshold=9, out=out, per_image="one")
    flow = make_figures(CuratedSet.read(str(out)))["flow"]
    assert sum(flow["fates"].values()) == flow["read"] == 300
    assert flow["fates"]["other_caption"] == 200


def test_nothing_matched(tmp_path: Path) -> None:
    figures = make_figures(CuratedSet.read(str(make_unmatched_set(tmp_path))))
    assert figures["flow"]["fates"]["unmatched"] == figures["flow"]["read"] == 2
    assert figures["slider"]["kept"] == [0] * len(figures["slider"]["kept"])
    assert THRESHOLD in figures["slider"]["thresholds"]
    assert (figures["before_after"], figures["most_matched"]) == ([], [])
    assert figures["unmatched"]["sample"][0]["entry"] == "absent"
    assert figures["hosts"] is None


def test_no_rows_are_left_by_the_filter(tmp_path: Path) -> None:
    figures = make_figures(CuratedSet.read(str(make_filtered_set(tmp_path))))
    assert figures["flow"]["fates"]["filtered"] == figures["flow"]["read"] == 2
    assert set(figures["slider"]["share"]) == {0.0}


def test_nothing_kept(tmp_path: Path) -> None:
    figures = make_figures(CuratedSet.read(str(make_discarded_set(tmp_path))))
    assert figures["flow"]["fates"]["balanced_away"] == 99
    assert figures["head"] == {"entries": 1, "tail_entries": 0, "share": 1.0, "kept_share": 0.0}
    assert figures["slider"]["kept"][-1] == 99
