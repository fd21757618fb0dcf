"""Pairs of an archive in a form in which those of different readers can be compared."""

import hashlib
import re
from collections.abc import Iterable

from metacurate.pool.web.links import Base
from metacurate.pool.web.texts import plain_line


def digest(pairs: Iterable[tuple[str, str, str]]) -> str:
    """SHA-256 of pairs, in whatever order, each once.

    URLs go without what `urljoin` drops and the URL standard keeps: doubled slashes, and a last
    question mark or semicolon; a link that leads to the page itself, as "#", is no image.

    Args:
        pairs: page, URL and text of an image; URLs and texts as they were found.
    """
    lines = set()
    for page, url, alt in pairs:
        base = Base(page)
        resolved = base.resolve(url)
        line = plain_line(alt)
        if resolved and resolved != base.resolve(page) and line:
            scheme, _, rest = resolved.partition("://")
            url = f"{scheme}://{re.sub('/+', '/', rest).rstrip('?;')}"
            lines.add(f"{page}\t{url}\t{line}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
