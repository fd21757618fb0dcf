"""Plain text of wikitext: what a reader of the page sees of its sentences, for counting words."""

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt

from metacurate.errors import MetacurateError, first_line

MISSING = 'wikitext is parsed by mwparserfromhell: pip install "metacurate[metadata]"'
LEFT_OUT = "\ufffc"  # stands where something was left out amid a line, so that it parts words
INVISIBLE_TAGS = {
    "ref", "references", "table", "gallery", "imagemap", "timeline", "math", "chem", "ce", "score",
    "graph", "hiero", "syntaxhighlight", "source", "pre", "templatedata", "inputbox",
    "categorytree", "templatestyles", "mapframe", "maplink", "indicator", "style", "script",
}  # fmt: skip
PARTING_TAGS = {"br", "hr", "p", "div", "li", "dt", "dd", "ul", "ol", "dl", "blockquote", "center"}
JOINED_TAGS = {"ref", "references", "templatestyles", "indicator"}  # they stand behind a word
MOST_TEXT = 4_000_000  # characters; MediaWiki's own limit is 2 MB
MOST_OPEN = 400  # the parser's time grows with the square of what is opened and not closed
VOID_TAGS = "br|hr|li|dd|dt|td|tr|th|wbr|img"  # need no end, and cost no more without
MARKS = re.compile(
    rf"(?P<open><!--|<(?!(?:{VOID_TAGS})\b)[a-zA-Z][^<>]*(?<!/)>)|-->|</[a-zA-Z]", re.IGNORECASE
)

_SWITCH = re.compile(r"__[A-Z]{3,}__")  # __TOC__, __NOINDEX__
_LEADING_COLON = re.compile(r"^[:*#;\s]+", re.MULTILINE)
_EMPTY = re.compile(rf"^[\s{LEFT_OUT}:*#;|]*$\n?", re.MULTILINE)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z]+)*")  # before a colon: the page in another language


def parser_version() -> str:
    """The version of the parser, which decides what is left of a page.

    Raises:
        MetacurateError: when mwparserfromhell, of the extra `metadata`, is missing.
    """
    try:
        return version("mwparserfromhell")
    except PackageNotFoundError as error:
        raise MetacurateError(MISSING) from error


def plain_text(source: str, link_prefixes: frozenset[str] = frozenset()) -> str:
    """Turn wikitext into plain text.

    Templates, tables, references, comments, formulas, code, galleries, files, categories and links
    to other languages are left out; links become what is shown of them; emphasis and other tags
    what is inside. Where a template stood amid a line there is an object replacement character
    (U+FFFC), so that the words around it don't look like neighbours.

    Args:
        source: the wikitext of a page.
        link_prefixes: lower-cased names of the namespaces of files and categories, whose links
            show no words.

    Returns:
        Lines of text, without empty ones.

    Raises:
        MetacurateError: when mwparserfromhell, of the extra `metadata`, is missing.
        ValueError: when the parser does not get through the page, or would not in good time.
    """
    try:
        import mwparserfromhell
        from mwparserfromhell.parser import ParserError
    except ImportError as error:
        raise MetacurateError(MISSING) from error
    if len(source) > MOST_TEXT:
        raise ValueError(f"it has more than {MOST_TEXT:,} characters")
    if (depth := most_open(source)) > MOST_OPEN:
        raise ValueError(f"{depth:,} brackets, braces or tags are open at once")
    try:
        code = mwparserfromhell.parse(source, skip_style_tags=True)
    except (ParserError, RecursionError) as error:
        raise ValueError(f"the wikitext can't be parsed: {first_line(error)}") from error
    parts: list[str] = []
    _collect(code, parts, link_prefixes)
    text = _SWITCH.sub("", "".join(parts)).replace("'''", "").replace("''", "")
    lines = _EMPTY.sub("", _LEADING_COLON.sub("", text))
    return "\n".join(line.strip() for line in lines.split("\n") if line.strip())


def most_open(source: str) -> int:
    """How many brackets, braces, angle brackets or tags are open at once, at the most.

    Args:
        source: wikitext.
    """
    data = np.frombuffer(source.encode(), np.uint8)
    steps = [(data == ord(left)) * 1 - (data == ord(right)) for left, right in ("[]", "{}", "<>")]
    steps.append(np.array([1 if found["open"] else -1 for found in MARKS.finditer(source)], int))
    return max(_depth(one) for one in steps)


def _depth(steps: npt.NDArray[np.int64]) -> int:
    """The largest rise of a running sum above its lowest value before."""
    if not len(steps):
        return 0
    sums = np.concatenate([[0], np.cumsum(steps)])
    return int((sums - np.minimum.accumulate(sums)).max())


def _collect(code: Any, parts: list[str], prefixes: frozenset[str]) -> None:
    """Append the visible text of parsed wikitext."""
    from mwparserfromhell import nodes

    for node in code.nodes:
        if isinstance(node, nodes.Text):
            parts.append(node.value)
        elif isinstance(node, nodes.Wikilink):
            _collect_link(node, parts, prefixes)
        elif isinstance(node, nodes.Tag):
            _collect_tag(node, parts, prefixes)
        elif isinstance(node, nodes.HTMLEntity):
            parts.append(_character(node))
        elif isinstance(node, nodes.Heading):
            parts.append("\n")
            _collect(node.title, parts, prefixes)
            parts.append("\n")
        elif isinstance(node, nodes.ExternalLink):
            if node.title is not None:
                _collect(node.title, parts, prefixes)
            else:
                parts.append(LEFT_OUT)
        elif not isinstance(node, nodes.Comment):
            parts.append(LEFT_OUT)  # templates and their arguments


def _collect_link(node: Any, parts: list[str], prefixes: frozenset[str]) -> None:
    title = str(node.title).strip()
    prefix, colon, _ = title.partition(":")  # [[:Category:Foxes]] shows its name: "" is no prefix
    prefix = prefix.strip()
    if colon and prefix.replace("_", " ").lower() in prefixes:
        return
    if node.text is None and colon and _LANGUAGE.fullmatch(prefix):
        return
    if node.text is not None:
        _collect(node.text, parts, prefixes)
    else:
        inner: list[str] = []
        _collect(node.title, inner, prefixes)
        parts.append("".join(inner).strip().removeprefix(":").lstrip().replace("_", " "))


def _collect_tag(node: Any, parts: list[str], prefixes: frozenset[str]) -> None:
    tag = str(node.tag).strip().lower()
    if tag in INVISIBLE_TAGS:
        if tag not in JOINED_TAGS:
            parts.append(LEFT_OUT)
        return
    if tag in PARTING_TAGS:
        parts.append("\n")
    if node.contents is not None:
        _collect(node.contents, parts, prefixes)


def _character(node: Any) -> str:
    try:
        char: str = node.normalize()
    except (ValueError, OverflowError):  # a number that is no character
        return LEFT_OUT
    return LEFT_OUT if "\ud800" <= char <= "\udfff" else char
