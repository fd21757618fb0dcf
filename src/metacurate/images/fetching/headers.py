"""What the headers of an answer say about images, and about coming again."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

OPT_OUTS = frozenset({"noai", "noimageai"})
# Directives of X-Robots-Tag that have a value behind a colon, and so look like a bot's name.
VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


def opts_out(values: Iterable[str], user_agent: str) -> bool:
    """Whether X-Robots-Tag asks us not to use an image for AI.

    A directive behind a bot's name counts for that bot only, as do those that follow it in the
    same header.

    Args:
        values: of all headers of that name. user_agent: who we are, "name/version".
    """
    us = {"*", re.split(r"[/\s]", user_agent.strip().lower(), maxsplit=1)[0]}
    for value in values:
        for_us = True
        for part in value.lower().split(","):
            name, colon, directive = part.partition(":")
            name = name.strip()
            if colon and name not in VALUED and " " not in name:  # or a date's "15:00:00"
                for_us = name in us
            else:
                directive = part
            if for_us and directive.strip() in OPT_OUTS:
                return True
    return False


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a server asks to be left alone.

    Args:
        value: of Retry-After: seconds, or a date. now: the time; this moment's without it.

    Returns:
        Never less than 0; None where there is no such header, or it can't be read.
    """
    if value is None:
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,12}", value):
        return float(value)
    try:
        then = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - (now or datetime.now(UTC))).total_seconds())
