"""Encodings of pages: server, page, and bytes."""

import codecs

import pytest

from metacurate.pool.web.encoding import to_text

JAPANESE = "吉田カバンのかばん、財布、トートバッグを紹介します。" * 20


def text(content: bytes, charset: str | None = None) -> str:
    found = to_text(content, charset)
    return found if isinstance(found, str) else found.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("content", "charset", "expected"),
    [
        ("é".encode(), None, "é"),
        ("é".encode(), "UTF-8", "é"),
        ("é".encode("latin-1"), "ISO-8859-1", "é"),
        (b"\x93quoted\x94", "iso-8859-1", "“quoted”"),
        ("狐".encode("euc-jp"), "EUC-JP", "狐"),
        ("狐".encode("gb18030"), " gb2312 ", "狐"),
        ("é".encode(), "no-such-charset", "é"),
        (codecs.BOM_UTF8 + "é".encode(), "iso-8859-1", "é"),
        (codecs.BOM_UTF16_LE + "é".encode("utf-16-le"), None, "é"),
        (codecs.BOM_UTF16_BE + "é".encode("utf-16-be"), "utf-8", "é"),
        (b"<meta charset=windows-1251>\xe4", None, "<meta charset=windows-1251>д"),
        (b"<meta charset=windows-1251>\xe4", "windows-1252", "<meta charset=windows-1251>ä"),
        (b"<META HTTP-EQUIV='Content-Type' CONTENT='text/html; charset=koi8-r'>\xc4", None,
         "<META HTTP-EQUIV='Content-Type' CONTENT='text/html; charset=koi8-r'>д"),
        (b"<meta charset=utf-16>\xc3\xa9", None, "<meta charset=utf-16>é"),
        (b"", None, ""),
        (b"a\xff\xfeb", "utf-8", "a\ufffd\ufffdb"),
    ],
)  # fmt: skip
def test_encodings(content: bytes, charset: str | None, expected: str) -> None:
    assert text(content, charset) == expected


@pytest.mark.parametrize("name", ["euc-jp", "shift_jis"])
def test_what_nobody_declares_is_detected(name: str) -> None:
    assert text(JAPANESE.encode(name)) == JAPANESE


def test_what_looks_like_nothing_is_read_as_browsers_do() -> None:
    assert text(b"caf\xe9") in ("café", "cafй")  # too short to tell
    assert isinstance(to_text(bytes(range(256)) * 10, None), str)
