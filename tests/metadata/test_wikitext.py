"""Wikitext becomes the sentences that a reader sees."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.metadata.wikitext import LEFT_OUT, MOST_TEXT, most_open, plain_text

PREFIXES = frozenset(("file", "image", "category", "файл"))

PAGE = """\
{{Short description|An animal}}
{{Infobox animal
| name = Red fox
| range = {{convert|5|km}}
}}
[[File:Fox.jpg|thumb|A '''fox''' in [[snow]]]]
The '''red fox''' (''Vulpes vulpes'') is the largest of the [[true fox]]es<ref>{{cite book|title=
Foxes}}</ref>, and one of the [[Carnivora|carnivorans]].<ref name="a" /> It weighs
{{convert|5|kg}} at most&nbsp;&mdash; [https://example.org see there]<!-- who? -->. __NOTOC__

== Range ==
{| class="wikitable" style="text-align:center"
|-
! Country !! Foxes
|-
| France || {{formatnum:12}}
{|
| nested || table
|}
|}
* It lives in [[Europe]]
* and in <b>Asia</b><br/>and <span style="color:red">elsewhere</span>
<gallery>
File:Den.jpg|A den
</gallery>
<math>a^2</math> [[:Category:Foxes]] [[Category:Canids]] [[de:Rotfuchs]]
<syntaxhighlight lang="python">print("fox")</syntaxhighlight>
[[Файл:Лиса.jpg|мини|Лиса]]

== References ==
{{reflist}}
"""

PLAIN = """\
The red fox (Vulpes vulpes) is the largest of the true foxes, and one of the carnivorans. It weighs
￼ at most\u00a0— see there.
Range
It lives in Europe
and in Asia
and elsewhere
￼ Category:Foxes
References"""


def test_a_page() -> None:
    assert plain_text(PAGE, PREFIXES) == PLAIN


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("", ""),
        ("{{stub}}", ""),
        ("a {{x}} b", f"a {LEFT_OUT} b"),
        ("[[Fox]]es and [[fox hunting|hunts]]", "Foxes and hunts"),
        ("[[Fox_den]] [[AT&amp;T]]", "Fox den AT&T"),
        ("[[File:a.jpg|thumb|[[fox]] {{x}}]] den", "den"),
        ("[[Image:a.jpg]] [[file : a.jpg]] [[CATEGORY:Foxes]] den", "den"),
        ("[[zh-min-nan:Ho]] [[fr:Renard]] [[Mission: Impossible]]", "Mission: Impossible"),
        ("[[wikt:fox|the word]]", "the word"),
        ("[https://example.org] [https://example.org foxes]", f"{LEFT_OUT} foxes"),
        ("https://example.org is a site", f"{LEFT_OUT} is a site"),
        ("''' unbalanced '' quotes", "unbalanced  quotes"),
        ("'''''both''''' l'''amour''", "both lamour"),
        (":* indented\n;term: meaning", "indented\nterm\nmeaning"),
        ("&lt;b&gt; &#233; &eacute; &#x110000; &nosuch;", None),
        ("<ref>unclosed", None),
        ("{{unclosed", None),
        ("[[unclosed", None),
        ("a <nowiki>[[no link]]</nowiki> b", "a [[no link]] b"),
        ("x<sup>2</sup> H<sub>2</sub>O", "x2 H2O"),
        ("<ref>a</ref>red<ref>b</ref> fox", "red fox"),
        ("line one\n\n\nline two", "line one\nline two"),
    ],
)
def test_pieces(source: str, text: str | None) -> None:
    found = plain_text(source, PREFIXES)
    assert text is None or found == text


@given(st.text(alphabet="[]{}|='<>/ref table\n*#:;&!-_TOC", max_size=80))
def test_nothing_breaks_it(source: str) -> None:
    text = plain_text(source, PREFIXES)
    assert not re.search(r"^\s|\s$|\n\n|'''?", text)


OPENERS = [
    "{{", "[[", "{{{a|", "<ref>", "<ref name=a>", "{|\n", "[http://x ", "<!--", "<div ", "<b>",
    "<nowiki>", "<p>", "<a b=",
]  # fmt: skip


@pytest.mark.parametrize("before", ["", "]]}}-->/></ref></b>>" * 3000])
@pytest.mark.parametrize("piece", OPENERS)
def test_what_would_take_too_long_is_refused(piece: str, before: str) -> None:
    plain_text(piece * 100, PREFIXES)
    with pytest.raises(ValueError, match="brackets, braces or tags are open at once"):
        plain_text(before + piece * 3000, PREFIXES)


@pytest.mark.parametrize("piece", ["<br>", "<li>x", "<ref name=a/>", "[[a]]", "{{a}}", "<b>x</b>"])
def test_many_of_a_kind_are_no_harm(piece: str) -> None:
    plain_text(piece * 3000, PREFIXES)


def test_a_page_that_no_wiki_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 4,000,000 characters"):
        plain_text("x" * (MOST_TEXT + 1))


@pytest.mark.parametrize(
    ("source", "depth"),
    [("", 0), ("[[a]] {{b}}", 2), ("]]]] [[", 2), ("<b><i>x</i></b>", 2), ("<br><br><ref/>", 1),
     ("--><!-- a", 1), ("<a <b", 2)],
)  # fmt: skip
def test_most_open(source: str, depth: int) -> None:
    assert most_open(source) == depth
