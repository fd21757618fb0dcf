"""Links as pages write them, and the absolute URLs that a browser makes of them."""

import re

import can_ada

WEB = ("http:", "https:")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
ABSOLUTE = ("https://", "http://")  # as most links begin
SLASHES = ("/", "\\")
AROUND = "".join(map(chr, range(33)))  # C0 controls and the space, which no URL begins or ends with
WITHIN = str.maketrans("", "", "\t\n\r")  # which URLs are rid of
MOST_URL = 8192  # characters; servers refuse longer ones


class Base:
    """The URL that links of a page are relative to.

    Links are resolved as the URL standard has it (WHATWG, "URL parsing"): what a browser would
    ask a server for, percent-encoded and with the host in lower case and ASCII.
    """

    def __init__(self, page_url: str, href: str | None = None) -> None:
        """Find the base of a page.

        Args:
            page_url: the page's own; where it is no http or https URL, no link is relative to it.
            href: of the page's <base>, if it has one; passed over where it leads nowhere.
        """
        self._parts: tuple[str, str, str, str] | None = None
        url = self.resolve(page_url)
        if url is not None:
            self._parts = _parts(url)
        if href is not None and (url := self.resolve(href)) is not None:
            self._parts = _parts(url)

    def resolve(self, link: str) -> str | None:
        """The absolute URL of a link, without its fragment.

        Args:
            link: as the page writes it.

        Returns:
            An http or https URL; None for other schemes (data:, javascript:), for what is no URL,
            and for a link that names nothing but a place in the page itself.
        """
        absolute: str | None = link
        if not link.startswith(ABSOLUTE):
            link = link.strip(AROUND)
            if "\n" in link or "\t" in link or "\r" in link:
                link = link.translate(WITHIN)
            absolute = self._absolute(link)
        if absolute is None:
            return None
        try:
            url: str = can_ada.parse(absolute).href
        except (ValueError, TypeError):  # the latter of a lone surrogate, which is no UTF-8
            return None
        if "#" in url:
            url = url.partition("#")[0]
        return _with_carets_encoded(url) if "^" in url else url

    def _absolute(self, link: str) -> str | None:
        """A link with what it leaves to the base put in front, ready to be parsed by itself."""
        scheme = SCHEME.match(link)
        if scheme is not None:
            named = scheme[0].lower()
            if named not in WEB:
                return None
            rest = link[scheme.end() :]
            if self._parts is None or named != self._parts[0] or rest.startswith("//"):
                return link
            link = rest  # "http:path" on an http page is relative to it
        if self._parts is None or not link or link[0] == "#":
            return None
        protocol, authority, path, folder = self._parts
        if link[0] in SLASHES:
            return (protocol if link[1:2] in SLASHES else authority) + link
        return (path if link[0] == "?" else folder) + link


def _parts(url: str) -> tuple[str, str, str, str]:
    """Beginnings of an absolute URL: its protocol, all before the path, with it, and its folder."""
    protocol = url[: url.index(":") + 1]
    start = url.index("/", len(protocol) + 2)
    path = url.partition("?")[0]
    return protocol, url[:start], path, path[: path.rindex("/") + 1]


def _with_carets_encoded(url: str) -> str:
    """The standard encodes "^" in paths since 2024, which can_ada does not know yet."""
    path, mark, query = url.partition("?")
    return path.replace("^", "%5E") + mark + query


def host_of(url: str) -> str:
    """The host of an absolute URL, in lower case and ASCII; "" for what is none.

    Args:
        url: any.
    """
    try:
        host: str = can_ada.parse(url).hostname
    except (ValueError, TypeError):
        return ""
    return host
