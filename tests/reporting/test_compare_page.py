"""The comparison as a page, in a real browser: from the disk, without a network."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metacurate as mc
from metacurate.reporting.compare import compare
from metacurate.reporting.comparison_page import make_page

from ..browser import DESKTOP, PHONE, Browser
from ..curation.pools import ENTRIES, write_pool, zipf_pool

HOSTILE = [
    "<script>alert(1)</script>", "<img/src=x onerror=alert(2)>",
    "</style><script>alert(3)</script>", "<!--", "</table></main>", "{{7*7}}", "{% raw %}",
    "&lt;b&gt;", "\"'><svg onload=alert(4)>", "javascript:alert(5)", "\u202eevil", "a\0b",
    "\u2028", "\x1b[31m", "\ufeff", "\u200b", "x" * 100_000, "y" * 190, "שלום", "é🦊", "]]>",
]  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three plain sets."""
    folder = tmp_path_factory.mktemp("page")
    source = write_pool(folder / "pool", [zipf_pool(3_000)])
    metadata = mc.Metadata.from_entries(ENTRIES)
    mc.curate(source, metadata, threshold=5, out=folder / "t5")
    mc.curate(source, metadata, threshold=20, out=folder / "t20")
    others = mc.Metadata.from_entries([*ENTRIES[:200], "w1"])
    mc.curate(source, others, threshold=20, out=folder / "other")
    found = compare([folder / "t5", folder / "t20", folder / "other"])
    (folder / "page.html").write_text(make_page(found), "utf-8")
    return folder / "page.html"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Of two sets whose entries, sources, filters and paths are not to be trusted."""
    folder = tmp_path_factory.mktemp("hostile") / "<img src=x onerror=alert(6)>\u202e"
    source = write_pool(
        folder / "pool",
        [pa.table({"url": [f"u{i}" for i in range(len(HOSTILE))], "text": HOSTILE})],
    )
    for name, entries in (("a", HOSTILE), ("b", HOSTILE[::2] + ["é🦊 x"])):
        table = pa.table({"entry": entries, "source": entries})
        pq.write_table(table, folder / f"{name}.parquet")
        metadata = mc.Metadata.read(folder / f"{name}.parquet")
        where = None if name == "a" else "url != '<script>alert(7)</script>\u202e'"
        out = folder / name
        mc.curate(source, metadata, threshold=0.5, mode="spaced", where=where, out=out, seed=4)
    found = compare([folder / "a", folder / "b"], top=100)
    (folder / "page.html").write_text(make_page(found), "utf-8")
    return folder / "page.html", found


def test_it_opens_from_the_disk(page: Path, browser: Browser) -> None:
    with browser.page(offline=True) as (tab, heard):
        tab.goto(page.as_uri())
        assert tab.title() == "Comparison of 3 curated sets"
        assert tab.locator("h1").inner_text() == "Comparison of 3 curated sets"
        assert tab.locator("svg.overlap").count() == 3
        assert (heard.errors, heard.requests, heard.dialogs) == ([], [page.as_uri()], [])


def test_it_shows_what_was_found(page: Path, browser: Browser) -> None:
    folder = page.parent
    found = compare([folder / "t5", folder / "t20", folder / "other"])
    with browser.page() as (tab, _):
        tab.goto(page.as_uri())
        row = tab.locator("section[aria-labelledby=totals] tr", has_text="kept").first
        kept = [f"{one['totals']['kept']:,}" for one in found["sets"]]
        assert row.locator("td").all_inner_texts() == kept
        overlap = tab.locator("section[aria-labelledby=pairs] table").first.locator("tbody tr")
        both = found["overlap"]["both"]
        assert overlap.first.locator("td.number").all_inner_texts()[:3] == [
            f"{number:,}"
            for number in (both[0][0] - both[0][1], both[0][1], both[1][1] - both[0][1])
        ]
        widths = [
            float(bar.get_attribute("width") or "nan")
            for bar in overlap.first.locator("rect").all()
        ]
        assert sum(widths) == pytest.approx(200, abs=0.01)
        gained = tab.locator("section[aria-labelledby=entries-B] table").first.locator("tbody th")
        assert gained.all_inner_texts() == [e["entry"] for e in found["entries"][0]["gained"]]


def test_sorting_by_keyboard(page: Path, browser: Browser) -> None:
    with browser.page() as (tab, heard):
        tab.goto(page.as_uri())
        table = tab.locator("section[aria-labelledby=entries-B] table").first
        before = table.locator("tbody th").all_inner_texts()
        button = table.get_by_role("button", name="Entry")
        button.focus()
        tab.keyboard.press("Enter")
        assert table.locator("tbody th").all_inner_texts() == sorted(before)
        assert table.locator("th[aria-sort=ascending]").count() == 1
        tab.keyboard.press("Space")
        assert table.locator("tbody th").all_inner_texts() == sorted(before, reverse=True)
        table.get_by_role("button", name="B", exact=True).click()
        values = [
            int(text.replace(",", ""))
            for text in table.locator("tbody td:nth-child(4)").all_inner_texts()
        ]
        assert values == sorted(values, reverse=True)
        assert heard.errors == []


def test_without_scripts_nothing_seems_to_sort(page: Path, browser: Browser) -> None:
    with browser.page(java_script_enabled=False) as (tab, _):
        tab.goto(page.as_uri())
        assert tab.locator("table.sortable").first.is_visible()
        assert tab.get_by_role("button").count() == 0


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_any_window(page: Path, browser: Browser, size: Any, scheme: str) -> None:
    with browser.page(size, color_scheme=scheme) as (tab, heard):
        tab.goto(page.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        light = sum(map(int, re.findall(r"\d+", ground)[:3])) > 3 * 128
        assert light == (scheme == "light")
        tab.screenshot(path=page.parent / f"{size['width']}-{scheme}.png", full_page=True)
        assert heard.errors == []


def test_it_prints(page: Path, browser: Browser) -> None:
    with browser.page(color_scheme="dark") as (tab, _):
        tab.goto(page.as_uri())
        tab.emulate_media(media="print")
        assert (
            tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        )
        tab.pdf(path=page.parent / "page.pdf")


def test_every_control_has_a_name_and_can_be_reached(page: Path, browser: Browser) -> None:
    with browser.page() as (tab, _):
        tab.goto(page.as_uri())
        names = tab.evaluate(
            "[...document.querySelectorAll('[role=region], svg')].map(e => e.ariaLabel)"
        )
        assert all(names)
        assert tab.locator("table th:not([scope])").count() == 0
        ids = tab.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        assert len(ids) == len(set(ids))
        tab.keyboard.press("Tab")
        style = "getComputedStyle(document.activeElement).outlineStyle"
        assert tab.evaluate(style) == "solid"


def test_what_comes_from_data_is_text(hostile: tuple[Path, Any], browser: Browser) -> None:
    path, found = hostile
    with browser.page(offline=True) as (tab, heard):
        tab.goto(path.as_uri())
        told = [e["entry"] for e in found["entries"][0]["only_first"]["top"]]
        assert len(told) > 5
        cells = tab.locator("section table tbody th bdi").all_inner_texts()
        for entry in told:
            if len(entry) <= 200 and entry.isprintable():
                assert entry in cells
        text = tab.locator("body").inner_text()
        assert "\u202e" not in text
        assert "\u27e8U+202E\u27e9evil" in text
        assert "a\u27e8U+0000\u27e9b" in text
        assert tab.evaluate("document.querySelectorAll('script').length") == 1
        assert tab.evaluate("document.images.length") == 0
        assert tab.evaluate("document.links.length") == 0
        assert (heard.errors, heard.requests, heard.dialogs) == ([], [path.as_uri()], [])


def test_a_long_text_is_behind_a_click(hostile: tuple[Path, Any], browser: Browser) -> None:
    with browser.page(PHONE) as (tab, _):
        tab.goto(hostile[0].as_uri())
        long = tab.locator("details.long", has_text="xxxx").first
        rest = long.locator("> bdi")
        assert not rest.is_visible()
        long.locator("summary").click()
        assert rest.is_visible()
        assert "more characters" in rest.inner_text()
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert len(hostile[0].read_text("utf-8")) < 300_000


def test_empty_sets(tmp_path: Path, browser: Browser) -> None:
    source = write_pool(tmp_path / "pool", [pa.table({"url": ["a"], "text": ["nothing"]})])
    for name in ("one", "other"):
        mc.curate(source, mc.Metadata.from_entries(["x"]), out=tmp_path / name)
    page = make_page(compare([tmp_path / "one", tmp_path / "other"]))
    (tmp_path / "page.html").write_text(page, "utf-8")
    with browser.page() as (tab, heard):
        tab.goto((tmp_path / "page.html").as_uri())
        assert "All settings are the same." in tab.locator("body").inner_text()
        assert heard.errors == []
