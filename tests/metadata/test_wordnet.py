"""WordNet: the paper's number of names, the same from each form in which it is published."""

import bz2
import gzip
import hashlib
import io
import lzma
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.errors import InputError, MetacurateError, UsageError
from metacurate.metadata import wordnet
from metacurate.metadata.wordnet import DATA_FILES, WordNet, read_wordnet

INSTALLED = Path("/usr/share/wordnet")  # Debian's package wordnet-base: WordNet 3.0
WHOLE = pytest.mark.skipif(not (INSTALLED / "data.noun").exists(), reason="wordnet-base is missing")
PAPER = 86_654  # entries of numbers and WordNet in the paper's table of sources

LICENCE = (
    "  1 This software and database is being provided  \n"
    "  2 WordNet 3.0 Copyright 2006 by Princeton University.  \n"
)
FILES = {
    "data.noun": "00001740 03 n 01 entity 0 001 ~ 00001930 n 0000 | that which exists  \n"
    "00001930 03 n 02 Hot_dog 0 frank 1 000 | a sausage  \n"
    "00002000 03 n 01 .22 0 000 | a calibre  \n"
    "00002100 03 n 01 St._Louis 0 000 | a city  \n",
    "data.verb": "00001740 29 v 01 dog 0 001 $ 00001740 v 0000 01 + 02 00 | follow  \n",
    "data.adj": "00001740 00 s 01 Galore(ip) 0 000 | in plenty  \n"
    "00001800 00 a 01 able(p) 0 000 | x\n",
    "data.adv": "00001740 02 r 0a well 1 b 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 j f 000 | so  \n",
}
CONTENTS = {name: (LICENCE + lines).encode() for name, lines in FILES.items()}
NAMES = ["entity", "hot dog", "", "st", "dog", "galore", "able", "well"]

LEXICON = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE LexicalResource SYSTEM "http://localhost:9/WN-LMF-1.3.dtd">
<LexicalResource xmlns:dc="https://globalwordnet.github.io/schemas/dc/">
  <Lexicon id="x" label="Small WordNet" language="en" license="CC BY 4.0" version="2024">
    <LexicalEntry id="x-well-r">
      <Lemma writtenForm="well" partOfSpeech="r"/><Sense id="s1" synset="x-1-r"/>
    </LexicalEntry>
    <LexicalEntry id="x-frank-n">
      <Lemma writtenForm="frank" partOfSpeech="n"/><Sense id="s2" synset="x-2-n"/>
    </LexicalEntry>
    <LexicalEntry id="x-hot_dog-n">
      <Lemma writtenForm="Hot dog" partOfSpeech="n"/><Sense id="s3" synset="x-2-n"/>
    </LexicalEntry>
    <LexicalEntry id="x-dog-v">
      <Lemma writtenForm="Straßenhund" partOfSpeech="v"/><Sense id="s4" synset="x-3-v"/>
    </LexicalEntry>
    <LexicalEntry id="x-able-a">
      <Lemma writtenForm="a.b. &amp; c" partOfSpeech="a"/>
      <Sense id="s5" synset="x-4-s"/><Sense id="s6" synset="x-5-a"/>
    </LexicalEntry>
    <Synset id="x-1-r" partOfSpeech="r" members="x-well-r"/>
    <Synset id="x-4-s" partOfSpeech="s"/>
    <Synset id="x-5-a" partOfSpeech="a" members="x-able-a"/>
    <Synset id="x-3-v" partOfSpeech="v" members="x-dog-v"><Definition>follow</Definition></Synset>
    <Synset id="x-2-n" partOfSpeech="n" members="x-hot_dog-n x-frank-n"/>
    <Synset id="x-6-n" partOfSpeech="n" lexicalized="false"/>
  </Lexicon>
</LexicalResource>
"""
LEXICON_NAMES = ["hot dog", "straßenhund", "a", "a", "well"]


def folder(inner: str, files: dict[str, bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        (path / inner).mkdir(parents=True)
        for name, content in files.items():
            (path / inner / name).write_bytes(content)

    return write


def tar(inner: str, files: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(f"{inner}{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def zipped(inner: str, files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"{inner}{name}", content)
    return buffer.getvalue()


def content(data: bytes | str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(data.encode() if isinstance(data, str) else data)

    return write


def without(*names: str) -> dict[str, bytes]:
    return {name: data for name, data in CONTENTS.items() if name not in names}


def changed(name: str, old: str, new: str | bytes) -> dict[str, bytes]:
    new = new.encode() if isinstance(new, str) else new
    assert old.encode() in CONTENTS[name]
    return {**CONTENTS, name: CONTENTS[name].replace(old.encode(), new)}


# ---- the paper's figure


@WHOLE
def test_the_papers_number() -> None:
    found = read_wordnet(INSTALLED)
    assert len(found.names) == 117_659
    numbers = {str(number) for number in range(100)}
    assert len((numbers | set(found.names)) - {""}) == PAPER
    assert len(set(found.names) - numbers - {""}) == PAPER - 100
    assert found.release == "WordNet 3.0 (Princeton)"
    assert found.licence == "WordNet License"
    assert found.names[:3] == ["entity", "physical entity", "abstraction"]
    assert found.files == {
        name: hashlib.sha256((INSTALLED / name).read_bytes()).hexdigest() for name in DATA_FILES
    }


@WHOLE
@pytest.mark.parametrize(("name", "mode"), [("w.tar.gz", "w:gz"), ("wordnet.zip", None)])
def test_archives_of_the_whole(name: str, mode: str | None, tmp_path: Path) -> None:
    files = {name: (INSTALLED / name).read_bytes() for name in DATA_FILES}
    data = zipped("wordnet/", files) if mode is None else tar("WordNet-3.0/dict/", files, mode)
    (tmp_path / name).write_bytes(data)
    assert read_wordnet(tmp_path / name) == read_wordnet(INSTALLED)


# ---- forms


SHUFFLED = {name: CONTENTS[name] for name in reversed(DATA_FILES)}
OTHERS = {"index.noun": b"x", "data.noun.bak": b"x", "._data.noun": b"x", **SHUFFLED}


@pytest.mark.parametrize(
    ("name", "write"),
    [
        pytest.param("wn", folder("", OTHERS), id="folder"),
        pytest.param("wn", folder("dict", CONTENTS), id="its dict"),
        pytest.param("wn", folder("wordnet", CONTENTS), id="NLTK's folder"),
        pytest.param("w.tar", content(tar("dict/", OTHERS)), id="tar"),
        pytest.param("w.tar.gz", content(tar("dict/", OTHERS, "w:gz")), id="tar.gz"),
        pytest.param("w.tgz", content(tar("W/dict/", OTHERS, "w:gz")), id="tgz"),
        pytest.param("w.tar.bz2", content(tar("./", OTHERS, "w:bz2")), id="tar.bz2"),
        pytest.param("w.tar.xz", content(tar("", OTHERS, "w:xz")), id="tar.xz"),
        pytest.param("w.zip", content(zipped("wordnet/", OTHERS)), id="zip"),
        pytest.param("w.zip", content(tar("dict/", OTHERS, "w:gz")), id="tar.gz by another name"),
        pytest.param("w.bin", content(zipped("a/b/", OTHERS)), id="zip by another name"),
        pytest.param("w.tar", content(tar("../../", CONTENTS)), id="names are never paths"),
    ],
)
def test_forms_of_the_database(name: str, write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / name)
    expected = WordNet(
        NAMES,
        "WordNet 3.0 (Princeton)",
        "WordNet License",
        {name: hashlib.sha256(data).hexdigest() for name, data in CONTENTS.items()},
    )
    assert read_wordnet(tmp_path / name) == expected
    assert read_wordnet(str(tmp_path / name)) == expected
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_line_ends_of_windows_and_no_licence(tmp_path: Path) -> None:
    files = {name: text.replace("\n", "\r\n").encode() for name, text in FILES.items()}
    folder("wn", files)(tmp_path)
    found = read_wordnet(tmp_path / "wn")
    assert found.names == NAMES
    assert (found.release, found.licence) == ("WordNet of unknown version", "")


def test_first_folder_of_an_archive(tmp_path: Path) -> None:
    other = {f"b/{name}": b"no WordNet" for name in CONTENTS}
    path = tmp_path / "w.tar"
    path.write_bytes(tar("", {**{f"a/{name}": data for name, data in CONTENTS.items()}, **other}))
    assert read_wordnet(path).names == NAMES


@pytest.mark.parametrize(
    ("name", "compress"),
    [("x.xml", bytes), ("x.xml.gz", gzip.compress), ("x.xml.bz2", bz2.compress),
     ("x.xml.xz", lzma.compress), ("x.bin", gzip.compress), ("x", b"\xef\xbb\xbf".__add__)],
)  # fmt: skip
def test_lexicon(name: str, compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    data = compress(LEXICON.encode())
    (tmp_path / name).write_bytes(data)
    found = read_wordnet(tmp_path / name)
    assert found.names == LEXICON_NAMES
    assert (found.release, found.licence) == ("Small WordNet 2024", "CC BY 4.0")
    assert found.files == {name: hashlib.sha256(data).hexdigest()}


def test_members_that_are_senses_or_missing(tmp_path: Path) -> None:
    """WN-LMF 1.0 has no members; some lexicons name senses there."""
    path = tmp_path / "x.xml"
    path.write_text(LEXICON.replace('"x-hot_dog-n x-frank-n"', '"s3 s2"'))
    assert read_wordnet(path).names[0] == "hot dog"
    path.write_text(LEXICON.replace('members="x-hot_dog-n x-frank-n"', ""))
    assert read_wordnet(path).names[0] == "frank"
    path.write_text(LEXICON.replace('"x-hot_dog-n x-frank-n"', '"nowhere"'))
    assert read_wordnet(path).names[0] == "frank"


def test_lexicon_in_small_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordnet, "CHUNK", 7)
    (tmp_path / "x.xml").write_text(LEXICON, encoding="utf-8")
    assert read_wordnet(tmp_path / "x.xml").names == LEXICON_NAMES


# ---- what is broken


GOOD_TAR = tar("dict/", CONTENTS, "w:gz")
GOOD_ZIP = zipped("dict/", CONTENTS)
ENTITIES = LEXICON.replace('-1.3.dtd">', '-1.3.dtd" [<!ENTITY a "b">]>')
LONG = {**CONTENTS, "data.adj": CONTENTS["data.adj"] * 10_000}
BROKEN = [
    pytest.param("w", folder("", {"a": b""}), "is no WordNet: there is no data.noun", id="folder"),
    pytest.param("w", folder("dict", without("data.adj")), "lacks data.adj", id="lacks one"),
    pytest.param("w", folder("", without(*DATA_FILES[:3])),
                 "lacks data.noun, data.verb, data.adj", id="lacks three"),
    pytest.param("w.tar", content(tar("", {"a": b"a"})), "there is no data.noun", id="another tar"),
    pytest.param("w.tgz", content(tar("d/", without("data.adv"), "w:gz")), "lacks data.adv",
                 id="tar lacks one"),
    pytest.param("w.zip", content(zipped("d/", without("data.verb"))), "lacks data.verb",
                 id="zip lacks one"),
    pytest.param("w.zip", content(zipped("", {"a": b"a"})), "there is no data.noun",
                 id="another zip"),
    pytest.param("w.tgz", content(GOOD_TAR[:-100]), "the gzip stream is cut short", id="short tgz"),
    pytest.param("w.tgz", content(GOOD_TAR[:-2]), "the gzip stream is cut short", id="no checksum"),
    pytest.param("w.tgz", content(GOOD_TAR + b"more"), "garbage after the end", id="tgz and more"),
    pytest.param("w.tar", content(tar("", CONTENTS)[:700]), "can't be read: ", id="short tar"),
    pytest.param("w.tar", content(tar("", CONTENTS)[:300]), "can't be read: ", id="short header"),
    pytest.param("w.zip", content(GOOD_ZIP[:-30]), "the zip can't be read: ", id="short zip"),
    pytest.param("w.zip", content(GOOD_ZIP[:99] + b"\0\0\0\0" + GOOD_ZIP[103:]),
                 "the zip can't be read: ", id="damaged zip"),
    pytest.param("w.xml", content(LEXICON[:-200]), "is no whole XML: .*line ", id="short XML"),
    pytest.param("w.xml", content(LEXICON.encode().replace("ß".encode(), b"\xff")),
                 "is no whole XML: .*line 15", id="XML that is no UTF-8"),
    pytest.param("w.xml.gz", content(gzip.compress(LEXICON.encode())[:-9]),
                 "the gzip stream is cut short", id="short XML.gz"),
    pytest.param("w.xml", content(LEXICON.replace("UTF-8", "big5")), "is no whole XML: .*encoding",
                 id="encoding that is not supported"),
    pytest.param("w.xml", content(LEXICON.replace("UTF-8", "none")), "is no whole XML: .*encoding",
                 id="encoding that does not exist"),
    pytest.param("w.xml", content("<html><p/></html>"), "its root is 'html', not LexicalResource",
                 id="another XML"),
    pytest.param("w.xml", content("<LexicalResource/>"), "there is no synset", id="no synsets"),
    pytest.param("w.xml", content(ENTITIES), "declares XML entities, which are refused",
                 id="entities"),
    pytest.param("w.xml", content(""), "the file is empty", id="empty"),
    pytest.param("w.xml.gz", content(gzip.compress(b"")), "the file is empty", id="empty gz"),
    pytest.param("w.tar", content("hello"), "is no WordNet: neither tar nor zip nor XML",
                 id="something else"),
    pytest.param("w", folder("", {**CONTENTS, "data.adj": b""}), "data.adj holds no synset",
                 id="empty data file"),
    pytest.param("w", folder("", {**CONTENTS, "data.adj": LICENCE.encode()}),
                 "data.adj holds no synset", id="a licence only"),
    pytest.param("w", folder("", changed("data.verb", "00001740 29", "1740 29")),
                 "data.verb, line 3: '1740 29 v .*' is no synset", id="offset"),
    pytest.param("w", folder("", changed("data.noun", "n 01 entity", "x 01 entity")),
                 "data.noun, line 3: .* is no synset", id="part of speech"),
    pytest.param("w", folder("", changed("data.noun", "n 01 entity", "n 02 entity")),
                 "data.noun, line 3: .* is no whole synset", id="a word is missing"),
    pytest.param("w", folder("", changed("data.noun", " ~ 00001930 n 0000 | that which", "")),
                 "data.noun, line 3: .* is no whole synset", id="a pointer is missing"),
    pytest.param("w", folder("", changed("data.adv", "| so  \n", "| s")),
                 "data.adv, line 3: is cut short", id="cut in the last line"),
    pytest.param("w", folder("", changed("data.noun", "sausage", b"\xff")),
                 "data.noun, line 4: is no UTF-8", id="no UTF-8"),
    pytest.param("w.tar", content(tar("", changed("data.noun", "sausage", b"\xff"))),
                 "data.noun, line 4: is no UTF-8", id="no UTF-8 in a tar"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "write", "reason"), BROKEN)
def test_broken(name: str, write: Callable[[Path], None], reason: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    with pytest.raises(InputError, match=reason) as caught:
        read_wordnet(tmp_path / name)
    assert caught.value.source == str(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("w.tar.gz", content(tar("", LONG, "w:gz"))),
        ("w.zip", content(zipped("", LONG))),
        ("w", folder("", LONG)),
    ],
)
def test_decompression_bomb(
    name: str, write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / name)
    assert len(read_wordnet(tmp_path / name).names) > 20_000
    monkeypatch.setattr(wordnet, "MOST_DATA", 1 << 20)
    with pytest.raises(InputError, match=r"data\.adj has more than 1 MB"):
        read_wordnet(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("w.tar.gz", tar("", {"zeros": bytes(3 << 20), **CONTENTS}, "w:gz")),
        ("w.xml.xz", lzma.compress(LEXICON.encode() + bytes(3 << 20).replace(b"\0", b" "))),
    ],
)
def test_bomb_that_is_no_data_file(
    name: str, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wordnet, "MOST_CONTENT", 1 << 20)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=f"{name} has more than 1 MB"):
        read_wordnet(tmp_path / name)


@pytest.mark.parametrize("good", [tar("d/", CONTENTS), GOOD_TAR, GOOD_ZIP, LEXICON.encode()])
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.integers(0, 300))
def test_damage_never_escapes(
    good: bytes, place: int, byte: int, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(good)
    data[place % len(data)] = byte
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data[: len(data) - cut])
    try:
        read_wordnet(path)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.tar\.gz: no such file or folder of WordNet"):
        read_wordnet(tmp_path / "none.tar.gz")


def test_without_defusedxml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "defusedxml.ElementTree", None)
    (tmp_path / "x.xml").write_text(LEXICON, encoding="utf-8")
    with pytest.raises(MetacurateError, match=r'pip install "metacurate\[metadata\]"'):
        read_wordnet(tmp_path / "x.xml")
