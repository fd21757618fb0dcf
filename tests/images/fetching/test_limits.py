import pytest

from metacurate.errors import UsageError
from metacurate.images.fetching.limits import FetchLimits


@pytest.mark.parametrize(
    "wrong",
    [
        {"tries": 0}, {"connections": 0}, {"per_host": -1}, {"max_bytes": 0},
        {"total_seconds": 0}, {"host_pause": -1}, {"window_seconds": float("nan")},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        FetchLimits(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("agent", ["a\r\nX-Other: b", "bot\u00e9"])
def test_a_user_agent_adds_no_headers(agent: str) -> None:
    with pytest.raises(UsageError, match="user agent"):
        FetchLimits(user_agent=agent)


def test_zero_turns_off_what_may_be_turned_off() -> None:
    FetchLimits(least_bytes_per_second=0, host_pause=0, max_redirects=0, pause_seconds=0)
