"""One caption per image: the one that draws smallest of those that match, however it is stored."""

import itertools
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from scipy.stats import binomtest, chisquare

import metacurate as mc
from metacurate.curation.curate import plan, sample
from metacurate.engine.progress import Silent
from metacurate.engine.stores import Place
from metacurate.errors import UsageError
from metacurate.pool import winners

from .pools import ENTRIES, read_curated, read_kept, valid_pairs, write_pool, zipf_pool
from .twin import Kept, Twin

ROWS = 12_000
T = 20.0
ALL = 1e300  # a threshold that thins nothing
FATES = ["kept", "balanced_away", "unmatched", "invalid", "other_caption"]


@pytest.fixture(scope="module")
def metadata() -> mc.Metadata:
    return mc.Metadata.from_entries(ENTRIES)


@pytest.fixture(scope="module")
def pool() -> pa.Table:
    """About four captions an image, some of them twice; null and empty urls and texts as well."""
    captions = zipf_pool(ROWS)
    images = np.random.default_rng(5).integers(0, ROWS // 4, ROWS)
    images[97::97] = images[96:-1:97]
    urls = [
        url and f"https://example.org/{image}.jpg"
        for url, image in zip(captions["url"].to_pylist(), images.tolist(), strict=True)
    ]
    return pa.table({"url": urls, "text": captions["text"], "row": range(ROWS)})


# ---- the oracle


def caption_draw(url: str, text: str, seed: int) -> int:
    key = xxhash.xxh64_intdigest(b"caption" + bytes(8), seed)
    return xxhash.xxh64_intdigest(f"{url}\0{text}".encode(), key)


def other_captions(pool: pa.Table, twin: Twin, seed: int = 0) -> list[int]:
    """Rows of a pool whose image has another caption, which is chosen."""
    images: dict[str, list[tuple[int, int]]] = {}
    pairs = zip(pool["url"].to_pylist(), pool["text"].to_pylist(), strict=True)
    for row, (url, text) in enumerate(pairs):
        if url is not None and text is not None and twin.match(text):
            images.setdefault(url, []).append((caption_draw(url, text, seed), row))
    return sorted(row for captions in images.values() for _, row in sorted(captions)[1:])


@pytest.fixture(scope="module")
def twin() -> Twin:
    return Twin(ENTRIES)


@pytest.fixture(scope="module")
def others(pool: pa.Table, twin: Twin) -> list[int]:
    return other_captions(pool, twin)


def without(pool: pa.Table, rows: Sequence[int]) -> pa.Table:
    return pool.take(np.setdiff1d(np.arange(len(pool)), rows))


class Subset(NamedTuple):
    kept: list[Kept]
    counts: list[int]
    totals: dict[str, Any]


def read_subset(out: Place) -> Subset:
    totals = json.loads((out / "manifest.json").read_text())["totals"]
    names = (*FATES[:-1], "matched_texts", "matches", "kept_matches", "threshold", "tail_share")
    counts = pq.read_table(out / "counts.parquet")["count"].to_pylist()
    return Subset(read_kept(out), counts, {name: totals[name] for name in names})


@pytest.fixture(scope="module")
def expected(
    pool: pa.Table, others: list[int], metadata: mc.Metadata,
    tmp_path_factory: pytest.TempPathFactory,
) -> Subset:  # fmt: skip
    """What is kept of the chosen captions by a run that knows of no choice."""
    folder = tmp_path_factory.mktemp("expected")
    source = write_pool(folder / "pool", [without(pool, others)])
    mc.curate(source, metadata, threshold=T, out=folder / "out")
    return read_subset(folder / "out")


def cut(pool: pa.Table, files: int) -> list[pa.Table]:
    edges = np.linspace(0, len(pool), files + 1).astype(int).tolist()
    return [pool.slice(a, b - a) for a, b in itertools.pairwise(edges)]


def shuffle(pool: pa.Table) -> pa.Table:
    return pool.take(pa.array(np.random.default_rng(3).permutation(len(pool))))


def curate(source: Path, metadata: mc.Metadata, out: Path, **options: Any) -> dict[str, Any]:
    options = {"threshold": T, "per_image": "one", **options}
    return mc.curate(source, metadata, out=out, **options).summary


# ---- the subset


def test_the_pool_has_all_kinds_of_images(pool: pa.Table, twin: Twin, others: list[int]) -> None:
    matched = [(url, text) for url, text in valid_pairs(pool) if twin.match(text)]
    captions = Counter(url for url, _ in matched)
    assert {1, 2, 3, 4, 5} <= set(captions.values())
    assert captions[""] > 5
    assert max(Counter(matched).values()) > 1
    assert len(pool) / 4 < len(others) < len(pool) / 1.5


Store = Callable[[pa.Table, Path], Path]

STORES: dict[str, Store] = {
    "1 file": lambda pool, to: write_pool(to, [pool]),
    "7 files": lambda pool, to: write_pool(to, cut(pool, 7)),
    "64 files": lambda pool, to: write_pool(to, cut(pool, 64)),
    "row groups of 100": lambda pool, to: write_pool(to, [pool], row_group_size=100),
    "shuffled rows": lambda pool, to: write_pool(to, [shuffle(pool)]),
    "shuffled rows in 7 files": lambda pool, to: write_pool(to, cut(shuffle(pool), 7)),
    "urls as dictionary": lambda pool, to: write_pool(
        to, [pool.set_column(0, "url", pool["url"].dictionary_encode())]
    ),
    "urls as views": lambda pool, to: write_pool(
        to, [pool.set_column(0, "url", pool["url"].cast(pa.string_view()))]
    ),
    "another order of columns": lambda pool, to: write_pool(to, [pool.select(["text", "url"])]),
}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("workers", [1, 2])
def test_the_chosen_captions_are_balanced(
    store: str, workers: int, pool: pa.Table, expected: Subset, metadata: mc.Metadata,
    tmp_path: Path,
) -> None:  # fmt: skip
    source = STORES[store](pool, tmp_path / "pool")
    curate(source, metadata, tmp_path / "out", workers=workers)
    assert read_subset(tmp_path / "out") == expected


@pytest.mark.parametrize("files", [1, 7])
@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_which_captions_are_chosen(
    files: int, seed: int, pool: pa.Table, twin: Twin, metadata: mc.Metadata, tmp_path: Path
) -> None:
    """To the row: of equal pairs it is the first."""
    source = write_pool(tmp_path / "pool", cut(pool, files))
    summary = curate(source, metadata, tmp_path / "out", threshold=ALL, seed=seed)
    others = other_captions(pool, twin, seed)
    matched = [
        row["row"]
        for row in pool.to_pylist()
        if row["url"] is not None and row["text"] is not None and twin.match(row["text"])
    ]
    chosen = sorted(set(matched) - set(others))
    assert read_curated(tmp_path / "out")["row"].to_pylist() == chosen
    invalid = ROWS - len(valid_pairs(pool))
    unmatched = ROWS - invalid - len(matched)
    assert [summary[fate] for fate in FATES] == [len(chosen), 0, unmatched, invalid, len(others)]


def test_captions_that_take_no_part(metadata: mc.Metadata, tmp_path: Path) -> None:
    """Whatever they draw: those that match nothing, and those without url or text."""
    strangers = [f"unknown {i}" for i in range(99)]
    rows: list[tuple[str | None, str | None]] = [
        *(("a", text) for text in strangers),
        ("a", "w0"),
        ("a", None),
        *((None, f"w0 w{2 * i}") for i in range(99)),
        ("a", ""),
        *(("b", text) for text in strangers),
    ]
    table = pa.table({"url": [url for url, _ in rows], "text": [text for _, text in rows]})
    source = write_pool(tmp_path / "pool", [table])
    summary = curate(source, metadata, tmp_path / "out", threshold=ALL)
    assert [summary[fate] for fate in FATES] == [1, 0, 199, 100, 0]
    assert [pair[:2] for pair in read_kept(tmp_path / "out")] == [("a", "w0")]


def test_equal_rows(metadata: mc.Metadata, tmp_path: Path) -> None:
    tables = [
        pa.table({"url": urls, "text": ["w0"] * len(urls), "file": [i] * len(urls)})
        for i, urls in enumerate([["a"], ["b", "a", "b"], ["a", "b", "a", "c"]])
    ]
    source = write_pool(tmp_path / "pool", tables)
    curate(source, metadata, tmp_path / "out", threshold=ALL)
    kept = read_curated(tmp_path / "out").select(["url", "file"]).to_pylist()
    assert [(row["url"], row["file"]) for row in kept] == [("a", 0), ("b", 1), ("c", 2)]


def test_numbers_as_images(pool: pa.Table, metadata: mc.Metadata, tmp_path: Path) -> None:
    """A number stands for its decimal digits."""
    numbers = np.random.default_rng(5).integers(-9, ROWS // 4, ROWS)
    for kind in (pa.int32(), pa.string()):
        table = pa.table({"key": pa.array(numbers).cast(kind), "text": pool["text"]})
        source = write_pool(tmp_path / f"{kind}", [table])
        curate(source, metadata, tmp_path / f"out of {kind}", id_column="key")
    one, other = (read_curated(tmp_path / f"out of {kind}") for kind in ("int32", "string"))
    assert len(one) > 500
    assert one["key"].cast(pa.string()).equals(other["key"])
    assert one["text"].equals(other["text"])
    assert len(set(one["key"].to_pylist())) == len(one)


@pytest.fixture(scope="module")
def large(
    metadata: mc.Metadata, tmp_path_factory: pytest.TempPathFactory
) -> tuple[pa.Table, pa.Table]:
    """A pool of two units, and what is kept of it when it comes in ten files."""
    folder, captions = tmp_path_factory.mktemp("large"), zipf_pool(150_000, odd=False)
    images = np.random.default_rng(6).integers(0, 40_000, len(captions))
    pool = captions.set_column(0, "url", pa.array(images).cast(pa.string()))
    pool = pool.append_column("row", pa.array(range(len(pool))))
    source = write_pool(folder / "pool", cut(pool, 10))
    curate(source, metadata, folder / "out")
    kept = read_curated(folder / "out")
    assert len(set(kept["url"].to_pylist())) == len(kept) > 5_000
    return pool, kept


@pytest.mark.parametrize("row_group_size", [150_000, 9_000])
@pytest.mark.parametrize("workers", [1, 2])
def test_units_inside_a_file(
    row_group_size: int, workers: int, large: tuple[pa.Table, pa.Table], metadata: mc.Metadata,
    tmp_path: Path,
) -> None:  # fmt: skip
    pool, kept = large
    source = write_pool(tmp_path / "pool", [pool], row_group_size=row_group_size)
    assert curate(source, metadata, tmp_path / "out", workers=workers)["units"] == 2
    assert read_curated(tmp_path / "out").equals(kept)


# ---- every row is accounted for


def test_accounting(
    pool: pa.Table, others: list[int], metadata: mc.Metadata, tmp_path: Path
) -> None:
    source = write_pool(tmp_path / "pool", cut(pool, 7))
    summary = curate(source, metadata, tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "shards.parquet").to_pylist()
    edges = [0, *itertools.accumulate(len(table) for table in cut(pool, 7))]
    for row, (first, stop) in zip(rows, itertools.pairwise(edges), strict=True):
        assert row["rows_read"] == stop - first == sum(row[fate] for fate in FATES)
        assert row["other_caption"] == sum(first <= other < stop for other in others)
    assert summary["rows_read"] == ROWS == sum(summary[fate] for fate in FATES)
    for fate in FATES:
        assert summary[fate] == sum(row[fate] for row in rows) > 20
    card = json.loads((tmp_path / "out" / "datacard.json").read_text())
    assert card["other_caption"] == summary["other_caption"] == len(others)


def test_all_captions_have_no_such_fate(
    pool: pa.Table, metadata: mc.Metadata, tmp_path: Path
) -> None:
    source = write_pool(tmp_path / "pool", [pool])
    summary = curate(source, metadata, tmp_path / "out", per_image="all")
    assert "other_caption" not in summary
    assert summary["rows_read"] == sum(summary[fate] for fate in FATES[:-1])
    shards = pq.read_table(tmp_path / "out" / "shards.parquet")
    assert shards["other_caption"].null_count == len(shards)


def test_filtered_rows_take_no_part(
    pool: pa.Table, twin: Twin, metadata: mc.Metadata, tmp_path: Path
) -> None:
    """An image's captions are chosen among the rows that pass."""
    first, stop = 1_000, 9_500
    source = write_pool(tmp_path / "pool", cut(pool, 5), row_group_size=300)
    where = f"row >= {first} and row < {stop}"
    summary = curate(source, metadata, tmp_path / "out", where=where)
    passing = pool.slice(first, stop - first)
    others = other_captions(passing, twin)
    chosen = write_pool(tmp_path / "chosen", [without(passing, others)])
    curate(chosen, metadata, tmp_path / "expected", per_image="all")
    assert read_subset(tmp_path / "out") == read_subset(tmp_path / "expected")
    assert summary["filtered"] == ROWS - len(passing)
    assert summary["other_caption"] == len(others)
    assert summary["rows_read"] == ROWS == sum(summary[fate] for fate in [*FATES, "filtered"])
    for row in pq.read_table(tmp_path / "out" / "shards.parquet").to_pylist():
        assert row["rows_read"] == sum(row[fate] for fate in [*FATES, "filtered"])


# ---- counts, plan, budget


def test_counting_and_sampling_apart(
    pool: pa.Table, expected: Subset, metadata: mc.Metadata, tmp_path: Path
) -> None:
    source, counts = write_pool(tmp_path / "pool", cut(pool, 3)), tmp_path / "counts"
    matcher = mc.Matcher(metadata)
    one: dict[str, Any] = {"per_image": "one"}
    counted = mc.count(source, matcher, out=counts, **one)
    assert counted.values.tolist() == expected.counts
    result = sample(source, metadata, counts, threshold=T, out=tmp_path / "out", **one)
    assert read_subset(result.out) == expected

    mc.count(source, matcher, out=tmp_path / "all")
    for known, options in (
        (counts, {"per_image": "one", "seed": 1}),  # which chooses other captions
        (counts, {"per_image": "all"}),
        (tmp_path / "all", one),
        (counts, {"where": "row >= 0", **one}),
    ):
        refused = tmp_path / "refused"
        with pytest.raises(UsageError, match=r"another pool .* --foreign-counts"):
            sample(source, metadata, known, threshold=T, out=refused, **options)
        assert not refused.exists()
        with pytest.raises(UsageError, match=r"another pool .* --foreign-counts"):
            plan(source, metadata, thresholds=[T], counts=known, **options)


def test_a_seed_chooses_other_captions(
    pool: pa.Table, others: list[int], metadata: mc.Metadata, tmp_path: Path
) -> None:
    source = write_pool(tmp_path / "pool", [pool])
    matcher = mc.Matcher(metadata)
    zero, one = (mc.count(source, matcher, per_image="one", seed=seed) for seed in (0, 1))
    assert zero.values.tolist() != one.values.tolist()
    assert zero.matched_texts == one.matched_texts
    assert zero.texts == one.texts == sum(pool["text"].is_valid().to_pylist()) - len(others)


@pytest.mark.parametrize("budget", [1, 100, 700, 10**9])
def test_budget(budget: int, pool: pa.Table, metadata: mc.Metadata, tmp_path: Path) -> None:
    source = write_pool(tmp_path / "pool", cut(pool, 3))
    options: dict[str, Any] = {"per_image": "one"}
    (answer,) = plan(source, metadata, budgets=[budget], **options)["answers"]
    result = mc.curate(source, metadata, budget=budget, out=tmp_path / "out", **options)
    t = result.summary["threshold"]
    assert (t, result.summary["kept"]) == (answer["threshold"], answer["kept"])
    more = curate(source, metadata, tmp_path / "more", threshold=math.nextafter(t, math.inf))
    if budget < ROWS:
        assert result.summary["kept"] == budget < more["kept"]
    else:
        assert more["balanced_away"] == 0


def test_plan_is_what_curate_keeps(
    pool: pa.Table, expected: Subset, metadata: mc.Metadata, tmp_path: Path
) -> None:
    source = write_pool(tmp_path / "pool", cut(pool, 3))
    told = plan(source, metadata, thresholds=[T], per_image="one")
    (answer,) = told["answers"]
    assert answer["kept"] == expected.totals["kept"] == len(expected.kept)
    assert answer["matches_kept"] == expected.totals["kept_matches"]
    assert answer["tail_share"] == expected.totals["tail_share"]
    assert told["rows_read"] == ROWS


def test_a_word_that_is_no_choice(pool: pa.Table, metadata: mc.Metadata, tmp_path: Path) -> None:
    source = write_pool(tmp_path / "pool", [pool])
    with pytest.raises(UsageError, match="first"):
        curate(source, metadata, tmp_path / "out", per_image="first")
    assert not (tmp_path / "out").exists()


# ---- runs that go on, and inputs that change


class Cut(Silent):
    """Breaks a run off after some batches of a stage."""

    def __init__(self, stage: str, batches: int) -> None:
        self.stage, self.batches, self.left = stage, batches, math.inf

    def start(self, title: str, total: int, measure: str = "pairs") -> None:
        self.left = self.batches if title == self.stage else math.inf

    def advance(self, work: int) -> None:
        self.left -= bool(work)
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("batches", [0, 3, 11])
@pytest.mark.parametrize("stage", ["captions", "count", "sample"])
def test_a_run_that_is_cut_off_goes_on(
    stage: str, batches: int, pool: pa.Table, expected: Subset, metadata: mc.Metadata,
    tmp_path: Path,
) -> None:  # fmt: skip
    source, out = write_pool(tmp_path / "pool", cut(pool, 12)), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        curate(source, metadata, out, progress=Cut(stage, batches), workers=1)
    assert not (out / "manifest.json").exists()
    done = batches + 12 * ["captions", "count", "sample"].index(stage)
    assert curate(source, metadata, out)["resumed_units"] == done
    assert read_subset(out) == expected
    assert curate(source, metadata, out)["resumed_units"] == 36
    assert read_subset(out) == expected


def test_a_choice_that_was_being_written(
    pool: pa.Table, expected: Subset, metadata: mc.Metadata, tmp_path: Path
) -> None:
    source, out = write_pool(tmp_path / "pool", cut(pool, 3)), tmp_path / "out"
    curate(source, metadata, out)
    (choice,) = (out / ".metacurate").glob("fates-*.npy")
    (choice.parent / ".abc.tmp").write_bytes(choice.read_bytes()[: ROWS // 2])
    choice.unlink()
    curate(source, metadata, out)
    assert read_subset(out) == expected
    assert [path.name for path in choice.parent.glob("*.npy")] == [choice.name]
    assert list(choice.parent.glob(".*.tmp")) == []


Change = Callable[[Path, pa.Table], object]

CHANGES: dict[str, Change] = {
    "a file more": lambda source, pool: pq.write_table(pool.slice(9_000), source / "z.parquet"),
    "a file before the others": lambda source, pool: pq.write_table(
        pool.slice(9_000), source / "a.parquet"
    ),
    "a file less": lambda source, pool: (source / "part-001.parquet").unlink(),
    "a file of other captions": lambda source, pool: pq.write_table(
        pool.slice(9_000), source / "part-001.parquet"
    ),
    "a file that was touched": lambda source, pool: os.utime(
        source / "part-001.parquet", ns=(1, 1)
    ),
    "a file under another name": lambda source, pool: (source / "part-000.parquet").rename(
        source / "z.parquet"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_inputs_that_change_choose_anew(
    change: str, pool: pa.Table, metadata: mc.Metadata, tmp_path: Path
) -> None:
    """Over all files: a caption may win in a file that did not change."""
    source, out = write_pool(tmp_path / "pool", cut(pool.slice(0, 9_000), 3)), tmp_path / "out"
    curate(source, metadata, out)
    before = read_subset(out)
    CHANGES[change](source, pool)
    curate(source, metadata, out)
    curate(source, metadata, tmp_path / "fresh")
    assert read_subset(out) == read_subset(tmp_path / "fresh")
    same = change in ("a file that was touched", "a file under another name")
    assert (read_subset(out) == before) == same
    rows = [read_curated(folder)["row"].to_pylist() for folder in (out, tmp_path / "fresh")]
    assert sorted(rows[0]) == sorted(rows[1])
    assert len(list((out / ".metacurate").glob("fates-*"))) == 1


def test_a_caption_in_a_new_file_displaces_an_old_one(
    metadata: mc.Metadata, tmp_path: Path
) -> None:
    """Also where the counts stay as they were."""
    texts = [f"w0 unknown{i}" for i in range(20)]
    best, second, third = sorted(texts, key=lambda text: caption_draw("a", text, 0))[:3]
    source = tmp_path / "pool"
    for i, (text, winner) in enumerate([(second, second), (best, best), (third, best)]):
        table = pa.table({"url": ["a", f"{i}"], "text": [text, "unknown"]})
        write_pool(source / f"{i}", [table])
        curate(source, metadata, tmp_path / "out", threshold=ALL)
        assert [pair[:2] for pair in read_kept(tmp_path / "out")] == [("a", winner)]


@pytest.mark.parametrize("broken", ["footer", "pages"])
def test_files_that_are_skipped_and_come_back(
    broken: str, pool: pa.Table, expected: Subset, metadata: mc.Metadata, tmp_path: Path
) -> None:
    """As after an error of a disk or a network, which leaves size and time as they are."""
    source, out = write_pool(tmp_path / "pool", cut(pool, 3)), tmp_path / "out"
    file = source / "part-000.parquet"
    content, status = file.read_bytes(), file.stat()
    half = len(content) // 2
    zeros = bytes(half - 4)
    if broken == "footer":
        file.write_bytes(content[: -len(zeros)] + zeros)
    else:
        file.write_bytes(content[:4] + zeros + content[half:])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert curate(source, metadata, out, on_error="skip")["failed_units"] == 1
    rest = write_pool(tmp_path / "rest", cut(pool, 3)[1:])
    curate(rest, metadata, tmp_path / "fresh")
    assert read_subset(out) == read_subset(tmp_path / "fresh")

    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert curate(source, metadata, out, on_error="skip")["failed_units"] == 0
    assert read_subset(out) == expected


# ---- partitions


@pytest.mark.parametrize("rows", [1, 7, 1_000, ROWS])
def test_partitions(
    rows: int, pool: pa.Table, expected: Subset, metadata: mc.Metadata, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(winners, "PARTITION_ROWS", rows)
    monkeypatch.setattr(winners, "WRITE_BYTES", 1_000)
    source = write_pool(tmp_path / "pool", cut(pool, 5))
    curate(source, metadata, tmp_path / "out")
    assert read_subset(tmp_path / "out") == expected


# ---- chance


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
@pytest.mark.parametrize("captions", [2, 3, 7])
def test_each_caption_wins_equally_often(
    captions: int, seed: int, metadata: mc.Metadata, tmp_path: Path
) -> None:
    """And what the winners draw for balancing has nothing to do with how they won.

    All p-values of a correct program together are below these levels once in 100,000 runs.
    """
    images = 12_000
    table = pa.table(
        {
            "url": [f"https://example.org/{i}.jpg" for i in range(images) for _ in range(captions)],
            "text": [f"w0 unknown{k}" for _ in range(images) for k in range(captions)],
            "place": [k for _ in range(images) for k in range(captions)],
        }
    )
    source = write_pool(tmp_path / "pool", cut(table, 2))
    curate(source, metadata, tmp_path / "all", threshold=ALL, seed=seed)
    winners = read_curated(tmp_path / "all")
    assert len(set(winners["url"].to_pylist())) == len(winners) == images
    wins = np.bincount(winners["place"].to_numpy(), minlength=captions)
    assert chisquare(wins).pvalue > 1e-6

    half = curate(source, metadata, tmp_path / "half", threshold=images / 2, seed=seed)
    assert half["kept"] + half["balanced_away"] == images
    assert binomtest(half["kept"], images, 0.5).pvalue > 1e-6


# ---- real captions


def test_real_captions(data: Path, tmp_path: Path) -> None:
    """Five an image, of which one is left."""
    file, metadata = data / "coco_val2017.parquet", mc.Metadata.read(data / "metadata.parquet")
    pool = pq.read_table(file)
    twin = Twin(metadata.entries.to_pylist())
    others = other_captions(pool, twin)
    chosen, out = write_pool(tmp_path / "chosen", [without(pool, others)]), tmp_path / "out"
    summary = curate(file, metadata, out, threshold=5)
    curate(chosen, metadata, tmp_path / "expected", threshold=5, per_image="all")
    subset = read_subset(out)
    assert subset == read_subset(tmp_path / "expected")
    assert summary["other_caption"] == len(others) > 3.9 * 5_000
    urls = [pair.url for pair in subset.kept]
    assert len(set(urls)) == len(urls) > 500

    curate(file, metadata, out, threshold=ALL)
    urls = [pair.url for pair in read_kept(out)]
    assert len(set(urls)) == len(urls)
    assert set(urls) == {url for url, text in valid_pairs(pool) if twin.match(text)}
