"""img2dataset downloads the images of what a run writes, and keeps its captions and columns."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metacurate as mc

from .images import BROKEN, MISSING, png, serve, size
from .img2dataset import install

# What else may go wrong with captions on their way through JSON, tar and Parquet.
ODD = ["NaN", "None", "null", "[1, 2]", '"quoted"', "a\nb\tc", "ä\u0301 日本 🦊", "  spaced  "]

# The columns of the Parquet file beside each tar; its JSON files have the same keys.
SIDECAR = {
    "min_threshold": "double",
    "entries": "list<element: uint32 not null>",
    "caption": "string",
    "url": "string",
    "key": "string",
    "status": "string",
    "error_message": "string",
    "width": "int32",
    "height": "int32",
    "original_width": "int32",
    "original_height": "int32",
    "exif": "string",
    "sha256": "string",
}


class Download(NamedTuple):
    """A balanced set, and what img2dataset made of it."""

    curated: list[dict[str, Any]]
    images: Path

    def sidecars(self) -> list[dict[str, Any]]:
        return [row for path in self.files("parquet") for row in pq.read_table(path).to_pylist()]

    def files(self, kind: str) -> list[Path]:
        return sorted(self.images.glob(f"*.{kind}"))


@pytest.fixture(scope="module")
def download(tmp_path_factory: pytest.TempPathFactory) -> Download:
    if sys.version_info >= (3, 13):
        pytest.skip("img2dataset needs the module imghdr, which this Python no longer has")
    environment = install()
    folder = tmp_path_factory.mktemp("img2dataset")
    with serve() as server:
        mc.curate(
            write_pool(folder / "pool", server),
            mc.Metadata.from_entries(["frequent", *(f"w{i}" for i in range(100))]),
            threshold=20,
            out=folder / "out",
            seed=0,
        )
        done = subprocess.run(
            [
                *(environment / "bin" / "python", environment / "bin" / "img2dataset"),
                *("--url_list", folder / "out" / "curated", "--input_format", "parquet"),
                *("--url_col", "url", "--caption_col", "text", "--output_format", "webdataset"),
                *("--save_additional_columns", '["min_threshold", "entries"]'),
                *("--output_folder", folder / "images", "--number_sample_per_shard", "100"),
                *("--image_size", "32", "--thread_count", "16"),
            ],
            cwd=folder,
            env=quiet(),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return Download(pq.read_table(folder / "out" / "curated").to_pylist(), folder / "images")


def write_pool(folder: Path, server: str) -> Path:
    """400 pairs in two files: rare concepts keep every other one, and one url has two texts."""
    folder.mkdir()
    concepts = [f"w{i // 2 % 100}" if i % 2 == 0 else "frequent" for i in range(400)]
    around = [ODD[i // 2 % len(ODD)] for i in range(400)]
    texts = [f"{odd} {concept} {odd}" for odd, concept in zip(around, concepts, strict=True)]
    urls = [f"{server}/{i}.png" for i in range(400)]
    urls[2] = urls[0]
    for i in range(2):
        half = slice(200 * i, 200 * (i + 1))
        table = pa.table({"url": urls[half], "text": texts[half]})
        pq.write_table(table, folder / f"part-{i}.parquet")
    return folder


def quiet() -> dict[str, str]:
    """Nobody is asked for newer versions or told of errors; the loopback needs no proxy."""
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "WANDB_ERROR_REPORTING": "false",
        "no_proxy": "127.0.0.1",
        "NO_PROXY": "127.0.0.1",
    }


def number(row: dict[str, Any]) -> int:
    found = re.search(r"/(\d+)\.png$", row["url"])
    assert found is not None
    return int(found[1])


def test_every_kept_pair_comes_back(download: Download) -> None:
    curated = sorted(
        (row["url"], row["text"], row["min_threshold"], row["entries"]) for row in download.curated
    )
    assert 200 < len(curated) < 400
    assert len({url for url, *_ in curated}) == len(curated) - 1
    assert curated == sorted(
        (row["url"], row["caption"], row["min_threshold"], row["entries"])
        for row in download.sidecars()
    )


def test_images_are_those_of_their_urls(download: Download) -> None:
    statuses = {MISSING: "failed_to_download", BROKEN: "failed_to_resize"}
    for row in download.sidecars():
        assert row["status"] == statuses.get(number(row) % 10, "success")
        if row["status"] == "success":
            assert (row["original_width"], row["original_height"]) == size(number(row))
            assert row["sha256"] == hashlib.sha256(png(number(row))).hexdigest()
        else:
            assert row["error_message"]


def test_members_of_the_tars(download: Download) -> None:
    rows = {row["key"]: row for row in download.sidecars() if row["status"] == "success"}
    seen: Counter[str] = Counter()
    for path in download.files("tar"):
        with tarfile.open(path) as tar:
            names = tar.getnames()
            assert [name[-4:] for name in names] == [".jpg", "json", ".txt"] * (len(names) // 3)
            for name in names:
                key, kind = name.split(".")
                member = tar.extractfile(name)
                assert member is not None
                content = member.read()
                if kind == "jpg":
                    assert content[:3] == b"\xff\xd8\xff"
                elif kind == "json":
                    assert json.loads(content) == rows[key]
                else:
                    assert content.decode() == rows[key]["caption"]
                assert key.startswith(path.stem)
                seen[key] += 1
    assert seen == Counter(dict.fromkeys(rows, 3))


def test_layout(download: Download) -> None:
    """What reads these folders may build on this."""
    shards = [path.stem for path in download.files("parquet")]
    assert shards == [f"{i:05}" for i in range(len(shards))]
    assert len(shards) > 2
    assert {path.name for path in download.images.iterdir()} == {
        name
        for shard in shards
        for name in (f"{shard}.parquet", f"{shard}.tar", f"{shard}_stats.json")
    }
    for path in download.files("parquet"):
        fields = {field.name: str(field.type) for field in pq.read_schema(path)}
        assert [*fields.items()] == [*SIDECAR.items()]
        rows = pq.read_table(path).to_pylist()
        keys = [f"{path.stem}{i:02}" for i in range(len(rows))]
        assert sorted(row["key"] for row in rows) == keys
        stats = json.loads((path.parent / f"{path.stem}_stats.json").read_text("utf-8"))
        by_status = Counter(row["status"] for row in rows)
        assert stats["count"] == len(rows)
        assert stats["successes"] == by_status["success"] == stats["status_dict"]["success"]
        assert stats["failed_to_download"] == by_status["failed_to_download"]
        assert stats["failed_to_resize"] == by_status["failed_to_resize"]
