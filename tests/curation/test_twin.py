"""Curation gives, bit by bit, what its twin in plain Python gives."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import metacurate as mc
from metacurate.matching.oracle import match_by_substring
from metacurate.matching.spacing import MODES, Mode

from .pools import ENTRIES, read_kept, valid_pairs, write_pool, zipf_pool
from .twin import Twin, count, sample

ROWS = 20_000
SMALL = st.text(st.sampled_from(["a", "b", " ", " ", ",", "\t", "é"]))


@pytest.mark.parametrize("mode", MODES)
@given(entries=st.lists(SMALL.filter(bool), min_size=1, max_size=12, unique=True), text=SMALL)
@example(entries=[" ", ",", "a  b", "b a"], text="a  b a,")
def test_words_in_a_row_are_substrings(mode: Mode, entries: list[str], text: str) -> None:
    assert Twin(entries, mode).match(text) == match_by_substring(text, entries, mode)


@dataclass(frozen=True)
class Case:
    """A pool, and what the twin finds in it."""

    metadata: mc.Metadata
    pool: Path
    pairs: list[tuple[str, str]]
    matches: list[list[int]]
    counts: Counter[int]

    @classmethod
    def make(cls, metadata: mc.Metadata, pool: pa.Table, folder: Path) -> "Case":
        twin = Twin(metadata.entries.to_pylist())
        pairs = valid_pairs(pool)
        matches = [twin.match(text) for _, text in pairs]
        return cls(metadata, write_pool(folder / "pool", [pool]), pairs, matches, count(matches))

    def check(self, out: Path, threshold: float, seed: int) -> None:
        mc.curate(self.pool, self.metadata, threshold=threshold, seed=seed, out=out)
        counts = pq.read_table(out / "counts.parquet")["count"].to_pylist()
        assert counts == [self.counts[i] for i in range(len(self.metadata))]
        kept = read_kept(out)
        assert 0 < len(kept) < len(self.pairs)
        assert kept == sorted(sample(self.pairs, self.matches, self.counts, threshold, seed))


@pytest.fixture(scope="module")
def real(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    metadata = mc.Metadata.read(data / "metadata.parquet")
    pool = pq.read_table(data / "redcaps.parquet", columns=["url", "text"]).slice(0, ROWS)
    return Case.make(metadata, pool, tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Without texts that are null, as the oracle counts a text whose url is null."""
    pool = zipf_pool(5_000, odd=False)
    return Case.make(mc.Metadata.from_entries(ENTRIES), pool, tmp_path_factory.mktemp("generated"))


@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_real_pairs(real: Case, tmp_path: Path, seed: int) -> None:
    real.check(tmp_path / "out", 5, seed)


@pytest.mark.parametrize(
    ("threshold", "seed"), [(1, 0), (7.3, 1), (100.0, 2**63), (0.001, 2**64 - 1)]
)
def test_generated_pairs(generated: Case, tmp_path: Path, threshold: float, seed: int) -> None:
    generated.check(tmp_path / "out", threshold, seed)
