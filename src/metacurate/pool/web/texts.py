"""Captions as pages hold them, brought to one plain line each."""

import html
import re

REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")  # those that are no white space
SURROGATE = re.compile("[\ud800-\udfff]")


def plain_line(text: str) -> str:
    """Bring a caption to one line: nothing but white space and control characters changes.

    Runs of white space, as `str.split` knows it, become single spaces, and go at both ends;
    control characters (Unicode's category Cc) go. A lone surrogate, which JSON can hold and UTF-8
    can't, becomes U+FFFD.

    Args:
        text: any.

    Returns:
        The line; empty where the text holds nothing else.
    """
    if not text.isprintable():
        text = SURROGATE.sub("\ufffd", CONTROL.sub("", text))
    elif "  " not in text and text.strip() == text:
        return text  # its spaces are single ones already: the only white space that is printable
    return " ".join(text.split())


def decode_references(text: str) -> str:
    """Decode the character references that a text still holds, as ``&amp;`` and ``&#39;``.

    For texts from WAT files: the older ones hold attributes as they were written, and in newer
    ones, which hold them decoded, a reference was escaped twice. Only references that end in a
    semicolon count, since "R&D" and "?a=1&copy=2" hold none.

    Args:
        text: any.
    """
    return REFERENCE.sub(_decoded, text) if "&" in text else text


def _decoded(reference: re.Match[str]) -> str:
    return html.unescape(reference[0])
