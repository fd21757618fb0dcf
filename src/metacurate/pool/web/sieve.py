"""Which pairs of pages become rows of the pool, and why the others do not."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.engine.stores import place_of
from metacurate.errors import UsageError
from metacurate.matching.matcher import Matcher
from metacurate.matching.spacing import Mode
from metacurate.metadata.metadata import Metadata
from metacurate.pool.uid import uid_of
from metacurate.pool.web.blocking import Domains, UrlHashes, Words, read_list
from metacurate.pool.web.harvest import KEPT, Harvest
from metacurate.pool.web.language import Identifier
from metacurate.schema import EXTRACTED

MIN_CHARS = 1
MAX_CHARS = 10_000
SHORT: Final = "too_short"
LONG: Final = "too_long"
BLOCKED_DOMAIN: Final = "blocked_domain"
BLOCKED_URL: Final = "blocked_url_hash"
BLOCKED_WORD: Final = "blocked_word"
UNMATCHED: Final = "unmatched"
OTHER_LANGUAGE: Final = "other_language"
UNSURE_LANGUAGE: Final = "low_language_score"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Wanted:
    """What the rows of a pool must be like.

    Attributes:
        min_chars, max_chars: of a text, both allowed.
        block_domains, block_url_hashes, block_words: files of lists, in several files each.
        language: the code of the only one that is kept; None for all.
        min_language_score: probability of the most likely language, at least.
        metadata: file of the entries of which a text must match one; None for all texts.
        mode: of matching.
    """

    min_chars: int = MIN_CHARS
    max_chars: int = MAX_CHARS
    block_domains: tuple[str, ...] = ()
    block_url_hashes: tuple[str, ...] = ()
    block_words: tuple[str, ...] = ()
    language: str | None = None
    min_language_score: float = 0.0
    metadata: str | None = None
    mode: Mode = "paper"

    def check(self) -> None:
        """Refuse what can't be.

        Raises:
            UsageError: naming it.
        """
        if not 1 <= self.min_chars <= self.max_chars:
            raise UsageError(
                f"texts of {self.min_chars} to {self.max_chars} characters: there are none"
            )
        if not 0 <= self.min_language_score <= 1:
            raise UsageError(f"a language's score is from 0 to 1, not {self.min_language_score}")
        if self.language is not None and not (
            self.language.isascii() and self.language.isalpha() and self.language.islower()
        ):
            raise UsageError(f"language {self.language!r} is no code like en")


class Sieve:
    """Turns harvests into rows.

    What costs least comes first; a text that matches no entry needs no language.
    """

    def __init__(self, wanted: Wanted) -> None:
        """Read the lists and the entries, and load the model for languages.

        Args:
            wanted: what rows must be like.

        Raises:
            UsageError: when it can't be, or a list holds a line that does not belong there.
            InputError: when a file can't be read.
            MetacurateError: when the model is not there.
        """
        wanted.check()
        self._wanted = wanted
        self._domains = _read_lists(Domains, wanted.block_domains)
        self._hashes = _read_lists(UrlHashes, wanted.block_url_hashes)
        self._words = _read_lists(Words, wanted.block_words)
        self._matcher = None
        if wanted.metadata is not None:
            self._matcher = Matcher(Metadata.read(wanted.metadata), wanted.mode)
        self._identifier = Identifier()

    def sift(self, harvest: Harvest, archive: str, counts: Counter[str]) -> pa.Table:
        """Choose rows.

        Args:
            harvest: pairs. archive: name of their file. counts: told how many were left out, by
                reason, and how many were kept.

        Returns:
            Rows of schema EXTRACTED, in the order of the pairs.
        """
        wanted = self._wanted
        rows = _Rows(harvest, counts)
        lengths = np.fromiter(map(len, harvest.texts), np.int64, len(harvest))
        rows.keep(lengths >= wanted.min_chars, SHORT)
        rows.keep(lengths[rows.left] <= wanted.max_chars, LONG)
        for domains in self._domains:
            pairs = zip(rows.column("urls"), rows.column("pages"), strict=True)
            held = [domains.holds(url) or domains.holds(page) for url, page in pairs]
            rows.keep(~np.array(held, np.bool_), BLOCKED_DOMAIN)
        for hashes in self._hashes:
            held = [hashes.holds(url) for url in rows.column("urls")]
            rows.keep(~np.array(held, np.bool_), BLOCKED_URL)
        for words in self._words:
            rows.keep(~words.hold(rows.column("texts")), BLOCKED_WORD)
        if self._matcher is not None:
            matches = self._matcher.match(pa.array(rows.column("texts"), pa.large_string()))
            rows.keep(pc.list_value_length(matches).to_numpy() > 0, UNMATCHED)
        languages, scores = self._identifier.identify(rows.column("texts"))
        if wanted.language is not None:
            spoken = np.array([language == wanted.language for language in languages], np.bool_)
            rows.keep(spoken, OTHER_LANGUAGE)
            languages, scores = [wanted.language] * len(rows.left), scores[spoken]
        if wanted.min_language_score > 0:
            sure = scores >= np.float32(wanted.min_language_score)
            rows.keep(sure, UNSURE_LANGUAGE)
            languages = [language for language, s in zip(languages, sure, strict=True) if s]
            scores = scores[sure]
        counts[KEPT] += len(rows.left)
        urls = rows.column("urls")
        return pa.table(
            {
                "url": urls,
                "text": rows.column("texts"),
                "uid": [uid_of(url) for url in urls],
                "attribute": rows.column("attributes"),
                "page_url": rows.column("pages"),
                "language": languages,
                "language_score": scores,
                "archive": [archive] * len(urls),
            },
            EXTRACTED,
        )


class _Rows:
    """The pairs of a harvest that are still in."""

    def __init__(self, harvest: Harvest, counts: Counter[str]) -> None:
        self._harvest = harvest
        self._counts = counts
        self.left = np.arange(len(harvest))

    def keep(self, mask: Mask, reason: str) -> None:
        """Leave out those that are not in bool[pairs that are still in]."""
        n = len(mask) - int(mask.sum())
        if n:
            self._counts[reason] += n
            self.left = self.left[mask]

    def column(self, name: str) -> list[str]:
        """A column of those that are still in."""
        values: list[str] = getattr(self._harvest, name)
        if len(self.left) == len(values):
            return values
        return [values[i] for i in self.left]


List = TypeVar("List", Domains, UrlHashes, Words)


def _read_lists(kind: Callable[[list[str]], List], paths: Sequence[str]) -> list[List]:
    found = []
    for path in paths:
        lines = read_list(place_of(path))
        try:
            found.append(kind(lines))
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
    return found
