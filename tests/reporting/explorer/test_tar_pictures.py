"""Images that lie in tars beside their captions are shown from there, when asked for."""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metacurate as mc

from ...browser import Browser
from .served import Served, serve

PNG = bytes.fromhex(  # one pixel
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da63fccf"
    "f0bf1e00057f02bf3ef5a3c80000000049454e44ae426082"
)
WORDS = ["fox", "owl"]
NUMBER = 6


def write_tar(path: Path, names: list[str]) -> None:
    with tarfile.open(path, "w") as tar:
        for i, name in enumerate(names):
            fields = {"url": f"https://pictures.test/{name}.png", "key": name}
            members = {
                "png": PNG,
                "txt": f"a fox {i}".encode(),
                "json": json.dumps(fields).encode(),
            }
            if i == NUMBER - 1:
                del members["png"]
            for ending, content in members.items():
                info = tarfile.TarInfo(f"{name}.{ending}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


@pytest.fixture(scope="module", params=["tars", "tables beside tars"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("tars")
    (folder / "pool").mkdir()
    names = [f"{i:05}" for i in range(NUMBER)]
    write_tar(folder / "pool" / "00000.tar", names)
    if request.param != "tars":
        table = {
            "url": [f"https://pictures.test/{name}.png" for name in names],
            "caption": [f"a fox {i}" for i in range(NUMBER)],
            "key": names,
            "status": ["success"] * NUMBER,
        }
        pq.write_table(pa.table(table), folder / "pool" / "00000.parquet")
    metadata = mc.Metadata.from_entries(WORDS)
    mc.curate(folder / "pool", metadata, threshold=3, out=folder / "out")
    with serve(folder / "out") as served:
        yield served


def test_the_images_of_pairs(served: Served, browser: Browser) -> None:
    for fate in ("kept", "balanced_away"):
        served.page("/pairs", fate=fate)
        with browser.page() as (page, heard):
            page.goto(f"{served.address}/pairs?fate={fate}")
            assert page.locator("img.picture").count() == 0
            assert not [request for request in heard.requests if "/image" in request]
            page.click("#images")
            found = page.locator("img.picture")
            assert found.count() > 0
            page.wait_for_function(
                "() => [...document.querySelectorAll('img.picture')].every(one => one.complete)"
            )
            loaded = page.evaluate(
                "[...document.querySelectorAll('img.picture')].map(one => one.naturalWidth)"
            )
            texts = page.locator(".caption").all_inner_texts()
            assert [width == 1 for width in loaded] == [
                f"{NUMBER - 1}" not in text for text in texts
            ]
            assert all(request.startswith(served.address) for request in heard.requests)


def test_an_image_s_answer(served: Served) -> None:
    text = served.page("/pairs", fate="kept", images="all")
    addresses = re.findall(r'class="picture" src="([^"]+)"', text)
    assert addresses
    statuses = []
    for address in addresses:
        request = Request(served.address + address.replace("&amp;", "&"))
        try:
            with urlopen(request, timeout=30) as response:
                assert response.read() == PNG
                assert response.headers["content-type"] == "image/png"
                assert response.headers["x-content-type-options"] == "nosniff"
                policy = response.headers["content-security-policy"]
                assert policy.startswith("default-src 'none'")
                statuses.append(response.status)
        except HTTPError as error:
            statuses.append(error.code)
    assert set(statuses) <= {200, 404}
    assert 200 in statuses
    for query in ("shelf=pool&file=0&row=99", "shelf=pool&file=9&row=0", "shelf=kept&file=9"):
        assert served.ask(f"/image?{query}")[0].status == 404
    for query in ("shelf=../x", "file=-1", "path=/etc/passwd"):
        assert served.ask(f"/image?{query}")[0].status == 400
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert served.ask(addresses[0].replace("&amp;", "&"), foreign)[0].status == 403
