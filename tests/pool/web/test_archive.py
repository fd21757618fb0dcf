"""Records of archives: all that are there, whatever is wrong with some."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from fastwarc.warc import WarcRecord
from hypothesis import given
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from metacurate.errors import InputError
from metacurate.pool.web import archive
from metacurate.pool.web.archive import Damage, read_records

from .archives import record

BODIES = [b'{"record": %d}' % i + b"." * 50 for i in range(5)]
RECORDS = [record("metadata", body) for body in BODIES]

Write = Callable[[list[bytes]], bytes]


def members(records: list[bytes]) -> bytes:
    return b"".join(map(gzip.compress, records))


def whole(records: list[bytes]) -> bytes:
    return gzip.compress(b"".join(records))


def frames(records: list[bytes]) -> bytes:
    codec = pa.Codec("zstd")
    return b"".join(codec.compress(one, asbytes=True) for one in records)


WRITERS: dict[str, Write] = {
    "plain": b"".join, "members": members, "whole": whole, "zstd": frames,
}  # fmt: skip


@pytest.fixture(params=list(WRITERS))
def write(request: pytest.FixtureRequest) -> Write:
    return WRITERS[request.param]


def read(content: bytes, tmp_path: Path) -> tuple[list[bytes], Damage]:
    path = tmp_path / "archive.warc.any"
    path.write_bytes(content)
    damage = Damage()
    advanced: list[int] = []
    found = list(read_records(path, tmp_path, body_of, damage, advanced.append))
    assert min(advanced, default=0) >= 0
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    return found, damage


def body_of(record: WarcRecord) -> bytes:
    return record.reader.read()


def test_whole_archives(write: Write, tmp_path: Path) -> None:
    for count in (1, 2, 5):
        assert read(write(RECORDS[:count]), tmp_path) == (BODIES[:count], Damage())


def test_progress_ends_at_the_size_of_the_file(tmp_path: Path) -> None:
    for one in (b"".join, members):
        path = tmp_path / "x.warc"
        path.write_bytes(one(RECORDS))
        told: list[int] = []
        list(read_records(path, tmp_path, body_of, Damage(), told.append))
        assert sum(told) == path.stat().st_size


def test_what_nobody_wants_is_passed_over(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "x.warc"
    path.write_bytes(write(RECORDS))
    seen: list[int] = []

    def take(record: WarcRecord) -> bytes | None:
        seen.append(record.content_length)
        return record.reader.read() if len(seen) == 3 else None

    assert list(read_records(path, tmp_path, take, Damage(), lambda size: None)) == [BODIES[2]]
    assert len(seen) == 5


@pytest.mark.parametrize("wrong", [-20, 20, 300, 10**7, 2**80])
@pytest.mark.parametrize("where", [0, 1, 4])
def test_lengths_that_are_told_wrong(wrong: int, where: int, write: Write, tmp_path: Path) -> None:
    records = list(RECORDS)
    length = len(BODIES[where]) + wrong
    records[where] = record("metadata", BODIES[where], length=length)
    found, damage = read(write(records), tmp_path)
    assert found == BODIES
    assert damage.records == 1
    assert "length is told wrong" in damage.first or "the file ends" in damage.first


@pytest.mark.parametrize("length", ["", "abc", "-5", "1e3", "٣"])
def test_lengths_that_are_none(length: str, write: Write, tmp_path: Path) -> None:
    records = [record("metadata", BODIES[0], length=length), *RECORDS[1:]]
    found, damage = read(write(records), tmp_path)
    assert found == BODIES
    assert damage.records == 1


def test_heads_with_line_feeds_alone(write: Write, tmp_path: Path) -> None:
    records = [record("metadata", body, line_end="\n") for body in BODIES]
    assert read(write(records), tmp_path) == (BODIES, Damage())
    records[1] = record("metadata", BODIES[1], line_end="\n", length=30)
    found, damage = read(write(records), tmp_path)
    assert found == BODIES
    assert damage.records == 1
    assert f"{len(BODIES[1])} bytes, not 30" in damage.first


def test_files_that_are_cut_short(tmp_path: Path) -> None:
    for missing in (5, 30, 60, 100):
        found, damage = read(b"".join(RECORDS)[:-missing], tmp_path)
        assert found[:4] == BODIES[:4]
        assert all(BODIES[4].startswith(body) for body in found[4:])
        assert damage.records == (missing > 4)
        for content in (members(RECORDS), whole(RECORDS)):
            found, damage = read(content[:-missing], tmp_path)
            assert damage.records
            assert all(body.startswith(one) for one, body in zip(found, BODIES, strict=False))
    found, damage = read(members(RECORDS)[:-5], tmp_path)
    assert found == BODIES
    assert damage.first.endswith("the file ends within it")


def test_damaged_members_cost_only_themselves(tmp_path: Path) -> None:
    parts = [gzip.compress(one) for one in RECORDS]
    parts[2] = parts[2][:40] + bytes(byte ^ 0xFF for byte in parts[2][40:60]) + parts[2][60:]
    found, damage = read(b"".join(parts), tmp_path)
    assert found == [*BODIES[:2], *BODIES[3:]]
    assert damage.records == 1
    start = len(parts[0])
    assert damage.first.startswith(f"the record at byte {start:,}: it or what follows")


@pytest.mark.parametrize("garbage", [b"garbage", b"\0" * 100, b"\r\n\r\n\r\n"])
def test_garbage_between_records(garbage: bytes, tmp_path: Path) -> None:
    for one in (b"".join, members):
        for good in (0, 2):
            content = one(RECORDS[:good]) + garbage + b"\n" + one(RECORDS[good:])
            found, _ = read(content, tmp_path)
            assert found == BODIES


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello\n" * 100, "holds no WARC records"),
        (gzip.compress(b"", mtime=0), "holds no WARC records"),
        (gzip.compress(b"hello\n" * 100, mtime=0), "holds no WARC records"),
        (b"PK\x03\x04" + bytes(100), "holds no WARC records"),
        (b"\x1f\x8b\x08" + b"x" * 100, "holds no WARC records"),
        (b"\x28\xb5\x2f\xfd" + b"x" * 100, "holds no WARC records"),
    ],
)
def test_what_is_no_archive(content: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=reason):
        read(content, tmp_path)


@given(st.lists(st.binary(max_size=300), min_size=1), st.sampled_from(sorted(WRITERS)))
def test_any_content_is_read_as_warcio_reads_it(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], writer: str
) -> None:
    records = [record("metadata", body) for body in bodies]
    plain = [r.content_stream().read() for r in ArchiveIterator(io.BytesIO(b"".join(records)))]
    assert plain == bodies
    found, damage = read(WRITERS[writer](records), tmp_path_factory.mktemp("archive"))
    assert (found, damage) == (bodies, Damage())


@given(st.data())
def test_whatever_bytes_are_changed_the_other_records_are_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    compressed = data.draw(st.booleans())
    parts = [gzip.compress(one, mtime=0) if compressed else one for one in RECORDS]
    hit = data.draw(st.integers(0, 4))
    # neither what the file is known by, nor what the next record is
    at = data.draw(st.integers(0 if hit else 8, len(parts[hit]) - 9))
    change = data.draw(st.binary(min_size=1, max_size=8))
    parts[hit] = parts[hit][:at] + change + parts[hit][at + len(change) :]
    found, _ = read(b"".join(parts), tmp_path_factory.mktemp("archive"))
    others = [body for i, body in enumerate(BODIES) if i != hit]
    assert [body for body in found if body in others] == others


def test_a_file_that_is_damaged_all_over(write: Write, tmp_path: Path) -> None:
    for length in (10, 10**6, 10**9, 10**12):
        records = [record("metadata", BODIES[0], length=length)] * 300
        found, damage = read(write(records), tmp_path)
        assert found == [BODIES[0]] * 300
        assert damage.records == 300


@pytest.mark.parametrize("content_type", ["application/http; msgtype=request", "application/json"])
def test_a_long_length_hides_nothing_however_large_the_file_is(
    content_type: str, tmp_path: Path
) -> None:
    long = record("request", b"GET /", content_type=content_type, length=10**11)
    body = b"x" * (9 << 20)
    large = [RECORDS[0], long, *[record("metadata", body)] * 9, RECORDS[1]]
    for write in (b"".join, members):
        path = tmp_path / "x.warc"
        path.write_bytes(write(large))
        damage = Damage()
        lengths = list(
            read_records(path, tmp_path, lambda r: len(r.reader.read()), damage, lambda size: None)
        )
        assert lengths == [len(BODIES[0]), 5, *[len(body)] * 9, len(BODIES[1])]
        assert damage.records == 1


def test_a_record_that_lacks_its_end_does_not_take_the_next_one(tmp_path: Path) -> None:
    cut = record("metadata", b"y" * 1000)[:-500]
    found, damage = read(RECORDS[0] + cut + b"".join(RECORDS[1:]), tmp_path)
    assert [body for body in found if body[:1] != b"y"] == BODIES
    assert damage.records == 1
    head, _, body = RECORDS[2].partition(b"Content-Length: 63\r\n")
    without = head + body
    assert without != RECORDS[2]
    found, damage = read(b"".join([*RECORDS[:2], without, *RECORDS[3:]]), tmp_path)
    assert (found, damage.records) == (BODIES, 1)
    assert "bytes, not none" in damage.first


def test_a_last_record_that_is_told_too_short(write: Write, tmp_path: Path) -> None:
    for end in (b"", b"\r\n\r\n"):
        last = record("metadata", BODIES[4], length=30).removesuffix(b"\r\n\r\n") + end
        found, damage = read(write([*RECORDS[:4], last]), tmp_path)
        assert (found, damage.records) == (BODIES, 1)
        assert damage.first.endswith(f"its length is told wrong: {len(BODIES[4])} bytes, not 30")


def test_a_long_record_may_be_in_several_members(tmp_path: Path) -> None:
    long = record("metadata", b"y" * (3 << 20))
    parts = [gzip.compress(part) for part in (long[: 1 << 20], long[1 << 20 :])]
    found, damage = read(b"".join([*parts, members(RECORDS)]), tmp_path)
    assert (len(found[0]), found[1:], damage) == (3 << 20, BODIES, Damage())


def test_a_bomb_fills_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LEAST_BOMB", 1 << 20)
    bomb = gzip.compress(b"".join(RECORDS) + bytes(50 << 20))
    with pytest.raises(InputError, match="decompresses to more than"):
        read(bomb, tmp_path)
