"""Which encoding a page is in: what its server says, what it says itself, what it looks like."""

import codecs
import re

import webencodings
from charset_normalizer import from_bytes

DECLARED = re.compile(
    rb"""<meta[^>]{0,1000}?charset\s*=\s*["']?\s*([a-zA-Z0-9_:.+-]{2,40})""", re.IGNORECASE
)
DECLARED_WITHIN = 1 << 14  # bytes; the standard looks at 1,024, and again when a later one comes
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
DETECTED_WITHIN = 1 << 16  # bytes
FALLBACK = "windows-1252"


def to_text(content: bytes, server_charset: str | None) -> bytes | str:
    """Decode a page, as browsers do (HTML standard, "Determining the character encoding").

    A byte order mark goes before what the server says, and that before what the page declares. A
    page for which nobody says anything is UTF-8 where it can be, and else what its bytes look like.

    Args:
        content: the page. server_charset: of the header Content-Type, or None.

    Returns:
        The page: its own bytes where they are UTF-8, as they stand, a str else. What is invalid
        in the encoding becomes U+FFFD.
    """
    for mark, name in MARKS:
        if content.startswith(mark):
            return _decode(content[len(mark) :], codecs.lookup(name))
    encoding = webencodings.lookup(server_charset) if server_charset else None
    encoding = encoding or _declared(content)
    if encoding is not None:
        return _decode(content, encoding.codec_info)
    return content if _is_utf8(content) else _decode(content, _seeming(content))


def _declared(content: bytes) -> webencodings.Encoding | None:
    found = DECLARED.search(content, 0, DECLARED_WITHIN)
    encoding = webencodings.lookup(found[1].decode()) if found else None
    if encoding is not None and encoding.name.startswith("utf-16"):
        return None  # it could not be read as ASCII, if it were
    return encoding


def _seeming(content: bytes) -> codecs.CodecInfo:
    best = from_bytes(content[:DETECTED_WITHIN]).best()
    if best is None or best.encoding.startswith("utf"):  # which it is not, as a whole
        return codecs.lookup(FALLBACK)
    return codecs.lookup(best.encoding)


def _decode(content: bytes, codec: codecs.CodecInfo) -> bytes | str:
    return content if codec.name == "utf-8" else codec.decode(content, "replace")[0]


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
