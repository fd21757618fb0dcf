"""`metacurate compare`: what it prints for people and for machines, and the page that it writes."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pyarrow as pa
import pytest
import typer

import metacurate as mc
from metacurate.cli.compare import compare
from metacurate.reporting import compare as core

from ..cli.calls import cells
from ..curation.pools import write_pool


@pytest.fixture(scope="module")
def outs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("compared")
    texts = ["red fox", "red", "red", "dog", "red dog", "cat"] * 20
    urls = [f"https://example.org/{i}" for i in range(len(texts))]
    source = write_pool(folder / "pool", [pa.table({"url": urls, "text": texts})])
    for name, threshold, entries in (
        ("one", 5, ["red", "fox", "dog"]),
        ("other", 30, ["dog", "red", "fox"]),
        ("third", 30, ["red", "cat", "\x1b[31mbold"]),
    ):
        mc.curate(source, mc.Metadata.from_entries(entries), threshold=threshold, out=folder / name)
    return [folder / name for name in ("one", "other", "third")]


def call(*arguments: object) -> str:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(compare)
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        app([str(argument) for argument in arguments], standalone_mode=False)
    assert err.getvalue() == ""
    return out.getvalue()


def test_json(outs: list[Path]) -> None:
    printed = call(*outs, "--json", "--top", 2)
    assert printed.count("\n") == 1
    assert json.loads(printed) == core.compare([str(out) for out in outs], top=2)


def test_tables_of_two(outs: list[Path]) -> None:
    found = core.compare(outs[:2])
    printed = call(*outs[:2])
    rows = cells(printed.splitlines())
    kept = [one["totals"]["kept"] for one in found["sets"]]
    assert rows["kept"] == [f"{kept[0]}", f"{kept[1]}", f"{kept[1] - kept[0]:+}"]
    assert rows["threshold"] == ["5", "30"]  # the later of the two tables
    assert rows["shared with A"] == [f"{number}" for number in found["overlap"]["both"][0]]
    assert "Entries, from A to B" in printed
    assert "metadata digest" in rows
    assert str(outs[0]) in printed.replace("\n", "")


def test_tables_of_three(outs: list[Path]) -> None:
    printed = call(*outs)
    rows = cells(printed.splitlines())
    assert len(rows["kept"]) == 3
    assert {"shared with C", "Jaccard with C"} <= rows.keys()
    assert "Entries, from A to C" in printed
    assert rows["only in C's metadata"] == ["2"]
    assert rows["cat"][-2:] == ["20", "20"]


def test_what_a_terminal_would_obey_is_taken_out(outs: list[Path]) -> None:
    assert "\x1b[31mbold" not in call(*outs)
    assert "\x1b" not in call(*outs, "--json")


def test_the_same_settings(outs: list[Path], tmp_path: Path) -> None:
    metadata = mc.Metadata.from_entries(["red", "fox", "dog"])
    mc.curate(outs[0].parent / "pool", metadata, threshold=5, out=tmp_path / "again")
    assert "all settings are the same" in call(outs[0], tmp_path / "again")


def test_a_page(outs: list[Path], tmp_path: Path) -> None:
    call(*outs[:2], "--html", tmp_path / "new" / "page.html")
    page = (tmp_path / "new" / "page.html").read_text("utf-8")
    assert page.lstrip().startswith("<!doctype html>")
    call(*outs[:2], "--html", tmp_path / "again.html", "--json")
    assert (tmp_path / "again.html").read_text("utf-8") == page
