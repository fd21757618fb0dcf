"""The contact sheet in a real browser: offline, without scripts, and with hostile captions."""

from pathlib import Path

import pyarrow as pa
import pytest

from metacurate.errors import InputError, UsageError
from metacurate.images.shards import Sample, list_shards, shard_name, write_shard
from metacurate.reporting.contact_sheet import draw_images, write_contact_sheet

from ..browser import Browser
from ..images.made import encoded, noise

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)> \u202ereversed"


def write(folder: Path, images: int, shards: int = 3) -> Path:
    for number in range(shards):
        name, samples = shard_name(number), []
        rows: list[dict[str, object]] = []
        for index in range(images):
            key = f"{name}{index:04d}"
            body = encoded(noise(index)) if index else b"no image"
            samples.append(Sample(key, body, "png", "a", {}))
            told = {"key": key, "url": f"https://a.example/{key}", "status": "success"}
            texts = (HOSTILE, "second")[: 1 + index % 2]
            rows += [{**told, "text": text, "width": 64, "height": 48} for text in texts]
        rows.append({"key": "gone", "url": "x", "text": "x", "status": "not_found"})
        write_shard(folder, name, samples, pa.Table.from_pylist(rows), {})
    return folder


def test_a_page_that_needs_nothing_besides(tmp_path: Path, browser: Browser) -> None:
    shards = list_shards(str(write(tmp_path / "s", 5)))
    place = tmp_path / "sheet.html"
    assert write_contact_sheet(shards, place, 100) == {"images": 15, "file": str(place)}
    with browser.page(offline=True) as (page, heard):
        page.goto(place.as_uri())
        assert page.locator("li").count() == 15
        assert page.locator("li img").count() == 12
        assert page.locator(".fault").count() == 3
        sizes = page.evaluate("() => [...document.images].map(i => i.naturalHeight)")
        assert set(sizes) == {48}
        assert page.locator(".caption").first.inner_text().startswith("<script>alert(1)")
        assert "\u27e8U+202E\u27e9reversed" in page.locator(".caption").first.inner_text()
    assert (heard.errors, heard.dialogs) == ([], [])
    assert heard.requests == [place.as_uri()]


def test_which_are_drawn_depends_on_the_seed(tmp_path: Path) -> None:
    shards = list_shards(str(write(tmp_path, 40)))
    drawn = [[rows[0]["key"] for _, rows in draw_images(shards, 10, seed)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 10
    assert {key[:5] for key in drawn[0]} > {"00000"}


def test_what_cant_be(tmp_path: Path) -> None:
    shards = list_shards(str(write(tmp_path, 2)))
    with pytest.raises(UsageError, match="at least 1"):
        write_contact_sheet(shards, tmp_path / "x.html", 0)
    (tmp_path / "00001.tar").write_bytes(b"")
    with pytest.raises(InputError, match=r"00001\.tar"):
        write_contact_sheet(shards, tmp_path / "x.html", 10)
    assert not (tmp_path / "x.html").exists()
