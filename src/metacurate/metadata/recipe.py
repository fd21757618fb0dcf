"""What metadata is built of, and how much of each source is taken."""

import math
from dataclasses import dataclass
from typing import Literal

from metacurate.errors import UsageError

LIMIT = 500_000  # entries, the paper's
UNIGRAM_MIN_COUNT = 100
BIGRAM_MIN_PMI = 30.0
TITLE_MIN_VIEWS = 70
HOUR_MIN_VIEWS = 50
MOST_ENTRIES = 2**32 - 1  # an entry's id has 32 bits
MOST_COUNT = 2**63 - 1


@dataclass(frozen=True)
class Recipe:
    """What metadata is built of; the defaults are the paper's (arXiv 2309.16671, table 1).

    Where a size is given, its threshold applies only if it is given, too.

    Attributes:
        wordnet: folder or archive of WordNet. wikipedia: files of text: Parquet or XML dumps.
        unigram_counts, bigram_counts: lists that others counted, in place of text.
        pageviews: hourly files. title_list: all titles of articles.
        unigram_min_count: of a word. unigrams: how many new entries to take, best first.
        bigram_min_pmi: of a bigram, in bits. bigram_min_count: of a bigram. bigrams: how many.
        title_min_views: of a title in all. titles: how many.
        hour_min_views: of a title in an hour, for the hour to count.
        project: code of the wiki in page views.
        limit: of entries in all.
        spaced, drop_unmatchable, case_variants: see `metacurate.metadata.assemble.assemble`.
    """

    wordnet: str | None = None
    wikipedia: tuple[str, ...] = ()
    unigram_counts: str | None = None
    bigram_counts: str | None = None
    pageviews: tuple[str, ...] = ()
    title_list: str | None = None
    unigram_min_count: int | None = None
    unigrams: int | None = None
    bigram_min_pmi: float | None = None
    bigram_min_count: int = 1
    bigrams: int | None = None
    title_min_views: int | None = None
    titles: int | None = None
    hour_min_views: int = HOUR_MIN_VIEWS
    project: str = "en"
    limit: int = LIMIT
    spaced: bool = False
    drop_unmatchable: bool = False
    case_variants: bool = False

    @property
    def counts_files(self) -> bool:
        """Whether there is anything to count, which takes its time."""
        return bool(self.wikipedia or self.unigram_counts or self.pageviews or self.title_list)

    @property
    def counted_lists(self) -> list[tuple[str, Literal[1, 2]]]:
        """Lists that others counted, and how many words an entry of each has."""
        lists: list[tuple[str, Literal[1, 2]]] = []
        if self.unigram_counts is not None:
            lists.append((self.unigram_counts, 1))
        if self.bigram_counts is not None:
            lists.append((self.bigram_counts, 2))
        return lists

    def check(self) -> None:
        """Refuse what can't be built.

        Raises:
            UsageError: naming the flag.
        """
        if self.wordnet is None and not self.counts_files and not self.bigram_counts:
            raise UsageError(
                "nothing to build metadata of: give --wordnet, --wikipedia, --unigram-counts, "
                "--pageviews or --title-list (metacurate metadata fetch downloads them)"
            )
        if self.wikipedia and (self.unigram_counts or self.bigram_counts):
            raise UsageError(
                "--wikipedia is counted, and --unigram-counts and --bigram-counts are counts "
                "already: give one or the other"
            )
        if self.bigram_counts and not self.unigram_counts:
            raise UsageError(
                "--bigram-counts needs --unigram-counts: the PMI of two words depends on how "
                "often each occurs"
            )
        counted = {
            "unigrams": (self.wikipedia or self.unigram_counts, "--wikipedia or --unigram-counts"),
            "bigrams": (self.wikipedia or self.bigram_counts, "--wikipedia or --bigram-counts"),
            "titles": (self.pageviews or self.title_list, "--pageviews or --title-list"),
        }
        for flag, (source, flags) in counted.items():
            size = getattr(self, flag)
            if size is not None and not source:
                raise UsageError(f"--{flag} needs {flags}")
            if size is not None and not 0 <= size <= MOST_ENTRIES:
                raise UsageError(f"--{flag} {size}: a number of entries is 0 to {MOST_ENTRIES:,}")
        for flag in ("unigram_min_count", "bigram_min_count", "title_min_views", "hour_min_views"):
            least = getattr(self, flag)
            if least is not None and not 0 <= least <= MOST_COUNT:
                raise UsageError(f"--{flag.replace('_', '-')} {least}: a count is 0 to 2^63 - 1")
        if self.bigram_min_pmi is not None and not math.isfinite(self.bigram_min_pmi):
            raise UsageError(f"--bigram-min-pmi {self.bigram_min_pmi}: not a number of bits")
        if not 1 <= self.limit <= MOST_ENTRIES:
            raise UsageError(f"--limit {self.limit}: a list has 1 to {MOST_ENTRIES:,} entries")
