"""The public files that lists of concepts are built from: what they are and where they lie."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from metacurate.errors import UsageError

WORDNET = "https://wordnetcode.princeton.edu/3.0/WNdb-3.0.tar.gz"
DUMPS = "https://dumps.wikimedia.org"
HUB = "https://huggingface.co"
DATASET = "datasets/wikimedia/wikipedia"
SNAPSHOT = "20231101"  # of that dataset: its newest
ENGLISH_FILES = 41  # Parquet files of its English part
LATEST = "latest"
FIRST_MONTH, MONTHS = (2021, 1), 26  # of the sampled days
HOURS = 24


@dataclass(frozen=True)
class Source:
    """A source of concepts.

    Attributes:
        name: of the source and of its folder. what: it is. licence: of its content.
        flag: of `metacurate metadata build` that reads it.
        checksum: the algorithm of the checksums that are published, None for none.
        about_bytes: roughly how large it is in English, with default options.
        by_language: whether the language decides which files it has.
    """

    name: str
    what: str
    licence: str
    flag: str
    checksum: str | None
    about_bytes: int
    by_language: bool


SOURCES = {
    source.name: source
    for source in (
        Source(
            "wordnet", "WordNet 3.0, the database files", "WordNet License",
            "--wordnet", None, 16_000_000, False,
        ),
        Source(
            "wikipedia", f"Wikipedia as plain text, {SNAPSHOT}, Parquet (Hugging Face)",
            "CC-BY-SA-3.0/4.0, GFDL", "--wikipedia", "sha256", 11_700_000_000, True,
        ),
        Source(
            "dump", "Wikipedia as wikitext, a dump of Wikimedia's own",
            "CC-BY-SA-4.0, GFDL", "--wikipedia", "sha1", 25_000_000_000, True,
        ),
        Source(
            "titles", "Titles of all Wikipedia articles",
            "CC-BY-SA-4.0, GFDL", "--title-list", "sha1", 110_000_000, True,
        ),
        Source(
            "pageviews", "How often Wikipedia's pages are seen, by the hour",
            "CC0-1.0", "--pageviews", None, 31_000_000_000, False,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class RemoteFile:
    """A file to be had.

    Attributes:
        source: name of its source. name: of the file, without a folder. url: where it lies.
        size: in bytes, or None before it is asked for.
        algorithm, checksum: as published, or None.
        published_as: the name that a checksum was published under, where it is another one.
    """

    source: str
    name: str
    url: str
    size: int | None = None
    algorithm: str | None = None
    checksum: str | None = None
    published_as: str | None = None

    @property
    def place(self) -> str:
        """Where it belongs, from the folder of all sources."""
        return f"{self.source}/{self.name}"


@dataclass(frozen=True)
class Selection:
    """Which of the sources' files are meant, and where they are taken from.

    Attributes:
        language: Wikipedia's code of it. days: of pageviews.
        dump_date: eight digits, or "latest". mirrors: pairs of URL prefixes, from and to.
    """

    language: str
    days: tuple[date, ...]
    dump_date: str
    mirrors: tuple[tuple[str, str], ...]

    @property
    def wiki(self) -> str:
        """The name of the language's Wikipedia in dumps."""
        return self.language.replace("-", "_") + "wiki"

    @property
    def config(self) -> str:
        """The name of the language's part of the dataset."""
        return f"{SNAPSHOT}.{self.language.replace('_', '-')}"

    def mirrored(self, url: str) -> str:
        """The URL to take in place of another.

        Args:
            url: of the source itself.
        """
        for prefix, instead in self.mirrors:
            if url == prefix or url.startswith(prefix.rstrip("/") + "/"):
                return instead.rstrip("/") + url[len(prefix.rstrip("/")) :]
        return url


def select(
    language: str = "en",
    days: Sequence[str] | None = None,
    dump_date: str | None = None,
    mirrors: Sequence[str] = (),
) -> Selection:
    """Check which files are meant.

    Args:
        language: Wikipedia's code of it.
        days: of pageviews, as 2021-01-31; the first of 26 months from January 2021 without it.
        dump_date: eight digits; the latest dump without it.
        mirrors: FROM=TO, two prefixes of URLs.

    Raises:
        UsageError: when one of them is malformed.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]{1,15}([-_][a-z0-9]{1,15}){0,3}", language):
        raise UsageError(f"language {language!r}: not a code as Wikipedia's, like en or simple")
    if dump_date not in (None, LATEST) and not re.fullmatch(r"[0-9]{8}", dump_date or ""):
        raise UsageError(f"dump date {dump_date!r}: not eight digits, like 20261101, or latest")
    return Selection(
        language,
        _default_days() if days is None else tuple(sorted({_day(day) for day in days})),
        dump_date or LATEST,
        tuple(map(_mirror, mirrors)),
    )


def _default_days() -> tuple[date, ...]:
    year, month = FIRST_MONTH
    months = range(12 * year + month - 1, 12 * year + month - 1 + MONTHS)
    return tuple(date(number // 12, number % 12 + 1, 1) for number in months)


def _day(text: str) -> date:
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise UsageError(f"day {text!r}: not a date like 2021-01-31")


def _mirror(text: str) -> tuple[str, str]:
    found = re.fullmatch(r"(https?://[^=\s]+)=(https?://\S+)", text)
    if found is None:
        raise UsageError(f"mirror {text!r}: not two URLs as FROM=TO")
    return found[1], found[2]


def static_files(name: str, selection: Selection) -> list[RemoteFile]:
    """The files of a source that are known without asking anybody.

    Args:
        name: of the source. selection: which of its files.

    Returns:
        All its files; none where only a listing tells them.
    """
    if name == "wordnet":
        urls = [WORDNET]
    elif name == "titles":
        urls = [f"{_dump_folder(selection, LATEST)}-all-titles-in-ns0.gz"]
    elif name == "dump" and selection.dump_date == LATEST:
        urls = [f"{_dump_folder(selection, LATEST)}-pages-articles-multistream.xml.bz2"]
    elif name == "wikipedia" and selection.language == "en":
        parts = [f"train-{i:05}-of-{ENGLISH_FILES:05}.parquet" for i in range(ENGLISH_FILES)]
        urls = [hub_url(f"{selection.config}/{part}") for part in parts]
    elif name == "pageviews":
        urls = [
            f"{DUMPS}/other/pageviews/{day:%Y}/{day:%Y-%m}/pageviews-{day:%Y%m%d}-{hour:02}0000.gz"
            for day in selection.days
            for hour in range(HOURS)
        ]
    else:
        urls = []
    return [RemoteFile(name, url.rpartition("/")[2], selection.mirrored(url)) for url in urls]


def listing_url(name: str, selection: Selection) -> str | None:
    """Where a source lists its files or their checksums, before any mirror.

    Args:
        name: of the source. selection: which of its files.
    """
    if name == "wikipedia":
        return f"{HUB}/api/{DATASET}/tree/main/{selection.config}"
    if name == "dump" and selection.dump_date != LATEST:
        return f"{DUMPS}/{selection.wiki}/{selection.dump_date}/dumpstatus.json"
    if name in ("dump", "titles"):
        return f"{_dump_folder(selection, LATEST)}-sha1sums.txt"
    return None


def hub_url(path: str) -> str:
    """Where a file of the dataset lies.

    Args:
        path: in the dataset.
    """
    return f"{HUB}/{DATASET}/resolve/main/{path}"


def _dump_folder(selection: Selection, when: str) -> str:
    """How the URLs of a dump's files begin."""
    return f"{DUMPS}/{selection.wiki}/{when}/{selection.wiki}-{when}"
