"""WebDataset tars: samples as the webdataset package groups them, nothing else read."""

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metacurate.pool import webdataset
from metacurate.pool.blocks import Block
from metacurate.pool.streams import open_stream
from metacurate.pool.webdataset import read_webdataset

JPG = b"\xff\xd8 an image"
Member = tuple[str, bytes] | tarfile.TarInfo


def tar_of(*members: Member, mode: str = "w", format_: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=format_, errors="surrogateescape") as tar:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def fields(**values: Any) -> bytes:
    return json.dumps(values, indent=4).encode()


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise AssertionError


def streams(data: bytes) -> Iterator[pa.NativeFile]:
    yield pa.BufferReader(data)
    yield pa.BufferedInputStream(pa.PythonFile(Unseekable(data), mode="r"), 1000)


def blocks(data: bytes, text_field: str | None = None) -> list[Block]:
    """The same from a stream that can seek and from one that can't."""
    seeking, reading = (list(read_webdataset(one, "a.tar", text_field)) for one in streams(data))
    for one, other in zip(seeking, reading, strict=True):
        assert one.rows.equals(other.rows)
        assert one.errors == other.errors
    return seeking


def read(*members: Member, text_field: str | None = None) -> list[dict[str, Any]]:
    (block,) = blocks(tar_of(*members), text_field)
    assert not block.errors
    return block.rows.to_pylist()  # type: ignore[no-any-return]


def error_of(*members: Member) -> str:
    """What is said of one sample, which becomes a row of nulls beside a good one."""
    (block,) = blocks(tar_of(("good.txt", b"a fox"), *members))
    rows = block.rows.to_pylist()
    assert rows[0]["text"] == "a fox"
    assert [set(map(repr, row.values())) for row in rows[1:]] == [{"None"}]
    (error,) = block.errors
    assert error.isprintable()
    return error


# ---- which text


@pytest.mark.parametrize(
    ("members", "texts"),
    [
        pytest.param({"txt": b"a fox"}, ["a fox"], id="txt"),
        pytest.param({"TXT": b"a fox"}, ["a fox"], id="endings in any case"),
        pytest.param({"txt": b" a\r\nfox\0\n\n"}, [" a\r\nfox\0\n"], id="as it stands"),
        pytest.param({"txt": b""}, [""], id="empty txt"),
        pytest.param({"txt": b"a fox", "json": fields(caption="x")}, ["a fox"], id="txt wins"),
        pytest.param(
            {"txt": b"a fox", "json": fields(text="x")}, ["a fox"], id="txt wins over text"
        ),
        pytest.param(
            {"txt": b"x", "json": fields(captions=["b", "a"])}, ["b", "a"], id="a list wins"
        ),
        pytest.param({"json": fields(texts=["a"], caption=["b"])}, ["a"], id="the first list"),
        pytest.param({"json": fields(captions=["a", None])}, ["a", None], id="a null in a list"),
        pytest.param({"txt": b"x", "json": fields(captions=[])}, ["x"], id="an empty list"),
        pytest.param({"txt": b"x", "json": fields(captions=[1])}, ["x"], id="a list of numbers"),
        pytest.param({"json": fields(caption="a")}, ["a"], id="caption"),
        pytest.param({"json": fields(text="t", caption="c")}, ["c"], id="caption before text"),
        pytest.param({"json": fields(caption=None, text="t")}, ["t"], id="the first that is there"),
        pytest.param({"json": fields(caption=1)}, [None], id="no string"),
        pytest.param({"json": fields(other="x")}, [None], id="none in the json"),
        pytest.param({"jpg": JPG}, [None], id="no text"),
        pytest.param({"alt.txt": b"x"}, [None], id="another ending"),
    ],
)
def test_texts(members: dict[str, bytes], texts: list[str | None]) -> None:
    rows = read(
        ("k.jpg", JPG),
        *((f"k.{ending}", content) for ending, content in members.items() if ending != "jpg"),
    )
    assert [row["text"] for row in rows] == texts
    assert {row["__id__"] for row in rows} == {"a.tar/k"}


def test_fields_stay() -> None:
    (row,) = read(("k.txt", b"t"), ("k.json", fields(caption="c", text="x", url="u", n=2**60)))
    assert row == {"__id__": "a.tar/k", "text": "t", "caption": "c", "url": "u", "n": 2**60}
    rows = read(("k.json", fields(__id__="x", captions=["a", "b"], url="u")))
    assert rows == [{"__id__": "a.tar/k", "text": text, "url": "u"} for text in ("a", "b")]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("txt", [{"txt": "t", "caption": "c", "alts": ["a", "b"], "text": "x"}]),
        ("caption", [{"caption": "c", "alts": ["a", "b"], "text": "x"}]),
        ("alts", [{"alts": alt, "caption": "c", "text": "x"} for alt in ("a", "b")]),
        ("none", [{"none": None, "caption": "c", "alts": ["a", "b"], "text": "x"}]),
    ],
)  # fmt: skip
def test_a_named_field(field: str, expected: list[dict[str, Any]]) -> None:
    json_ = fields(caption="c", alts=["a", "b"], text="x")
    rows = read(("k.txt", b"t"), ("k.json", json_), text_field=field)
    assert rows == [{"__id__": "a.tar/k", **row} for row in expected]


# ---- which samples


def test_grouping() -> None:
    rows = read(
        ("d.1/a.b.jpg", JPG), ("d.1/a.txt", b"1"), ("d.2/a.txt", b"2"), ("./a.txt", b"3"),
        special("d.3", tarfile.DIRTYPE), ("README", b"x"), (".a.txt", b"x"), ("d.3/._a.txt", b"x"),
        ("__meta__/a.txt", b"x"), special("l.jpg", tarfile.SYMTYPE, "x"), ("b.txt", b"4"),
        ("b.c/d", b""), ("b.json", fields(n=1)), ("c.", b""),
    )  # fmt: skip
    assert [(row["__id__"], row["text"]) for row in rows] == [
        ("a.tar/d.1/a", "1"), ("a.tar/d.2/a", "2"), ("a.tar/./a", "3"), ("a.tar/b", "4"),
        ("a.tar/c", None),
    ]  # fmt: skip


NAMES = st.lists(st.text(st.sampled_from("ab./_é\n"), min_size=1, max_size=5), max_size=6)


@settings(deadline=None)
@given(
    NAMES, st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.sampled_from([1, 2, 99])
)
@example(["x" * 300 + "/é.a", "é" * 200 + ".a"], tarfile.GNU_FORMAT, 99)
@example(["x" * 300 + "/é.a", "é" * 200 + ".a"], tarfile.PAX_FORMAT, 99)
def test_any_names(names: list[str], format_: int, rows: int) -> None:
    """Every sample is a row or an error, and no bad name comes through."""
    data = tar_of(*((f"{name}.txt", b"x") for name in names), format_=format_)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(webdataset, "BLOCK_ROWS", rows)
        parts = blocks(data)
    ids = [i for part in parts for i in part.rows["__id__"].to_pylist()]
    n_errors = sum(len(part.errors) for part in parts)
    assert ids.count(None) == n_errors
    good = [i for i in ids if i is not None]
    assert len(set(good)) == len(good)
    for one in good:
        key = one.removeprefix("a.tar/")
        assert not key.startswith("/")
        assert ".." not in key.split("/")
    for part in parts:
        assert all(error.isprintable() for error in part.errors)


def test_an_empty_tar() -> None:
    (block,) = blocks(tar_of())
    assert len(block.rows) == 0
    assert set(block.rows.column_names) == {"__id__", "text"}


# ---- what is broken


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("k.json", b"[1]")], "sample 'k': its .json is no JSON object"),
        ([("k.json", b'{"a": 1'), ("k.txt", b"x")], "sample 'k': its .json is no JSON: "),
        ([("k.json", b"")], "sample 'k': its .json is no JSON: "),
        ([("k.json", b'{"a": "\xff"}')], "sample 'k': its .json is no UTF-8"),
        ([("k.txt", b"\xff")], "sample 'k': its .txt is no UTF-8"),
        ([("k.json", fields(text=5))], "sample 'k': its 'text' is no text"),
        ([("k.txt", b"x"), ("k.txt", b"x")], "member 'k.txt': is the second of its kind"),
        ([special("k.txt", tarfile.SYMTYPE, "/etc/passwd")], "member 'k.txt': is a link"),
        ([special("k.json", tarfile.LNKTYPE, "good.txt")], "member 'k.json': is a link"),
        ([special("k.txt", tarfile.CHRTYPE)], "member 'k.txt': is a device"),
        ([special("k.txt", tarfile.FIFOTYPE)], "member 'k.txt': is a device"),
        ([("/k.txt", b"x"), ("/k.json", b"{}")], "'/k"),
        ([("a/../../k.jpg", JPG), ("a/../../k.txt", b"x")], "'a/../../k"),
        ([("\x1b[31m/../k.txt", b"x")], r"\x1b[31m"),
        ([("\udcff.txt", b"x")], "no UTF-8"),
        ([("good2.txt", b"x"), ("good.txt", b"y")], "sample 'good': an earlier one"),
        ([("k.txt", bytes(601))], "member 'k.txt': is larger than"),
        ([("k.json", fields(captions=["a"] * 9, b="x" * 30))], "has too many captions"),
    ],
)  # fmt: skip
def test_bad_samples(members: list[Member], reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "larger" in reason:
        monkeypatch.setattr(webdataset, "MEMBER_LIMIT", 600)
    if "captions" in reason:
        monkeypatch.setattr(webdataset, "COPIES_LIMIT", 300)
    if "earlier" in reason:
        (block,) = blocks(tar_of(("good.txt", b"a fox"), *members))
        assert block.rows["text"].to_pylist() == ["a fox", "x", None]
        assert reason in "".join(block.errors)
    else:
        assert reason in error_of(*members)


def test_sparse_files() -> None:
    info = special("k.txt", tarfile.GNUTYPE_SPARSE)
    assert "is a sparse file" in error_of(info)


def test_a_block_of_bad_samples_only() -> None:
    (block,) = blocks(tar_of(("k.json", b"x")))
    assert block.rows["__id__"].to_pylist() == [None]
    assert len(block.errors) == 1


TAR = tar_of(("a.jpg", JPG * 500), ("a.txt", b"a fox"), ("b.txt", b"a dog"))


@pytest.mark.parametrize("size", [*range(1, 512, 97), *range(512, 7600, 256), 7680])
def test_cut_short(size: int) -> None:
    """Wherever the members end, the end mark does not follow: two blocks of zeros at 8,192."""
    assert TAR[8192:] == bytes(len(TAR) - 8192)
    for one in streams(TAR[:size]):
        with pytest.raises(ValueError, match=r"cut short|is no tar"):
            list(read_webdataset(one, "a.tar"))


def test_one_block_of_zeros_is_an_end() -> None:
    (block,) = blocks(TAR[: 8192 + 512])
    assert len(block.rows) == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"not a tar at all" * 100, "is no tar"),
        (b"PAR1\x15\x04\x15" + bytes(600), "Parquet"),
        (TAR + TAR, "more behind the end"),
        (tar_of(("a.txt", b"x")).replace(b"ustar", b"xstar", 1), "is no tar"),
        (TAR[:512] + b"x" * 512 + TAR[1024:7168] + b"x" * 512 + TAR[7680:], "damaged"),
    ],
)
def test_files_that_are_none(data: bytes, reason: str) -> None:
    for one in streams(data):
        with pytest.raises(ValueError, match=reason):
            list(read_webdataset(one, "a.tar"))


def test_headers_of_any_size_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tar_of(("x" * 5000 + "/a.txt", b"x"), ("b.txt", b"y"), format_=tarfile.GNU_FORMAT)
    monkeypatch.setattr(webdataset, "MEMBER_LIMIT", 4096)
    for one in streams(data):
        with pytest.raises(ValueError, match="a header is too large"):
            list(read_webdataset(one, "a.tar"))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, len(TAR) - 1), st.integers(0, 255)), max_size=4))
def test_damage_raises_nothing_else(changes: list[tuple[int, int]]) -> None:
    data = bytearray(TAR)
    for place, byte in changes:
        data[place] = byte
    for one in streams(bytes(data)):
        with suppress(ValueError):
            list(read_webdataset(one, "a.tar"))


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_other_members_are_passed_over(ending: str, tmp_path: Path) -> None:
    members = [
        (f"{i}.{kind}", JPG * 10_000 if kind == "jpg" else b"x")
        for i in range(20)
        for kind in ("jpg", "txt")
    ]
    path = tmp_path / f"a.tar{ending}"
    path.write_bytes(tar_of(*members, mode="w:gz" if ending else "w"))
    (block,) = read_webdataset(open_stream(str(path)), "a.tar")
    assert len(block.rows) == 20
    path.write_bytes(path.read_bytes()[:-9] if ending else path.read_bytes()[:-20_000])
    with pytest.raises((OSError, ValueError), match="cut short"):
        list(read_webdataset(open_stream(str(path)), "a.tar"))
