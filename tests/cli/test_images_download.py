"""`metacurate images download` and `info` on the command line."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ..images.hostile_server import HostileServer
from .calls import call, execute

ALLOWED = "--allow-network 127.0.0.0/8 --contact me@example.org --timeout 5"


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: HostileServer) -> Path:
    """A pool of three images, one of which is missing, and the two others' captions."""
    monkeypatch.chdir(tmp_path)
    paths = ["/good/1", "/good/2", "/good/2", "/status/404"]
    table = {"url": [server.url(path) for path in paths], "text": ["a", "<b>", "c", "d"]}
    pq.write_table(pa.table(table), "p.parquet")
    return tmp_path


def test_download_and_info(folder: Path) -> None:
    done = call(f"images download p.parquet -o out/ {ALLOWED} --json")
    assert done.code == 0, done.err
    totals = json.loads(done.out)
    assert totals["status"] == {"success": 2, "not_found": 1}
    assert (totals["pairs"], totals["pairs_with_image"]) == (4, 3)
    shown = call("images info out")
    assert "3 images of 4 pairs in 1 shards" in shown.out
    assert "The server has no such image" in " ".join(shown.out.split())
    told = json.loads(call("images info out --sample 5 --to sheet.html --json").out)
    assert told["sheet"] == {"images": 2, "file": "sheet.html"}
    assert told["hosts"] == [
        {"host": "127.0.0.1", "images": 3, "success": 2, "status": {"not_found": 1}}
    ]
    page = Path("sheet.html").read_text("utf-8")
    assert "&lt;b&gt;" in page
    assert "<b>" not in page


def test_progress_and_summary_are_apart(folder: Path) -> None:
    done = execute(f"images download p.parquet -o out {ALLOWED}")
    assert done.code == 0
    assert "download: 3 of 3 images" in done.err
    assert "Images in out" in done.out
    assert "status: not found" in done.out
    info = call("info out")
    assert "metacurate images download" in info.out
    assert call("status out").out.count("images") >= 1


@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [
        ("images download p.parquet -o out", 2, "Missing option '--contact'"),
        ("images download p.parquet -o out --contact me", 2, "'me' is neither"),
        (f"images download p.parquet -o out {ALLOWED} --allow-network 300.0.0.0/8", 2, "network: "),
        (f"images download p.parquet -o out {ALLOWED} --tries 0", 2, "tries of 0 is too small"),
        (f"images download nowhere.parquet -o out {ALLOWED}", 2, "nowhere.parquet"),
        ("images info .", 2, "holds no tars"),
        ("images info p.parquet", 2, "p.parquet"),
        ("images info pipe:ls", 2, "a command to be run"),
    ],
)  # fmt: skip
def test_what_cant_be(folder: Path, command: str, code: int, reason: str) -> None:
    done = call(command)
    assert done.code == code, done.err
    assert reason in done.err
    assert not Path("out").exists()


def test_options_of_the_sheet_need_one(folder: Path) -> None:
    assert call(f"images download p.parquet -o out {ALLOWED}").code == 0
    done = call("images info out --seed 3")
    assert (done.code, "--to and --seed are for --sample" in done.err) == (2, True)
    assert call("images info out --sample 0").code == 2
