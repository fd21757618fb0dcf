"""Names of WordNet's synsets, from the forms in which WordNet is published."""

import hashlib
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

from metacurate.errors import InputError, MetacurateError, UsageError, first_line
from metacurate.pool.streams import open_stream

DATA_FILES = ("data.noun", "data.verb", "data.adj", "data.adv")  # in the order of their names here
FOLDERS = ("", "dict", "wordnet")  # where they are in a folder
CHUNK = 1 << 20  # bytes that are read at a time
MOST_LINE = 1 << 20  # bytes of a synset: the largest has 13 kB
MOST_DATA = 256 << 20  # bytes of a data file: the largest has 15 MB
MOST_CONTENT = 1 << 30  # bytes of a tar or lexicon, decompressed: Open English WordNet has 100 MB
TAR_HEADER = 512  # bytes

SYNSET = re.compile(r"[0-9]{8} [0-9]{2} [nvasr] ([0-9a-f]{2}) ([^ ]+) (.*)")  # wndb(5WN)
VERSION = re.compile(r"\bWordNet (?:Release )?([0-9]+(?:\.[0-9]+)*)\b")
MARKER = re.compile(r"\((?:a|p|ip)\)$")  # of an adjective: where it may stand in a sentence
LICENCE = "WordNet License"
POINTER = 4  # fields
PLACES = {"n": 0, "v": 1, "a": 2, "s": 2, "r": 3}  # of a lexicon's parts of speech
OTHER_PLACE = 4
# Of an archive. A ValueError is a name that can't be decoded, a RuntimeError that it is encrypted
# or compressed by an unknown method.
DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError,
    RuntimeError,
)  # fmt: skip

# Data files, as they are named in what they are part of, and their content.
Members: TypeAlias = Generator[tuple[str, IO[bytes]], None, None]


@dataclass(frozen=True)
class WordNet:
    """The names of a WordNet's synsets.

    Attributes:
        names: one of each synset; nouns, verbs, adjectives, adverbs, in the order of the files.
            Synsets may share a name, and that of ".22" is empty.
        release: which WordNet it is, such as "WordNet 3.0 (Princeton)".
        licence: its short name or address; empty where the data name none.
        files: SHA-256 in hex of each file or member that was read, by its name without folders.
    """

    names: list[str]
    release: str
    licence: str
    files: dict[str, str]


def read_wordnet(path: str | Path) -> WordNet:
    """Read the names of all synsets.

    A name is that of NLTK's synset up to its first ".", with spaces for "_": the synset's first
    lemma, in lower case (the authors' rule for MetaCLIP's metadata).

    Args:
        path: a folder with Princeton's database (data.noun, data.verb, data.adj, data.adv) in it,
            in its dict/ or wordnet/; a tar of such a folder, plain or compressed, or a zip, as
            NLTK's; or a lexicon in WN-LMF XML, plain or compressed, such as Open English WordNet.
            Its content tells which, and not its name.

    Raises:
        UsageError: when there is no such file or folder.
        InputError: when a part is missing or damaged, or it is no WordNet.
        MetacurateError: when defusedxml, of the extra `metadata`, is missing.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder of WordNet")
    try:
        if path.is_dir():
            return _from_members(path, _members_of_folder(path))
        with path.open("rb") as file:
            beginning = file.read(4)
        if not beginning:
            raise InputError(str(path), "the file is empty")
        return _from_zip(path) if beginning.startswith(b"PK") else _from_stream(path)
    except OSError as error:
        raise InputError(str(path), f"can't be read: {first_line(error)}") from error


def name_of_synset(lemma: str) -> str:
    """The entry that a synset's first lemma makes.

    Args:
        lemma: with spaces or "_" between its words.
    """
    return lemma.split(".")[0].lower().replace("_", " ")


# ---- Princeton's database


@dataclass(frozen=True)
class _Data:
    """What is in a data file: names of its synsets, its header, and its SHA-256."""

    names: list[str]
    header: str
    digest: str


def _members_of_folder(path: Path) -> Members:
    for folder in FOLDERS:
        for name in DATA_FILES:
            if (path / folder / name).is_file():
                with (path / folder / name).open("rb") as content:
                    yield f"{folder}/{name}", content


def _from_zip(path: Path) -> WordNet:
    try:
        with zipfile.ZipFile(path) as archive:
            return _from_members(path, _members_of_zip(archive))
    except DAMAGED as error:
        raise InputError(str(path), f"the zip can't be read: {first_line(error)}") from error


def _members_of_zip(archive: zipfile.ZipFile) -> Members:
    for name in archive.namelist():
        if _is_data_file(name):
            with archive.open(name) as content:
                yield name, content


def _from_stream(path: Path) -> WordNet:
    """Read a tar or a lexicon."""
    with open_stream(str(path), by_content=True) as file:
        beginning = file.read(TAR_HEADER)
        stream = _Bounded(file, MOST_CONTENT, path.name, beginning)
        if _is_tar(beginning):
            return _from_tar(path, stream)
        if not beginning:
            raise InputError(str(path), "the file is empty")
        if not beginning.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
            raise InputError(str(path), "is no WordNet: neither tar nor zip nor XML by its content")
        return _from_lexicon(path, stream)


def _is_tar(beginning: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(beginning, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return beginning[257:262] == b"ustar"  # cut short, or damaged
    return True


def _from_tar(path: Path, stream: "_Bounded") -> WordNet:
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            wordnet = _from_members(path, _members_of_tar(archive))
    except DAMAGED as error:
        raise InputError(str(path), f"the tar can't be read: {first_line(error)}") from error
    while stream.read(CHUNK):  # the checksum of what it is compressed with comes last
        pass
    return wordnet


def _members_of_tar(archive: tarfile.TarFile) -> Members:
    for member in archive:
        archive.members = []  # type: ignore[attr-defined]  # or all of them stay in memory
        if member.isfile() and _is_data_file(member.name):
            content = archive.extractfile(member)
            assert content is not None
            yield member.name, content


def _is_data_file(name: str) -> bool:
    return name.rpartition("/")[2] in DATA_FILES


def _from_members(path: Path, members: Members) -> WordNet:
    """Make a WordNet of the data files of the first folder that has any."""
    found: dict[str, _Data] = {}
    home: str | None = None
    with closing(members):
        for name, content in members:
            folder, _, file = name.rpartition("/")
            if file not in found and home in (None, folder):
                home = folder
                found[file] = _read_data(path, file, content)
    if not found:
        raise InputError(str(path), f"is no WordNet: there is no {DATA_FILES[0]} in it")
    missing = [file for file in DATA_FILES if file not in found]
    if missing:
        raise InputError(str(path), f"lacks {', '.join(missing)}")
    header = found[DATA_FILES[0]].header
    version = VERSION.search(header)
    release = f"WordNet {version[1]}" if version else "WordNet of unknown version"
    if "Princeton" in header:
        release += " (Princeton)"
    names = [name for file in DATA_FILES for name in found[file].names]
    digests = {file: found[file].digest for file in DATA_FILES}
    return WordNet(names, release, LICENCE if header else "", digests)


def _read_data(path: Path, file: str, content: IO[bytes]) -> _Data:
    """Read a data file (wndb(5WN), "Data File Format"), which begins with its licence."""
    names: list[str] = []
    header: list[str] = []
    digest = hashlib.sha256()
    number = 0
    lines = io.BufferedReader(_Bounded(content, MOST_DATA, file), CHUNK)
    while line := lines.readline(MOST_LINE):
        number += 1
        digest.update(line)
        try:
            if not line.endswith(b"\n"):
                raise ValueError("is cut short")
            text = line.decode().rstrip()
            if line.startswith(b"  "):
                header.append(text)
            elif text:
                names.append(name_of_synset(MARKER.sub("", _first_lemma(text))))
        except UnicodeDecodeError as error:
            raise InputError(str(path), f"{file}, line {number}: is no UTF-8") from error
        except ValueError as error:
            raise InputError(str(path), f"{file}, line {number}: {first_line(error)}") from error
    if not names:
        raise InputError(str(path), f"{file} holds no synset")
    return _Data(names, "\n".join(header), digest.hexdigest())


def _first_lemma(line: str) -> str:
    """The first lemma of a synset, all of which must be there.

    Raises:
        ValueError: when the line is no synset.
    """
    found = SYNSET.fullmatch(line)
    if found is None:
        raise ValueError(f"{line[:40]!r} is no synset")
    fields = found[3].split(" ")  # the number that tells its sense, then the other words
    pointers = 2 * int(found[1], 16) - 1  # where their number is
    try:
        complete = pointers > 0 and len(fields) > pointers + POINTER * int(fields[pointers])
    except (IndexError, ValueError):
        complete = False
    if not complete:
        raise ValueError(f"{line[:40]!r} is no whole synset")
    return found[2]


# ---- lexicons


def _from_lexicon(path: Path, stream: "_Bounded") -> WordNet:
    """Read WN-LMF (Global WordNet Association, versions 1.0 to 1.4)."""
    try:
        from defusedxml.common import DefusedXmlException
        from defusedxml.ElementTree import ParseError, XMLParser
    except ImportError as error:
        raise MetacurateError(
            f'{path}: XML needs defusedxml: pip install "metacurate[metadata]"'
        ) from error
    lexicon = _Lexicon()
    parser = XMLParser(target=lexicon)  # its DTD is not fetched; entities are refused
    try:
        while content := stream.read(CHUNK):
            parser.feed(content)
        parser.close()
    except DefusedXmlException as error:
        raise InputError(str(path), "declares XML entities, which are refused") from error
    except _NoLexiconError as error:
        raise InputError(str(path), f"is no WordNet: {first_line(error)}") from error
    except (ParseError, LookupError, ValueError) as error:  # the latter two of its encoding
        raise InputError(str(path), f"is no whole XML: {first_line(error)}") from error
    names = lexicon.names()
    if not names:
        raise InputError(str(path), "is no WordNet: there is no synset with a member in it")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    release, licence = ", ".join(lexicon.releases), ", ".join(lexicon.licences)
    return WordNet(names, release, licence, {path.name: digest})


class _NoLexiconError(Exception):
    """The XML is of another kind."""


class _Lexicon:
    """Takes what a parser finds in WN-LMF, and keeps no tree of it."""

    def __init__(self) -> None:
        self.releases: dict[str, None] = {}  # in their order, each once
        self.licences: dict[str, None] = {}
        self._root = False
        self._entry = self._form = ""  # of the entry that is being read
        self._forms: dict[str, str] = {}  # of entries and senses, by their ids
        self._first: dict[str, str] = {}  # of synsets: the form of the first entry in the document
        self._synsets: list[tuple[int, str, str]] = []  # place, id, first member

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Take an element and its attributes."""
        if not self._root and tag != "LexicalResource":
            raise _NoLexiconError(f"its root is {tag[:40]!r}, not LexicalResource")
        self._root = True
        if tag == "Sense":
            if self._form:  # an extension's entry may have none
                self._forms.setdefault(attributes.get("id", ""), self._form)
                self._first.setdefault(attributes.get("synset", ""), self._form)
        elif tag in ("LexicalEntry", "ExternalLexicalEntry"):
            self._entry, self._form = attributes.get("id", ""), ""
        elif tag == "Lemma":
            self._form = attributes.get("writtenForm", "")
            self._forms.setdefault(self._entry, self._form)
        elif tag == "Synset":
            place = PLACES.get(attributes.get("partOfSpeech", ""), OTHER_PLACE)
            members = attributes.get("members", "").split(maxsplit=1)
            self._synsets.append((place, attributes.get("id", ""), members[0] if members else ""))
        elif tag in ("Lexicon", "LexiconExtension"):
            release = f"{attributes.get('label', '')} {attributes.get('version', '')}".strip()
            self.releases[release] = None
            self.licences[attributes.get("license", "")] = None

    def close(self) -> None:
        """Nothing is left to do."""

    def names(self) -> list[str]:
        """Names of the synsets, by part of speech; those without a member have none."""
        ordered = sorted(self._synsets, key=lambda synset: synset[0])
        forms = (self._forms.get(first) or self._first.get(name, "") for _, name, first in ordered)
        return [name_of_synset(form) for form in forms if form]


# ---- reading


class _Bounded(io.RawIOBase):
    """A stream that refuses to become too long, for the sake of decompression bombs."""

    def __init__(self, source: Any, most: int, name: str, beginning: bytes = b"") -> None:
        self._source = source
        self._left = most
        self._reason = f"{name} has more than {most >> 20} MB, as no WordNet has"
        self._beginning = beginning  # has been read already

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill some of a buffer; none of it at the end.

        Raises:
            OSError: when the stream is too long.
        """
        size = len(buffer)
        content = self._beginning[:size] or self._source.read(size)
        self._beginning = self._beginning[size:]
        self._left -= len(content)
        if self._left < 0:
            raise OSError(self._reason)
        buffer[: len(content)] = content
        return len(content)
