"""A plan tells exactly what curate would keep: at any threshold, tail share and budget."""

import json
import math
import os
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import metacurate as mc
from metacurate.curation.count import Counts
from metacurate.curation.curate import plan, sample
from metacurate.curation.plan import SMALLEST, MinThresholds, check_budget
from metacurate.errors import UsageError

from .pools import ENTRIES, read_curated, write_pool, zipf_pool

LARGEST = 1_000  # count, in the oracle's tests

Pairs = list[tuple[float, int]]  # smallest threshold, and number of matches


# ---- smallest thresholds, against a list of pairs


def min_thresholds(runs: Sequence[Pairs], values: Sequence[int] = (LARGEST,)) -> MinThresholds:
    """What is read from the runs of several tasks."""
    made = []
    for pairs in runs:
        ascending = sorted(pairs)
        upto = np.cumsum(np.array([n for _, n in ascending], np.uint64))
        made.append((np.array([t for t, _ in ascending], float), upto.astype(np.uint64)))
    counts = Counts(np.array(values, np.uint64), 0, 0, "", "paper", "")
    return MinThresholds(made, counts, sum(map(len, runs)))


THRESHOLDS = st.sampled_from([SMALLEST, 0.5, math.nextafter(0.5, 1), 3.0, LARGEST]) | st.floats(
    SMALLEST, LARGEST
)
RUNS = st.lists(st.lists(st.tuples(THRESHOLDS, st.integers(1, 9)), max_size=20), max_size=4)


@given(runs=RUNS, asked=THRESHOLDS)
@example(runs=[], asked=1.0)
@example(runs=[[], [(0.5, 1)], []], asked=0.5)
@example(runs=[[(0.5, 2), (0.5, 3), (0.5, 4)]], asked=0.5)
def test_kept_pairs_and_matches(runs: list[Pairs], asked: float) -> None:
    found = min_thresholds(runs)
    pairs = [pair for run in runs for pair in run]
    edges = [asked, *(t for t, _ in pairs)]
    for t in [*edges, *(math.nextafter(e, to) for e in edges for to in (0, math.inf))]:
        assert found.kept(t) == sum(1 for least, _ in pairs if least <= t)
        assert found.matches_kept(t) == sum(n for least, n in pairs if least <= t)


@given(runs=RUNS, budget=st.integers(1, 90))
@example(runs=[], budget=1)
@example(runs=[[(0.5, 1), (0.5, 1)]], budget=1)
@example(runs=[[(0.5, 1), (0.5, 1)]], budget=2)
@example(runs=[[(LARGEST, 1), (LARGEST, 1)]], budget=1)
@example(runs=[[(SMALLEST, 1), (SMALLEST, 1)]], budget=1)
@example(runs=[[(SMALLEST, 1)], [(2 * SMALLEST, 1)]], budget=1)
def test_largest_threshold(runs: list[Pairs], budget: int) -> None:
    """The float before the smallest threshold of the first pair that is too many."""
    found = min_thresholds(runs)
    ascending = sorted(t for run in runs for t, _ in run)
    if len(ascending) <= budget:
        assert found.largest_threshold(budget) == LARGEST
        return
    expected = math.nextafter(ascending[budget], 0)
    if expected == 0:
        with pytest.raises(UsageError, match=f"every threshold keeps more than {budget} pairs"):
            found.largest_threshold(budget)
        return
    t = found.largest_threshold(budget)
    assert t == expected
    assert found.kept(t) <= budget < found.kept(math.nextafter(t, math.inf))


def test_thresholds_that_are_neighbours() -> None:
    """A budget is met exactly where pairs lie as near to each other as floats can."""
    ladder = [0.5]
    for _ in range(100):
        ladder.append(math.nextafter(ladder[-1], 1))
    found = min_thresholds([[(t, 1) for t in ladder[::2]], [(t, 1) for t in ladder[1::2]]])
    for budget in range(1, len(ladder)):
        assert found.largest_threshold(budget) == ladder[budget - 1]
        assert found.kept(ladder[budget - 1]) == budget


def test_where_nothing_matched() -> None:
    found = min_thresholds([[]], values=[0, 0])
    assert found.largest_threshold(1) == 1
    answer = found.answer(5)
    assert (answer.kept, answer.share, answer.tail_share, answer.matches_kept) == (0, 0, 0, 0)
    assert (answer.head_entries, answer.tail_entries) == (0, 2)


@pytest.mark.parametrize("budget", [0, -1, 2.0, 0.5, "3", None, math.nan])
def test_what_is_no_budget(budget: Any) -> None:
    for refuse in (check_budget, min_thresholds([[(1.0, 1)]]).largest_threshold):
        with pytest.raises(UsageError, match=f"a budget of {budget} is no number of pairs"):
            refuse(budget)


def test_numpys_numbers_are_budgets() -> None:
    assert check_budget(np.uint32(7)) == 7  # type: ignore[arg-type]


# ---- the same as curate

ROWS = 8_000
ASKED: list[float] = [SMALLEST, 1e-300, 1e-6, 0.3, 1, 2.5, math.pi, 7, 20, 333.3, 5_000, 1e300]
SHARES = [0.0, 0.06, 0.3, 0.99, 1.0]
BUDGETS = [1, 2, 99, 2_000, 6_000, 10**12]


@pytest.fixture(scope="module")
def metadata() -> mc.Metadata:
    return mc.Metadata.from_entries(ENTRIES)


@pytest.fixture(scope="module")
def pool() -> pa.Table:
    return zipf_pool(ROWS).append_column("row", pa.array(range(ROWS)))


def cut(pool: pa.Table, files: int) -> list[pa.Table]:
    edges = np.linspace(0, len(pool), files + 1).astype(int).tolist()
    return [pool.slice(a, b - a) for a, b in pairwise(edges)]


@pytest.fixture(scope="module")
def stored(pool: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pool(tmp_path_factory.mktemp("pool") / "pool", cut(pool, 5))


Answers = list[dict[str, Any]]


def ask(source: str | Path, metadata: mc.Metadata, **options: Any) -> Answers:
    questions: dict[str, Any] = {"thresholds": ASKED, "tail_shares": SHARES, "budgets": BUDGETS}
    answers: Answers = plan(source, metadata, **questions | options)["answers"]
    return answers


@pytest.fixture(scope="module")
def answers(stored: Path, metadata: mc.Metadata) -> Answers:
    return ask(stored, metadata)


def question(answer: dict[str, Any]) -> dict[str, Any]:
    return {answer["asked"]: answer["value"]}


def facts(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("asked", "value")}


def curated_facts(summary: dict[str, Any]) -> dict[str, Any]:
    """What an answer tells, out of the totals of a curated set."""
    same = ("threshold", "kept", "tail_share", "head_entries", "tail_entries")
    return {
        **{name: summary[name] for name in same},
        "share": summary["kept"] / (summary["rows_read"] - summary.get("filtered", 0)),
        "matches_kept": summary["kept_matches"],
    }


def test_all_questions_are_answered_in_turn(answers: Answers) -> None:
    assert [(answer["asked"], answer["value"]) for answer in answers] == [
        *(("threshold", t) for t in ASKED),
        *(("tail_share", share) for share in SHARES),
        *(("budget", budget) for budget in BUDGETS),
    ]
    kept = [answer["kept"] for answer in answers[: len(ASKED)]]
    assert kept == sorted(kept)
    assert len(set(kept)) > len(ASKED) - 5  # none at the smallest, all at the largest


@pytest.mark.parametrize("number", range(len(ASKED) + len(SHARES) + len(BUDGETS)))
def test_plan_is_what_curate_keeps(
    number: int, answers: Answers, stored: Path, metadata: mc.Metadata, tmp_path: Path
) -> None:
    answer = answers[number]
    result = mc.curate(stored, metadata, out=tmp_path / "out", **question(answer))
    assert facts(answer) == curated_facts(result.summary)
    assert answer["kept"] == sum(
        pq.read_metadata(file).num_rows for file in (result.out / "curated").iterdir()
    )


@pytest.mark.parametrize("budget", BUDGETS)
def test_the_next_larger_threshold_keeps_too_many(
    budget: int, answers: Answers, stored: Path, metadata: mc.Metadata, tmp_path: Path
) -> None:
    (t,) = [answer["threshold"] for answer in answers if question(answer) == {"budget": budget}]
    more = mc.curate(stored, metadata, threshold=math.nextafter(t, math.inf), out=tmp_path / "out")
    if budget > ROWS:
        assert more.summary["balanced_away"] == 0
        assert t == mc.count(stored, mc.Matcher(metadata)).values.max()
    else:
        assert more.summary["kept"] > budget


def test_the_smallest_thresholds_that_were_written_tell_the_same(
    answers: Answers, stored: Path, metadata: mc.Metadata, tmp_path: Path
) -> None:
    mc.curate(stored, metadata, threshold=1e300, out=tmp_path / "out")
    table = read_curated(tmp_path / "out")
    pairs = [
        (least, len(ids))
        for least, ids in zip(*(table[name].to_pylist() for name in ("min_threshold", "entries")),
                              strict=True)
    ]  # fmt: skip
    for answer in answers:
        kept = [n for least, n in pairs if least <= answer["threshold"]]
        assert (answer["kept"], answer["matches_kept"]) == (len(kept), sum(kept))


def test_without_a_question_it_is_the_papers(stored: Path, metadata: mc.Metadata) -> None:
    (answer,) = plan(stored, metadata)["answers"]
    assert (answer["asked"], answer["value"]) == ("tail_share", 0.06)
    assert [answer] == plan(stored, metadata, tail_shares=[0.06])["answers"]


def test_totals(stored: Path, metadata: mc.Metadata, tmp_path: Path) -> None:
    told = plan(stored, metadata, thresholds=[5], seed=3)
    curated = mc.curate(stored, metadata, threshold=5, seed=3, out=tmp_path / "out").summary
    assert told["answers"][0]["kept"] == curated["kept"]
    names = (
        "rows_read", "unmatched", "invalid", "matched_texts", "matches", "entries", "seed", "round",
        "units", "failed_units",
    )  # fmt: skip
    assert {name: told[name] for name in names} == {name: curated[name] for name in names}


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 2**64 - 1},
        {"mode": "spaced"},
        {"where": "row >= 1000 and row < 7000"},
        {"id_column": "row"},
        {"workers": 1},
    ],
    ids=str,
)
def test_options_mean_the_same(
    options: dict[str, Any], answers: Answers, stored: Path, metadata: mc.Metadata, tmp_path: Path
) -> None:
    (answer,) = plan(stored, metadata, thresholds=[20], **options)["answers"]
    result = mc.curate(stored, metadata, threshold=20, out=tmp_path / "out", **options)
    assert facts(answer) == curated_facts(result.summary)
    assert (answer in answers) == (options == {"workers": 1})


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("files", [1, 3, 64])
def test_neither_files_nor_order_matter(
    workers: int, files: int, pool: pa.Table, answers: Answers, metadata: mc.Metadata,
    tmp_path: Path,
) -> None:  # fmt: skip
    shuffled = pool.take(pa.array(np.random.default_rng(files).permutation(ROWS)))
    source = write_pool(tmp_path / "pool", cut(shuffled, files), row_group_size=700)
    assert ask(source, metadata, workers=workers) == answers


def test_a_second_round(stored: Path, metadata: mc.Metadata, tmp_path: Path) -> None:
    first = mc.curate(stored, metadata, threshold=20, out=tmp_path / "1")
    told = plan(first.out, metadata, thresholds=[5], budgets=[500])
    assert told["round"] == 1
    for answer in told["answers"]:
        second = mc.curate(first.out, metadata, out=tmp_path / "2", **question(answer))
        assert facts(answer) == curated_facts(second.summary)
        assert 0 < answer["kept"] < first.summary["kept"]


# ---- counts that are known


def test_known_counts(
    answers: Answers, stored: Path, metadata: mc.Metadata, tmp_path: Path
) -> None:
    mc.count(stored, mc.Matcher(metadata), out=tmp_path / "counts")
    mc.curate(stored, metadata, threshold=9, out=tmp_path / "out")
    before = snapshot(tmp_path)
    for counts in ("counts", "counts/counts.parquet", "out"):
        assert ask(stored, metadata, counts=tmp_path / counts) == answers
    assert snapshot(tmp_path) == before


def test_counts_of_another_pool(
    stored: Path, pool: pa.Table, metadata: mc.Metadata, tmp_path: Path
) -> None:
    """Some of its entries were never counted: their pairs are kept at any threshold."""
    fewer = write_pool(tmp_path / "fewer", [pool.slice(0, 300)])
    counts = tmp_path / "counts"
    mc.count(fewer, mc.Matcher(metadata), out=counts)
    with pytest.raises(UsageError, match=r"another pool .* --foreign-counts"):
        plan(stored, metadata, thresholds=[5], counts=counts, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()

    known: dict[str, Any] = {"counts": counts, "foreign_counts": True}
    least, *others = plan(
        stored, metadata, thresholds=[SMALLEST, 0.7, 5], budgets=[6_000], **known
    )["answers"]  # fmt: skip
    assert 100 < least["kept"] < 6_000
    for answer in (least, *others):
        result = sample(stored, metadata, out=tmp_path / "out", **known, **question(answer))
        assert facts(answer) == curated_facts(result.summary)
    with pytest.raises(UsageError, match="every threshold keeps more than 99 pairs"):
        plan(stored, metadata, budgets=[99], **known)


# ---- what is left of it


def snapshot(folder: Path) -> dict[Path, tuple[int, int]]:
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_nothing_is_left_without_a_folder(
    stored: Path, metadata: mc.Metadata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = snapshot(stored.parent)
    plan(stored, metadata, thresholds=[5])
    assert list(tmp_path.iterdir()) == []
    assert snapshot(stored.parent) == before


def test_asking_again_costs_nothing(
    stored: Path, answers: Answers, metadata: mc.Metadata, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = plan(stored, metadata, thresholds=[5], out=out)
    assert first["resumed_units"] == 0
    assert json.loads((out / "plan.json").read_text()) == first["answers"]
    records = snapshot(out / ".metacurate")
    assert len(records) > 5
    assert ask(stored, metadata, out=out) == answers
    assert json.loads((out / "plan.json").read_text()) == answers
    assert snapshot(out / ".metacurate") == records
    again = plan(stored, metadata, thresholds=[5], out=out)
    assert again["resumed_units"] == 2 * again["units"] == 10
    assert again["answers"] == first["answers"]
    written, counted = pq.read_table(out / "counts.parquet"), tmp_path / "counts"
    mc.count(stored, mc.Matcher(metadata), out=counted)
    assert written.equals(pq.read_table(counted / "counts.parquet"), check_metadata=True)
    sampled = sample(stored, metadata, out, threshold=5, out=tmp_path / "sampled").summary
    assert sampled["kept"] == first["answers"][0]["kept"]


def test_files_that_change_are_asked_anew(
    pool: pa.Table, metadata: mc.Metadata, tmp_path: Path
) -> None:
    source, out = write_pool(tmp_path / "pool", cut(pool, 5)), tmp_path / "out"
    plan(source, metadata, thresholds=[5], out=out, workers=1)
    pq.write_table(pool.slice(0, 500), source / "part-002.parquet")
    os.utime(source / "part-002.parquet", ns=(1, 1))
    again = ask(source, metadata, out=out)
    assert again == ask(source, metadata)
    other = plan(source, metadata, thresholds=[5], seed=1, out=out)
    assert other["resumed_units"] == 5  # counts, which no seed changes
    assert other["answers"] == plan(source, metadata, thresholds=[5], seed=1)["answers"]


def test_a_plan_takes_no_other_commands_folder(
    stored: Path, metadata: mc.Metadata, tmp_path: Path
) -> None:
    plan(stored, metadata, thresholds=[5], out=tmp_path / "plan")
    mc.curate(stored, metadata, threshold=5, out=tmp_path / "out")
    with pytest.raises(UsageError, match="holds what `metacurate plan` made"):
        mc.curate(stored, metadata, threshold=5, out=tmp_path / "plan")
    with pytest.raises(UsageError, match="holds what `metacurate curate` made"):
        plan(stored, metadata, thresholds=[5], out=tmp_path / "out")


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ({"thresholds": [5, 0]}, "threshold 0 is not"),
        ({"thresholds": [math.nan]}, "threshold nan"),
        ({"tail_shares": [0.1, 1.5]}, "tail share 1.5 is not between 0 and 1"),
        ({"tail_shares": [math.nan]}, "tail share nan"),
        ({"budgets": [7, 0]}, "a budget of 0"),
        ({"budgets": [-3]}, "a budget of -3"),
        ({"budgets": [2.5]}, "a budget of 2.5"),
    ],
    ids=str,
)
def test_wrong_questions_are_refused_before_any_work(
    questions: dict[str, Any], message: str, stored: Path, metadata: mc.Metadata, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        plan(stored, metadata, out=tmp_path / "out", **questions)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_files_that_are_skipped(workers: int, metadata: mc.Metadata, tmp_path: Path) -> None:
    """Even where a worker gets no other files."""
    source = write_pool(tmp_path / "pool", [zipf_pool(500, odd=False)])
    (source / "part-001.parquet").write_bytes(b"no Parquet at all")
    options: dict[str, Any] = {"on_error": "skip", "workers": workers}
    told = plan(source, metadata, thresholds=[5], budgets=[100], **options)
    assert (told["rows_read"], told["failed_units"]) == (500, 1)
    for answer in told["answers"]:
        result = mc.curate(source, metadata, out=tmp_path / "out", **question(answer), **options)
        assert facts(answer) == curated_facts(result.summary)


# ---- real captions


def test_real_captions(data: Path, tmp_path: Path) -> None:
    thresholds = [0.5, 1, 2.5, 5, 20, 100, 1_000, 20_000]
    budgets = [10_000, 100_000, 250_000]
    pool, metadata = data / "redcaps.parquet", mc.Metadata.read(data / "metadata.parquet")
    told = plan(pool, metadata, thresholds=thresholds, budgets=budgets, out=tmp_path / "plan")
    answers = told["answers"]
    for answer in answers:
        result = sample(pool, metadata, tmp_path / "plan", out=tmp_path / "out", **question(answer))
        assert facts(answer) == curated_facts(result.summary)

    result = mc.curate(pool, metadata, threshold=thresholds[-1], out=tmp_path / "curated")
    assert facts(answers[len(thresholds) - 1]) == curated_facts(result.summary)
    least = read_curated(result.out)["min_threshold"].to_numpy()
    for answer in answers:
        assert np.count_nonzero(least <= answer["threshold"]) == answer["kept"]
    for answer in answers[len(thresholds) :]:
        more = np.count_nonzero(least <= math.nextafter(answer["threshold"], math.inf))
        assert answer["kept"] <= answer["value"] < more
