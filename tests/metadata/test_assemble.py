"""Entries of several sources are put together in order, each once, up to a limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.errors import UsageError
from metacurate.matching.oracle import match_by_substring
from metacurate.matching.spacing import space_text
from metacurate.metadata.assemble import Source, Taken, assemble, listed
from metacurate.metadata.totals import Ranking
from metacurate.metadata.words import is_punctuation

ENTRIES = st.lists(st.text("ab.,- ", max_size=3), max_size=12)


def source(name: str, entries: list[str], size: int | None = None) -> Source:
    """Lists no more than is asked for, as rankings on disk do."""
    everything = listed(entries)

    def rank(most: int) -> Ranking:
        return Ranking(everything.read, {}, everything.listed.slice(0, most))

    return Source(name, rank, size)


def naive(sources: list[tuple[str, list[str], int | None]], limit: int) -> list[tuple[str, str]]:
    made: list[tuple[str, str]] = []
    for name, entries, size in sources:
        kept = 0
        for entry in entries:
            known = any(entry == other for other, _ in made)
            if not entry.strip() or is_punctuation(entry) or known:
                continue
            if len(made) == limit or kept == size:
                break
            made.append((entry, name))
            kept += 1
    return made


@given(
    st.lists(st.tuples(ENTRIES, st.none() | st.integers(0, 6)), min_size=1, max_size=4),
    st.integers(1, 15),
)
def test_equals_the_naive_way(found: list[tuple[list[str], int | None]], limit: int) -> None:
    sources = [(f"s{i}", entries, size) for i, (entries, size) in enumerate(found)]
    expected = naive(sources, limit)
    if not expected:
        with pytest.raises(UsageError, match="the list of entries is empty"):
            assemble([source(*one) for one in sources], limit)
        return
    metadata, taken = assemble([source(*one) for one in sources], limit)
    made = zip(metadata.entries.to_pylist(), metadata.sources.to_pylist(), strict=True)
    assert list(made) == expected
    for one, (name, entries, _) in zip(taken, sources, strict=True):
        assert (one.source, one.read) == (name, len(entries))
        assert one.read == one.kept + sum(one.dropped.values())
        assert one.kept == sum(origin == name for _, origin in expected)


def test_every_reason() -> None:
    first = source("number", ["0", "1"])
    second = source("word", ["fox", " ", ",", "fox", "1", "den", "owl", "cub"], 2)
    third = source("title", ["Red fox", "The den", "x"])
    metadata, taken = assemble([first, second, third], 5)
    assert metadata.entries.to_pylist() == ["0", "1", "fox", "den", "Red fox"]
    assert metadata.sources.to_pylist() == ["number", "number", "word", "word", "title"]
    assert taken == [
        Taken("number", 2, 2),
        Taken("word", 8, 2, {
            "empty": 1, "punctuation": 1, "repeated": 1, "an entry already: number": 1,
            "beyond the size asked for": 2,
        }),
        Taken("title", 3, 1, {"beyond the limit": 2}),
    ]  # fmt: skip


def test_scores_and_what_a_ranking_left_out() -> None:
    ranking = Ranking(5, {"below the threshold": 3}, listed(["b", "a"], [7.0, 2.0]).listed)
    metadata, taken = assemble([Source("unigram", lambda _: ranking)], 10)
    assert metadata.table["score"].to_pylist() == [7.0, 2.0]
    assert taken == [Taken("unigram", 5, 2, {"below the threshold": 3})]


def test_a_source_is_asked_for_more_where_much_is_left_out() -> None:
    asked = []
    everything = listed([*"." * 100, *(f"w{i}" for i in range(10))])

    def rank(most: int) -> Ranking:
        asked.append(most)
        return Ranking(everything.read, {}, everything.listed.slice(0, most))

    metadata, _ = assemble([Source("s", rank, 3)], 100)
    assert metadata.entries.to_pylist() == ["w0", "w1", "w2"]
    assert asked == [3, 6, 12, 24, 48, 96, 192]


def test_spaced_entries_match_in_mode_paper() -> None:
    texts = ["St. Louis, at 3 p.m. - the u.s. flag!", "hot dog"]
    names = ["St. Louis", "p.m.", "u.s.", "hot dog", "flag!"]
    plain, _ = assemble([source("s", names)], 10)
    spaced, _ = assemble([source("s", names)], 10, spaced=True)
    assert spaced.entries.to_pylist() == [space_text(name)[1:-1] for name in names]
    found = [match_by_substring(text, plain.entries.to_pylist()) for text in texts]
    assert found == [[], [3]]
    found = [match_by_substring(text, spaced.entries.to_pylist()) for text in texts]
    assert found == [[0, 1, 2, 4], [3]]


def test_spaced_punctuation_is_punctuation_and_variants_are_spaced_once() -> None:
    titles = source("title", [".", "!", " ", "st. louis"])
    metadata, (taken, _) = assemble([titles], 10, spaced=True, case_variants=True)
    assert metadata.entries.to_pylist() == ["st .  louis", "St .  louis", "St .  Louis"]
    assert taken.dropped == {"punctuation": 2, "empty": 1}


def test_entries_that_can_never_match_are_left_out_and_others_take_their_place() -> None:
    names = ["st. louis", "a,b", "hot dog", "x\ty", "fox"]
    metadata, (taken,) = assemble([source("s", names, 2)], 10, drop_unmatchable=True)
    assert metadata.entries.to_pylist() == ["hot dog", "fox"]
    assert taken.dropped == {"can never match": 3}


def test_case_variants_come_last() -> None:
    sources = [source("number", ["7"]), source("s", ["new york", "Red fox", "NASA"])]
    metadata, taken = assemble(sources, 100, case_variants=True)
    assert metadata.entries.to_pylist() == [
        "7", "new york", "Red fox", "NASA", "New york", "New York", "red fox", "Red Fox", "nasa",
    ]  # fmt: skip
    assert metadata.per_source() == {"number": 1, "s": 3, "case": 5}
    assert taken[-1].read == 3 * 4
    limited, _ = assemble(sources, 5, case_variants=True)
    assert limited.entries.to_pylist() == metadata.entries.to_pylist()[:5]
