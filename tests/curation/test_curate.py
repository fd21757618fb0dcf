"""The subset depends on the pairs, the metadata, the mode, the threshold and the seed only."""

import json
import logging
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import metacurate as mc
from metacurate.curation.curate import sample
from metacurate.curation.job import read_summary
from metacurate.errors import MetacurateError, UsageError
from metacurate.schema import CURATED, SHARDS

from .pools import ENTRIES, read_curated, read_kept, valid_pairs, write_pool, zipf_pool
from .twin import Kept, count
from .twin import sample as twin_sample

ROWS = 30_000
T = 20.0
FATES = ["kept", "balanced_away", "unmatched", "invalid"]


@pytest.fixture(scope="module")
def metadata() -> mc.Metadata:
    return mc.Metadata.from_entries(ENTRIES)


@pytest.fixture(scope="module")
def pool() -> pa.Table:
    return zipf_pool(ROWS)


@pytest.fixture(scope="module")
def stored(pool: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pool(tmp_path_factory.mktemp("pool") / "pool", [pool])


@pytest.fixture(scope="module")
def out(stored: Path, metadata: mc.Metadata, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The subset that all others are compared with: of one file, by one worker."""
    folder: Path = tmp_path_factory.mktemp("curated") / "out"
    mc.curate(stored, metadata, threshold=T, out=folder, workers=1)
    return folder


@pytest.fixture(scope="module")
def kept(out: Path) -> list[Kept]:
    return read_kept(out)


# ---- how a pool is stored does not matter


def cut(pool: pa.Table, files: int) -> list[pa.Table]:
    edges = np.linspace(0, len(pool), files + 1).astype(int).tolist()
    return [pool.slice(a, b - a) for a, b in pairwise(edges)]


def shuffle(pool: pa.Table) -> pa.Table:
    return pool.take(pa.array(np.random.default_rng(3).permutation(len(pool))))


def retype(pool: pa.Table, kind: pa.DataType) -> pa.Table:
    return pool.set_column(1, "text", pool["text"].cast(kind))


Store = Callable[[pa.Table, Path], Path]

STORES: dict[str, Store] = {
    "7 files": lambda pool, to: write_pool(to, cut(pool, 7)),
    "64 files": lambda pool, to: write_pool(to, cut(pool, 64)),
    "shuffled rows": lambda pool, to: write_pool(to, [shuffle(pool)]),
    "shuffled rows in 7 files": lambda pool, to: write_pool(to, cut(shuffle(pool), 7)),
    "row groups of 10": lambda pool, to: write_pool(to, [pool], row_group_size=10),
    "row groups of 1000": lambda pool, to: write_pool(to, [pool], row_group_size=1000),
    "large_string": lambda pool, to: write_pool(to, [retype(pool, pa.large_string())]),
    "string_view": lambda pool, to: write_pool(to, [retype(pool, pa.string_view())]),
    "dictionary": lambda pool, to: write_pool(
        to, [pool.set_column(1, "text", pool["text"].dictionary_encode())]
    ),
    "urls as dictionary": lambda pool, to: write_pool(
        to, [pool.set_column(0, "url", pool["url"].dictionary_encode())]
    ),
    "another order of columns": lambda pool, to: write_pool(to, [pool.select(["text", "url"])]),
}


def test_the_pool_tells_subsets_apart(kept: list[Kept], out: Path) -> None:
    assert ROWS / 10 < len(kept) < ROWS / 2
    assert all(read_summary(out)[fate] > 50 for fate in FATES)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("workers", [1, 2])
def test_storage(
    store: str, workers: int, pool: pa.Table, kept: list[Kept], metadata: mc.Metadata,
    tmp_path: Path,
) -> None:  # fmt: skip
    source = STORES[store](pool, tmp_path / "pool")
    mc.curate(source, metadata, threshold=T, out=tmp_path / "out", workers=workers)
    assert read_kept(tmp_path / "out") == kept


def test_files_of_different_layouts(
    pool: pa.Table, kept: list[Kept], metadata: mc.Metadata, tmp_path: Path
) -> None:
    one, two, three = cut(pool, 3)
    write_pool(tmp_path / "a", [one])
    write_pool(tmp_path / "b", [retype(two, pa.large_string())])
    write_pool(tmp_path / "c", [three.append_column("more", pa.array(range(len(three))))])
    source: list[str | Path] = [
        tmp_path / "a",
        str(tmp_path / "b" / "*.parquet"),
        tmp_path / "c/part-000.parquet",
    ]
    mc.curate(source, metadata, threshold=T, out=tmp_path / "out")
    tables = map(pq.read_table, (tmp_path / "out" / "curated").iterdir())
    rows = [row for table in tables for row in table.select(Kept._fields).to_pylist()]
    assert sorted(Kept(**row) for row in rows) == kept


@pytest.fixture(scope="module")
def large(
    metadata: mc.Metadata, tmp_path_factory: pytest.TempPathFactory
) -> tuple[pa.Table, list[Kept]]:
    """A pool of two units, and what is kept of it when it comes in ten files."""
    folder, pool = tmp_path_factory.mktemp("large"), zipf_pool(150_000, odd=False)
    source = write_pool(folder / "pool", cut(pool, 10))
    mc.curate(source, metadata, threshold=T, out=folder / "out")
    return pool.append_column("row", pa.array(range(len(pool)))), read_kept(folder / "out")


@pytest.mark.parametrize("row_group_size", [150_000, 10_000])
@pytest.mark.parametrize("workers", [1, 2])
def test_units_inside_a_row_group(
    row_group_size: int, workers: int, metadata: mc.Metadata, tmp_path: Path,
    large: tuple[pa.Table, list[Kept]],
) -> None:  # fmt: skip
    pool, expected = large
    source = write_pool(tmp_path / "pool", [pool], row_group_size=row_group_size)
    out = tmp_path / "out"
    result = mc.curate(source, metadata, threshold=T, out=out, workers=workers)
    assert result.summary["units"] == 2
    assert read_kept(out) == expected
    rows = read_curated(out)["row"].to_pylist()  # of files in the order of their names
    assert rows == sorted(rows)


# ---- what does matter


def curate(stored: Path, metadata: mc.Metadata, out: Path, **options: Any) -> list[Kept]:
    mc.curate(stored, metadata, out=out, **options)
    return read_kept(out)


def test_another_seed_draws_another_subset(
    stored: Path, metadata: mc.Metadata, kept: list[Kept], tmp_path: Path
) -> None:
    other = curate(stored, metadata, tmp_path / "out", threshold=T, seed=1)
    assert other != kept
    common = {pair[:2] for pair in kept} & {pair[:2] for pair in other}
    assert 0 < len(common) < 0.9 * len(kept)
    assert abs(len(other) - len(kept)) < 0.05 * len(kept)


def test_a_larger_threshold_keeps_a_superset(
    stored: Path, metadata: mc.Metadata, kept: list[Kept], tmp_path: Path
) -> None:
    larger = curate(stored, metadata, tmp_path / "out", threshold=3 * T)
    assert len(larger) > 1.3 * len(kept)

    def without_probability(pairs: list[Kept]) -> list[Any]:
        return [(p.url, p.text, p.entries, p.min_threshold) for p in pairs]

    filtered = [pair for pair in larger if pair.min_threshold <= T]
    assert without_probability(filtered) == without_probability(kept)


def test_a_huge_threshold_keeps_all_that_match(
    stored: Path, metadata: mc.Metadata, tmp_path: Path
) -> None:
    result = mc.curate(stored, metadata, threshold=1e300, out=tmp_path / "out")
    assert result.summary["balanced_away"] == 0
    assert {pair.probability for pair in read_kept(tmp_path / "out")} == {1.0}


def test_a_tail_share_is_its_threshold(stored: Path, metadata: mc.Metadata, tmp_path: Path) -> None:
    share = mc.curate(stored, metadata, tail_share=0.3, out=tmp_path / "share")
    t = share.summary["threshold"]
    assert curate(stored, metadata, tmp_path / "out", threshold=t) == read_kept(share.out)
    assert share.summary["tail_share"] == pytest.approx(0.3, abs=0.02)
    default = mc.curate(stored, metadata, out=tmp_path / "default")
    assert default.summary["tail_share"] == pytest.approx(0.06, abs=0.02)


def test_the_mode_is_heeded(stored: Path, metadata: mc.Metadata, tmp_path: Path) -> None:
    spaced = mc.curate(stored, metadata, threshold=T, mode="spaced", out=tmp_path / "out")
    assert spaced.summary["mode"] == "spaced"
    matched = {i for pair in read_kept(tmp_path / "out") for i in pair.entries}
    assert ENTRIES.index("w0, w1") in matched


# ---- columns


@pytest.fixture(scope="module")
def wide(pool: pa.Table) -> pa.Table:
    """Columns of many types, those that are needed in their midst and under other names."""
    rows = range(len(pool))
    nested = [
        None if i % 11 == 0 else {"tags": [f"t{i}", None][: i % 3], "size": {"w": i, "h": None}}
        for i in rows
    ]
    return pa.table(
        {
            "row": pa.array(rows, pa.int32()),
            "nested": pa.array(nested),
            "TEXT": pool["text"],
            "lists": pa.array([[[i], []] if i % 5 else None for i in rows]),
            "bytes": pa.array([i.to_bytes(3, "big") for i in rows], pa.binary(3)),
            "URL": pool["url"],
            "when": pa.array(rows, pa.timestamp("ms", "UTC")),
            "kind": pa.array([f"kind {i % 3}" for i in rows]).dictionary_encode(),
            "nothing": pa.nulls(len(pool)),
        }
    ).replace_schema_metadata({"mine": "kept", "other": "too"})


def test_other_columns_pass_through(
    wide: pa.Table, kept: list[Kept], metadata: mc.Metadata, tmp_path: Path
) -> None:
    source = write_pool(tmp_path / "pool", [wide], row_group_size=5_000)
    out = tmp_path / "out"
    mc.curate(source, metadata, threshold=T, out=out)
    table = read_curated(out)
    assert table.column_names == [*wide.column_names, *CURATED.names]
    assert [table.schema.field(name).type for name in wide.column_names] == wide.schema.types
    expected = wide.take(table["row"])
    for name in wide.column_names:
        assert table[name].to_pylist() == expected[name].to_pylist(), name
    assert table.schema.metadata[b"mine"] == b"kept"
    renamed = table.rename_columns({"URL": "url", "TEXT": "text"}).select(Kept._fields)
    assert sorted(Kept(**row) for row in renamed.to_pylist()) == kept


RARE_TYPES: dict[pa.DataType, list[Any]] = {
    pa.string_view(): ["a", "a long string that is not kept inline", None],
    pa.binary_view(): [b"a", b"bytes that are too many to be inline", None],
    pa.list_(pa.string_view()): [["a"], [], None],
    pa.struct({"a": pa.string_view()}): [{"a": "b"}, {"a": None}, None],
    pa.list_view(pa.int32()): [[1, 2], [], None],
    pa.map_(pa.string(), pa.int32()): [[("a", 1)], [], None],
    pa.list_(pa.float32(), 2): [[1.0, 2.0], [3.0, 4.0], None],
}


@pytest.mark.parametrize(("kind", "values"), RARE_TYPES.items(), ids=map(str, RARE_TYPES))
def test_rare_types_pass_through(
    kind: pa.DataType, values: list[Any], metadata: mc.Metadata, tmp_path: Path
) -> None:
    pool = pa.table(
        {"url": ["a", "b", "c"], "text": ["w0", "w0", "w0"], "rare": pa.array(values, kind)}
    )
    source = write_pool(tmp_path / "pool", [pool])
    mc.curate(source, metadata, threshold=9, out=tmp_path / "out")
    assert read_curated(tmp_path / "out")["rare"].to_pylist() == pool["rare"].to_pylist()


@pytest.mark.parametrize("name", CURATED.names)
@pytest.mark.parametrize("argument", ["text_column", "id_column"])
def test_a_pairs_own_columns_are_never_replaced(
    name: str, argument: str, metadata: mc.Metadata, tmp_path: Path
) -> None:
    columns = {"url": ["a"], "text": ["w0"], name: ["w0"]}
    source = write_pool(tmp_path / "pool", [pa.table(columns)])
    with pytest.raises(UsageError, match=name):
        mc.curate(source, metadata, out=tmp_path / "out", **{argument: name})  # type: ignore[arg-type]


def test_columns_that_are_added(out: Path) -> None:
    table = read_curated(out)
    for field in CURATED:
        assert table.schema.field(field.name).type == field.type
        assert table[field.name].null_count == 0
    assert pc.all(pc.less_equal(table["min_threshold"], T)).as_py()
    assert pc.all(pc.greater(table["probability"], 0)).as_py()
    metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert metadata["metacurate.round"] == "0"
    assert metadata["metacurate.seed"] == "0"
    assert float(metadata["metacurate.threshold"]) == T
    assert metadata["metacurate.mode"] == "paper"


def test_named_columns(
    pool: pa.Table, kept: list[Kept], metadata: mc.Metadata, tmp_path: Path
) -> None:
    columns = {"address": pool["url"], "words": pool["text"], "url": pool["text"]}
    source = write_pool(tmp_path / "pool", [pa.table(columns)])
    mc.curate(
        source, metadata, threshold=T, out=tmp_path / "out", url_column="address",
        text_column="words",
    )  # fmt: skip
    table = read_curated(tmp_path / "out").drop_columns("url")
    table = table.rename_columns({"address": "url", "words": "text"})
    assert sorted(Kept(**row) for row in table.to_pylist()) == kept


def test_numbers_as_identity(pool: pa.Table, metadata: mc.Metadata, tmp_path: Path) -> None:
    """A number stands for its decimal digits."""
    numbers = pa.array(range(-5, ROWS - 5), pa.int64())
    for name, column in (("numbers", numbers), ("digits", numbers.cast(pa.string()))):
        source = write_pool(tmp_path / name, [pa.table({"key": column, "text": pool["text"]})])
        mc.curate(source, metadata, threshold=T, out=tmp_path / f"out of {name}", id_column="key")
    found, expected = (
        read_curated(tmp_path / f"out of {name}").select(["key", "text", "min_threshold"])
        for name in ("numbers", "digits")
    )
    assert len(found) > ROWS / 10
    assert found.cast(expected.schema).equals(expected)


# ---- every row is accounted for


def test_accounting(pool: pa.Table, metadata: mc.Metadata, tmp_path: Path) -> None:
    source = write_pool(tmp_path / "pool", cut(pool, 7))
    out = tmp_path / "out"
    summary = mc.curate(source, metadata, threshold=T, out=out).summary
    shards = pq.read_table(out / "shards.parquet")
    assert shards.schema.equals(SHARDS)
    rows = shards.to_pylist()
    assert len(rows) == 7
    assert [row["rows_read"] for row in rows] == [len(table) for table in cut(pool, 7)]
    for row in rows:
        assert row["rows_read"] == sum(row[fate] for fate in FATES)
        assert row["kept"] == pq.read_metadata(out / "curated" / row["output"]).num_rows
        assert row["error"] is None
    totals = json.loads((out / "manifest.json").read_text())["totals"]
    assert totals == summary == read_summary(out)
    for fate in ("rows_read", *FATES):
        assert summary[fate] == sum(row[fate] for row in rows)
    assert summary["rows_read"] == ROWS == sum(summary[fate] for fate in FATES)


def test_fates_of_odd_rows(metadata: mc.Metadata, tmp_path: Path) -> None:
    rows = [
        ("u1", "w0"), ("u2", "w0"), ("u2", "w0"), ("", "w0"),  # kept
        ("u3", ""), ("u4", " "), ("u5", "w1"), ("", ""),  # unmatched
        (None, "w0"), ("u6", None), (None, None), (None, ""),  # invalid
    ]  # fmt: skip
    urls, texts = zip(*rows, strict=True)
    pool = pa.table({"url": pa.array(urls, pa.string()), "text": pa.array(texts, pa.string())})
    source = write_pool(tmp_path / "pool", [pool])
    summary = mc.curate(source, metadata, threshold=100, out=tmp_path / "out").summary
    assert [summary[fate] for fate in FATES] == [4, 0, 4, 4]
    kept = [(pair.url, pair.text) for pair in read_kept(tmp_path / "out")]
    assert kept == [("", "w0"), ("u1", "w0"), ("u2", "w0"), ("u2", "w0")]


def test_equal_pairs_share_their_fate(pool: pa.Table, kept: list[Kept]) -> None:
    pool_counts, kept_counts = Counter(valid_pairs(pool)), Counter(pair[:2] for pair in kept)
    assert max(pool_counts.values()) > 1
    assert all(number == pool_counts[pair] for pair, number in kept_counts.items())


def test_a_unit_of_which_nothing_is_kept(metadata: mc.Metadata, tmp_path: Path) -> None:
    none = pa.table({"url": ["a"], "text": ["unknown"]})
    source = write_pool(tmp_path / "pool", [none, pa.table({"url": ["b"], "text": ["w0"]})])
    summary = mc.curate(source, metadata, threshold=1, out=tmp_path / "out").summary
    assert (summary["kept"], summary["unmatched"]) == (1, 1)
    outputs = pq.read_table(tmp_path / "out" / "shards.parquet")["output"].to_pylist()
    assert outputs[0] is None
    assert [path.name for path in (tmp_path / "out" / "curated").iterdir()] == outputs[1:]


def test_nothing_is_kept(metadata: mc.Metadata, tmp_path: Path) -> None:
    pool = pa.table({"url": ["a", "b"], "text": ["unknown", None]})
    source = write_pool(tmp_path / "pool", [pool])
    summary = mc.curate(source, metadata, out=tmp_path / "out").summary
    assert [summary[fate] for fate in FATES] == [0, 0, 1, 1]
    assert (tmp_path / "out" / "README.md").read_text().startswith("---\n")


# ---- rounds


def test_a_curated_pool_is_drawn_from_anew(
    out: Path, kept: list[Kept], metadata: mc.Metadata, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    pairs = [(pair.url, pair.text) for pair in kept]
    matches = [pair.entries for pair in kept]
    expected = sorted(twin_sample(pairs, matches, count(matches), 5.0, 0, round_=1))
    with caplog.at_level(logging.WARNING):
        result = mc.curate(out / "curated", metadata, threshold=5, out=tmp_path / "1")
    assert "replaced: entries, probability, min_threshold" in caplog.text
    assert result.summary["round"] == 1
    assert read_kept(tmp_path / "1") == expected
    again = read_curated(tmp_path / "1")
    assert again.column_names == ["url", "text", *CURATED.names]
    assert again.schema.metadata[b"metacurate.round"] == b"1"
    third = mc.curate(tmp_path / "1" / "curated", metadata, threshold=5, out=tmp_path / "2")
    assert third.summary["round"] == 2


def test_rounds_do_not_mix(stored: Path, out: Path, metadata: mc.Metadata, tmp_path: Path) -> None:
    with pytest.raises(MetacurateError, match="mixes files of several rounds of balancing"):
        mc.curate([stored, out / "curated"], metadata, threshold=T, out=tmp_path / "out")


# ---- sampling with counts that were made before


def test_sample_is_curates_second_half(
    stored: Path, out: Path, kept: list[Kept], metadata: mc.Metadata, tmp_path: Path
) -> None:
    counts = tmp_path / "counts"
    mc.count(stored, mc.Matcher(metadata), out=counts)
    for i, source in enumerate([counts, counts / "counts.parquet", out]):
        result = sample(stored, metadata, source, threshold=T, out=tmp_path / str(i))
        assert read_kept(result.out) == kept
        written, made = (pq.read_table(f / "counts.parquet") for f in (result.out, out))
        assert written.equals(made, check_metadata=True)
        told, before = result.summary, read_summary(out)
        assert {k: told[k] for k in ("rows_read", *FATES)} == {
            k: before[k] for k in ("rows_read", *FATES)
        }


def test_counts_of_other_metadata_are_refused(stored: Path, out: Path, tmp_path: Path) -> None:
    other = mc.Metadata.from_entries(ENTRIES[::-1])
    with pytest.raises(MetacurateError, match=f"not {other.digest}"):
        sample(stored, other, out, threshold=T, foreign_counts=True, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_counts_of_another_mode_are_refused(
    stored: Path, out: Path, metadata: mc.Metadata, tmp_path: Path
) -> None:
    with pytest.raises(MetacurateError, match="in mode 'paper', not 'spaced'"):
        sample(stored, metadata, out, threshold=T, mode="spaced", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_counts_of_another_pool(
    out: Path, metadata: mc.Metadata, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pool = pa.table(
        {
            "url": ["a", "b", "c", "d"],
            "text": ["nowhere", "w1900 nowhere", "unknown", "w0"],  # "nowhere" has no count
        }
    )
    source = write_pool(tmp_path / "pool", [pool])
    with pytest.raises(UsageError, match=r"another pool .* --foreign-counts"):
        sample(source, metadata, out, threshold=1e-9, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with caplog.at_level(logging.WARNING):
        result = sample(
            source, metadata, out, threshold=1e-9, foreign_counts=True, out=tmp_path / "out"
        )
    assert result.summary["unseen_entries"] == 1
    assert "1 entries match in this pool but have no count" in caplog.text
    assert [(pair.url, pair.probability) for pair in read_kept(result.out)] == [("a", 1), ("b", 1)]


def test_foreign_counts_that_know_all_entries(
    stored: Path, out: Path, metadata: mc.Metadata, kept: list[Kept], tmp_path: Path
) -> None:
    part = write_pool(tmp_path / "part", [pq.read_table(stored).slice(0, 10_000)])
    result = sample(part, metadata, out, threshold=T, foreign_counts=True, out=tmp_path / "out")
    assert result.summary["unseen_entries"] == 0
    some = read_kept(result.out)
    assert 0 < len(some) < len(kept)
    assert not Counter(p.url for p in some) - Counter(p.url for p in kept)


# ---- wrong usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 0}, "threshold 0 is not a number above 0"),
        ({"threshold": float("nan")}, "threshold nan"),
        ({"threshold": float("inf")}, "threshold inf"),
        ({"threshold": 5, "tail_share": 0.1}, "give one of: a threshold, a tail share, a budget"),
        ({"tail_share": 1.5}, "tail share 1.5 is not between 0 and 1"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**64}, "seed 18446744073709551616"),
        ({"seed": 0.5}, "seed 0.5"),
        ({"mode": "exact"}, "mode 'exact' is none of: paper, spaced"),
        ({"workers": 0}, "0 workers can't work"),
        ({"url_column": "a", "id_column": "b"}, "not both"),
    ],
)
def test_wrong_usage(
    stored: Path, metadata: mc.Metadata, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        mc.curate(stored, metadata, **{"out": tmp_path / "out"} | arguments)
    assert message in str(caught.value)
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        {"threshold": np.int64(20)},
        {"threshold": np.float32(20)},
        {"threshold": np.float64(20)},
        {"threshold": 20, "seed": np.int64(0)},
        {"threshold": 20, "seed": np.uint64(0)},
    ],
    ids=str,
)
def test_numpys_numbers_are_numbers(
    stored: Path, metadata: mc.Metadata, kept: list[Kept], tmp_path: Path, arguments: dict[str, Any]
) -> None:
    assert curate(stored, metadata, tmp_path / "out", **arguments) == kept


@pytest.mark.parametrize("place", ["pool", "pool/out", "."])
def test_outputs_and_pool_lie_apart(metadata: mc.Metadata, tmp_path: Path, place: str) -> None:
    source = write_pool(tmp_path / "pool", [zipf_pool(100)])
    with pytest.raises(UsageError, match=r"the output folder .* pool"):
        mc.curate(source, metadata, threshold=T, out=tmp_path / place)
    assert sorted(path.name for path in source.iterdir()) == ["part-000.parquet"]


def test_nothing_is_left_of_a_file_that_has_gone(metadata: mc.Metadata, tmp_path: Path) -> None:
    tables = cut(zipf_pool(2_000), 4)
    source, out = write_pool(tmp_path / "pool", tables), tmp_path / "out"
    mc.curate(source, metadata, threshold=T, out=out)
    (source / "part-002.parquet").unlink()
    mc.curate(source, metadata, threshold=T, out=out)
    mc.curate(source, metadata, threshold=T, out=tmp_path / "fresh")
    assert read_kept(out) == read_kept(tmp_path / "fresh")


def test_the_summary_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no finished run"):
        read_summary(tmp_path)
