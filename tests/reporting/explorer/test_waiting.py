"""What one sees while something is loaded or searched: a page at once, and a way to go on."""

import threading
import time
from functools import partial
from pathlib import Path

import pytest

from metacurate.reporting.curated_set import CuratedSet
from metacurate.reporting.explorer import app, explorer, pages, paging
from metacurate.reporting.explorer.paging import Search
from metacurate.reporting.explorer.tables import Patience

from .pools import curate, fates_of
from .served import NEXT, PAIR, serve


def test_a_page_of_a_slow_search_leads_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = curate(tmp_path, "parquet", "paper", "all", None)
    rows = fates_of(CuratedSet.read(str(out)))
    monkeypatch.setattr(pages, "Search", partial(Search, seconds=0.0))
    monkeypatch.setattr(paging, "FIRST_STRETCH", 30)
    monkeypatch.setattr(paging, "FIRST_ROWS", 2)
    with serve(out) as served:
        text = served.page("/pairs", fate="invalid")
        assert "None so far, in 30 rows that were searched" in text
        assert "Continue searching" in text
        for fate in ("invalid", "unmatched", "all"):
            wanted = [(*at, row.fate) for at, row in rows.items() if fate in ("all", row.fate)]
            assert served.all_pairs(fate=fate) == wanted


def test_the_entries_are_there_before_the_matcher(
    animals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, load = threading.Event(), explorer.Explorer._load_matcher

    def load_slowly(self: explorer.Explorer) -> object:
        goes_on.wait(60)
        return load(self)

    monkeypatch.setattr(explorer.Explorer, "_load_matcher", load_slowly)
    monkeypatch.setattr(app, "SECONDS", 1.0)
    try:
        with serve(animals) as served:
            assert "16 entries" in served.page("/")
            assert PAIR.search(served.page("/pairs")) is not None
            response, text = served.ask("/try?text=fox")
            assert (response.status, response.getheader("retry-after")) == (503, "2")
            assert "the matcher is still being loaded" in text
            assert '<meta http-equiv="refresh" content="2">' in text
            goes_on.set()
            assert "<mark" in served.page("/try", text="fox")
    finally:
        goes_on.set()


def test_what_can_not_be_loaded_is_told_each_time(
    animals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: explorer.Explorer) -> None:
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(explorer.Explorer, "_load_matcher", fail)
    with serve(animals) as served:
        for _ in range(2):
            response, text = served.ask("/try?text=fox")
            assert response.status == 500
            assert "a mistake of ours" not in text
            assert "its terminal tells how" in text


def test_nobody_waits_for_a_page_any_more(animals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()

    def search(_: pages.Pages, __: object, patience: Patience) -> pages.Answer:
        while patience.left:
            time.sleep(0.01)
        stopped.set()
        return pages.Answer("")

    monkeypatch.setattr(pages.Pages, "entries", search)
    with serve(animals) as served:
        with pytest.raises(TimeoutError):
            served.ask("/", timeout=0.5)
        assert stopped.wait(10)


def test_pages_follow_one_another(animals: Path) -> None:
    with serve(animals) as served:
        text = served.page("/pairs", fate="all")
        assert len(PAIR.findall(text)) == 25
        link = NEXT.search(text)
        assert link is not None
        assert link[1] == "/pairs?fate=all&amp;row=25"
