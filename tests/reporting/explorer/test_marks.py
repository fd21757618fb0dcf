"""Where entries stand in texts, and the words that find them, against plain searches."""

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metacurate.matching.oracle import match_by_substring
from metacurate.matching.spacing import MODES, Mode, space_entry, space_text, words_of
from metacurate.reporting.explorer.marks import (
    MOST_MARKS,
    Mark,
    cut_segments,
    find_marks,
    marks_within,
    needed_words,
    word_places,
)
from metacurate.reporting.explorer.tables import Patience, Tables

texts = st.text(st.sampled_from("ab ,.\t\n\r`é🦊\0"), max_size=30)
entries = st.text(st.sampled_from("ab ,.\té🦊\0"), min_size=1, max_size=6)
modes = st.sampled_from(MODES)


@given(texts)
def test_places_of_words(text: str) -> None:
    places = word_places(text)
    assert [text[start:stop] for start, stop in places] == words_of(space_text(text))
    assert all(a[1] <= b[0] for a, b in pairwise(places))


@given(texts, entries, modes)
def test_a_text_that_matches_holds_the_needed_words(text: str, entry: str, mode: Mode) -> None:
    if match_by_substring(text, [entry], mode):
        assert all(word in text for word in needed_words(entry, mode))
    assert len(needed_words(" ".join(map(str, range(100))), mode)) == 8
    assert needed_words("  ", mode) == []


@settings(max_examples=20)  # each opens DuckDB
@given(st.lists(texts, min_size=1, max_size=50), entries)
def test_duckdb_finds_words_as_python_does(
    tmp_path_factory: pytest.TempPathFactory, some: list[str], word: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "words.parquet"
    pq.write_table(pa.table({"text": some}), path)
    query = "SELECT file_row_number FROM read_parquet(?) WHERE contains(text, ?)"
    found = Tables([str(path)]).ask(str(path), query, [word], Patience(60))
    assert sorted(row for (row,) in found) == [i for i, text in enumerate(some) if word in text]


@given(texts, st.lists(entries, max_size=5), modes)
def test_marks_are_the_matches(text: str, names: list[str], mode: Mode) -> None:
    by_id = dict(enumerate(names))
    marks = find_marks(text, by_id, mode)
    matched = match_by_substring(text, names, mode)
    assert {mark.entry_id for mark in marks} <= set(matched)
    for entry_id in matched:
        words = words_of(space_entry(names[entry_id], mode))
        if any(words):
            assert entry_id in {mark.entry_id for mark in marks}
    for mark in marks:
        marked = space_text(text[mark.start : mark.stop])
        trimmed = space_entry(names[mark.entry_id], mode).strip(" ")
        assert marked.strip(" ") == trimmed


@given(texts, st.lists(entries, max_size=4), modes, st.integers(0, 30), st.integers(0, 30))
def test_marks_of_a_part(text: str, names: list[str], mode: Mode, a: int, b: int) -> None:
    start, stop = sorted((min(a, len(text)), min(b, len(text))))
    by_id = dict(enumerate(names))
    whole = [m for m in find_marks(text, by_id, mode) if m.start < stop and m.stop > start]
    assert marks_within(text, by_id, mode, start, stop) == whole


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(1, 8), st.integers(0, 4)), max_size=8),
    st.integers(0, 10),
    st.integers(0, 10),
)
def test_segments_cover_a_part(raw: list[tuple[int, int, int]], start: int, length: int) -> None:
    marks = sorted(
        (Mark(at, at + size, entry) for at, size, entry in raw),
        key=lambda mark: (mark.start, -mark.stop, mark.entry_id),
    )
    segments = cut_segments(marks, start, start + length)
    covered = [at for segment in segments for at in range(segment.start, segment.stop)]
    assert covered == list(range(start, start + length))
    for segment in segments:
        for at in range(segment.start, segment.stop):
            over = {mark.entry_id for mark in marks if mark.start <= at < mark.stop}
            assert set(segment.entry_ids) == over


def test_marks_overlap_and_nest() -> None:
    text = "a red fox, trot!"
    names = {0: "red", 1: "red fox", 2: "fox , trot", 3: "fox, trot"}
    marks = find_marks(text, names, "paper")
    assert [(text[m.start : m.stop], m.entry_id) for m in marks] == [
        ("red fox", 1),
        ("red", 0),
    ]
    spaced = find_marks(text, names, "spaced")
    assert ("fox, trot", 3) in [(text[m.start : m.stop], m.entry_id) for m in spaced]
    segments = cut_segments(spaced, 0, len(text))
    assert [(text[s.start : s.stop], s.entry_ids) for s in segments] == [
        ("a ", ()),
        ("red", (0, 1)),
        (" ", (1,)),
        ("fox", (1, 3)),
        (", trot", (3,)),
        ("!", ()),
    ]


def test_no_more_marks_than_a_page_bears() -> None:
    marks = find_marks("a " * 50_000, {0: "a", 1: "a a a"}, "paper")
    assert len(marks) == MOST_MARKS
    assert marks[-1].stop < 3 * MOST_MARKS


def test_files_out_of_sight(tmp_path: Path) -> None:
    for name in ("in", "out"):
        pq.write_table(pa.table({"text": [name]}), tmp_path / f"{name}.parquet")
    tables = Tables([str(tmp_path / "in.parquet")])
    query = "SELECT text FROM read_parquet(?)"
    assert tables.ask(str(tmp_path / "in.parquet"), query, [], Patience(60)) == [("in",)]
    for path in (tmp_path / "out.parquet", Path("/etc/passwd")):
        with pytest.raises(Exception, match="can't be read: Permission Error"):
            tables.ask(str(path), query, [], Patience(60))
    for statement in ("SET threads = 1", "INSTALL httpfs", "ATTACH 'x.db'"):
        with pytest.raises(Exception, match="can't be read"):
            tables.ask("", f"{statement} -- ?", [], Patience(60))
