"""Addresses are read back as they were made, and others are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.errors import UsageError
from metacurate.reporting.explorer.addresses import (
    FATES,
    EntriesView,
    PairsView,
    PairView,
    SentenceView,
    View,
)

numbers = st.integers(0, 2**53)
words = st.text(max_size=50).filter(lambda text: "\r" not in text)


@given(
    st.builds(EntriesView, q=words, where=st.sampled_from(("anywhere", "beginning")), page=numbers)
    | st.builds(
        PairsView, entry=numbers, fate=st.sampled_from([*FATES, "all"]), domain=words,
        file=numbers, row=numbers, images=st.sampled_from(("", "all", "3")),
    )
    | st.builds(PairView, shelf=st.sampled_from(("kept", "pool")), file=numbers, row=numbers)
    | st.builds(SentenceView, text=words, url=words)
)  # fmt: skip
def test_there_and_back(view: View) -> None:
    path, _, query = view.address().partition("?")
    assert path == view.path
    assert type(view).parse(query.encode("ascii")) == view


@pytest.mark.parametrize(
    ("kind", "query", "told"),
    [
        (PairsView, b"x=1", "no parameter 'x'"),
        (PairsView, b"row=1&row=2", "row is given twice"),
        (PairsView, b"row=-1", "row is no whole number"),
        (PairsView, b"row=1e3", "row is no whole number"),
        (PairsView, "row=\u0661".encode(), "can't be read"),
        (PairsView, b"row=%D9%A1", "row is no whole number"),
        (PairsView, b"row=99999999999999999", "row is no whole number"),
        (PairsView, b"row=9999999999999999", "row is too large"),
        (PairsView, b"fate=lost", "fate is none of"),
        (PairsView, b"images=yes", "images is no whole number"),
        (PairsView, b"domain=%FF", "can't be read"),
        (PairView, b"shelf=/etc", "shelf is none of"),
        (SentenceView, b"text=" + b"a" * 4001, "longer than 4,000 characters"),
        (EntriesView, b"&".join(b"q=1" for _ in range(30)), "can't be read"),
        (EntriesView, b"sort=entry;drop", "sort is none of"),
    ],
)
def test_what_can_not_be(kind: type[View], query: bytes, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        kind.parse(query)


def test_line_breaks_of_forms() -> None:
    assert SentenceView.parse(b"text=a%0D%0Ab&url=").text == "a\nb"


def test_changes() -> None:
    view = PairsView(entry=3, fate="all", row=7, images="all")
    assert view.address(images=None, row=9) == "/pairs?entry=3&fate=all&row=9"
    assert view.first.address() == "/pairs?entry=3&fate=all"
