from datetime import UTC, datetime

import pytest

from metacurate.images.fetching.headers import opts_out, retry_after

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "values",
    [
        ["noai"], ["noimageai"], ["NoAI"], ["noindex, NOIMAGEAI"], ["noindex", "noai"],
        ["metacurate: noai"], ["MetaCurate: noindex, noai"],
        ["otherbot: noindex, metacurate: noai"],
        ["max-snippet: 20, noai"], ["unavailable_after: Wed, 25 Jun 2030 15:00:00 GMT, noai"],
        ["*: noai"], ["otherbot: noindex", "noai"],
    ],
)  # fmt: skip
def test_who_opts_out_of_ai_is_heard(values: list[str]) -> None:
    assert opts_out(values, "metacurate/1.0 (+https://example.org)")


@pytest.mark.parametrize(
    "values",
    [
        [], [""], ["all"], ["noindex, nofollow"], ["noimageindex"], ["otherbot: noai"],
        ["otherbot: noindex, noai"], ["metacurate: noindex, otherbot: noai"], ["noaix"],
        ["metacuratex: noai"],
    ],
)  # fmt: skip
def test_others_do_not_opt_out(values: list[str]) -> None:
    assert not opts_out(values, "metacurate/1.0")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None), ("0", 0), ("7", 7), (" 120 ", 120), ("999999999999", 999_999_999_999),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30), ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
        ("Thu, 01 Jan 2026 13:00:30 +0100", 30), ("-1", None), ("soon", None), ("1.5", None),
        ("9" * 5000, None), ("", None), ("Thu, 99 Jan 2026 12:00:30 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds
