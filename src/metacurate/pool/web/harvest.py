"""What pages hold: pairs of an image and a text, and how many there were of what else."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from metacurate.pool.web.links import MOST_URL, Base
from metacurate.pool.web.texts import plain_line

Texts: TypeAlias = Iterable[tuple[str, str]]  # attributes and what they hold

PAGES: Final = "pages"
IMAGES: Final = "images"
TEXTLESS: Final = "images_without_text"
TEXTS: Final = "texts"  # of images; each is kept, or left out for one of the reasons below
NO_URL: Final = "no_web_url"
TRACKING: Final = "tracking_pixel"
REPEATED: Final = "repeated_on_page"
FULL_PAGE: Final = "too_much_on_page"
KEPT: Final = "kept"


MOST_ON_PAGE = 4 << 20  # characters of a page's pairs: of thousands of them, as pages have them


@dataclass
class Harvest:
    """Pairs of pages, in the pages' order, and counts.

    Attributes:
        urls, texts, attributes, pages: of each pair: the image's absolute URL, the text in one
            line, the attribute that held it, and the page's URL.
        size: characters of all columns.
        counts: numbers of pages, images and texts, and of texts left out by reason.
    """

    urls: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    size: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def add_page(
        self,
        page_url: str,
        base_href: str | None,
        n_images: int,
        captioned: Iterable[tuple[str, Texts, bool]],
    ) -> None:
        """Take the pairs of a page, each once.

        Args:
            page_url: the page's. base_href: of its <base>, or None.
            n_images: number of images on it.
            captioned: of those that have texts the link, the texts, and whether it is a tracking
                pixel.
        """
        base = Base(page_url, base_href)
        seen: set[tuple[str, str]] = set()
        counts = self.counts
        counts[PAGES] += 1
        counts[IMAGES] += n_images
        most = self.size + MOST_ON_PAGE
        textless = n_images
        n_texts = repeated = 0
        for link, texts, tracks in captioned:
            lines = [(name, line) for name, text in texts if (line := plain_line(text))]
            if not lines:
                continue
            textless -= 1
            n_texts += len(lines)
            if tracks:
                counts[TRACKING] += len(lines)
                continue
            if self.size > most:
                counts[FULL_PAGE] += len(lines)
                continue
            url = base.resolve(link)
            if url is None or len(url) > MOST_URL:
                counts[NO_URL] += len(lines)
                continue
            for name, line in lines:
                pair = (url, line)
                if pair in seen:
                    repeated += 1
                    continue
                seen.add(pair)
                self.size += len(url) + len(line) + len(page_url)
                self.urls.append(url)
                self.texts.append(line)
                self.attributes.append(name)
                self.pages.append(page_url)
        counts[TEXTLESS] += textless
        counts[TEXTS] += n_texts
        counts[REPEATED] += repeated

    def extend(self, other: "Harvest") -> None:
        """Take what another holds.

        Args:
            other: of pages that come later.
        """
        self.urls += other.urls
        self.texts += other.texts
        self.attributes += other.attributes
        self.pages += other.pages
        self.size += other.size
        self.counts.update(other.counts)

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.urls)
