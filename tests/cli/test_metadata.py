"""The commands that build, compare and download lists of concepts."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metacurate.metadata.metadata import Metadata

from .calls import Done, call


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Text, page views and counts, in the folder that the commands are called in."""
    monkeypatch.chdir(tmp_path)
    texts = ["the red fox and the red den", "the red fox, again", "a den\nof the fox"] * 40
    for i in range(2):
        pq.write_table(pa.table({"text": texts}), tmp_path / f"text-{i}.parquet")
        views = f"en Arctic_fox {60 + i} 0\nen St._Louis 70 0\n"
        (tmp_path / f"pageviews-{i}.gz").write_bytes(gzip.compress(views.encode()))
    (tmp_path / "counts.csv").write_text("fox,500\nden,90\n", "utf-8")
    return tmp_path


def summary(command: str) -> dict[str, Any]:
    done = call(f"{command} --json")
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def row(done: Done, *cells: str) -> bool:
    """Whether a row of a table that was printed holds these cells, one after another."""
    wanted = r"\s*[│┃]\s*".join(re.escape(cell) for cell in cells)
    return re.search(wanted, done.out) is not None


def test_build_as_a_shell_calls_it_with_many_files(sources: Path) -> None:
    done = call(
        "metadata build --wikipedia text-0.parquet text-1.parquet --unigrams 5 --bigrams 2 "
        "--bigram-min-count 3 --pageviews pageviews-0.gz pageviews-1.gz --workers 1 -o m.parquet"
    )
    assert done.code == 0, done.err
    assert row(done, "unigram", "size 5", "8", "5")
    assert row(done, "beyond the size asked for", "", "", "3")
    assert row(done, "title", "project en, hour min views 50, min views 70", "2", "2")
    assert row(done, "all", "", "", "109")
    assert row(done, "text-0.parquet", r"")
    assert "all words 1,280" in done.out
    metadata = Metadata.read(sources / "m.parquet")
    assert metadata.digest in done.out
    assert metadata.entries.to_pylist()[100:] == [
        "the", "fox", "red", "den", "a", "a den", "fox and", "St. Louis", "Arctic fox",
    ]  # fmt: skip
    again = call("metadata build --wikipedia text-*.parquet --unigrams 5 -o again.parquet")
    assert again.code == 0, again.err


def test_options_and_their_report(sources: Path) -> None:
    report = summary(
        "metadata build --pageviews=pageviews-0.gz --pageviews pageviews-1.gz "
        "--unigram-counts counts.csv --limit 103 --spaced --case-variants -o m.json"
    )
    assert (report["entries"], report["limit"], report["spaced"]) == (103, 103, True)
    entries = Metadata.read(sources / "m.json").entries.to_pylist()
    assert entries[100:] == ["fox", "St .  Louis", "Arctic fox"]
    dropped = {source["source"]: source["dropped"] for source in report["sources"]}
    assert dropped["case"]["beyond the limit"] > 0
    report = summary(
        "metadata build --pageviews pageviews-0.gz --title-min-views 1 --drop-unmatchable -o m.txt"
    )
    assert report["sources"][1]["dropped"] == {"can never match": 1}


def test_info_tells_how_a_list_was_built(sources: Path) -> None:
    assert call("metadata build --pageviews pageviews-0.gz -o m.parquet --titles 9").code == 0
    done = call("metadata info m.parquet")
    assert row(done, "entries", "102")
    assert row(done, "never match in mode paper", "1")
    assert row(done, "never match by source: title", "1")
    assert "How it was built" in done.out
    assert row(done, "pageviews-0.gz", "")
    told = summary("metadata info m.parquet")
    assert told["never_match_by_source"] == {"title": told["never_match_in_mode_paper"]}
    assert told["build"]["digest"] == told["digest"]
    (sources / "m.build.json").unlink()
    assert summary("metadata info m.parquet")["build"] is None
    assert "How it was built" not in call("metadata info m.parquet").out


def test_diff(sources: Path) -> None:
    (sources / "a.txt").write_text("0\nfox\nden\n", "utf-8")
    assert call("metadata build --pageviews pageviews-0.gz -o b.parquet --limit 101").code == 0
    done = call("metadata diff a.txt b.parquet")
    assert row(done, "user", "3", "0", "1", "1", "2", "0")
    assert row(done, "number", "0", "100", "0", "0", "0", "99")
    assert row(done, "all", "3", "101", "1", "1", "2", "100")
    assert "user, only left: fox, den" in done.out
    assert "The lists are not the same; their first 1 entries are." in done.out
    assert "The lists are the same, in the same order." in call("metadata diff a.txt a.txt").out
    found = summary("metadata diff a.txt b.parquet")
    assert (found["same"], found["same_until"], found["shared"]) == (False, 1, 1)


def test_hostile_entries_reach_no_terminal(sources: Path) -> None:
    (sources / "a.txt").write_text("ab\x1b[2Jcd\n", "utf-8")
    (sources / "b.txt").write_text("fox\n", "utf-8")
    done = call("metadata diff a.txt b.txt")
    assert "\x1b" not in done.out
    assert "ab\ufffd[2Jcd" in done.out


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("build -o m.parquet", 2, "nothing to build metadata of"),
        ("build --wordnet none -o m.parquet", 2, "none: no such file or folder"),
        ("build --wikipedia none -o m.parquet", 2, "no such file or folder"),
        ("build --wikipedia counts.csv -o m.parquet", 1, "is no XML dump of a wiki"),
        ("build --unigram-counts counts.csv --memory lots -o m.parquet", 2, "'lots' is no size"),
        ("build --unigram-counts counts.csv --workers 0 -o m.parquet", 2, "at least 1 is needed"),
        ("build --unigram-counts counts.csv -o m.csv", 2, "metadata is written as"),
        ("build --unigram-counts counts.csv -o no/such/m.parquet --limit 0", 2, "--limit 0"),
        ("build --pageviews pageviews-0.gz stray --nosuch -o m.parquet", 2, "No such option"),
        ("build --pageviews --limit 5 -o m.parquet", 2, "Invalid value for '--pageviews'"),
        ("build -o m.parquet --pageviews", 2, "Invalid value for '--pageviews'"),
        ("build --unigram-counts counts.csv --unigrams 99999999999 -o m.txt", 2, "--unigrams"),
        ("build --unigram-counts counts.csv --memory 9999999TB -o m.txt", 2, "than any machine"),
        ("build --unigram-counts https:/nowhere -o m.txt", 2, "https:/nowhere"),
        ("diff counts.csv none.txt", 2, "metadata is Parquet, a JSON list"),
        ("fetch nosuch -o out", 2, "'nosuch' is no source"),
        ("fetch wordnet", 2, "give --out DIR to download to"),
    ],
)
def test_errors_are_one_line(command: str, code: int, told: str, sources: Path) -> None:
    done = call(f"metadata {command}")
    assert done.code == code, done
    assert told in done.err
    assert "Traceback" not in done.err
    assert not (sources / "m.parquet").exists()


def test_fetch_lists_sources_without_a_network() -> None:
    done = call("metadata fetch")
    assert done.code == 0
    for name in ("wordnet", "wikipedia", "dump", "titles", "pageviews"):
        assert re.search(rf"│ {name} ", done.out), name
    urls = call("metadata fetch pageviews --days 2024-05-01 --urls").out.split()
    assert len(urls) == 24
    assert urls[0].endswith("/pageviews/2024/2024-05/pageviews-20240501-000000.gz")


def test_fetch_without_a_network_says_so(sources: Path) -> None:
    mirror = "https://wordnetcode.princeton.edu=http://127.0.0.1:9"
    done = call(f"metadata fetch wordnet -o out --mirror {mirror}")
    assert done.code == 1
    assert "127.0.0.1 can't be reached" in done.err
    assert "is there a network?" in done.err
