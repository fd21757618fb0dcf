"""Which pairs become rows, and why the others do not."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.errors import InputError, UsageError
from metacurate.pool.uid import uid_of
from metacurate.pool.web.harvest import Harvest
from metacurate.pool.web.language import Identifier
from metacurate.pool.web.sieve import Sieve, Wanted
from metacurate.schema import EXTRACTED

PAIRS = [
    ("http://a.example/1.jpg", "a red fox in the snow near the house", "http://page.example/"),
    ("http://b.example/2.jpg", "ein roter Fuchs im Schnee neben dem Haus", "http://page.example/"),
    ("http://c.bad.example/3.jpg", "a brown dog on the old street", "http://page.example/"),
    ("http://d.example/4.jpg", "the same dog on another street", "http://bad.example/"),
    ("http://e.example/5.jpg", "x", "http://page.example/"),
    ("http://f.example/6.jpg", "a nasty thing on the old street", "http://page.example/"),
]


def harvest(pairs: list[tuple[str, str, str]]) -> Harvest:
    urls, texts, pages = map(list, zip(*pairs, strict=True)) if pairs else ([], [], [])
    return Harvest(urls, texts, ["alt"] * len(pairs), pages)


def sift(pairs: list[tuple[str, str, str]], **wanted: Any) -> tuple[list[str], dict[str, int]]:
    counts: Counter[str] = Counter()
    table = Sieve(Wanted(**wanted)).sift(harvest(pairs), "x.wat.gz", counts)
    assert table.schema.equals(EXTRACTED)
    assert sum(counts.values()) == len(pairs)
    assert counts.pop("kept", 0) == len(table)
    return table["text"].to_pylist(), dict(counts)


def test_rows() -> None:
    counts: Counter[str] = Counter()
    table = Sieve(Wanted()).sift(harvest(PAIRS), "x.wat.gz", counts)
    assert counts == {"kept": 6}
    languages, scores = Identifier().identify([text for _, text, _ in PAIRS])
    assert table.to_pylist() == [
        {
            "url": url,
            "text": text,
            "uid": uid_of(url),
            "attribute": "alt",
            "page_url": page,
            "language": language,
            "language_score": float(score),
            "archive": "x.wat.gz",
        }
        for (url, text, page), language, score in zip(PAIRS, languages, scores, strict=True)
    ]


def test_nothing_comes_of_nothing() -> None:
    assert sift([], min_chars=3, language="en", min_language_score=0.5) == ([], {})


def test_each_reason(tmp_path: Path) -> None:
    lists = {"domains": "bad.example", "words": "nasty", "entries": "fox\ndog\nFuchs"}
    for name, content in lists.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "hashes").write_text(uid_of(PAIRS[0][0]))
    texts = [text for _, text, _ in PAIRS]
    wanted: dict[str, Any]
    for wanted, left, reason in (
        ({"min_chars": 2}, [0, 1, 2, 3, 5], "too_short"),
        ({"max_chars": 30}, [2, 3, 4], "too_long"),
        ({"block_domains": (str(tmp_path / "domains"),)}, [0, 1, 4, 5], "blocked_domain"),
        ({"block_url_hashes": (str(tmp_path / "hashes"),)}, [1, 2, 3, 4, 5], "blocked_url_hash"),
        ({"block_words": (str(tmp_path / "words"),)}, [0, 1, 2, 3, 4], "blocked_word"),
        ({"metadata": str(tmp_path / "entries")}, [0, 1, 2, 3], "unmatched"),
        ({"language": "de"}, [1], "other_language"),
    ):
        kept, counts = sift(PAIRS, **wanted)
        if reason == "too_long":
            kept_texts = [text for text in texts if len(text) <= 30]
            assert kept == kept_texts
        else:
            assert kept == [texts[i] for i in left]
        assert list(counts) == [reason]


def test_scores() -> None:
    texts = [text for _, text, _ in PAIRS]
    languages, scores = Identifier().identify(texts)
    sure = float(np.sort(scores)[2])
    expected = [
        text for text, score in zip(texts, scores, strict=True) if score >= np.float32(sure)
    ]
    kept, counts = sift(PAIRS, min_language_score=sure)
    assert kept == expected
    assert counts == {"low_language_score": 2}
    english = [
        text
        for text, language, score in zip(texts, languages, scores, strict=True)
        if language == "en" and score >= np.float32(sure)
    ]
    assert sift(PAIRS, min_language_score=sure, language="en")[0] == english


WORDS = st.lists(st.sampled_from(["fox", "Fuchs", "snow", "Schnee", "bad", "the", "und"])).map(
    " ".join
)


@given(st.lists(WORDS.filter(bool), max_size=8), st.booleans(), st.booleans())
def test_the_order_of_steps_decides_nothing(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], matched: bool, english: bool
) -> None:
    entries = tmp_path_factory.mktemp("entries") / "entries.txt"
    entries.write_text("fox\nSchnee\n")
    pairs = [
        (f"http://a.example/{i}", text, "http://page.example/") for i, text in enumerate(texts)
    ]
    wanted: dict[str, Any] = {}
    expected = texts
    if matched:
        wanted["metadata"] = str(entries)
        expected = [text for text in expected if {"fox", "Schnee"} & set(text.split())]
    if english:
        wanted["language"] = "en"
        languages, _ = Identifier().identify(expected)
        expected = [t for t, language in zip(expected, languages, strict=True) if language == "en"]
    assert sift(pairs, **wanted)[0] == expected


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"min_chars": 0}, "there are none"),
        ({"min_chars": 5, "max_chars": 4}, "there are none"),
        ({"min_language_score": 1.5}, "from 0 to 1"),
        ({"min_language_score": float("nan")}, "from 0 to 1"),
        ({"language": "English"}, "no code like en"),
        ({"language": "e1"}, "no code like en"),
    ],
)
def test_what_can_not_be_wanted(wanted: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        Sieve(Wanted(**wanted))


def test_errors_name_the_list(tmp_path: Path) -> None:
    path = tmp_path / "domains.txt"
    path.write_text("not a domain\n")
    with pytest.raises(UsageError, match=r"domains\.txt: 'not a domain' is no domain"):
        Sieve(Wanted(block_domains=(str(path),)))
    with pytest.raises(InputError, match=r"missing\.txt"):
        Sieve(Wanted(block_words=(str(tmp_path / "missing.txt"),)))
