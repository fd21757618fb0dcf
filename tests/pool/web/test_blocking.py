"""Lists of what must not come in."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.errors import InputError, UsageError
from metacurate.pool.uid import uid_of
from metacurate.pool.web.blocking import Domains, UrlHashes, Words, read_list

URL = "https://img.bad.example/a.jpg?x=1"


@pytest.mark.parametrize(
    ("line", "blocked"),
    [
        ("bad.example", True),
        ("img.bad.example", True),
        ("BAD.Example.", True),
        ("*.bad.example", True),
        ("0.0.0.0 bad.example", True),
        ("127.0.0.1\timg.bad.example", True),
        ("example", True),
        ("ad.example", False),
        ("x.img.bad.example", False),
        ("bad.example.com", False),
    ],
)
def test_domains_are_blocked_with_all_that_belongs_to_them(line: str, blocked: bool) -> None:
    domains = Domains(["other.example", line])
    for url in (URL, "http://user@img.bad.example:8080/", "https://img.bad.example./x"):
        assert domains.holds(url) == blocked
    assert not domains.holds("https://good.test/bad.example")
    assert not domains.holds("")
    assert not domains.holds("urn:bad.example")
    assert domains.holds("HTTP://IMG.Bad.Example?q=1") == blocked


def test_domains_in_other_scripts() -> None:
    assert Domains(["bücher.example"]).holds("https://www.xn--bcher-kva.example/")
    assert Domains(["1.2.3.4"]).holds("http://1.2.3.4/a")
    assert Domains(["bücher.example"]).holds("https://bücher.example/")
    assert Domains(["[::1]"]).holds("http://[::1]:80/a")


@pytest.mark.parametrize(
    "line", ["a b c", "http://bad.example/", "bad.example/path", "a b.example", "x@y", "..", "*."]
)
def test_lines_that_are_no_domain(line: str) -> None:
    with pytest.raises(UsageError, match="is no domain"):
        Domains([line])


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha224", "sha256"])
def test_urls_are_blocked_by_any_hash(algorithm: str) -> None:
    digest = hashlib.new(algorithm, URL.encode()).hexdigest()
    hashes = UrlHashes(["0" * 32, digest.upper()])
    assert hashes.holds(URL)
    assert not hashes.holds(f"{URL}0")


def test_urls_are_blocked_by_uid() -> None:
    assert UrlHashes([uid_of(URL)]).holds(URL)


@pytest.mark.parametrize("line", ["abc", "g" * 32, "0" * 33, URL])
def test_lines_that_are_no_hash(line: str) -> None:
    with pytest.raises(UsageError, match="is no hash"):
        UrlHashes([line])


@pytest.mark.parametrize(
    ("text", "blocked"),
    [
        ("a Bad word", True),
        ("(BAD), really", True),
        ("bad", True),
        ("very-bad_word", True),
        ("badly", False),
        ("a red fox", False),
        ("two   WORDS.", True),
        ("two\u00a0words", True),
        ("two other words", False),
        ("STRASSE", True),
        ("this is #NSFW here", True),
        ("这是色情图片", True),
        ("un cafe\u0301 noir", True),
        ("", False),
    ],
)
def test_words_block_whole_words_in_any_case(text: str, blocked: bool) -> None:
    assert Words(["bad", "two-words", "straße", "#nsfw", "色情", "café"]).hold(
        [text, "x"]
    ).tolist() == [blocked, False]


@given(st.lists(st.text("ab ", max_size=6)))
def test_words_are_those_of_a_plain_search(texts: list[str]) -> None:
    found = Words(["ab", "a b"]).hold(texts)
    for text, blocked in zip(texts, found, strict=True):
        line = f" {' '.join(text.split())} "
        assert blocked == (" ab " in line or " a b " in line)


def test_lines_without_a_word() -> None:
    with pytest.raises(UsageError, match="holds no word"):
        Words(["bad", "***"])


def test_lists_are_read(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbf# comment\r\n a.example # why\r\n\r\n#\nb.example\n#nsfw #")
    assert read_list(path) == ["a.example", "b.example", "#nsfw"]


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "no lines"), (b"# x\n\n", "no lines"), (b"\xff\xfe", "no UTF-8")]
)
def test_lists_that_can_not_be_read(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read_list(path)
    with pytest.raises(InputError, match="can't be read"):
        read_list(tmp_path / "missing.txt")
