"""Titles of articles: from hourly page views, and from lists of all titles."""

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pyarrow as pa

from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.stores import Place
from metacurate.errors import InputError, first_line
from metacurate.pool.files import identity_of, refuse_changed
from metacurate.pool.streams import open_stream

FORMAT = 1  # raise with each change of what is counted
BLOCK = 4 << 20  # bytes of lines that are looked at together
MOST_TITLE = 1 << 10  # bytes; MediaWiki's own limit is 255
MOST_TITLES = 500_000  # in memory, before they are recorded
HEADER = "page_title"  # the first line of a list of titles
VIEWED = rb" ([^ \n]{1,1024}) ([0-9]{1,12}) [0-9]{1,20}$"  # title, views, bytes
LINE = re.compile(rb"^[^ \n]{1,255}" + VIEWED, re.MULTILINE)  # of page views
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

VIEWS = pa.schema(
    [pa.field("title", pa.string(), nullable=False), pa.field("views", pa.int64(), nullable=False)]
)


@dataclass(frozen=True)
class PageviewStage(Stage):
    """Adds up the views of titles over hourly files, in processes.

    The files are those of dumps.wikimedia.org/other/pageviews: lines of project, title, views and
    bytes, with single spaces between them (Wikitech, "Pageviews data format").

    Attributes:
        paths: of the files, each with its identity.
        project: its code, as ``en``; ``en.m``, the mobile site, is another.
        min_views: of a title in an hour, for the hour to count.
    """

    paths: tuple[tuple[str, str, int], ...]
    project: str
    min_views: int
    name = "pageviews"
    measure: ClassVar[str] = "bytes"
    runs_in: Literal["threads", "processes"] = "processes"

    @classmethod
    def open(cls, paths: Sequence[str], project: str, min_views: int) -> "PageviewStage":
        """Look at the files.

        Args:
            paths: of the files. project, min_views: see above.

        Raises:
            OSError: when there is no such file.
        """
        return cls(tuple((path, *identity_of(path)) for path in paths), project, min_views)

    def configuration(self) -> dict[str, Any]:
        """Which lines count."""
        return {"project": self.project, "min_views": self.min_views, "format": FORMAT}

    def units(self) -> Sequence[Unit]:
        """A unit for each file."""
        return [
            Unit(path, identity, 0, size, 0, None if size else "the file is empty")
            for path, identity, size in self.paths
        ]

    def task(self, outputs: Place, watch: Watch) -> "PageviewTask":  # noqa: ARG002
        """Begin to add up."""
        return PageviewTask(self, watch)


class PageviewTask(Task):
    """Adds up the views of several files."""

    def __init__(self, stage: PageviewStage, watch: Watch) -> None:
        """Start at zero."""
        project = re.escape(stage.project.encode())
        self._wanted = re.compile(rb"^" + project + VIEWED, re.MULTILINE)
        self._min_views = stage.min_views
        self._watch = watch
        self._views: Counter[str] = Counter()

    def process(self, unit: Unit) -> UnitRecord:
        """Add up a file's views, once all of it is read.

        Lines that are no page views are counted as invalid; those of other projects, and of hours
        with too few views, as filtered.

        Raises:
            InputError: when the file is damaged, or holds no page views.
            StoppedError: when the run is to end.
        """
        began = time.monotonic()
        lines = good = told = 0
        views: Counter[str] = Counter()
        counted = 0
        try:
            for block in _blocks(unit.source):
                step = min(len(block) // 4, unit.work - told)  # of the file's bytes, about
                told += step
                self._watch.advance(step)
                lines += block.count(b"\n")
                good += sum(1 for _ in LINE.finditer(block))
                for found in self._wanted.finditer(block):
                    n = int(found[2])
                    if n < self._min_views:
                        continue
                    try:
                        views[entry_of_title(found[1].decode())] += n
                        counted += 1
                    except UnicodeDecodeError:
                        good -= 1
        except OSError as error:
            raise InputError(unit.source, first_line(error)) from error
        if not good:
            raise InputError(unit.source, "no line of it tells page views (project title 12 345)")
        refuse_changed(unit.source, unit.identity)
        self._views.update(views)
        return UnitRecord.of(
            unit, began, rows_read=lines, invalid=lines - good, filtered=good - counted
        )

    @property
    def full(self) -> bool:
        """Whether there are many titles."""
        return len(self._views) > MOST_TITLES

    def clear(self) -> None:
        """Begin again with nothing added up."""
        self._views = Counter()

    def partial(self) -> pa.Table:
        """The views of all these files."""
        titles = sorted(self._views)
        return pa.table([titles, [self._views[title] for title in titles]], schema=VIEWS)


def entry_of_title(title: str) -> str:
    """The entry that a title makes: "_" is a space.

    Args:
        title: as in an address.
    """
    return title.replace("_", " ")


@dataclass
class TitleList:
    """A list of titles, read line by line.

    Attributes:
        path: of the file, plain, .gz or .zst: ``all-titles-in-ns0`` of dumps.wikimedia.org.
        lines: that were read. malformed: of these, that are empty, too long or no UTF-8.
    """

    path: str
    lines: int = 0
    malformed: int = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read the entries that its titles make.

        Yields:
            Batches of `VIEWS`, with 0 views.

        Raises:
            InputError: when the file is damaged, or holds no title.
        """
        try:
            for block in _blocks(self.path):
                lines = block.replace(b"\r\n", b"\n").split(b"\n")[:-1]
                if self.lines == 0:
                    lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
                    lines = lines[1:] if lines[0] == HEADER.encode() else lines
                self.lines += len(lines)
                titles = [title for line in lines if (title := _decoded(line))]
                self.malformed += len(lines) - len(titles)
                entries = [entry_of_title(title) for title in titles]
                yield pa.record_batch([entries, [0] * len(entries)], schema=VIEWS)
        except OSError as error:
            raise InputError(self.path, first_line(error)) from error
        if self.lines == self.malformed:
            raise InputError(self.path, "it holds no title")


def _decoded(line: bytes) -> str | None:
    if len(line) > MOST_TITLE:
        return None
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def _blocks(path: str) -> Iterator[bytes]:
    """A file's content in blocks of whole lines, each with its line break.

    Of a line without an end, no more is kept than tells that it is too long.

    Raises:
        OSError: when it can't be read.
    """
    rest = b""
    with open_stream(path) as stream:
        while content := stream.read(BLOCK):
            block = rest + content
            end = block.rfind(b"\n") + 1
            if end:
                yield block[:end]
            rest = block[end:][: 2 * MOST_TITLE]
    if rest:
        yield rest + b"\n"
