"""Texts from the web as they may be shown: what is invisible in them becomes visible."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from metacurate.reporting.explorer.marks import Segment
from metacurate.reporting.visible import is_hidden

SHORT = {"\n": "\u21b5", "\t": "\u21e5", "\r": "\u240d"}
_HOST = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)*(\[[^\]/?#]*\]|[^/?#:]*)", re.ASCII | re.IGNORECASE
)
_LINK = re.compile(r"https?://[!-~\u00a1-\U0010ffff]+", re.IGNORECASE)
_LETTERS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True)
class Piece:
    """A part of a text.

    Attributes:
        text: as it is; or of what is invisible, what to show for it.
        name: of what is invisible; "" for texts.
    """

    text: str
    name: str = ""


@dataclass(frozen=True)
class Stretch:
    """A part of a text, under the same marks, in pieces; see `Segment`."""

    pieces: tuple[Piece, ...]
    entry_ids: tuple[int, ...]


def show(text: str) -> Iterator[Piece]:
    """Cut a text into pieces that can be shown.

    Args:
        text: any.
    """
    start = 0
    for i, char in enumerate(text):
        if is_hidden(char):
            if i > start:
                yield Piece(text[start:i])
            start = i + 1
            name = unicodedata.name(char, "control character")
            number = f"U+{ord(char):04X}"
            yield Piece(SHORT.get(char, number), f"{number} {name}")
    if start < len(text):
        yield Piece(text[start:])


def show_segments(text: str, segments: Sequence[Segment]) -> list[Stretch]:
    """Cut a text that has marks into pieces.

    Args:
        text: the whole. segments: of it, or of a part.
    """
    return [Stretch(tuple(show(text[s.start : s.stop])), s.entry_ids) for s in segments]


def domain_of(url: str) -> str:
    """The host that an address names, in small ASCII letters; "" where there is none.

    Args:
        url: any text.
    """
    found = _HOST.match(url)
    return found[1].translate(_LETTERS) if found else ""


def has_domain(url: str, domain: str) -> bool:
    """Whether an address lies in a domain.

    Args:
        url: any text. domain: in small letters; hosts below it count.
    """
    host = domain_of(url)
    return host == domain or host.endswith(f".{domain}")


def small_letters(text: str) -> str:
    """A text with its ASCII letters, and no others, made small."""
    return text.translate(_LETTERS)


def link_of(url: str | None) -> str | None:
    """An address that a page may link to: http or https, and nothing strange in it.

    Args:
        url: any text.
    """
    if url is None or len(url) > 4096 or not _LINK.fullmatch(url):
        return None
    return None if any(map(is_hidden, url)) else url


def image_of(url: str | None) -> str | None:
    """An address that a page may load an image from: of the web, not of this network.

    Args:
        url: any text.
    """
    link = link_of(url)
    if link is None:
        return None
    host = domain_of(link).strip("[]").rstrip(".")
    if not set(host) & set(".:") or host.endswith((".localhost", ".local", ".internal")):
        return None  # a name of this machine, or of its network
    try:
        return link if ip_address(host).is_global else None
    except ValueError:
        numeric = re.fullmatch(r"[0-9a-fx.]+", host) and host.rsplit(".", 1)[-1][:1].isdigit()
        return None if numeric else link  # browsers read 127.1 and 0x7f.1 as addresses, too


def joined(pieces: Iterable[Piece]) -> str:
    """Pieces as one plain text, for attributes and titles."""
    return "".join(f"<{piece.text}>" if piece.name else piece.text for piece in pieces)
