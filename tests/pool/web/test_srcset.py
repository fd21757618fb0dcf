"""The largest image of a srcset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.pool.web.srcset import largest


@pytest.mark.parametrize(
    ("srcset", "link"),
    [
        ("a.jpg", "a.jpg"),
        ("a.jpg 1x, b.jpg 2x", "b.jpg"),
        ("b.jpg 640w,a.jpg 320w", "b.jpg"),
        ("a.jpg, b.jpg 1.5x", "b.jpg"),
        ("a.jpg 2x, b.jpg 2x", "a.jpg"),
        ("a,b.jpg 100w, c.jpg 200w", "c.jpg"),
        ("a.jpg 100w 50h, b.jpg 99w", "a.jpg"),
        ("\n a.jpg\t1x ,\n b.jpg 3x\n", "b.jpg"),
        ("a.jpg (x, y) 1x, b.jpg 2x", "b.jpg"),
        ("data:image/gif;base64,AAAA 1w, a.jpg 1w", "a.jpg"),
        ("a.jpg nonsense, b.jpg", "a.jpg"),
        ("", None),
        (" , ,", None),
        ("data:,x", None),
    ],
)
def test_srcsets(srcset: str, link: str | None) -> None:
    assert largest(srcset) == link


@given(st.text("ab,() 123wx.\n"))
def test_what_is_found_is_in_the_srcset(srcset: str) -> None:
    link = largest(srcset)
    assert link is None or (link and link in srcset and not link.endswith(","))


def test_a_hostile_srcset_takes_no_time() -> None:
    assert largest("(" * 200_000) is not None
    assert largest("a (" * 100_000) is not None
    assert largest("," * 1_000_000) is None
