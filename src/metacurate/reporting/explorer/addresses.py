"""What can be looked at, each with an address: the parameters of every page, checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlencode

from metacurate.errors import UsageError

MAX_QUERY = 8192  # bytes
MAX_TEXT = 4000  # characters of a parameter
MAX_NUMBER = 2**53
FATES = ("kept", "balanced_away", "other_caption", "unmatched", "invalid", "filtered")
ALL = "all"
SHELVES = ("kept", "pool")
SORTS = ("count", "kept", "probability", "entry", "source", "id")

Read = Callable[[str, str], Any]


def _text(_: str, value: str) -> str:
    return value


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 16):
        raise UsageError(f"{name} is no whole number")
    if int(value) > MAX_NUMBER:
        raise UsageError(f"{name} is too large")
    return int(value)


def _one_of(*known: str) -> Read:
    def read(name: str, value: str) -> str:
        if value not in known:
            raise UsageError(f"{name} is none of: {', '.join(one for one in known if one)}")
        return value

    return read


def _images(name: str, value: str) -> str:
    return value if value in ("", "all") else str(_number(name, value))


def parameter(default: Any, read: Read) -> Any:
    """A field of a view that its address carries.

    Args:
        default: where the address has none. read: turns name and text into the value.
    """
    return field(default=default, metadata={"read": read})


@dataclass(frozen=True)
class View:
    """A page, as its address tells it; fields are the parameters."""

    path: ClassVar[str]

    @classmethod
    def parse(cls, query: bytes) -> Self:
        """Read the parameters of an address; empty ones count as absent.

        Args:
            query: what follows the question mark.

        Raises:
            UsageError: when one is unknown, given twice, too long, or can't be.
        """
        try:
            given = parse_qsl(
                query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20
            )
        except ValueError as error:
            raise UsageError("the parameters of this address can't be read") from error
        known = {one.name: one.metadata["read"] for one in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in given:
            if name not in known:
                raise UsageError(f"this page has no parameter {name[:40]!r}")
            if name in values:
                raise UsageError(f"{name} is given twice")
            if len(value) > MAX_TEXT:
                raise UsageError(f"{name} is longer than {MAX_TEXT:,} characters")
            values[name] = None if value == "" else known[name](name, value)
        return cls(**{name: value for name, value in values.items() if value is not None})

    def address(self, **changes: Any) -> str:
        """The address of this page, or of it with some parameters changed.

        Args:
            **changes: values by name; None for the default.
        """
        defaults = {one.name: one.default for one in fields(self)}
        reset = {name: defaults[name] if v is None else v for name, v in changes.items()}
        changed = replace(self, **reset)
        given = self._given(changed, defaults)
        return f"{self.path}?{urlencode(given)}" if given else self.path

    @staticmethod
    def _given(view: "View", defaults: Mapping[str, Any]) -> dict[str, str]:
        return {
            name: str(getattr(view, name))
            for name, default in defaults.items()
            if getattr(view, name) != default
        }


@dataclass(frozen=True)
class EntriesView(View):
    """Entries that hold, or begin with, some characters.

    Attributes:
        q: the characters, in any case. where: anywhere, or at the beginning.
        source: of the entries; "" for all. sort: by what, the largest first but for words.
        reverse: 1 for the other way around. page: from 0.
    """

    path = "/"
    q: str = parameter("", _text)
    where: str = parameter("anywhere", _one_of("anywhere", "beginning"))
    source: str = parameter("", _text)
    sort: str = parameter("count", _one_of(*SORTS))
    reverse: int = parameter(0, lambda name, value: int(_one_of("0", "1")(name, value)))
    page: int = parameter(0, _number)


@dataclass(frozen=True)
class PairsView(View):
    """Pairs, of an entry or of all, with one fate or any.

    Attributes:
        entry: its id; -1 for all pairs.
        fate: one of `FATES`, or "all". domain, language, attribute: what pairs must have.
        file, row: where to begin to read.
        images: "all", or the place on the page of the one that is shown; "" for none.
    """

    path = "/pairs"
    entry: int = parameter(-1, _number)
    fate: str = parameter("kept", _one_of(*FATES, ALL))
    domain: str = parameter("", _text)
    language: str = parameter("", _text)
    attribute: str = parameter("", _text)
    file: int = parameter(0, _number)
    row: int = parameter(0, _number)
    images: str = parameter("", _images)

    @property
    def first(self) -> "PairsView":
        """The first page of the same, without images."""
        return replace(self, file=0, row=0, images="")


@dataclass(frozen=True)
class PairView(View):
    """One pair, where it stands.

    Attributes:
        shelf: "kept", a file of curated/; or "pool". file: its number. row: in it.
        at: the character from which on a long text is shown. images: "all" or "".
    """

    path = "/pair"
    shelf: str = parameter("pool", _one_of(*SHELVES))
    file: int = parameter(0, _number)
    row: int = parameter(0, _number)
    at: int = parameter(0, _number)
    images: str = parameter("", _one_of("all"))


@dataclass(frozen=True)
class ImageView(View):
    """The image of a pair, out of a tar on this machine.

    Attributes:
        shelf, file, row: of the pair, as for `PairView`.
    """

    path = "/image"
    shelf: str = parameter("pool", _one_of(*SHELVES))
    file: int = parameter(0, _number)
    row: int = parameter(0, _number)


@dataclass(frozen=True)
class SentenceView(View):
    """A text of one's own.

    Attributes:
        text: any; line breaks as forms send them are taken for simple ones. url: of its image.
    """

    path = "/try"
    text: str = parameter("", lambda _, value: value.replace("\r\n", "\n"))
    url: str = parameter("", _text)
