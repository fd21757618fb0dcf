"""The report as people see it, in a browser: from a disk, without a network."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import metacurate as mc
from metacurate.curation.curate import plan
from metacurate.reporting.curated_set import CuratedSet
from metacurate.reporting.page import to_script
from metacurate.reporting.report import Report
from metacurate.reporting.visible import SHOWN, visible

from ..browser import DESKTOP, PHONE, Browser, Heard
from .report_sets import (
    HOSTILE,
    LONG,
    SEED,
    WHERE,
    make_discarded_set,
    make_filtered_set,
    make_hostile_set,
    make_set,
    make_small_set,
    make_unmatched_set,
)

OWN = "This set\u2019s"  # threshold

Opened = tuple[Any, Heard]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return Report(str(make_small_set(tmp_path_factory.mktemp("page"))))


@pytest.fixture(scope="module")
def file(report: Report) -> Path:
    return Path(str(report.write()[0]))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (place,) = Report(str(make_hostile_set(tmp_path_factory.mktemp("hostile")))).write()
    return Path(str(place))


@pytest.fixture(scope="module")
def opened(browser: Browser, file: Path) -> Iterator[Opened]:
    with browser.page(offline=True) as (page, heard):
        show(page, file)
        yield page, heard


def show(page: Any, file: Path) -> None:
    page.goto(file.as_uri())
    page.wait_for_selector("body[data-drawn]")


def check(file: Path, heard: Heard) -> None:
    """Nothing went wrong, nothing was asked for, and no script of data ran."""
    assert (heard.errors, heard.dialogs) == ([], [])
    assert heard.requests == [file.as_uri()]


def answers(page: Any) -> dict[str, str]:
    fields = page.locator("#answer [data-field]")
    return {
        one.get_attribute("data-field"): one.inner_text()
        for one in (fields.nth(i) for i in range(fields.count()))
    }


def expected(figures: dict[str, Any], place: int) -> dict[str, str]:
    told = {name: column[place] for name, column in figures["slider"].items()}
    shares = ("share", "tail_share")
    return {
        name: f"{value:.2%}"
        if name in shares
        else f"{value:,.6g}"
        if value % 1
        else f"{value:,.0f}"
        for name, value in told.items()
        if name != "tail_matches"
    }


def test_it_opens_without_a_network(opened: Opened, file: Path, report: Report) -> None:
    page, heard = opened
    check(file, heard)
    assert not page.get_by_text("need JavaScript").is_visible()
    totals = json.loads((file.parent / "manifest.json").read_text())["totals"]
    assert page.title() == f"{totals['kept']:,} balanced image-text pairs"
    shown = page.inner_text("body")
    for name in ("rows_read", "kept", "balanced_away", "unmatched", "filtered"):
        assert f"{totals[name]:,}" in shown
    assert f"{totals['metadata_digest']}" in shown
    assert "From Python, with this configuration" in shown


def test_all_plots_are_drawn(opened: Opened, report: Report) -> None:
    page, _ = opened
    for name, chart in report.charts.items():
        figure = page.locator(f"#plot-{name}")
        assert figure.locator("h3").inner_text() == chart.title
        assert figure.locator("figcaption").inner_text()
        drawn = figure.locator(".plot svg")
        assert drawn.locator(".mark-rect path, .mark-line path, .mark-symbol path").count() > 0
        assert figure.get_by_role("img", name=chart.title, exact=True).count() == 1
    bars = page.locator("#plot-sources .plot svg .mark-rect path")
    assert bars.count() >= 2 * len(report.figures["sources"])


def test_tables_tell_the_figures(opened: Opened, report: Report) -> None:
    page, _ = opened
    rows = page.locator("section[aria-labelledby=pairs] > .scroll tbody tr")
    told = [rows.nth(i).inner_text().split("\t") for i in range(rows.count())]
    fates = report.figures["flow"]["fates"]
    assert [row[1] for row in told] == [f"{number:,}" for number in fates.values()]
    top = page.get_by_role("region", name="The most matched entries").locator("tbody tr")
    assert top.count() == len(report.figures["most_matched"])
    for i, one in enumerate(report.figures["most_matched"]):
        assert top.nth(i).inner_text().split("\t")[:4] == [
            one["entry"], one["source"], f"{one['count']:,}", f"{one['kept']:,}",
        ]  # fmt: skip


def test_the_slider_by_keyboard(opened: Opened, file: Path, report: Report) -> None:
    page, heard = opened
    figures = report.figures
    own = figures["slider"]["thresholds"].index(figures["threshold"])
    planned = plan(
        file.parents[1] / "pool.parquet",
        report.curated.metadata,
        thresholds=figures["slider"]["thresholds"],
        seed=SEED,
        where=WHERE,
    )["answers"]
    slider = page.get_by_label("Threshold t")
    assert answers(page) == expected(figures, own)
    line = "#plot-cumulative .plot svg .mark-line path"
    before = page.locator(line).first.get_attribute("d")
    slider.focus()
    for key, place in (("ArrowRight", own + 1), ("ArrowLeft", own), ("Home", 0), ("End", -1)):
        slider.press(key)
        assert answers(page) == expected(figures, place)
        told = answers(page)
        assert told["kept"] == f"{planned[place]['kept']:,}"
        assert told["head_entries"] == f"{planned[place]['head_entries']:,}"
        assert told["tail_share"] == f"{planned[place]['tail_share']:.2%}"
        assert told["kept_matches"] == f"{planned[place]['matches_kept']:,}"
        assert slider.get_attribute("aria-valuetext") == f"t = {told['thresholds']}"
    page.wait_for_function(
        "([line, before]) => document.querySelector(line).getAttribute('d') !== before",
        arg=[line, before],
    )
    page.get_by_role("button", name=OWN).click()
    assert answers(page) == expected(figures, own)
    assert heard.errors == []


def test_the_curve_that_moves(opened: Opened, report: Report) -> None:
    """At the run's own threshold it lies where that one's line does."""
    page, _ = opened
    page.get_by_role("button", name=OWN).click()
    page.wait_for_function(
        """() => {
            const lines = [...document.querySelectorAll("#plot-cumulative .mark-line path")];
            const ends = lines.map((line) => line.getAttribute("d").split(/[ML]/).at(-1));
            return ends.slice(1).includes(ends[0]);
        }"""
    )


@pytest.mark.parametrize(("typed", "taken"), [("21", "21"), ("1,234", "1,200"), ("0.2", "1")])
def test_a_threshold_that_is_typed(typed: str, taken: str, opened: Opened, report: Report) -> None:
    page, _ = opened
    thresholds = report.figures["slider"]["thresholds"]
    wanted = float(typed.replace(",", ""))
    nearest = min(thresholds, key=lambda t: abs(t - wanted))
    box = page.get_by_label("or type one")
    box.fill(typed)
    box.press("Enter")
    assert answers(page) == expected(report.figures, thresholds.index(nearest))
    if nearest != thresholds[-1]:
        assert answers(page)["thresholds"] == taken
    box.fill("many")
    box.press("Enter")
    assert box.get_attribute("aria-invalid") == "true"
    page.get_by_role("button", name=OWN).click()
    assert box.get_attribute("aria-invalid") == "false"


def test_the_data_of_a_plot(opened: Opened, report: Report, tmp_path: Path) -> None:
    page, heard = opened
    figure = page.locator("#plot-balance")
    assert not figure.locator("table").is_visible()
    summary = figure.get_by_text("Data of this plot")
    summary.focus()
    summary.press("Enter")
    assert figure.locator("table").is_visible()
    bins = report.figures["before_after"]
    assert figure.locator("tbody tr").count() == len(bins)
    with page.expect_download() as started:
        figure.get_by_role("button", name="Download as CSV").click()
    started.value.save_as(tmp_path / "balance.csv")
    assert started.value.suggested_filename == "balance.csv"
    with (tmp_path / "balance.csv").open(newline="") as stream:
        told = list(csv.reader(stream))
    assert told[0] == ["count from", "count to", "kept from", "kept to", "entries"]
    assert [list(map(int, row)) for row in told[1:]] == [list(one.values()) for one in bins]
    summary.click()
    assert heard.errors == []


def test_what_a_mark_tells(opened: Opened, report: Report) -> None:
    page, heard = opened
    page.locator("#plot-sources .plot svg .mark-rect path").first.hover(position={"x": 3, "y": 3})
    tip = page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    assert "pool" in tip.inner_text()
    assert heard.errors == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_window(
    size: dict[str, int], scheme: str, browser: Browser, file: Path, tmp_path: Path
) -> None:
    with browser.page(size, offline=True, color_scheme=scheme) as (page, heard):
        show(page, file)
        page.screenshot(path=tmp_path / "page.png", full_page=True)
        check(file, heard)
        assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
        for svg in page.locator(".plot svg").all():
            assert svg.bounding_box()["width"] <= size["width"]
        ink, paper = page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).background]"
        )
        assert contrast(ink, paper) > 7
        label = page.locator("#plot-flow .plot svg .role-axis-label text").first
        assert contrast(label.evaluate("e => getComputedStyle(e).fill"), paper) > 7


def contrast(one: str, other: str) -> float:
    """Of two colours as CSS tells them, by the rule of WCAG."""

    def luminance(colour: str) -> float:
        found = re.search(r"rgb\((\d+), (\d+), (\d+)\)", colour)
        assert found is not None
        parts = (int(part) / 255 for part in found.groups())
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    lights = sorted((luminance(one), luminance(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def test_on_paper(browser: Browser, file: Path, tmp_path: Path) -> None:
    with browser.page(offline=True, color_scheme="dark") as (page, heard):
        show(page, file)
        page.emulate_media(media="print")
        page.screenshot(path=tmp_path / "print.png", full_page=True)
        assert page.pdf().startswith(b"%PDF")
        assert not page.get_by_label("Threshold t").is_visible()
        assert page.locator("#answer").is_visible()
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        label = page.locator("#plot-flow .plot svg .role-axis-label text").first
        assert label.evaluate("e => getComputedStyle(e).fill") == "rgb(0, 0, 0)"
        check(file, heard)


def test_without_scripts(browser: Browser, file: Path, report: Report) -> None:
    with browser.page(offline=True, java_script_enabled=False) as (page, _):
        page.goto(file.as_uri())
        assert page.get_by_text("need JavaScript").is_visible()
        assert page.locator("#answer").is_visible()
        assert not page.get_by_label("Threshold t").is_visible()  # it would answer nothing
        assert page.get_by_role("button").count() == 0
        for summary in page.get_by_text("Data of this plot").all():
            summary.click()
        assert page.locator("figure table").count() == len(report.charts)
        rows = page.locator("#plot-hosts tbody tr").all_inner_texts()
        told = report.figures["hosts"]["top"]
        assert rows[: len(told)] == [f"{one['host']}\t{one['pairs']:,}" for one in told]


def test_within_a_notebook(browser: Browser, report: Report, tmp_path: Path) -> None:
    notebook = tmp_path / "notebook.html"
    notebook.write_text(f"<!DOCTYPE html><p>cell</p>{report._repr_html_()}", "utf-8")
    with browser.page(offline=True) as (page, heard):
        page.goto(notebook.as_uri())
        frame = page.frame_locator("iframe")
        frame.locator("body[data-drawn]").wait_for()
        assert frame.locator(".plot svg").count() == len(report.charts)
        assert (heard.errors, heard.dialogs) == ([], [])
        assert {address.partition(":")[0] for address in heard.requests} <= {"file", "about"}


def test_hostile_texts_are_texts(browser: Browser, hostile: Path) -> None:
    with browser.page(offline=True) as (page, heard):
        show(page, hostile)
        for kind in ("data", "long"):  # the tables of data have long texts of their own
            for summary in page.locator(f"details.{kind} > summary").all():
                summary.click()
        check(hostile, heard)
        shown = page.locator("body").inner_text()
        for text in HOSTILE:
            assert visible(text[: SHOWN - 1]) in shown
        assert not set(shown) & set("\u202e\u2066\u2028\x00\ufffd")
        assert page.locator("img, iframe, object, b, a").count() == 0
        assert page.locator("script").count() == 3  # its numbers, the library, its own
        handlers = "[...document.querySelectorAll('*')].filter(e => e.onmouseover || e.onerror)"
        assert page.evaluate(f"{handlers}.length") == 0
        assert "49" not in page.locator("h3").all_inner_texts()
        assert page.evaluate("document.documentElement.scrollWidth") == DESKTOP["width"]
        assert f"{len(LONG) - 5_000:,} more characters" in shown
        for mark in page.locator("#plot-most_matched .plot svg .mark-symbol path").all()[:5]:
            mark.hover(force=True)
        check(hostile, heard)


def test_formulas_of_spreadsheets(browser: Browser, hostile: Path, tmp_path: Path) -> None:
    with browser.page(offline=True) as (page, _):
        show(page, hostile)
        figure = page.locator("#plot-most_matched")
        figure.get_by_text("Data of this plot").click()
        with page.expect_download() as started:
            figure.get_by_role("button", name="Download as CSV").click()
        started.value.save_as(tmp_path / "entries.csv")
    with (tmp_path / "entries.csv").open(newline="") as stream:
        entries = [row["entry"] for row in csv.DictReader(stream)]
    assert "'=HYPERLINK(1)" in entries
    assert HOSTILE[0] in entries


def test_hostile_texts_on_a_phone(browser: Browser, hostile: Path, tmp_path: Path) -> None:
    with browser.page(PHONE, offline=True) as (page, heard):
        show(page, hostile)
        page.screenshot(path=tmp_path / "page.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        check(hostile, heard)


@pytest.mark.parametrize(
    "make", [make_unmatched_set, make_filtered_set, make_discarded_set], ids=lambda f: f.__name__
)
def test_empty_sets(make: Any, browser: Browser, tmp_path: Path) -> None:
    (place,) = Report(str(make(tmp_path))).write()
    with browser.page(offline=True) as (page, heard):
        show(page, Path(str(place)))
        page.screenshot(path=tmp_path / "page.png", full_page=True)
        check(Path(str(place)), heard)
        assert page.locator("h1").inner_text() == "0 balanced image-text pairs"
        page.get_by_label("Threshold t").press("End")
        page.get_by_label("Threshold t").press("Home")
        check(Path(str(place)), heard)


def test_half_a_million_entries_stay_small(tmp_path: Path) -> None:
    entries = [f"concept number {i}" for i in range(500_000)]
    metadata = mc.Metadata.from_table(
        pa.table({"entry": entries, "source": ["title"] * len(entries)})
    )
    pool = pa.table({"url": ["https://e.org/1"], "text": [entries[0]]})
    found = CuratedSet.read(str(make_set(tmp_path, pool, metadata)))
    random = np.random.default_rng(1)
    counts = np.minimum(random.zipf(1.3, len(entries)), 10**8).astype(np.uint64)
    found.counts.values.setflags(write=True)
    found.counts.values[:] = counts
    kept = random.binomial(counts.astype(np.int64), 0.3).astype(np.uint64)
    report = Report(str(tmp_path / "out"))
    report.__dict__["curated"] = replace(found, kept=kept)
    assert 100_000 < len(report.html.encode()) < 3_000_000


def test_json_within_a_script() -> None:
    told = {"a": "</script><!--&\u2028\u2029\ud800", "b": [1, None, 0.5]}
    text = to_script(told)
    assert not set(text) & set("<>&\u2028\u2029\ud800")
    assert json.loads(text) == told
    with pytest.raises(ValueError):
        to_script(float("nan"))
