"""What `metacurate report` writes, and what it refuses."""

import io
import json
import logging
import os
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import typer

from metacurate.cli.report import report as command
from metacurate.engine.stores import place_of
from metacurate.errors import MetacurateError, UsageError
from metacurate.reporting import bundle
from metacurate.reporting.report import Report

from .report_sets import make_hostile_set, make_small_set

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_set(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def report(out: Path) -> Report:
    return Report(str(out))


def test_where_it_is_written(out: Path, report: Report, tmp_path: Path) -> None:
    before = {path.name for path in out.iterdir()}
    assert report.write() == [out / "report.html"]
    assert report.write("json") == [out / "report.json"]
    assert report.write("md") == [out / "report.md"]
    pictures = report.write("png")
    assert pictures == [out / "report" / f"{name}.png" for name in report.charts]
    after = {path.name for path in out.iterdir()}
    assert after - before == {"report.html", "report.json", "report.md", "report"}
    assert all(Path(str(place)).read_bytes().startswith(PNG) for place in pictures)
    assert json.loads((out / "report.json").read_text()) == report.figures
    assert report.write("md", tmp_path / "there.md") == [tmp_path / "there.md"]
    assert (tmp_path / "there.md").read_text() == (out / "report.md").read_text()


def test_it_is_the_same_each_time(out: Path, report: Report) -> None:
    again = Report(place_of(str(out)))
    assert again.html == report.html
    assert again.markdown == report.markdown
    assert again.picture("flow") == report.picture("flow")


def test_a_store(report: Report, tmp_path: Path) -> None:
    place = place_of(f"memory://page{abs(hash(str(tmp_path)))}/report.html")
    assert report.write(to=place) == [place]
    assert place.read_text("utf-8") == report.html


def test_the_picture_for_a_readme(report: Report) -> None:
    assert report.picture() == report.picture("balance")
    with pytest.raises(UsageError, match="no plot is named 'nothing'; there are flow, "):
        report.picture("nothing")


def test_thresholds(report: Report, tmp_path: Path) -> None:
    (place,) = replace(report, thresholds=[7, 70]).write("json", tmp_path / "figures.json")
    curves = json.loads(Path(str(place)).read_text())["cumulative"]["curves"]
    assert [curve["threshold"] for curve in curves] == [7, 20, 70]
    with pytest.raises(UsageError, match="threshold 0 is not a number above 0"):
        replace(report, thresholds=[0]).write("json", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_is_refused(report: Report, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="format 'pdf' is none of: html, json, md, png"):
        report.write("pdf")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="holds no finished curated set"):
        Report(str(tmp_path)).write()
    (tmp_path / "file").touch()
    with pytest.raises(MetacurateError, match="can't be written"):
        report.write("md", tmp_path / "file" / "report.md")


@pytest.mark.parametrize(
    ("package", "ask"),
    [
        ("altair", lambda report: report.charts),
        ("jinja2", lambda report: report.html),
        ("vl_convert", lambda report: report.picture()),
        ("duckdb", lambda report: report.figures),
    ],
)
def test_a_package_is_missing(
    package: str, ask: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.startswith("metacurate.reporting.") and name != "metacurate.reporting.report":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MetacurateError, match=r'pip install "metacurate\[report\]"'):
        ask(Report(str(out)))


def test_notebooks(report: Report) -> None:
    shown = report._repr_html_()
    assert shown.startswith('<iframe title="report" sandbox="allow-scripts allow-downloads" ')
    inside = shown.partition('srcdoc="')[2].partition('"')[0]
    assert unescape(inside) == report.html


def test_markdown(report: Report) -> None:
    figures = report.figures
    text = report.markdown
    for name, number in figures["flow"]["fates"].items():
        assert f"| {number:,} |" in text, name
    assert f"| 20 | {figures['flow']['fates']['kept']:,} |" in text
    assert "The column has too many values" in text
    widths = [line.count(" | ") for line in text.splitlines() if line.startswith("|")]
    assert min(widths) >= 1


def test_markdown_of_hostile_texts(tmp_path: Path) -> None:
    text = Report(str(make_hostile_set(tmp_path))).markdown
    assert not set(text) & set("<>\u202e\u2066\u2028\x00")
    assert "](javascript" not in text
    columns = 0
    for line in text.splitlines():
        if not line.startswith("| "):
            columns = 0
            continue
        columns = columns or line.count("|")
        assert line.count("|") == columns, line
    assert len(text) < 100_000


def test_the_script_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bundle.vega_bundle()
    assert "window.vegaEmbed" in made
    assert not bundle.ENDING.search(made)
    assert "\r" not in made
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda snippet: "a(</script>, '<!--')\r\n")
    assert bundle.vega_bundle() == made
    monkeypatch.setenv("METACURATE_CACHE", str(tmp_path / "cache"))
    other = bundle.vega_bundle()
    assert other == "a(\\x3c/script>, '\\x3c!--')\n"
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda snippet: "never called")
    assert bundle.vega_bundle() == other


def test_a_damaged_script_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "script.js"
    bundle._save(path, "some script")
    path.write_bytes(path.read_bytes() + b"; alert(1)")
    assert bundle._load(path) is None
    assert f"{path} is damaged and is made again" in caplog.text
    bundle._save(path, "some script")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    if path.stat().st_uid:
        assert bundle._load(path) is None
        assert "is not trusted" in caplog.text


def test_no_folder_for_the_script(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        bundle._save(tmp_path / "file" / "script.js", "some script")
    assert "could not be kept for later runs" in caplog.text


def run_command(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(command)
    printed = io.StringIO()
    with redirect_stdout(printed):
        app(arguments, standalone_mode=False)
    return printed.getvalue()


def test_the_command(out: Path, tmp_path: Path) -> None:
    assert run_command(str(out), "--format", "md") == f"{out / 'report.md'}\n"
    to = tmp_path / "r.json"
    told = json.loads(run_command(str(out), "-f", "json", "--to", str(to), "-t", "5", "--json"))
    assert told == {"files": [str(to)]}
    curves = json.loads(to.read_text())["cumulative"]["curves"]
    assert [curve["threshold"] for curve in curves] == [5, 20]
    with pytest.raises(UsageError, match="holds no finished curated set"):
        run_command(str(tmp_path))


def test_paths_are_printed_without_controls(tmp_path: Path) -> None:
    made = make_small_set(tmp_path / "red\x1b[31m")
    printed = run_command(str(made), "-f", "md")
    assert "\x1b" not in printed
    assert (made / "report.md").exists()
