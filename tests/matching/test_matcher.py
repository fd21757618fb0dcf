"""The matcher gives what the oracle gives, for all texts in all of Arrow's layouts."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metacurate.errors import UsageError
from metacurate.matching import matcher as matching
from metacurate.matching.matcher import Counter, Matcher, Texts
from metacurate.matching.oracle import match_by_substring
from metacurate.matching.spacing import MODES, Mode, space_entry, space_text, words_of
from metacurate.metadata.metadata import Metadata
from metacurate.schema import ENTRIES

in_both_modes = pytest.mark.parametrize("mode", MODES)

# few letters, so that words of texts and entries are often the same
SMALL = st.text(st.sampled_from(["a", "b", " ", " ", ",", ".", "\t", "\n", "\0", "é", "ß", "🌭"]))
GENERAL = st.text()


def lists_of_entries(characters: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(characters.filter(bool), min_size=1, max_size=12, unique=True)


def match_by_dict(texts: Iterable[str], entries: Sequence[str], mode: Mode) -> list[list[int]]:
    """Match by a look-up of each run of a text's words: fast enough for all entries."""
    ids = defaultdict(list)
    for i, entry in enumerate(entries):
        ids[space_entry(entry, mode)].append(i)
    longest = max(len(words_of(needle)) for needle in ids)
    found = []
    for text in texts:
        words = words_of(space_text(text))
        matches: set[int] = set()
        for start in range(len(words)):
            needle = " "
            for word in words[start : start + longest]:
                needle += word + " "
                matches.update(ids.get(needle, ()))
        found.append(sorted(matches))
    return found


# ---- the same as the oracle


@in_both_modes
@settings(max_examples=400)
@given(entries=lists_of_entries(SMALL), texts=st.lists(SMALL | st.none()))
@example(entries=[" ", "\t", "  ", ","], texts=["", " ", "   ", ",", " , ", ",,"])
@example(entries=["b", "a b", "c a b", "a", "a b a b"], texts=["c a b a b a b", "a a b"])
def test_few_letters(mode: Mode, entries: list[str], texts: list[str | None]) -> None:
    matches = Matcher(Metadata.from_entries(entries), mode).match(texts).to_pylist()
    assert matches == [
        None if text is None else match_by_substring(text, entries, mode) for text in texts
    ]


@in_both_modes
@given(entries=lists_of_entries(GENERAL), texts=st.lists(GENERAL), joint=st.sampled_from(" ,\n"))
def test_any_unicode(mode: Mode, entries: list[str], texts: list[str], joint: str) -> None:
    texts = [*texts, *entries, joint.join(entries)]
    matches = Matcher(Metadata.from_entries(entries), mode).match(texts).to_pylist()
    assert matches == [match_by_substring(text, entries, mode) for text in texts]


@in_both_modes
@settings(max_examples=400)
@given(entries=lists_of_entries(SMALL), text=SMALL)
def test_the_twin_by_dict_is_the_oracle(mode: Mode, entries: list[str], text: str) -> None:
    assert match_by_dict([text], entries, mode) == [match_by_substring(text, entries, mode)]


@pytest.fixture(scope="module")
def captions(data: Path) -> list[str]:
    column = pq.read_table(data / "redcaps.parquet", columns=["text"])["text"]
    return column[:: len(column) // 20_000][:20_000].to_pylist()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def concepts(data: Path) -> Metadata:
    return Metadata.read(data / "metadata.parquet")


@in_both_modes
def test_real_captions(concepts: Metadata, captions: list[str], mode: Mode) -> None:
    matches = Matcher(concepts, mode).match(captions).to_pylist()
    assert matches == match_by_dict(captions, concepts.entries.to_pylist(), mode)
    assert sum(map(len, matches)) > 4 * len(captions)


@pytest.mark.parametrize(
    ("mode", "texts"),
    [("paper", 30), ("spaced", 8)],  # spacing all entries for each text is slow
)
def test_a_few_real_captions(
    concepts: Metadata, captions: list[str], mode: Mode, texts: int
) -> None:
    entries = concepts.entries.to_pylist()
    some = sorted(captions[:: len(captions) // 1000], key=len)[:: 1000 // texts][:texts]
    matches = Matcher(concepts, mode).match(some).to_pylist()
    assert matches == [match_by_substring(text, entries, mode) for text in some]


# ---- Arrow's layouts

ENTRY_LIST = ["dog", "hot dog", "a", ","]
TEXTS = ["a hot dog, a dog", None, "", "hot", "dog", "a", None, "no match", "a , dog"]
EXPECTED = [[0, 1, 2, 3], None, [], [], [0], [2], None, [], [0, 2, 3]]


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return Matcher(Metadata.from_entries(ENTRY_LIST))


def raw_array(values: Sequence[bytes], nulls: Sequence[int] = (), width: int = 32) -> pa.Array:
    """Make a string array of exactly these bytes, without padding; nulls keep theirs."""
    lengths = [0, *map(len, values)]
    offsets = np.cumsum(lengths).astype(f"int{width}").tobytes()
    valid = np.packbits([i not in nulls for i in range(len(values))], bitorder="little")
    buffers = [pa.py_buffer(part) for part in (valid.tobytes(), offsets, b"".join(values))]
    kind = pa.string() if width == 32 else pa.large_string()
    return pa.Array.from_buffers(kind, len(values), buffers if nulls else [None, *buffers[1:]])


def dictionary(index: Any, texts: Sequence[str | None] = TEXTS) -> pa.DictionaryArray:
    return pa.array(texts).dictionary_encode().cast(pa.dictionary(index, pa.string()))


def null_in_dictionary() -> pa.DictionaryArray:
    values = pa.array(["hot", None, "a hot dog, a dog", "dog", "", "a", "no match", "a , dog"])
    indices = pa.array([2, 1, 4, 0, 3, 5, None, 6, 7], pa.int8())
    return pa.DictionaryArray.from_arrays(indices, values)


def nulls_with_bytes(width: int) -> pa.Array:
    values = [b"a dog" if text is None else text.encode() for text in TEXTS]
    return raw_array(values, [i for i, text in enumerate(TEXTS) if text is None], width)


def sliced(kind: Any) -> pa.Array:
    return pa.array(["dog", None, "a", *TEXTS, "a dog", None], kind)[3 : 3 + len(TEXTS)]


def chunked(kind: Any) -> pa.ChunkedArray:
    parts = [[], TEXTS[:2], [], TEXTS[2:3], TEXTS[3:], []]
    return pa.chunked_array([pa.array(part, kind) for part in parts], kind)


LAYOUTS = [
    pytest.param(partial(list, TEXTS), id="list"),
    pytest.param(partial(tuple, TEXTS), id="tuple"),
    pytest.param(partial(pa.array, TEXTS, pa.string()), id="string"),
    pytest.param(partial(pa.array, TEXTS, pa.large_string()), id="large_string"),
    pytest.param(partial(pa.array, TEXTS, pa.string_view()), id="string_view"),
    pytest.param(partial(dictionary, pa.int8()), id="dictionary of int8"),
    pytest.param(partial(dictionary, pa.int32()), id="dictionary of int32"),
    pytest.param(null_in_dictionary, id="null inside the dictionary"),
    pytest.param(lambda: dictionary(pa.int8(), [None, *TEXTS])[1:], id="sliced dictionary"),
    pytest.param(
        lambda: pa.DictionaryArray.from_arrays(range(9), pa.array(TEXTS, pa.string_view())),
        id="dictionary of string_view",
    ),
    pytest.param(partial(sliced, pa.string()), id="sliced string"),
    pytest.param(partial(sliced, pa.large_string()), id="sliced large_string"),
    pytest.param(partial(sliced, pa.string_view()), id="sliced string_view"),
    pytest.param(lambda: pa.array([*TEXTS, None])[:-1], id="sliced at the end"),
    pytest.param(partial(chunked, pa.string()), id="chunked string"),
    pytest.param(partial(chunked, pa.large_string()), id="chunked large_string"),
    pytest.param(partial(chunked, pa.string_view()), id="chunked string_view"),
    pytest.param(lambda: pa.chunked_array([sliced(pa.string())]), id="chunked slice"),
    pytest.param(
        lambda: pa.chunked_array([dictionary(pa.int8(), part) for part in (TEXTS[:4], TEXTS[4:])]),
        id="chunks with different dictionaries",
    ),
    pytest.param(partial(nulls_with_bytes, 32), id="string, nulls hold bytes"),
    pytest.param(partial(nulls_with_bytes, 64), id="large_string, nulls hold bytes"),
]  # fmt: skip


@pytest.mark.parametrize("make", LAYOUTS)
def test_layouts(matcher: Matcher, make: Any) -> None:
    texts = make()
    matches = matcher.match(texts)
    matches.validate(full=True)
    assert matches.type == ENTRIES
    assert matches.to_pylist() == EXPECTED
    counts = matcher.count(texts)
    assert counts.values.tolist() == [3, 1, 3, 2]
    assert (counts.texts, counts.matched_texts, counts.matches) == (7, 4, 9)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_all_slices(matcher: Matcher, kind: Any) -> None:
    texts = pa.array([text for text in TEXTS if text is not None], kind)
    expected = [ids for ids in EXPECTED if ids is not None]
    for start in range(len(texts) + 1):
        for stop in range(start, len(texts) + 1):
            part = texts[start:stop]
            assert matcher.match(part).to_pylist() == expected[start:stop]
            assert matcher.count(part).matches == sum(map(len, expected[start:stop]))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param([], [], id="empty list"),
        pytest.param(pa.array([], pa.string()), [], id="string"),
        pytest.param(pa.array([], pa.large_string()), [], id="large_string"),
        pytest.param(pa.array([], pa.string_view()), [], id="string_view"),
        pytest.param(pa.array(["dog"])[:0], [], id="empty slice"),
        pytest.param(pa.array(["dog"])[1:], [], id="empty slice at the end"),
        pytest.param(
            pa.Array.from_buffers(pa.string(), 0, [None, pa.py_buffer(b""), pa.py_buffer(b"")]),
            [],
            id="no offsets",
        ),
        pytest.param(pa.chunked_array([], pa.string()), [], id="no chunks"),
        pytest.param(pa.chunked_array([pa.array([], pa.string())] * 2), [], id="empty chunks"),
        pytest.param(pa.nulls(2), [None, None], id="type null"),
        pytest.param(pa.nulls(2, pa.string()), [None, None], id="only nulls"),
        pytest.param([None], [None], id="list of None"),
        pytest.param(["", ""], [[], []], id="empty texts"),
        pytest.param(raw_array([b"", b""]), [[], []], id="no value bytes"),
    ],
)
def test_nothing_to_match(matcher: Matcher, texts: Texts, expected: list[Any]) -> None:
    matches = matcher.match(texts)
    assert matches.type == ENTRIES
    assert matches.to_pylist() == expected
    counts = matcher.count(texts)
    assert counts.values.tolist() == [0] * len(ENTRY_LIST)
    texts_seen = sum(ids is not None for ids in expected)
    assert (counts.texts, counts.matched_texts, counts.matches) == (texts_seen, 0, 0)


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(pa.array([1, 2]), id="numbers"),
        pytest.param(pa.array([b"dog"]), id="binary"),
        pytest.param(pa.array([["dog"]]), id="lists"),
        pytest.param(pa.array([1, 1]).dictionary_encode(), id="dictionary of numbers"),
        pytest.param(pa.chunked_array([pa.array([True])]), id="chunked booleans"),
        pytest.param([1, 2], id="list of numbers"),
        pytest.param(["dog", 1], id="list of both"),
        pytest.param(["\ud800"], id="lone surrogate"),
        pytest.param(None, id="None"),
        pytest.param(7, id="number"),
    ],
)
def test_texts_that_are_no_strings(matcher: Matcher, texts: Any) -> None:
    for method in (matcher.match, matcher.count):
        with pytest.raises(UsageError, match=r"^texts are .*strings"):
            method(texts)


def test_unknown_mode() -> None:
    with pytest.raises(UsageError, match=r"'exact' is none of: paper, spaced"):
        Matcher(Metadata.from_entries(["dog"]), "exact")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entries", "mode"),
    [
        pytest.param(["a.", "x\ty", "b,c"], "paper", id="none can match"),
        pytest.param(["dog"], "paper", id="single word"),
        pytest.param(["hot dog"], "spaced", id="two words"),
    ],
)
def test_tiny_metadata(entries: list[str], mode: Mode) -> None:
    texts = ["a. x\ty b,c", "hot dog", ""]
    matches = Matcher(Metadata.from_entries(entries), mode).match(texts).to_pylist()
    assert matches == [match_by_substring(text, entries, mode) for text in texts]


# ---- counting


@in_both_modes
@given(entries=lists_of_entries(SMALL), chunks=st.lists(st.lists(SMALL | st.none()), max_size=4))
def test_count_is_what_match_implies(
    mode: Mode, entries: list[str], chunks: list[list[str | None]]
) -> None:
    matcher = Matcher(Metadata.from_entries(entries), mode)
    texts = pa.chunked_array(chunks, pa.string())
    matches = [ids for ids in matcher.match(texts).to_pylist() if ids is not None]
    flat = np.array([i for ids in matches for i in ids], np.int64)
    counts = matcher.count(texts)
    assert counts.values.dtype == np.uint64
    assert counts.values.tolist() == np.bincount(flat, minlength=len(entries)).tolist()
    assert counts.texts == len(matches)
    assert counts.matched_texts == sum(map(bool, matches))
    assert counts.matches == len(flat)


def test_count_of_real_captions(concepts: Metadata, captions: list[str]) -> None:
    matcher = Matcher(concepts)
    ids = matcher.match(captions).flatten().to_numpy()
    counts = matcher.count(captions)
    assert np.array_equal(counts.values, np.bincount(ids, minlength=len(concepts)))
    assert counts.matches == len(ids)


@pytest.mark.parametrize(
    ("at_once", "last_number"),
    [
        pytest.param(2, 100, id="few at once"),
        pytest.param(3, 5, id="numbers run out"),
        pytest.param(1, 2, id="one by one"),
    ],
)
def test_counting_on_and_on(
    matcher: Matcher, at_once: int, last_number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "TEXTS_AT_ONCE", at_once)  # as if texts were billions
    monkeypatch.setattr(matching, "LAST_NUMBER", last_number)
    counter = Counter(matcher)
    totals = []
    for _ in range(4):
        counter.add(TEXTS)
        counter.add([])
        totals.append(counter.total())
    for times, total in enumerate(totals, start=1):
        assert total.values.tolist() == [3 * times, times, 3 * times, 2 * times]
        assert (total.texts, total.matched_texts, total.matches) == (
            7 * times,
            4 * times,
            9 * times,
        )


def test_one_string_is_no_list() -> None:
    with pytest.raises(UsageError, match="one string"):
        Matcher(Metadata.from_entries(["dog"])).match("a dog")
