"""Pairs as a page shows them: the text with its marks, the numbers, and why it is in or out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metacurate.matching.spacing import Mode
from metacurate.reporting.explorer.addresses import ImageView, PairsView, PairView
from metacurate.reporting.explorer.entries import Entries, Entry
from metacurate.reporting.explorer.fates import Pair
from metacurate.reporting.explorer.marks import cut_segments, marks_within
from metacurate.reporting.explorer.showing import (
    Stretch,
    image_of,
    link_of,
    show_segments,
)

FATE_NAMES = {
    "kept": "kept",
    "balanced_away": "balanced away",
    "other_caption": "left for another caption",
    "unmatched": "unmatched",
    "invalid": "invalid",
    "filtered": "left out by the filter",
}
MOST_ENTRIES = 40  # of a pair in a list; its own page has all


@dataclass(frozen=True)
class ShownText:
    """A text, or a part of it.

    Attributes:
        stretches: of the part. start, stop: its characters. length: of the whole.
    """

    stretches: Sequence[Stretch]
    start: int
    stop: int
    length: int


@dataclass(frozen=True)
class ShownPair:
    """What a page tells of a pair.

    Attributes:
        pair: itself. number: its place on the page, from 0.
        text: None where there is none. entries: that it matches, the rarest first.
        more_entries: how many others it matches. reason: a sentence.
        link: of its url, where that is harmless.
        image: address of its image, where that may be loaded: the same, or of a tar here.
        shows_image: whether it was asked for.
        own: address of its own page. toggled: address of this page with its image, or without.
    """

    pair: Pair
    number: int
    text: ShownText | None
    entries: Sequence[Entry]
    more_entries: int
    reason: str
    link: str | None
    image: str | None
    shows_image: bool
    own: str
    toggled: str


def show_text(
    text: str, entries: Sequence[Entry], mode: Mode, start: int, length: int
) -> ShownText:
    """Cut a part out of a text, and mark entries in it.

    Args:
        text: any. entries: that it matches. mode: how they are spaced.
        start: character to begin with. length: of the part, at most.
    """
    start = min(start, len(text))
    stop = min(start + length, len(text))
    marks = marks_within(text, {one.id: one.entry for one in entries}, mode, start, stop)
    segments = cut_segments(marks, start, stop)
    return ShownText(show_segments(text, segments), start, stop, len(text))


def show_pair(
    pair: Pair,
    number: int,
    entries: Entries,
    mode: Mode,
    view: PairsView | PairView,
    length: int,
    filter_text: str | None,
    in_tar: bool = False,
) -> ShownPair:
    """Prepare a pair for a page.

    Args:
        pair: which. number: its place on the page. entries: of the set. mode: how spaced.
        view: the page. length: of the text, in characters.
        filter_text: the pool's filter. in_tar: whether its image lies in a tar here.
    """
    matched = sorted((entries[i] for i in pair.entry_ids), key=lambda one: (one.count, one.id))
    row = pair.row
    alone = isinstance(view, PairView)
    start = view.at if isinstance(view, PairView) else 0
    text = None if row.text is None else show_text(row.text, matched, mode, start, length)
    asked = view.images == "all" or view.images == str(number)
    shelf = "kept" if row.drawn is not None else "pool"
    stands = (shelf, row.place.file, row.place.row)
    image = ImageView(*stands).address() if in_tar else image_of(row.id)
    listed = matched if alone else matched[:MOST_ENTRIES]
    toggled = "" if asked else "all" if alone else str(number)
    return ShownPair(
        pair,
        number,
        text,
        listed,
        len(matched) - len(listed),
        reason(pair, entries.curated.threshold, filter_text),
        link_of(row.id),
        image,
        asked and image is not None,
        PairView(*stands).address(),
        view.address(images=toggled),
    )


def reason(pair: Pair, threshold: float, filter_text: str | None) -> str:
    """Why a pair is in or out, in a sentence.

    Args:
        pair: which. threshold: t. filter_text: the pool's filter.
    """
    if pair.fate == "invalid":
        missing = [
            name for name, value in (("url", pair.row.id), ("text", pair.row.text)) if value is None
        ]
        return f"Out: it has no {' and no '.join(missing)}."
    if pair.fate == "filtered":
        told = f" ({filter_text})" if filter_text else ""
        return f"Out: the pool's filter{told} leaves it out."
    if pair.fate == "other_caption":
        return "Out: one caption of each image takes part, and for this image another was chosen."
    numbers = {
        "probability": pair.probability,
        "draw": pair.draw,
        "min_threshold": pair.min_threshold,
        "fate": FATE_NAMES[pair.fate],
    }
    return sentence(numbers, threshold)


def sentence(told: dict[str, Any], threshold: float) -> str:
    """Why a text is in or out, or how likely it is to be in.

    Args:
        told: `probability`, and where there is a draw: `draw`, `min_threshold`, `fate`.
        threshold: t.
    """
    fate, probability = told.get("fate"), told["probability"]
    if fate == "unmatched" or (fate is None and probability == 0.0):
        return "Out: it matches no entry."
    if fate is None:
        return (
            f"In with probability {near(probability)}: give a URL to see the draw that decides. "
            f"The threshold is {near(threshold)}."
        )
    draw, smallest = told["draw"], told["min_threshold"]
    if fate == "kept":
        certain = " It matches an entry that is not thinned." if probability == 1.0 else ""
        return (
            f"In: its draw {near(draw)} is below its keep probability {near(probability)}."
            f"{certain} Any threshold from {near(smallest)} on keeps it; this one is "
            f"{near(threshold)}."
        )
    return (
        f"Out: its draw {near(draw)} is not below its keep probability {near(probability)}. It "
        f"would be kept from a threshold of {near(smallest)} on; this one is {near(threshold)}."
    )


def near(value: float | None) -> str:
    """A number as people read it.

    Args:
        value: any, or None.
    """
    if value is None:
        return "\u2013"
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:,.6g}"
