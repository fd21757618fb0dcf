"""Where in a text its entries stand, though spacing moves what they are looked up in."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from metacurate.matching.spacing import PUNCTUATION, WHITE_SPACE, Mode, space_entry, words_of

MOST_MARKS = 1000  # of a text: those at its beginning
MOST_NEEDED = 8  # words of an entry that are looked for first, the longest
_BREAK = re.compile(f"[{re.escape(PUNCTUATION)} {WHITE_SPACE}]")


@dataclass(frozen=True)
class Mark:
    """An entry in a text.

    Attributes:
        start, stop: characters of the text as it is, not as it is spaced.
        entry_id: which entry.
    """

    start: int
    stop: int
    entry_id: int


@dataclass(frozen=True)
class Segment:
    """A stretch of a text under the same marks.

    Attributes:
        start, stop: characters of the text.
        entry_ids: of the entries that cover it, the shortest first; none between marks.
    """

    start: int
    stop: int
    entry_ids: tuple[int, ...]


def needed_words(entry: str, mode: Mode) -> list[str]:
    """Words that a text must hold as they are, if it is to match an entry.

    Spacing puts spaces in, and turns white space into them, but never parts or joins what stands
    between spaces: so a word of the spaced text stands in the text itself.

    Args:
        entry: of the metadata. mode: how it is spaced.

    Returns:
        Up to 8 different words, none of them empty; none where the entry is made of spaces.
    """
    words = {word for word in words_of(space_entry(entry, mode)) if word}
    return sorted(words, key=lambda word: (-len(word), word))[:MOST_NEEDED]


def word_places(text: str) -> list[tuple[int, int]]:
    """Where the words of a spaced text stand in the text itself.

    Args:
        text: any.

    Returns:
        (start, stop) of each of `words_of(space_text(text))`; of an empty word they are equal.
    """
    places, start = [], 0
    for found in _BREAK.finditer(text):
        at = found.start()
        places.append((start, at))
        if text[at] in PUNCTUATION:
            places.append((at, at + 1))
        start = at + 1
    places.append((start, len(text)))
    return places


def find_marks(text: str, entries: Mapping[int, str], mode: Mode) -> list[Mark]:
    """Find all places of some entries in a text.

    Args:
        text: any. entries: by id. mode: how they are spaced.

    Returns:
        By their beginning, the longer first; no more than 1000, and none without characters.
    """
    places = word_places(text)
    words = [text[start:stop] for start, stop in places]
    spaced = f" {' '.join(words)} "
    number, at = {}, 1
    for i, word in enumerate(words):
        number[at] = i
        at += len(word) + 1
    marks = []
    for entry_id, entry in entries.items():
        needle = space_entry(entry, mode)
        more = needle.count(" ") - 2
        found, of_entry = spaced.find(needle), 0
        while found >= 0 and of_entry < MOST_MARKS:
            first = number[found + 1]
            start, stop = places[first][0], places[first + more][1]
            if stop > start:
                marks.append(Mark(start, stop, entry_id))
                of_entry += 1
            found = spaced.find(needle, found + 1)
    marks.sort(key=lambda mark: (mark.start, -mark.stop, mark.entry_id))
    return marks[:MOST_MARKS]


def marks_within(
    text: str, entries: Mapping[int, str], mode: Mode, start: int, stop: int
) -> list[Mark]:
    """Find the marks of a stretch without looking through a text of megabytes.

    Args:
        text, entries, mode: as for `find_marks`. start, stop: characters of the stretch.

    Returns:
        Those that reach into it, as `find_marks` finds them; the first 1000.
    """
    reach = max((len(space_entry(entry, mode)) for entry in entries.values()), default=0) + 2
    first = max(0, start - reach)
    part = find_marks(text[first : stop + reach], entries, mode)
    moved = [Mark(mark.start + first, mark.stop + first, mark.entry_id) for mark in part]
    return [mark for mark in moved if mark.start < stop and mark.stop > start]


def cut_segments(marks: Sequence[Mark], start: int, stop: int) -> list[Segment]:
    """Cut a stretch of a text where marks begin and end: links can't overlap on a page.

    Args:
        marks: of the text. start, stop: characters of the stretch.

    Returns:
        Segments that follow one another and make up the stretch.
    """
    inside = [mark for mark in marks if mark.start < stop and mark.stop > start]
    edges = {start, stop}
    for mark in inside:
        edges.update((max(start, mark.start), min(stop, mark.stop)))
    points = sorted(edges)
    begins: dict[int, list[Mark]] = {}
    for mark in inside:
        begins.setdefault(max(start, mark.start), []).append(mark)
    segments: list[Segment] = []
    active: list[Mark] = []
    for left, right in pairwise(points):
        active = [mark for mark in active if mark.stop > left] + begins.get(left, [])
        covering = sorted(active, key=lambda mark: (mark.stop - mark.start, mark.entry_id))
        ids = tuple(dict.fromkeys(mark.entry_id for mark in covering))
        segments.append(Segment(left, right, ids))
    return segments
