"""Pages of a MediaWiki XML dump, from any part of the file that can be read by itself."""

import bz2
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, Any
from xml.etree.ElementTree import Element, ParseError

import fsspec

from metacurate.engine.stage import Unit
from metacurate.errors import InputError, MetacurateError, first_line
from metacurate.pool.files import identity_of
from metacurate.pool.streams import DamagedError, open_stream

UNIT_BYTES = {"": 64 << 20, ".bz2": 16 << 20}  # of the file, about the same of its content
CHUNK = 1 << 20
MOST_HEAD = 4 << 20  # bytes before the first page
MOST_PAGE = 16 << 20  # MediaWiki's own limit is 2 MB of wikitext
END = b"</mediawiki>"
LONGEST_TAG = 16  # bytes
STREAM = re.compile(rb"BZh[1-9]1AY&SY")  # how a bzip2 stream with content begins
STREAM_SIZE = 10  # bytes of that
END_OF_STREAM = re.compile(rb"BZh[1-9]\x17rE8P\x90")  # a stream without content
FILE_NAMESPACES = ("-2", "6", "14")  # media, files, categories
CANONICAL = ("media", "file", "image", "category")
DUMP_NAME = re.compile(r"\.xml(-p\d+p\d+)?(\.bz2|\.gz)?$", re.IGNORECASE)

Chunk = tuple[bytes, bool]


@dataclass(frozen=True)
class Dump:
    """A dump file, as its beginning tells it.

    Attributes:
        path: path or URI. identity: what changes when its content does. size: in bytes.
        ending: .bz2, .gz, or "" for plain XML.
        separable: whether it can be read from many places: plain, or bzip2 of many streams.
        link_prefixes: names of the namespaces whose links show nothing on a page, lower-cased.
        problem: why it can't be worked on, or None.
    """

    path: str
    identity: str
    size: int
    ending: str
    separable: bool
    link_prefixes: frozenset[str]
    problem: str | None = None

    def units(self) -> list[Unit]:
        """Ranges of bytes that can be read by themselves, in the order of the file."""
        step = UNIT_BYTES.get(self.ending, self.size)
        if self.problem is not None or not self.separable or self.size < 2 * step:
            return [Unit(self.path, self.identity, 0, self.size, 0, self.problem)]
        parts = self.size // step
        edges = [self.size * part // parts for part in range(parts + 1)]
        return [
            Unit(self.path, self.identity, start, stop - start, start)
            for start, stop in pairwise(edges)
        ]


@dataclass(frozen=True)
class Page:
    """A page of a dump.

    Attributes:
        title: with its namespace. namespace: its number; 0 is that of articles.
        redirect: whether it only leads to another page.
        text: its latest wikitext; "" where it has another content model.
    """

    title: str
    namespace: int
    redirect: bool
    text: str


class DamagedDumpError(Exception):
    """A dump that is damaged or cut short from here on; the pages before are good."""


class BadPageError(Exception):
    """A page that can't be parsed; the next one may be whole."""


def open_dump(path: str) -> Dump:
    """Look at the beginning of a dump.

    Args:
        path: path or URI; .bz2 and .gz are decompressed.

    Returns:
        What it is, or why it can't be read.

    Raises:
        MetacurateError: when defusedxml, of the extra `metadata`, is missing.
        OSError: when there is no such file.
    """
    identity, size = identity_of(path)
    ending = next((end for end in (".bz2", ".gz") if path.lower().endswith(end)), "")
    prefixes: frozenset[str] = frozenset(CANONICAL)
    separable, problem = False, None
    try:
        prefixes |= _read_head(path, size, ending)
        separable = ending == "" or (ending == ".bz2" and _has_many_streams(path))
    except (OSError, ValueError) as error:
        problem = first_line(error)
    return Dump(path, identity, size, ending, separable, prefixes, problem)


def read_pages(dump: Dump, unit: Unit) -> Iterator[tuple[Page | BadPageError, int]]:
    """Read the pages that begin in a range of a dump, the last one to its end.

    Args:
        dump: the file. unit: one of its units.

    Yields:
        Each page, or why it can't be parsed; and how many bytes of content it came with.

    Raises:
        DamagedDumpError: when the file is damaged or cut short from here on.
        InputError: when it can't be read: nothing is said of its content.
    """
    try:
        for content in _cut_pages(_chunks(dump, unit)):
            try:
                yield _parse_page(content), len(content)
            except BadPageError as error:
                yield error, len(content)
    except (DamagedError, ValueError) as error:
        raise DamagedDumpError(first_line(error)) from error
    except OSError as error:
        raise InputError(dump.path, f"can't be read: {first_line(error)}") from error


def _parse(content: bytes) -> Element:
    """Parse XML that declares nothing: no document type, no entities.

    Raises:
        ValueError: when it does, or is no XML.
    """
    try:
        from defusedxml.common import DefusedXmlException
        from defusedxml.ElementTree import fromstring
    except ImportError as error:
        raise MetacurateError(
            'XML is read with defusedxml: pip install "metacurate[metadata]"'
        ) from error
    try:
        root: Element = fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise ValueError("it declares a document type or entities, which is refused") from error
    except (ParseError, ValueError) as error:  # ValueError: of an encoding that is unknown
        raise ValueError(f"no well-formed XML: {first_line(error)}") from error
    return root


def _read_head(path: str, size: int, ending: str) -> frozenset[str]:
    """Check that a file is a dump, and read the names of its file and category namespaces."""
    if not size:
        raise ValueError("the file is empty")
    whole = Unit(path, "", 0, size, 0)
    head = bytearray()
    start = -1
    for chunk, _ in _chunks(Dump(path, "", size, ending, True, frozenset()), whole):
        searched = max(0, len(head) - LONGEST_TAG)
        head += chunk
        start = head.find(b"<page>", searched)
        if start >= 0 or len(head) > MOST_HEAD:
            break
    if start >= 0:
        head[start:] = END
    try:
        root = _parse(bytes(head))
    except ValueError as error:
        refused = "refused" in str(error)
        raise ValueError(str(error) if refused else "is no XML dump of a wiki") from error
    if _local(root.tag) != "mediawiki":
        raise ValueError("is no XML dump of a wiki")
    spaces = (node for node in root.iter() if _local(node.tag) == "namespace")
    names = (node.text for node in spaces if node.get("key") in FILE_NAMESPACES)
    return frozenset(name.lower() for name in names if name)


def _local(tag: Any) -> str:
    return str(tag).rpartition("}")[2]


def _has_many_streams(path: str) -> bool:
    with _open(path) as file:
        beginning = file.read(4 * CHUNK)
    return len(STREAM.findall(beginning)) > 1


def _open(path: str) -> IO[bytes]:
    opened: IO[bytes] = fsspec.open(path, "rb").open()
    return opened


def _chunks(dump: Dump, unit: Unit) -> Iterator[Chunk]:
    """The content of a unit, then what follows it: chunks, and whether they are the unit's."""
    first, stop = unit.first_row, unit.first_row + unit.rows
    if dump.ending == ".gz":
        with open_stream(dump.path) as stream:
            while content := stream.read(CHUNK):
                yield content, True
    elif dump.ending == ".bz2":
        with _open(dump.path) as file:
            yield from _decompress(file, first, stop)
    else:
        with _open(dump.path) as file:
            file.seek(first)
            while content := file.read(min(CHUNK, max(0, stop - file.tell()) or CHUNK)):
                yield content, file.tell() <= stop


def _decompress(file: IO[bytes], first: int, stop: int) -> Iterator[Chunk]:
    """Decompress the bzip2 streams that begin in a range, and those that follow."""
    at = _find_stream(file, first, stop)
    if at is None:
        if first == 0:
            raise DamagedError("is no bzip2 by its content, or has none")
        return
    file.seek(at)
    data = b""
    while True:
        data = data or file.read(CHUNK)
        if not data:
            return
        if len(data) < STREAM_SIZE:
            data += file.read(CHUNK)
        if not (STREAM.match(data) or END_OF_STREAM.match(data)):
            cut = len(data) < STREAM_SIZE and b"BZh".startswith(data[:3])
            what = "is cut short" if cut else "is followed by garbage"
            raise DamagedError(f"the bzip2 stream {what}")
        own = at < stop
        decompressor = bz2.BZ2Decompressor()
        while not decompressor.eof:
            if not data and decompressor.needs_input:
                data = file.read(CHUNK)
                if not data:
                    raise DamagedError("the bzip2 stream is cut short")
            at += len(data)
            try:
                content = decompressor.decompress(data, CHUNK)
            except OSError as error:
                reason = f"the bzip2 stream is damaged: {first_line(error)}"
                raise DamagedError(reason) from error
            data = b""
            if content:
                yield content, own
        data = decompressor.unused_data
        at -= len(data)


def _find_stream(file: IO[bytes], first: int, stop: int) -> int | None:
    """Where the first bzip2 stream begins in a range of a file."""
    file.seek(first)
    base, window = first, b""
    while base + len(window) < stop + STREAM_SIZE - 1:
        content = file.read(min(CHUNK, stop + STREAM_SIZE - 1 - base - len(window)))
        if not content:
            break
        window += content
        if found := STREAM.search(window):
            return base + found.start()
        cut = max(0, len(window) - STREAM_SIZE + 1)
        base, window = base + cut, window[cut:]
    return None


def _cut_pages(chunks: Iterator[Chunk]) -> Iterator[bytes]:
    """Cut content into pages: those that begin in the unit's own part.

    In a dump, "<page>" and "</page>" are tags wherever they stand: in text, "<" is escaped.
    """
    content = bytearray()
    base = 0  # where content begins, in all that was read
    own_end: int | None = None
    closed = False  # whether the end of the dump was seen

    def more() -> bool:
        nonlocal own_end
        chunk, own = next(chunks, (b"", False))
        if not chunk:
            return False
        if not own and own_end is None:
            own_end = base + len(content)
        content.extend(chunk)
        return True

    def drop(n: int) -> None:
        nonlocal base
        del content[:n]
        base += n

    while True:
        while (start := content.find(b"<page>")) < 0:
            closed = closed or END in content
            drop(max(0, len(content) - LONGEST_TAG))
            if own_end is not None and base + len(content) - 5 >= own_end:
                return
            if not more():
                tail_only = base == 0 and END.endswith(content.strip())  # or nothing at all
                if not (closed or tail_only):
                    raise ValueError("the dump is cut short: it does not end with </mediawiki>")
                return
        if own_end is not None and base + start >= own_end:
            return
        searched = start
        while (end := content.find(b"</page>", searched)) < 0:
            searched = max(start, len(content) - 6)
            if len(content) - start > MOST_PAGE:
                raise ValueError(f"a page has more than {MOST_PAGE >> 20} MB")
            if not more():
                raise ValueError("the dump is cut short in the middle of a page")
        end += len(b"</page>")
        yield bytes(content[start:end])
        drop(end)


def _parse_page(content: bytes) -> Page:
    """Parse a page.

    Raises:
        BadPageError: when it is not well formed, or not a page.
    """
    try:
        root = _parse(content)
        title = root.findtext("title") or ""
        namespace = int(root.findtext("ns") or 0)
    except ValueError as error:
        raise BadPageError(first_line(error)) from error
    revisions = root.findall("revision")
    latest = revisions[-1] if revisions else root
    model = latest.findtext("model") or "wikitext"
    text = latest.findtext("text") or ""
    redirect = root.find("redirect") is not None
    return Page(title, namespace, redirect, text if model == "wikitext" else "")
