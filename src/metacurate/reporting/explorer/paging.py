"""A page of pairs: read on from where the last one ended, until it is full or time is over."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from metacurate.errors import InputError
from metacurate.reporting.explorer.fates import Pair
from metacurate.reporting.explorer.shelf import Condition, Found, Place, Shelf
from metacurate.reporting.explorer.tables import Patience, TooSlowError

PAGE = 25  # pairs
SECONDS = 2.0  # of searching, after which a page is shown as it is
SECONDS_WHEN_FULL = 0.2  # of looking whether there is another page
FIRST_STRETCH = 131_072  # rows that are searched at once, first
MOST_STRETCH = 1 << 22
QUICK = 0.25  # seconds: a stretch that takes less may be doubled
FIRST_ROWS = 128  # found rows that are looked at closely together, first
MOST_ROWS = 4096
MOST_NOTICES = 20

Tell = Callable[[Sequence[Found]], list[Pair]]


@dataclass
class Page:
    """Some pairs.

    Attributes:
        pairs: up to 25.
        after: where to read on; None at the end.
        full: whether the page is full, rather than its time over.
        searched: rows of the shelf that were searched for it.
        notices: what could not be read.
    """

    pairs: list[Pair] = field(default_factory=list)
    after: Place | None = None
    full: bool = False
    searched: int = 0
    notices: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Search:
    """What is looked for on a shelf.

    Attributes:
        shelf: which. condition: what DuckDB can tell of its rows.
        tell: what became of rows of a file, in order; it may leave some out.
        wanted: whether a pair belongs on the page.
        seconds: of searching.
    """

    shelf: Shelf
    condition: Condition
    tell: Tell
    wanted: Callable[[Pair], bool]
    seconds: float = SECONDS

    def page(self, start: Place, patience: Patience) -> Page:
        """Fill a page.

        Args:
            start: where to begin; it may be anywhere. patience: breaks it off.

        Raises:
            TooSlowError: when time is over before anything is searched through.
        """
        page = Page()
        files = self.shelf.pool.files
        began = time.monotonic()
        at, stretch, most = start, FIRST_STRETCH, FIRST_ROWS
        while at.file < len(files):
            if page.full or at != start:
                spent = time.monotonic() - began
                if spent > self.seconds or (page.full and spent > SECONDS_WHEN_FULL):
                    page.after = at
                    return page
            try:
                stop = min(self.shelf.file(at.file).rows, at.row + stretch)
                before = time.monotonic()
                rows = self.shelf.find(at, stop, self.condition, most, patience)
                for pair in filter(self.wanted, self.tell(rows)):
                    if page.full:
                        page.after = pair.row.place
                        return page
                    page.pairs.append(pair)
                    page.full = len(page.pairs) == PAGE
            except InputError as error:
                page.notices.append(str(error))
                if len(page.notices) == MOST_NOTICES:
                    page.after = Place(at.file + 1, 0) if at.file + 1 < len(files) else None
                    return page
                at = Place(at.file + 1, 0)
                continue
            except TooSlowError:
                if at == start:
                    raise
                page.after = at
                return page
            if len(rows) == most:  # there may be more of them before `stop`
                stop, most = rows[-1].place.row + 1, min(2 * most, MOST_ROWS)
            elif time.monotonic() - before < QUICK:
                stretch = min(2 * stretch, MOST_STRETCH)
            page.searched += max(0, stop - at.row)
            at = Place(at.file, stop)
            if stop >= files[at.file].rows:
                at = Place(at.file + 1, 0)
        return page
