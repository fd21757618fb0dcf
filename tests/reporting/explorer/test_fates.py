"""All pages together show each pair of the pool once, with the fate that plain Python gives it."""

import html
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metacurate as mc
from metacurate.curation.explain import Explainer
from metacurate.reporting.curated_set import CuratedSet
from metacurate.reporting.explorer.showing import has_domain

from ...curation.pools import ENTRIES
from .pools import SEED, WHERE, Row, T, curate, fates_of
from .served import PAIR, Served, serve

VALUE = re.compile(r'<dt><bdi class="text">(.*?)</bdi></dt><dd><bdi class="text">(.*?)</bdi>')

CASES = {
    "parquet": ("parquet", "paper", "all", None),
    "one caption, filtered": ("parquet", "spaced", "one", WHERE),
    "csv, one caption": ("csv", "paper", "one", None),
    "json, filtered": ("jsonl", "spaced", "all", WHERE),
}
ASKED = ["w0", "w10", "w0 w1", ",", "w400", "nowhere"]


class Set:
    def __init__(self, served: Served, out: Path) -> None:
        self.served = served
        self.curated = CuratedSet.read(str(out))
        self.rows = fates_of(self.curated)

    def places(self, fate: str, entry: int | None = None) -> list[tuple[int, int, str]]:
        return sorted(
            (*place, row.fate)
            for place, row in self.rows.items()
            if fate in ("all", row.fate) and (entry is None or entry in row.entries)
        )

    def kept_pairs(self, places: list[tuple[int, int, str]]) -> Counter[tuple[str, str]]:
        tables = [pq.read_table(path, columns=["url", "text"]) for path in self.curated.tables]
        assert {fate for _, _, fate in places} <= {"kept"}
        return Counter(
            (tables[file]["url"][row].as_py(), tables[file]["text"][row].as_py())
            for file, row, _ in places
        )


@pytest.fixture(scope="module", params=CASES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Set]:
    out = curate(tmp_path_factory.mktemp("explored"), *CASES[request.param])  # type: ignore[arg-type]
    with serve(out) as served:
        yield Set(served, out)


def test_pairs_of_entries(made: Set) -> None:
    seen = set()
    for name in ASKED:
        entry = ENTRIES.index(name)
        for fate in ("balanced_away", "other_caption", "filtered", "all"):
            found = made.served.all_pairs(entry=entry, fate=fate)
            assert found == made.places(fate, entry)
            seen |= {fate for _, _, fate in found}
        kept = made.kept_pairs(made.served.all_pairs(entry=entry))
        wanted = [
            (row.url, row.text)
            for row in made.rows.values()
            if row.fate == "kept" and entry in row.entries
        ]
        assert kept == Counter(wanted)
        assert sum(kept.values()) == made.curated.kept[entry]
    assert {"kept", "balanced_away"} <= seen


def test_all_pairs(made: Set) -> None:
    for fate in ("all", "balanced_away", "unmatched", "invalid", "filtered", "other_caption"):
        assert made.served.all_pairs(fate=fate) == made.places(fate)
    assert sum(made.kept_pairs(made.served.all_pairs()).values()) == made.curated.card["kept"]
    totals = Counter(row.fate for row in made.rows.values())
    for fate, number in totals.items():
        assert made.curated.card.get(fate, 0) == number


def test_filters(made: Set) -> None:
    for domain in ("example.org", "pictures.example.com", "EXAMPLE.com", "ample.org"):
        found = made.served.all_pairs(fate="all", domain=domain)
        wanted = [
            place
            for place in made.places("all")
            if has_domain(made.rows[place[:2]].url or "", domain.lower())
        ]
        assert found == wanted
        assert bool(found) == (domain != "ample.org")
    pool = [pq.read_table(file.table, columns=["language"]) for file in made.curated.pool.files]
    for fate in ("all", "balanced_away"):
        found = made.served.all_pairs(fate=fate, language="de", domain="img.example.org")
        assert found == [
            place
            for place in made.places(fate)
            if has_domain(made.rows[place[:2]].url or "", "img.example.org")
            and pool[place[0]]["language"][place[1]].as_py() == "de"
        ]
        assert found


def value_of(text: str, name: str) -> float | None:
    found = re.search(f'<dd class="{name}">(?:<data value="([^"]+)">|\u2013)', text)
    assert found is not None
    return None if found[1] is None else float(found[1])


def first_places(made: Set, fate: str) -> list[tuple[int, int]]:
    return [place for place, row in made.rows.items() if row.fate == fate][:3]


def test_one_pair_and_its_numbers(made: Set) -> None:
    matcher = mc.Matcher(made.curated.metadata, made.curated.card["mode"])
    balance = mc.Balance(made.curated.counts, threshold=T)
    for fate in {row.fate for row in made.rows.values()}:
        for file, place in first_places(made, fate):
            row: Row = made.rows[file, place]
            text = made.served.page("/pair", file=file, row=place)
            assert f'data-fate="{fate}"' in text
            assert value_of(text, "draw") == row.draw
            if row.url is None or row.text is None:
                continue
            (told,) = Explainer(matcher, balance, row.url, SEED).explain([row.text])
            assert value_of(text, "probability") == told["keep_probability"] == row.probability
            assert value_of(text, "min-threshold") == told["min_threshold"]
            if fate in ("kept", "balanced_away", "unmatched"):
                assert told["fate"].replace(" ", "_") == fate
            shown = [int(entry) for entry in re.findall(r'<tr data-entry="(\d+)">', text)]
            assert sorted(shown) == row.entries
            marked = re.findall(r'data-entries="([\d ]+)"', text)
            assert {int(entry) for entries in marked for entry in entries.split()} == set(shown)
            if fate == "other_caption":
                chosen = re.search(r'<p class="chosen">Chosen: <bdi class="text">([^<]*)', text)
                assert chosen is not None
                others = {r.text for r in made.rows.values() if r.url == row.url}
                assert html.unescape(chosen[1]) in others


def test_a_kept_pair_and_its_columns(made: Set) -> None:
    for file, path in enumerate(made.curated.tables):
        for place, row in enumerate(pq.read_table(path).slice(0, 3).to_pylist()):
            text = made.served.page("/pair", shelf="kept", file=file, row=place)
            assert value_of(text, "probability") == row["probability"]
            assert value_of(text, "min-threshold") == row["min_threshold"]
            draw = value_of(text, "draw")
            assert draw is not None
            assert draw < row["probability"]


def test_a_sentence_of_ones_own(made: Set) -> None:
    matcher = mc.Matcher(made.curated.metadata, made.curated.card["mode"])
    balance = mc.Balance(made.curated.counts, threshold=T)
    for sentence, url in (("w0, w2 w3", "https://a.b/c"), ("w400", "x"), ("none", "x"), ("w2", "")):
        (told,) = Explainer(matcher, balance, url or None, SEED).explain([sentence])
        text = made.served.page("/try", text=sentence, url=url)
        assert value_of(text, "probability") == told["keep_probability"]
        assert value_of(text, "draw") == told.get("draw")
        assert value_of(text, "min-threshold") == told.get("min_threshold")
        if url:
            assert f">{told['fate']}</span>" in text
        else:
            assert 'class="fate' not in text


def test_a_page_that_begins_anywhere(made: Set) -> None:
    found = made.served.all_pairs(fate="all", file=1, row=150)
    assert found == [place for place in made.places("all") if place >= (1, 150, "")]
    assert made.served.all_pairs(fate="all", file=1, row=10**6) == made.places("all")[-160:]
    assert made.served.all_pairs(fate="all", file=99) == []
    for beyond in ({"file": 99}, {"row": 10**9}):
        response, _ = made.served.ask("/pair?" + "&".join(f"{k}={v}" for k, v in beyond.items()))
        assert response.status == 404


def test_a_pool_that_is_gone_or_changed(tmp_path: Path) -> None:
    out = curate(tmp_path, "parquet", "paper", "all", None)
    path = tmp_path / "pool" / "part-1.parquet"
    with serve(out) as served:
        assert "not what they were" not in served.page("/pairs", fate="all")
    pq.write_table(pq.read_table(path).slice(0, 100), path)
    with serve(out) as served:
        assert "not what they were" in served.page("/pairs", fate="all")
        changed = pq.read_table(path)
        pq.write_table(changed.append_column("more", changed["text"]), path)  # while it is read
        text = served.page("/pairs", fate="all", file=1)
        assert "part-1.parquet: it changed while it was read" in text
        assert PAIR.findall(text)[0][0] == "2"  # the others are shown
        response, text = served.ask("/pair?file=1&row=3")
        assert response.status == 500
        assert "part-1.parquet: it changed while it was read" in text
        path.unlink()
        assert "part-1.parquet: it went away" in served.page("/pairs", fate="all", file=1)
    for file in (tmp_path / "pool").iterdir():
        file.unlink()
    with serve(out) as served:
        text = served.page("/pairs", fate="all")
        assert "The pool can't be read, so that only kept pairs can be seen" in text
        assert len(PAIR.findall(served.page("/pairs"))) == 25


def test_rows_that_are_no_utf8(tmp_path: Path) -> None:
    texts = [b"w0 w1", b"\xff w0", b"w2", None, b"w0"]
    raw = pa.array(texts, pa.binary())
    column = pa.StringArray.from_buffers(
        len(texts), raw.buffers()[1], raw.buffers()[2], raw.buffers()[0]
    )
    pq.write_table(pa.table({"url": list("abcde"), "text": column}), tmp_path / "pool.parquet")
    metadata = mc.Metadata.from_entries(ENTRIES)
    out = tmp_path / "out"
    mc.curate(tmp_path / "pool.parquet", metadata, threshold=1e9, out=out, on_error="skip")
    with serve(out) as served:
        fates = ["kept", "invalid", "kept", "invalid", "kept"]
        assert served.all_pairs(fate="all") == [(0, i, fate) for i, fate in enumerate(fates)]
        assert served.all_pairs(fate="invalid") == [(0, 1, "invalid"), (0, 3, "invalid")]
        entry = ENTRIES.index("w0")
        assert served.all_pairs(fate="all", entry=entry) == [(0, 0, "kept"), (0, 4, "kept")]


def test_odd_columns(tmp_path: Path) -> None:
    columns = {"URL": ["A", "B"], "text": ["w0", "w2"], "url": ["a", "b"], 'te"xt': ["x", "y"]}
    folder = tmp_path / "language=en" / "a[1]*?"  # what is no pattern here
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "pool.parquet")
    out = tmp_path / "out"
    metadata = mc.Metadata.from_entries(ENTRIES)
    mc.curate([str(folder / "pool.parquet")], metadata, threshold=1e9, out=out)
    with serve(out) as served:
        assert served.all_pairs(fate="all") == [(0, 0, "kept"), (0, 1, "kept")]
        text = served.page("/pair", row=1)
        assert re.search(r'<p class="url"><bdi class="text">b</bdi>', text)
        assert "te&#34;xt" in text


def test_files_whose_names_are_patterns_of_others(tmp_path: Path) -> None:
    names = ["a*.parquet", "a1.parquet", "a?.parquet", "a[1].parquet"]
    (tmp_path / "pool").mkdir()
    for name in names:
        table = pa.table({"url": [name, f"{name} 2"], "text": ["w0", "w2"]})
        pq.write_table(table, tmp_path / "pool" / name)
    out = tmp_path / "out"
    metadata = mc.Metadata.from_entries(ENTRIES)
    mc.curate(tmp_path / "pool", metadata, threshold=1e9, out=out)
    with serve(out) as served:
        for fate in ("all", "kept"):
            wanted = [(file, row, "kept") for file in range(len(names)) for row in range(2)]
            assert served.all_pairs(fate=fate) == wanted
        for file, name in enumerate(sorted(names)):
            text = served.page("/pair", file=file, row=1)
            assert f'<p class="url"><bdi class="text">{name} 2</bdi>' in text


def test_values_that_python_does_not_have(tmp_path: Path) -> None:
    columns = {
        "url": ["a"],
        "text": ["w0"],
        "zoned": pa.array([0], pa.timestamp("us", "UTC")),
        "late": pa.array([2**60], pa.timestamp("us")),
        "bytes": pa.array([b"\xff<b>"]),
        "nested": pa.array([[{"at": 0, "no": None}]]),
        "none": pa.nulls(1),
    }
    pq.write_table(pa.table(columns), tmp_path / "pool.parquet")
    out = tmp_path / "out"
    metadata = mc.Metadata.from_entries(ENTRIES)
    mc.curate(tmp_path / "pool.parquet", metadata, threshold=1e9, out=out)
    with serve(out) as served:
        for shelf in ("pool", "kept"):
            text = html.unescape(served.page("/pair", shelf=shelf))
            assert "can't be read" not in text
            told = dict(VALUE.findall(text))
            assert re.match(r"(1969-12-31|1970-01-01) .*[+-]\d\d", told["zoned"])
            assert told["late"].startswith("38504-")
            assert told["bytes"] == r"\xFF<b>"
            assert told["nested"] == "[{'at': 0, 'no': NULL}]"
            assert told["none"] == "\u2013"


def test_nothing_is_kept(tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": ["a"], "text": ["none"]}), tmp_path / "pool.parquet")
    out = tmp_path / "out"
    mc.curate(tmp_path / "pool.parquet", mc.Metadata.from_entries(["x"]), threshold=1, out=out)
    with serve(out) as served:
        assert served.all_pairs() == []
        assert "There is no such pair" in served.page("/pairs")
        assert served.all_pairs(fate="all") == [(0, 0, "unmatched")]
