"""Records of WARC and WAT files, also of files that are damaged.

FastWARC reads them, and stops at the first thing that is wrong. Then the next record is looked
for behind it, and reading goes on there; a record whose length is told wrong is cut anew, from its
beginning to that of the next one.
"""

import io
import mmap
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fastwarc.warc import ArchiveIterator, WarcRecord

from metacurate.errors import InputError, MetacurateError, first_line
from metacurate.pool.streams import MAGICS, DamagedError, open_stream

MEMBER = b"\x1f\x8b\x08"  # how a gzip member begins
BEGINNING = b"WARC/"
NEXT_RECORD = re.compile(rb"WARC/1\.[0-9]\r?\n(?:WARC-|Content-)")
LENGTH = re.compile(rb"(?im)^Content-Length:[ \t]*([^\r\n]*?)[ \t]*\r?\n?$")
HEAD_END = re.compile(rb"\r?\n\r?\n")
LINE_END = re.compile(rb"\r?\n")
RECORD_END = re.compile(rb"\r?\n\r?\n|\s*\Z")
MARK_BYTES = 17  # of the longest beginning of a record that is not yet known as one
MOST_RECORD = 64 << 20  # bytes of a record that is cut anew; Common Crawl's are at most 5 MB
LONG_RECORD = 1 << 20  # bytes: where so many are told, there is a look at what is there
MOST_RATIO = 100  # of content to a file that is compressed as a whole, from this content on:
LEAST_BOMB = 256 << 20
COPY_BYTES = 1 << 20
CHUNK = 1 << 16  # bytes that are decompressed at once: to a thousand times as many, at most
SLACK = 8  # bytes between records
DIGITS = 15  # of a length: a longer one is no file's

Taken = TypeVar("Taken")


@dataclass
class Damage:
    """What is wrong with an archive.

    Attributes:
        records: number of records that are damaged, or that something between is.
        first: about the first one, with its position in the file.
    """

    records: int = 0
    first: str = ""

    def add(self, position: int, reason: str) -> None:
        """Note something.

        Args:
            position: in the file, in bytes. reason: in one line.
        """
        self.records += 1
        self.first = self.first or f"the record at byte {position:,}: {reason}"


def read_records(
    path: Path,
    scratch: Path,
    take: Callable[[WarcRecord], Taken | None],
    damage: Damage,
    advance: Callable[[int], None],
) -> Iterator[Taken]:
    """Read an archive's records from its beginning to its end.

    Args:
        path: of a WARC or WAT file, plain or compressed (.gz, .zst).
        scratch: folder for the content of a file that is compressed as a whole.
        take: reads what is wanted of a record; None for nothing. It is called again for a record
            that was cut anew, in place of the first time.
        damage: told of what is wrong.
        advance: told how many bytes of the file are read.

    Yields:
        What was taken.

    Raises:
        InputError: when there is no record at all.
    """
    with _plain(path, scratch, damage) as (place, compressed):
        with place.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with content:
            yield from _Archive(path, place, content, compressed).read(take, damage, advance)


@contextmanager
def _plain(path: Path, scratch: Path, damage: Damage) -> Iterator[tuple[Path, bool]]:
    """A file that is plain, or whose records are gzip members; and whether it is the latter."""
    with path.open("rb") as file:
        beginning = file.read(1 << 16)
    if not beginning:
        raise InputError(str(path), "the file is empty")
    if beginning.startswith(BEGINNING):
        yield path, False
    elif beginning.startswith(MEMBER) and _holds_member(beginning) and _is_by_record(path):
        yield path, True
    elif any(beginning.startswith(magics) for magics in MAGICS.values()):
        with tempfile.NamedTemporaryFile(
            dir=scratch, prefix=".", suffix=".tmp", buffering=0
        ) as copy:
            most = max(LEAST_BOMB, MOST_RATIO * path.stat().st_size)
            for part in _decompressed(path, damage):
                if copy.tell() + len(part) > most:
                    raise InputError(str(path), f"decompresses to more than {most:,} bytes")
                try:
                    copy.write(part)
                except OSError as error:
                    raise MetacurateError(f"{scratch}: can't be written: {error}") from error
            if copy.tell():
                yield Path(copy.name), False
            else:
                yield path, _holds_member(beginning)
    else:
        yield path, _holds_member(beginning)


def _decompressed(path: Path, damage: Damage) -> Iterator[bytes]:
    try:
        with open_stream(str(path), by_content=True) as stream:
            while part := stream.read(COPY_BYTES):
                yield part
    except DamagedError as error:
        damage.add(path.stat().st_size, first_line(error))


def _is_by_record(path: Path) -> bool:
    """Whether the first member of a gzip file holds no more than one record."""
    member = zlib.decompressobj(31)
    end = b""
    with path.open("rb") as file:
        while not member.eof and (chunk := file.read(CHUNK)):
            try:
                content = end + member.decompress(chunk)
            except zlib.error:  # where members are damaged, others may be good
                return True
            if NEXT_RECORD.search(content, 0 if end else 1):
                return False
            end = content[-MARK_BYTES:]
    return True


@dataclass
class _Archive:
    """A file that can be read from any record on."""

    named: Path
    place: Path
    content: mmap.mmap
    compressed: bool
    _at: int = 0  # where the record begins that was read last
    _told: int = 0  # how far reading is, as it was told

    def read(
        self,
        take: Callable[[WarcRecord], Taken | None],
        damage: Damage,
        advance: Callable[[int], None],
    ) -> Iterator[Taken]:
        found = False
        runs = self._with_line_feeds if self._has_line_feeds() else self._at_full_speed
        for position, taken in runs(take, damage):
            advance(position - self._told)
            self._told = position
            found = True
            if taken is not None:
                yield taken
        if not found:
            raise InputError(str(self.named), "holds no WARC records")
        advance(len(self.content) - self._told)

    def _at_full_speed(
        self, take: Callable[[WarcRecord], Taken | None], damage: Damage
    ) -> Iterator[tuple[int, Taken | None]]:
        """Have FastWARC read the records; each is held back until the next one begins well."""
        start: int | None = 0
        while start is not None:
            held: Taken | None = None
            following = None
            seen = is_whole = False
            reason: str | None = None
            try:
                with self.place.open("rb") as file:
                    file.seek(start)
                    for record in ArchiveIterator(file, parse_http=False):
                        if seen:
                            yield self._at, held
                        self._at, seen = record.stream_pos, True
                        if record.content_length > LONG_RECORD and not self._fits(record):
                            break
                        held = take(record)
                    else:
                        is_whole = seen and self._is_last()
            except OSError as error:
                reason = f"it or what follows can't be read: {first_line(error).rstrip('.')}"
            if seen:
                if not is_whole:
                    following = self._next(self._at)
                    wrong, held = self._cut(take, following)
                    if (told := wrong or reason) is not None:
                        damage.add(self._at, told)
                yield self._at, held
            elif reason is not None:
                following = self._next(start)
                if start == 0:  # else it was told with the record before
                    damage.add(start, reason)
            start = following

    def _fits(self, record: WarcRecord) -> bool:
        """Whether a long record ends where it tells, and another one or nothing follows."""
        if self.compressed:
            end = self._next(self._at) or len(self.content)
            size = int.from_bytes(self.content[end - 4 : end], "little")  # RFC 1952, ISIZE
            start = zlib.decompressobj(31).decompress(
                self.content[self._at : self._at + CHUNK], CHUNK
            )
            head = HEAD_END.search(start)
            return head is not None and 0 <= size - head.end() - record.content_length <= SLACK
        head = HEAD_END.search(self.content, self._at)
        if head is None:
            return False
        end = head.end() + record.content_length
        rest = self.content[end : end + SLACK].lstrip(b"\r\n")
        return end <= len(self.content) and (not rest or rest.startswith(BEGINNING[: len(rest)]))

    def _has_line_feeds(self) -> bool:
        """Whether the lines of the first record's head end without a carriage return."""
        _, record = self._content(self._next(0))
        return record.startswith(BEGINNING) and not record.partition(b"\n")[0].endswith(b"\r")

    def _with_line_feeds(
        self, take: Callable[[WarcRecord], Taken | None], damage: Damage
    ) -> Iterator[tuple[int, Taken | None]]:
        """Cut each record anew: FastWARC would pass over records that are told too long."""
        following: int | None = 0
        while following is not None:
            self._at = following
            following = self._next(self._at)
            reason, taken = self._cut(take, following)
            if reason is not None:
                damage.add(self._at, reason)
            yield self._at, taken

    def _next(self, position: int) -> int | None:
        """Where the next record begins behind a position, or None."""
        if not self.compressed:
            found = NEXT_RECORD.search(self.content, position + 1)
            return None if found is None else found.start()
        while (position := self.content.find(MEMBER, position + 1)) >= 0:
            if _begins_record(self.content[position : position + 1024]):
                return position
        return None

    def _is_last(self) -> bool:
        """Whether the last record is whole, and nothing follows it."""
        whole, record = self._content(None)
        head = HEAD_END.search(record)
        size = None if head is None else _told_size(_told_length(record[: head.start()]))
        if not whole or head is None or size is None:
            return False
        rest = len(record) - head.end() - size
        return len(record) >= MOST_RECORD or (
            rest >= 0 and not record[len(record) - rest :].strip()
        )

    def _cut(
        self, take: Callable[[WarcRecord], Taken | None], end: int | None
    ) -> tuple[str | None, Taken | None]:
        """Take the last record with all that there is up to where the next one begins.

        Where that is the length that is told, no more than that is taken.
        """
        whole, record = self._content(end)
        head = HEAD_END.search(record)
        if head is None:
            return "the file ends within it" if end is None else "its head does not end", None
        lines, body = LINE_END.sub(b"\r\n", record[: head.start()]), record[head.end() :]
        length = _told_length(lines)
        size = _told_size(length)
        ended = body.endswith((b"\r\n\r\n", b"\n\n"))
        reason = "the file ends within it" if end is None and not whole else None
        if size is not None and size <= len(body) and RECORD_END.match(body, size):
            body = body[:size]
        elif reason is None and end is None and size is not None and len(body) < size and not ended:
            reason = f"the file ends {size - len(body):,} bytes before it does"
        elif reason is None:
            for _ in range(2):  # the empty lines that end a record
                body = body.removesuffix(b"\n").removesuffix(b"\r")
            wrong = length.decode("latin-1")[:20] or "none"
            reason = f"its length is told wrong: {len(body):,} bytes, not {wrong}"
        lines = LENGTH.sub(b"", lines).rstrip() + b"\r\nContent-Length: %d" % len(body)
        try:
            for fixed in ArchiveIterator(
                io.BytesIO(lines + b"\r\n\r\n" + body + b"\r\n\r\n"), parse_http=False
            ):
                return reason, take(fixed)
        except OSError as error:
            return first_line(error).rstrip("."), None
        return "its head is damaged", None

    def _content(self, end: int | None) -> tuple[bool, bytes]:
        """All bytes from the last record to an end, decompressed; and whether they are whole."""
        stop = len(self.content) if end is None else end
        if not self.compressed:
            return True, self.content[self._at : min(stop, self._at + MOST_RECORD)]
        parts: list[bytes] = []
        size = 0
        position = self._at
        while position < stop and size < MOST_RECORD:
            member = zlib.decompressobj(31)
            while not member.eof and position < stop and size < MOST_RECORD:
                chunk = self.content[position : min(stop, position + CHUNK)]
                position += len(chunk)
                try:
                    parts.append(member.decompress(chunk))
                except zlib.error:
                    return False, b"".join(parts)
                size += len(parts[-1])
            if not member.eof:
                return size >= MOST_RECORD, b"".join(parts)
            position -= len(member.unused_data)
            if not self.content[position : position + 3].startswith(MEMBER):
                break
        return True, b"".join(parts)


def _told_length(head: bytes) -> bytes:
    """The length that a record's head tells, as it stands; empty where it tells none."""
    told = LENGTH.search(head)
    return told[1] if told else b""


def _told_size(length: bytes) -> int | None:
    return int(length[:DIGITS]) if length.isdigit() else None


def _holds_member(beginning: bytes) -> bool:
    """Whether a gzip member with a record begins somewhere, behind garbage."""
    position = beginning.find(MEMBER)
    while position >= 0 and not _begins_record(beginning[position:]):
        position = beginning.find(MEMBER, position + 1)
    return position >= 0


def _begins_record(raw: bytes) -> bool:
    """Whether the beginning of a gzip member is that of a record."""
    try:
        return zlib.decompressobj(31).decompress(raw, len(BEGINNING)) == BEGINNING
    except zlib.error:
        return False
