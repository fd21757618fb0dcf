"""Two parsers of HTML: how long each takes to parse pages, and to tell the images' attributes."""

from importlib.metadata import version

from benchmarks.extract.metacurate import read_pages
from benchmarks.fresh import Figures, answer, seconds

WANTED = ("src", "alt", "title")


def selectolax(page: bytes) -> int:
    """Images with a text, by selectolax."""
    from selectolax.lexbor import LexborHTMLParser

    found = [image.attributes for image in LexborHTMLParser(page).tags("img")]
    return sum(bool(attributes.get("alt")) for attributes in found)


def resiliparse(page: bytes) -> int:
    """Images with a text, by resiliparse."""
    from resiliparse.parse.html import HTMLTree

    document = HTMLTree.parse_from_bytes(page, "utf-8").document
    assert document is not None
    found = [
        {name: image.getattr(name) for name in WANTED}
        for image in document.get_elements_by_tag_name("img")
    ]
    return sum(bool(attributes.get("alt")) for attributes in found)


def selectolax_alone(page: bytes) -> int:
    """Parsing alone, by selectolax: nothing is asked of the tree but its images."""
    from selectolax.lexbor import LexborHTMLParser

    return len(LexborHTMLParser(page).tags("img"))


def main(parser: str) -> Figures:
    """Parse all pages.

    Args:
        parser: name of a function above.
    """
    pages = [page.content for page in read_pages()]
    parse = {"selectolax": selectolax, "resiliparse": resiliparse, "alone": selectolax_alone}[
        parser
    ]
    package = "resiliparse" if parser == "resiliparse" else "selectolax"
    return {
        "seconds": seconds(lambda: [parse(page) for page in pages], 3),
        "pages": len(pages),
        "answer": str(sum(parse(page) for page in pages)),
        "version": version(package),
    }


if __name__ == "__main__":
    answer(main)
