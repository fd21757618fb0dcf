"""Lists of what must not come in: domains, hashes of URLs, and words.

Such lists are published: of domains with illegal content, of images that people want taken down,
of words that NSFW captions hold.
"""

import hashlib
import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from metacurate.engine.storage import read_bytes
from metacurate.engine.stores import Place
from metacurate.errors import InputError, MetacurateError, UsageError, first_line
from metacurate.matching.matcher import Matcher
from metacurate.metadata.metadata import Metadata
from metacurate.pool.uid import UID_DIGITS, uid_of
from metacurate.pool.web.links import host_of

ALGORITHMS = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256"}  # by number of hex digits
NO_WORD = re.compile(r"[\W_]+")
MOST_KNOWN = 1 << 18  # hosts that are remembered
HEX = re.compile(r"[0-9a-f]+")
COMMENT = re.compile(r"(?:^|\s)#(?:\s.*)?$")
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)  # Thai, Lao, Burmese, Khmer, Japanese, Chinese


class Domains:
    """Domains that are blocked, each with all that belong to it."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Take a list.

        Args:
            lines: a domain each, or as in a hosts file an address and a domain.

        Raises:
            UsageError: for a line that is none.
        """
        self._domains = frozenset(_domain(line) for line in lines)
        self._known: dict[str, bool] = {}

    def holds(self, url: str) -> bool:
        """Whether a URL's host, or a domain that it belongs to, is on the list.

        Args:
            url: any; one without a host is of no domain.
        """
        host = host_of(url)
        blocked = self._known.get(host)
        if blocked is None:
            if len(self._known) == MOST_KNOWN:
                self._known.clear()
            labels = host.rstrip(".").split(".")
            blocked = any(".".join(labels[i:]) in self._domains for i in range(len(labels)))
            self._known[host] = blocked
        return blocked


class UrlHashes:
    """URLs that are blocked, known by hashes: MD5, SHA-1, SHA-224, SHA-256, or uids."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Take a list.

        Args:
            lines: a hash in hex each; its length tells which one it is.

        Raises:
            UsageError: for a line that is none.
        """
        self._by_size: dict[int, set[str]] = {}
        for line in lines:
            digits = line.lower()
            if not HEX.fullmatch(digits) or len(digits) not in (UID_DIGITS, *ALGORITHMS):
                raise UsageError(
                    f"{line[:80]!r} is no hash of a URL: MD5, SHA-1, SHA-224 or SHA-256 in hex, or "
                    "a uid"
                )
            self._by_size.setdefault(len(digits), set()).add(digits)

    def holds(self, url: str) -> bool:
        """Whether a hash of a URL is on the list.

        Args:
            url: absolute, as `links.Base.resolve` writes it.
        """
        return any(_hash(url, size) in known for size, known in self._by_size.items())


class Words:
    """Words and phrases that block a text."""

    def __init__(self, lines: Sequence[str]) -> None:
        """Take a list.

        Args:
            lines: a word or phrase each; upper and lower case are one.

        Raises:
            UsageError: for a line without a word.
        """
        phrases = {line: _words(line) for line in lines}
        for line, phrase in phrases.items():
            if not phrase:
                raise UsageError(f"{line[:80]!r} holds no word")
        self._parts = [phrase for phrase in phrases.values() if UNSPACED.search(phrase)]
        self._matcher = Matcher(Metadata.from_entries(sorted(set(phrases.values()))))

    def hold(self, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which texts hold one of the words, in whatever case.

        It counts as a whole word; but anywhere where it is of a script without spaces.

        Args:
            texts: any.

        Returns:
            bool[texts].
        """
        lines = [_words(text) for text in texts]
        matches = self._matcher.match(lines)
        blocked: npt.NDArray[np.bool_] = pc.list_value_length(matches).to_numpy() > 0
        if self._parts:
            blocked |= np.array([any(part in line for part in self._parts) for line in lines])
        return blocked


def read_list(path: Place) -> list[str]:
    """Read a list: lines without white space around them, without comments and empty ones.

    A comment begins with "#" and a space, or with "#" at the end of a line. What else begins with
    it, as "#nsfw", is no comment.

    Args:
        path: a text file in UTF-8.

    Raises:
        InputError: when it can't be read, is no UTF-8, or is empty.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(str(path), "is no UTF-8") from error
    except (OSError, MetacurateError) as error:
        raise InputError(str(path), f"can't be read: {first_line(error)}") from error
    lines = (COMMENT.sub("", line).strip() for line in text.splitlines())
    found = [line for line in lines if line]
    if not found:
        raise InputError(str(path), "holds no lines")
    return found


def _domain(line: str) -> str:
    named = line.split()
    if len(named) == 2 and _is_address(named[0]):
        named = named[1:]
    domain = named[0].removeprefix("*.").strip(".") if len(named) == 1 else ""
    host = (
        host_of(f"http://{domain}/") if domain and not re.search(r"[/@?#\\]|:\d+$", domain) else ""
    )
    if not host:
        raise UsageError(f"{line[:80]!r} is no domain")
    return host


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _hash(url: str, size: int) -> str:
    if size == UID_DIGITS:
        return uid_of(url)
    return hashlib.new(ALGORITHMS[size], url.encode(), usedforsecurity=False).hexdigest()


def _words(text: str) -> str:
    return NO_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
