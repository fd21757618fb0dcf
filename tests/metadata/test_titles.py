"""Page views are added up by the paper's rules, and lists of titles are read."""

import gzip
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from metacurate.engine.local import LocalEngine
from metacurate.engine.lock import Held
from metacurate.engine.progress import Silent
from metacurate.engine.run import run
from metacurate.engine.stage import Watch
from metacurate.engine.storage import LocalCopies, arrow_batches
from metacurate.errors import InputError
from metacurate.metadata import titles as titles_module
from metacurate.metadata.titles import PageviewStage, TitleList

HOUR = """\
de Fuchs 900 0
en Main_Page 5000 0
en Red_fox 50 12345
en Den 49 0
en.m Red_fox 700 0
en Talk:Red_fox 60 0
en Caf\u00e9_au_lait 51 0
"""
JUNK = ["", "en", "en Red_fox", "en Red_fox many 0", "en Red_fox 60", "en Red fox 60 0",
    "en Red_fox -60 0", "en Red_fox 60 0 0", "  ", f"en Red_fox {10**13} 0",
    f"en {'x' * 1025} 60 0"]  # fmt: skip


def write_hour(path: Path, text: str | bytes) -> Path:
    path.write_bytes(gzip.compress(text if isinstance(text, bytes) else text.encode()))
    return path


def add_up(
    out: Path, paths: Sequence[Path], project: str = "en", least: int = 50
) -> tuple[dict[str, int], Any]:
    (out / ".metacurate").mkdir(parents=True, exist_ok=True)
    stage = PageviewStage.open([str(path) for path in paths], project, least)
    outcome = run(stage, out, LocalEngine(), 2, progress=Silent(), check=Held().check)
    views: dict[str, int] = {}
    for path in LocalCopies(outcome.partials).paths:
        for batch in arrow_batches(path):
            for row in batch.to_pylist():
                views[row["title"]] = views.get(row["title"], 0) + row["views"]
    return views, outcome.records


def test_hours_of_a_project_that_are_viewed_enough(tmp_path: Path) -> None:
    hours = [write_hour(tmp_path / f"pageviews-{i}.gz", HOUR) for i in range(3)]
    views, records = add_up(tmp_path / "out", hours)
    assert views == {
        "Main Page": 15000, "Red fox": 150, "Talk:Red fox": 180, "Caf\u00e9 au lait": 153,
    }  # fmt: skip
    assert [(r.rows_read, r.invalid, r.filtered, r.error) for r in records] == [(7, 0, 3, None)] * 3


def test_another_project_and_least(tmp_path: Path) -> None:
    hours = [write_hour(tmp_path / "pageviews-0.gz", HOUR)]
    assert add_up(tmp_path / "a", hours, "en.m")[0] == {"Red fox": 700}
    assert add_up(tmp_path / "b", hours, "en", 49)[0]["Den"] == 49
    assert add_up(tmp_path / "c", hours, "e.")[0] == {}  # no pattern, but a name


def test_junk_lines_are_counted(tmp_path: Path) -> None:
    lines = [*HOUR.encode().splitlines(), *(line.encode() for line in JUNK), b"en \xff\xfe 90 0"]
    hour = write_hour(tmp_path / "pageviews-0.gz", b"\n".join(lines) + b"\n")
    views, (record,) = add_up(tmp_path / "out", [hour])
    assert views["Red fox"] == 50
    assert len(views) == 4
    assert (record.rows_read, record.invalid) == (7 + len(JUNK) + 1, len(JUNK) + 1)
    assert record.error is None


def test_without_a_line_break_at_the_end_and_in_small_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = write_hour(tmp_path / "pageviews-0.gz", HOUR.removesuffix("\n"))
    monkeypatch.setattr(titles_module, "BLOCK", 5)
    stage = PageviewStage.open([str(hour)], "en", 50)
    task = stage.task(tmp_path, Watch(threading.Event(), print))
    (unit,) = stage.units()
    record = task.process(unit)
    assert (record.rows_read, record.invalid) == (7, 0)
    assert len(task.partial()) == 4


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (gzip.compress(HOUR.encode() * 500, mtime=0)[:-20], "the gzip stream is cut short"),
        (
            gzip.compress(b"<html>no page views here</html>\n", mtime=0),
            "no line of it tells page views",
        ),
        (HOUR.encode(), "is not gzip by its content"),
    ],
)
def test_broken_files_add_nothing(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "pageviews-0.gz").write_bytes(content)
    good = write_hour(tmp_path / "pageviews-1.gz", HOUR)
    views, records = add_up(tmp_path / "out", [tmp_path / "pageviews-0.gz", good])
    assert views["Red fox"] == 50
    assert records[0].failed
    assert reason in records[0].error
    assert records[1].error is None


def listed(path: Path) -> tuple[list[str], TitleList]:
    titles = TitleList(str(path))
    found = [entry for batch in titles.batches() for entry in batch["title"].to_pylist()]
    return found, titles


def test_a_list_of_titles(tmp_path: Path) -> None:
    path = tmp_path / "all-titles-in-ns0.gz"
    path.write_bytes(
        gzip.compress("page_title\nRed_fox\n!\nCaf\u00e9\n\nA:b".encode() + b"\n\xff\n")
    )
    entries, titles = listed(path)
    assert entries == ["Red fox", "!", "Caf\u00e9", "A:b"]
    assert (titles.lines, titles.malformed) == (6, 2)


def test_lines_that_are_no_titles_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "titles"
    path.write_bytes(b"Red_fox\n" + b"x" * 5_000_000 + b"\nDen\n" + b"y" * 1025 + b"\n")
    entries, titles = listed(path)
    assert entries == ["Red fox", "Den"]
    assert (titles.lines, titles.malformed) == (4, 2)


def test_a_header_is_known_whatever_ends_lines(tmp_path: Path) -> None:
    (tmp_path / "titles").write_bytes(b"\xef\xbb\xbfpage_title\r\nRed_fox\r\n")
    assert listed(tmp_path / "titles")[0] == ["Red fox"]


def test_many_titles_are_recorded_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(titles_module, "MOST_TITLES", 2)
    task = PageviewStage.open([], "en", 1).task(tmp_path, Watch(threading.Event(), print))
    hour = write_hour(tmp_path / "pageviews-0.gz", HOUR)
    (unit,) = PageviewStage.open([str(hour)], "en", 1).units()
    task.process(unit)
    full = [task.full]
    task.clear()
    assert [*full, task.full] == [True, False]
    assert len(task.partial()) == 0


def test_a_list_without_a_header_plain(tmp_path: Path) -> None:
    (tmp_path / "titles").write_text("Red_fox\r\nDen\n", "utf-8")
    assert listed(tmp_path / "titles")[0] == ["Red fox", "Den"]


@pytest.mark.parametrize("content", [b"", b"page_title\n", b"\n\n", b"\xff\n"])
def test_a_list_that_holds_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "titles").write_bytes(content)
    with pytest.raises(InputError, match="it holds no title"):
        listed(tmp_path / "titles")


def test_a_list_that_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "titles.gz"
    path.write_bytes(gzip.compress(b"Red_fox\n" * 1000)[:-9])
    with pytest.raises(InputError, match="the gzip stream is cut short"):
        listed(path)
