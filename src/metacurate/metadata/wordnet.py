"""Names of WordNet's synsets, from the forms in which WordNet is published."""

import hashlib
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from metacurate.errors import InputError, MetacurateError, UsageError, first_line
from metacurate.pool.streams import open_stream

DATA_FILES = ("data.noun", "data.verb", "data.adj", "data.adv")  # in their order here
FOLDERS = ("", "dict", "wordnet")  # of these files, in a folder that is named
MOST_BYTES = 256 << 20  # of a file: WordNet's largest has 16 MB
VERSION = re.compile(rb"WordNet (\d+(?:\.\d+)*) Copyright")
MARKER = re.compile(r"\((?:a|p|ip)\)$")  # of an adjective: where it may stand in a sentence
PARTS_OF_SPEECH = {"n": 0, "v": 1, "a": 2, "s": 2, "r": 3}
LICENCE = "WordNet License"
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile)


@dataclass(frozen=True)
class WordNet:
    """The names of a WordNet's synsets.

    Attributes:
        names: of each synset, nouns, verbs, adjectives and adverbs in the order of their file; two
            synsets may share one.
        release: of which WordNet it is. licence: its short name.
        files: SHA-256 of each file that was read, in hex, by its name.
    """

    names: list[str]
    release: str
    licence: str
    files: dict[str, str]


def read_wordnet(path: str | Path) -> WordNet:
    """Read the names of all synsets.

    A name is that of NLTK's synset up to its first ".": the first lemma, in lower case, with spaces
    for "_" (the authors' rule for MetaCLIP's metadata).

    Args:
        path: a folder of Princeton's database (data.noun and so on, or dict/ or wordnet/ with
            them), an archive of it (.tar.gz and other tars, or .zip, as NLTK's), or a lexicon in
            WN-LMF XML (plain, .gz, .xz or .bz2), as Open English WordNet.

    Raises:
        UsageError: when there is no such file or folder.
        InputError: when a part is missing or damaged.
        MetacurateError: when defusedxml, of the extra `metadata`, is missing.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder of WordNet")
    try:
        if path.is_dir():
            return _read_database(path, _files_of_folder(path))
        with path.open("rb") as file:
            beginning = file.read(4)
        if not beginning:
            raise InputError(str(path), "the file is empty")
        if beginning.startswith(b"PK"):
            return _read_database(path, _files_of_zip(path))
        if _is_tar(path):
            return _read_database(path, _files_of_tar(path))
        return _read_lexicon(path)
    except DAMAGED as error:
        raise InputError(str(path), f"can't be read: {first_line(error)}") from error


def name_of_synset(lemma: str) -> str:
    """The entry that a synset's first lemma makes.

    Args:
        lemma: as in a database: with "_" for spaces; an adjective perhaps with its marker.
    """
    return MARKER.sub("", lemma).split(".")[0].lower().replace("_", " ")


def _bounded(stream: IO[bytes], name: str) -> bytes:
    content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(f"{name} has more than {MOST_BYTES >> 20} MB, which WordNet does not")
    return content


def _files_of_folder(path: Path) -> dict[str, bytes]:
    for folder in FOLDERS:
        if any((path / folder / name).is_file() for name in DATA_FILES):
            present = [path / folder / n for n in DATA_FILES if (path / folder / n).is_file()]
            files = {}
            for file in present:
                with file.open("rb") as stream:
                    files[file.name] = _bounded(stream, file.name)
            return files
    return {}


def _files_of_zip(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        wanted = _in_one_folder(archive.namelist())
        files = {}
        for name in wanted:
            with archive.open(name) as stream:
                files[name.rpartition("/")[2]] = _bounded(stream, name)
        return files


def _is_tar(path: Path) -> bool:
    try:
        with tarfile.open(path) as archive:
            return archive.next() is not None
    except tarfile.TarError:
        return False
    except (EOFError, zlib.error, lzma.LZMAError, OSError):  # cut short: by its name, then
        return ".tar" in path.name or path.name.endswith(".tgz")


def _files_of_tar(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        members = {member.name: member for member in archive if member.isfile()}
        files = {}
        for name in _in_one_folder(members):
            stream = archive.extractfile(members[name])
            assert stream is not None
            files[name.rpartition("/")[2]] = _bounded(stream, name)
        return files


def _in_one_folder(names: Any) -> list[str]:
    """The data files of the first folder that has any."""
    found = [name for name in names if name.rpartition("/")[2] in DATA_FILES]
    folder = found[0].rpartition("/")[0] if found else ""
    return [name for name in found if name.rpartition("/")[0] == folder]


def _read_database(path: Path, files: Mapping[str, bytes]) -> WordNet:
    missing = [name for name in DATA_FILES if name not in files]
    if len(missing) == len(DATA_FILES):
        raise InputError(str(path), f"holds no WordNet: there is no {DATA_FILES[0]} in it")
    if missing:
        raise InputError(str(path), f"lacks {', '.join(missing)}")
    names = [name for file in DATA_FILES for name in _names_of_data(path, file, files[file])]
    found = VERSION.search(files[DATA_FILES[0]][:4096])
    version = found[1].decode() if found else "of unknown version"
    digests = {name: hashlib.sha256(files[name]).hexdigest() for name in DATA_FILES}
    return WordNet(names, f"WordNet {version}, Princeton University", LICENCE, digests)


def _names_of_data(path: Path, file: str, content: bytes) -> Iterator[str]:
    """Names of a data file's synsets (wndb(5WN), "Data File Format")."""
    any_synset = False
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.startswith(b"  ") or not line.strip():  # the licence
            continue
        fields = line.split(b" ", 5)  # offset, file of the lexicographer, type, words, first word
        try:
            if len(fields) < 6 or len(fields[0]) != 8 or int(fields[0]) < 0 or not fields[4]:
                raise ValueError("not a synset")
            lemma = fields[4].decode()
        except ValueError as error:
            raise InputError(
                f"{path}", f"{file}, line {number}: {line[:40]!r} is no synset"
            ) from error
        any_synset = True
        yield name_of_synset(lemma)
    if not any_synset:
        raise InputError(str(path), f"{file} holds no synset")


class _Hashed(io.RawIOBase):
    """A stream that hashes what is read of it, and refuses to be endless."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._name = name
        self._size = 0
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """Some bytes; none at the end."""
        content: bytes = self._stream.read(size)
        self._size += len(content)
        if self._size > 8 * MOST_BYTES:
            raise OSError(f"{self._name} has more than {8 * MOST_BYTES >> 20} MB")
        self.digest.update(content)
        return content


def _read_lexicon(path: Path) -> WordNet:
    """Read WN-LMF (Global WordNet Association, "WN-LMF" 1.0 to 1.4)."""
    try:
        from defusedxml.common import DefusedXmlException
        from defusedxml.ElementTree import ParseError, iterparse
    except ImportError as error:
        raise MetacurateError(
            'XML is read with defusedxml: pip install "metacurate[metadata]"'
        ) from error
    lemmas: dict[str, str] = {}  # of entries
    senses: dict[str, str] = {}  # of synsets: their first entry in the document
    synsets: list[tuple[int, str, str]] = []  # part of speech, id, first member
    release = licence = ""
    with open_stream(str(path)) as raw:
        stream = _Hashed(raw, path.name)
        try:
            for event, node in iterparse(stream, ("start", "end")):
                tag = node.tag
                if event == "start":
                    if tag == "LexicalResource":
                        root = node
                    elif tag == "Lexicon" and not release:
                        release = f"{node.get('label', '')} {node.get('version', '')}".strip()
                        licence = node.get("license", "")
                elif tag == "LexicalEntry":
                    lemma = node.find("Lemma")
                    if lemma is not None:
                        lemmas[node.get("id", "")] = lemma.get("writtenForm", "")
                    for sense in node.iter("Sense"):
                        senses.setdefault(sense.get("synset", ""), node.get("id", ""))
                    node.clear()
                elif tag == "Synset":
                    first = (node.get("members", "").split() or [""])[0]
                    place = PARTS_OF_SPEECH.get(node.get("partOfSpeech", ""), 4)
                    synsets.append((place, node.get("id", ""), first))
                    node.clear()
                    root.clear()
        except DefusedXmlException as error:
            raise InputError(str(path), "it declares XML entities, which is refused") from error
        except ParseError as error:
            raise InputError(str(path), f"no whole XML: {first_line(error)}") from error
        except UnboundLocalError as error:
            raise InputError(str(path), "is no WN-LMF: its root is no LexicalResource") from error
    forms = [
        lemmas.get(first) or lemmas.get(senses.get(identity, ""), "")
        for _, identity, first in sorted(synsets, key=lambda synset: synset[0])
    ]
    names = [name_of_synset(form.replace(" ", "_")) for form in forms if form]
    if not names:
        raise InputError(str(path), "is no WN-LMF: there are no synsets with members in it")
    return WordNet(names, release, licence, {path.name: stream.digest.hexdigest()})
