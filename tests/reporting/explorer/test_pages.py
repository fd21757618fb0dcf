"""The explorer in a real browser: what one sees, clicks, types; and what hostile texts can't do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from metacurate.matching.spacing import Mode
from metacurate.reporting.curated_set import CuratedSet
from metacurate.reporting.explorer.marks import cut_segments, find_marks

from ...browser import DESKTOP, PHONE, Browser, Heard
from .conftest import HOSTILE, LONG, URLS
from .served import Served

PICTURE = b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"/>'
MODE: Mode = "spaced"
SHOWN = "document.querySelector('.caption').innerText"


@pytest.fixture
def opened(browser: Browser, served: Served) -> Iterator[tuple[Any, Heard]]:
    with browser.page() as (page, heard):
        yield page, heard


def entry_of(animals: Path, name: str) -> int:
    return int(CuratedSet.read(str(animals)).entries.to_pylist().index(name))


def hosts(heard: Heard) -> set[str]:
    return {urlsplit(address).netloc for address in heard.requests}


def follow(page: Any, link: Any) -> None:
    """Click what leads to another page, and wait until it is there."""
    with page.expect_navigation():
        link.click()


def test_search_while_typing(opened: tuple[Any, Heard], served: Served) -> None:
    page, heard = opened
    page.goto(f"{served.address}/")
    assert page.locator("#results tbody tr").count() == 16
    page.get_by_label("Search").press_sequentially("fO")
    page.locator(".total", has_text="2 entries").wait_for()
    assert page.locator("#results tbody th").all_inner_texts() == ["fox", "red fox"]
    assert page.url.endswith("/?q=fO&where=anywhere&source=&sort=count&reverse=0")
    page.get_by_label("where").select_option("beginning")
    page.locator(".total", has_text="1 entry").wait_for()
    page.reload()
    assert page.locator("#results tbody th").all_inner_texts() == ["fox"]
    assert page.get_by_label("Search").input_value() == "fO"
    assert heard.errors == []


def test_sorting(opened: tuple[Any, Heard], served: Served, animals: Path) -> None:
    page, _ = opened
    curated = CuratedSet.read(str(animals))
    page.goto(f"{served.address}/?q=o")
    follow(page, page.locator("thead a", has_text="kept"))
    kept = page.locator("td:nth-child(4) data").evaluate_all("all => all.map(x => +x.value)")
    wanted = [
        int(n)
        for entry, n in zip(curated.entries.to_pylist(), curated.kept, strict=True)
        if "o" in entry.lower()
    ]
    assert kept == sorted(wanted, reverse=True)
    follow(page, page.locator("thead a", has_text="kept"))
    kept = page.locator("td:nth-child(4) data").evaluate_all("all => all.map(x => +x.value)")
    assert kept == sorted(wanted)
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("kept")


def test_an_entry_and_its_pairs(opened: tuple[Any, Heard], served: Served, animals: Path) -> None:
    page, heard = opened
    curated = CuratedSet.read(str(animals))
    names = curated.entries.to_pylist()
    page.goto(f"{served.address}/?q=red+fox")
    follow(page, page.get_by_role("link", name="red fox"))
    assert page.locator("h1").inner_text() == "red fox"
    assert page.locator(".pair").count() == 25
    assert set(page.locator(".fate").all_inner_texts()) == {"kept"}
    follow(page, page.get_by_role("link", name="balanced away"))
    assert set(page.locator(".fate").all_inner_texts()) == {"balanced away"}
    pair = page.locator(".pair").first
    text = pair.locator(".caption .text").inner_text()
    assert text.startswith("a red fox, snow")
    by_id = dict(enumerate(names))
    segments = cut_segments(find_marks(text, by_id, MODE), 0, len(text))
    marked = [text[s.start : s.stop] for s in segments if s.entry_ids]
    assert pair.locator("mark").all_inner_texts() == marked
    assert pair.locator("mark.asked").all_inner_texts() == ["red", " ", "fox"]
    pair.locator("summary").click()
    assert set(pair.locator("tbody th").all_inner_texts()) == {"red", "fox", "red fox", "snow"}
    follow(page, pair.locator("mark", has_text="snow"))
    assert page.locator("h1").inner_text() == "snow"
    page.go_back()
    assert page.locator("h1").inner_text() == "red fox"
    assert heard.errors == []


def test_a_link_shows_the_same_again(browser: Browser, served: Served) -> None:
    with browser.page() as (page, _), browser.page(java_script_enabled=False) as (other, _):
        page.goto(f"{served.address}/pairs?fate=all&language=de")
        follow(page, page.get_by_role("link", name="Next page"))
        page.locator(".pair").nth(3).get_by_role("link", name="Details").wait_for()
        other.goto(page.url)
        texts = page.locator(".caption").all_inner_texts()
        assert other.locator(".caption").all_inner_texts() == texts
        assert "language=de" in page.url
        follow(page, page.get_by_role("link", name="First page"))
        assert page.locator(".caption").all_inner_texts() != texts


def test_by_keys_alone(opened: tuple[Any, Heard], served: Served) -> None:
    page, heard = opened
    keys = page.keyboard
    page.goto(f"{served.address}/")
    keys.press("/")
    keys.type("fox")
    page.locator(".total", has_text="2 entries").wait_for()
    keys.press("Escape")
    keys.press("j")
    keys.press("Enter")
    page.locator("h1", has_text="fox").wait_for()
    page.wait_for_load_state()
    first = page.locator(".caption").first.inner_text()
    keys.press("n")
    page.locator("nav.pages a[rel=prev]").wait_for()
    page.wait_for_load_state()  # keys do nothing before the script is there
    second = page.locator(".caption").first.inner_text()
    assert second != first
    keys.press("n")
    page.wait_for_function(
        "text => document.querySelector('.caption').innerText !== text", arg=second
    )
    page.wait_for_load_state()
    keys.press("p")
    page.wait_for_function(
        "text => document.querySelector('.caption').innerText === text", arg=second
    )
    page.wait_for_load_state()
    keys.press("p")
    page.wait_for_function(
        "text => document.querySelector('.caption').innerText === text", arg=first
    )
    page.wait_for_load_state()
    keys.press("j")
    keys.press("j")
    keys.press("k")
    keys.press("Enter")
    page.locator("h1", has_text="A pair").wait_for()
    page.goto(f"{served.address}/")
    keys.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    assert heard.errors == []


def test_a_sentence(opened: tuple[Any, Heard], served: Served) -> None:
    page, heard = opened
    page.goto(f"{served.address}/try")
    page.get_by_label("Text").fill("a red\nfox, <b>snow</b>")
    follow(page, page.get_by_role("button", name="Explain"))
    assert page.locator(".caption mark").all_inner_texts() == ["red", "↵", "fox"]
    assert "In with probability" in page.locator(".reason").inner_text()
    page.get_by_label("URL of its image").fill("https://pictures.test/x.jpg")
    follow(page, page.get_by_role("button", name="Explain"))
    reason = page.locator(".reason").inner_text()
    assert reason.startswith(("kept In: its draw", "balanced away Out: its draw"))
    assert page.get_by_label("Text").input_value() == "a red\nfox, <b>snow</b>"
    assert heard.errors == []


def test_images_come_only_when_asked_for(opened: tuple[Any, Heard], served: Served) -> None:
    page, heard = opened
    asked = []

    def answer(route: Any) -> None:
        asked.append(route.request)
        route.fulfill(body=PICTURE, content_type="image/svg+xml")

    page.route("https://pictures.test/**", answer)
    own = {urlsplit(served.address).netloc}
    page.goto(f"{served.address}/pairs?fate=all")
    assert hosts(heard) == own
    follow(page, page.locator(".pair").nth(2).get_by_role("link", name="Show image"))
    page.locator("img").wait_for()
    assert page.locator("img").count() == 1
    assert [request.url for request in asked] == ["https://pictures.test/2.jpg"]
    assert "referer" not in {name.lower() for name in asked[0].headers}
    follow(page, page.get_by_role("link", name="Show images"))
    page.locator("img").nth(24).scroll_into_view_if_needed()
    assert page.locator("img").count() == 25
    follow(page, page.get_by_role("link", name="Hide images"))
    assert page.locator("img").count() == 0
    assert heard.errors == []


def test_hostile_texts_are_texts(opened: tuple[Any, Heard], served: Served, animals: Path) -> None:
    page, heard = opened
    own = {urlsplit(served.address).netloc}
    page.goto(f"{served.address}/pairs?fate=all&row=300")
    texts = [text.replace("\xa0", " ") for text in page.locator(".caption .text").all_inner_texts()]
    assert texts[0] == f"fox {HOSTILE[0]} fox"
    assert texts[1] == f"fox {HOSTILE[1]} fox"
    assert texts[3] == "fox U+202Egnp.exe fox"
    assert texts[6] == "fox U+0000U+001B[31m fox"
    assert texts[7] == "fox &lt;i&gt; fox"
    assert len(texts[8]) == 601
    links = page.locator(".url a[rel]").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert all(link.startswith(("http://", "https://")) for link in links)
    assert len(links) == 3  # the safe, the quoted and the one of this machine
    assert page.locator(".pair script, .pair b, .pair i, .pair img").count() == 0
    for path in (
        "/?q=",
        "/?q=%3Cscript",
        "/pair?row=301",
        "/pair?row=307",
        "/pairs?row=300&fate=all",
    ):
        page.goto(f"{served.address}{path}")
        assert page.locator("main script, main img").count() == 0
    for name in HOSTILE[:4]:
        page.goto(f"{served.address}/pairs?entry={entry_of(animals, name)}")
        shown = page.locator("h1").inner_text().replace("U+202E", "\u202e")
        assert shown == name
        page.goto(f"{served.address}/try?text={name.replace('&', '%26').replace('#', '%23')}")
    assert heard.dialogs == []
    assert heard.errors == []
    assert hosts(heard) == own


def test_hostile_addresses_load_nothing_even_when_asked(
    opened: tuple[Any, Heard], served: Served
) -> None:
    page, heard = opened
    page.route("https://pictures.test/**", lambda route: route.fulfill(body=PICTURE))
    page.goto(f"{served.address}/pairs?fate=all&row=300&images=all")
    sources = page.locator("img").evaluate_all("all => all.map(i => i.getAttribute('src'))")
    assert set(sources) == {URLS[2], URLS[6]}
    assert hosts(heard) <= {urlsplit(served.address).netloc, "pictures.test"}
    assert heard.dialogs == []


def test_a_long_text_is_shown_in_parts(opened: tuple[Any, Heard], served: Served) -> None:
    page, _ = opened
    page.goto(f"{served.address}/pairs?fate=all&row=308")
    whole = f"fox {LONG} fox"
    follow(page, page.get_by_role("link", name=f"all {len(whole):,} characters"))
    text = ""
    while True:
        text += page.locator(".caption .text").inner_text().strip("…")
        following = page.get_by_role("link", name="Next part")
        if not following.count():
            break
        follow(page, following)
    assert text == whole
    assert page.locator("mark").count() > 0


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_runs_over_the_edge(
    browser: Browser, served: Served, animals: Path, size: dict[str, int], scheme: str
) -> None:
    paths = [
        "/", "/pairs", "/pairs?fate=all&row=295", "/pair?row=308", "/pair?row=2",
        "/try?text=red+fox", "/pairs?x=1", f"/pairs?entry={entry_of(animals, HOSTILE[1])}&fate=all",
    ]  # fmt: skip
    with browser.page(size, color_scheme=scheme) as (page, _):
        for path in paths:
            page.goto(f"{served.address}{path}")
            for summary in page.locator("main details summary").all()[-3:]:
                summary.click()
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= size["width"], path
            dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
            assert (dark == "rgb(255, 255, 255)") == (scheme == "light")
            unnamed = page.locator("input:not([type=hidden]), select, textarea").evaluate_all(
                "all => all.filter(one => one.labels.length === 0).length"
            )
            assert unnamed == 0
            assert page.locator("h1").count() == 1
