"""The explainer says of a pair what curation does with it."""

import json
from pathlib import Path

import pytest

import metacurate as mc
from metacurate.curation.explain import Explainer
from metacurate.curation.job import read_counts

from .pools import ENTRIES, read_kept, valid_pairs, write_pool, zipf_pool

T = 8.0


@pytest.fixture(scope="module")
def matcher() -> mc.Matcher:
    return mc.Matcher(mc.Metadata.from_entries(ENTRIES))


@pytest.mark.parametrize(("seed", "round_"), [(0, 0), (2**64 - 1, 0), (5, 1)])
def test_fates_are_those_of_curation(
    matcher: mc.Matcher, tmp_path: Path, seed: int, round_: int
) -> None:
    pool = write_pool(tmp_path / "pool", [zipf_pool(4_000)])
    pairs = valid_pairs(zipf_pool(4_000))
    if round_:
        mc.curate(pool, matcher.metadata, threshold=4 * T, out=tmp_path / "first", seed=seed)
        pairs = [(pair.url, pair.text) for pair in read_kept(tmp_path / "first")]
        pool = tmp_path / "first" / "curated"
    out = tmp_path / "out"
    mc.curate(pool, matcher.metadata, threshold=T, out=out, seed=seed)
    kept = {(pair.url, pair.text): pair for pair in read_kept(out)}
    balance = mc.Balance(read_counts(out), threshold=T)
    fates = set()
    for url, text in pairs[:1000]:
        (told,) = Explainer(matcher, balance, url, seed, round_).explain([text])
        assert (told["fate"] == "kept") == ((url, text) in kept)
        assert (told["fate"] == "unmatched") == (not told["entries"])
        fates.add(told["fate"])
        if told["fate"] == "kept":
            pair = kept[url, text]
            assert [entry["id"] for entry in told["entries"]] == pair.entries
            assert told["keep_probability"] == pair.probability
            assert told["min_threshold"] == pair.min_threshold
            assert told["draw"] < told["keep_probability"]
    assert fates >= {"kept", "balanced away"}


def test_what_is_told(matcher: mc.Matcher) -> None:
    counts = [100] * len(ENTRIES)
    counts[ENTRIES.index("w4")] = 10
    balance = mc.Balance(counts, threshold=20)  # type: ignore[arg-type]
    names = ["w2", "w4"]
    ids = [ENTRIES.index(name) for name in names]
    entries = [{"id": i, "entry": name} for i, name in zip(ids, names, strict=True)]
    known = [
        {**entry, "count": n, "probability": p}
        for entry, n, p in zip(entries, (100, 10), (0.2, 1.0), strict=True)
    ]
    assert Explainer(matcher).explain(["w4 w2", "?"]) == [
        {"text": "w4 w2", "entries": entries},
        {"text": "?", "entries": []},
    ]
    assert Explainer(matcher, balance).explain(["w4 w2", "?"]) == [
        {"text": "w4 w2", "entries": known, "keep_probability": 1.0},
        {"text": "?", "entries": [], "keep_probability": 0.0},
    ]
    told, nothing = Explainer(matcher, balance, "u").explain(["w4 w2", "?"])
    assert told["fate"] == "kept"
    assert told["draw"] == mc.draws(["u"], ["w4 w2"], 0)[0]
    assert 0 < told["min_threshold"] <= 10
    assert (nothing["fate"], nothing["min_threshold"]) == ("unmatched", None)


def test_all_of_it_is_json(matcher: mc.Matcher) -> None:
    balance = mc.Balance([0] * len(ENTRIES), threshold=1)  # type: ignore[arg-type]
    told = Explainer(matcher, balance, "u").explain(["w0 w1 é\0🦊", "", "?"])
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_no_texts(matcher: mc.Matcher) -> None:
    balance = mc.Balance([1] * len(ENTRIES), threshold=1)  # type: ignore[arg-type]
    assert Explainer(matcher, balance, "u").explain([]) == []
