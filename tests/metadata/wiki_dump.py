"""XML dumps of a made wiki, in every form that they come in."""

import bz2
import gzip
from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

HEAD = """\
<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">
  <siteinfo>
    <sitename>Wiki of foxes</sitename>
    <namespaces>
      <namespace key="0" case="first-letter" />
      <namespace key="6" case="first-letter">Fil</namespace>
      <namespace key="14" case="first-letter">Kategori</namespace>
    </namespaces>
  </siteinfo>
"""
TAIL = "</mediawiki>\n"


class Made(NamedTuple):
    """A page to be written."""

    title: str
    text: str
    namespace: int = 0
    redirect: bool = False
    model: str = "wikitext"


def page(made: Made) -> str:
    redirect = '<redirect title="Fox" />' if made.redirect else ""
    return (
        f"  <page>\n    <title>{escape(made.title)}</title>\n    <ns>{made.namespace}</ns>\n"
        f"    {redirect}<revision>\n      <model>{made.model}</model>\n"
        f'      <text xml:space="preserve">{escape(made.text)}</text>\n    </revision>\n'
        "  </page>\n"
    )


def plain(pages: Sequence[Made]) -> bytes:
    return (HEAD + "".join(map(page, pages)) + TAIL).encode()


def multistream(pages: Sequence[Made], each: int = 3) -> bytes:
    """As Wikimedia writes it: the head, some pages at a time, and the tail are streams."""
    groups = [pages[i : i + each] for i in range(0, len(pages), each)]
    parts = [HEAD, *("".join(map(page, group)) for group in groups), TAIL]
    return b"".join(bz2.compress(part.encode()) for part in parts)


def chopped(pages: Sequence[Made], size: int) -> bytes:
    """As parallel compressors write it: streams that end anywhere."""
    content = plain(pages)
    parts = [content[i : i + size] for i in range(0, len(content), size)]
    return b"".join(map(bz2.compress, parts))


FORMS: dict[str, Callable[[Sequence[Made]], bytes]] = {
    "plain.xml": plain,
    "single.xml.bz2": lambda pages: bz2.compress(plain(pages)),
    "multistream.xml.bz2": multistream,
    "chopped.xml.bz2": lambda pages: chopped(pages, 701),
    "tiny-streams.xml.bz2": lambda pages: chopped(pages, 7),
    "gzip.xml.gz": lambda pages: gzip.compress(plain(pages)),
    "articles1.xml-p1p41.bz2": multistream,
}
