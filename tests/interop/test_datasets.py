"""Hugging Face's datasets loads what a run writes: its files, its folder, and without a network."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pyarrow.parquet as pq
import pytest

FEATURES = datasets.Features(
    {
        "url": datasets.Value("string"),
        "text": datasets.Value("string"),
        "entries": datasets.List(datasets.Value("uint32")),
        "probability": datasets.Value("float64"),
        "min_threshold": datasets.Value("float64"),
    }
)

# Loads a folder; whoever asks for the network is refused, and named.
OFFLINE = """
import json, sys

asked = []

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        asked.append(f"{event} {arguments}")
        raise OSError("there is no network")

sys.addaudithook(refuse)

import datasets

out, cache = sys.argv[1:]
loaded = datasets.load_dataset(out, split="train", cache_dir=cache)
streamed = datasets.load_dataset(out, split="train", cache_dir=cache, streaming=True)
print(json.dumps({"asked": asked, "loaded": len(loaded), "streamed": sum(1 for _ in streamed)}))
"""


@pytest.fixture(scope="module")
def rows(out: Path) -> list[dict[str, Any]]:
    files = sorted((out / "curated").iterdir())
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_files(out: Path, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    files = str(out / "curated" / "*.parquet")
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path))
    assert [*loaded] == ["train"]
    assert loaded["train"].features == FEATURES
    assert loaded["train"].to_list() == rows


def test_the_folder_by_its_card(out: Path, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    assert datasets.get_dataset_config_names(str(out)) == ["default"]
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path))
    assert [*loaded] == ["train"]
    assert loaded["train"].features == FEATURES
    assert loaded["train"].to_list() == rows


def test_what_the_card_says(out: Path) -> None:
    card = huggingface_hub.DatasetCard.load(out / "README.md")
    said = card.data.to_dict()
    assert said["configs"] == [{"config_name": "default", "data_files": "curated/*.parquet"}]
    assert said["size_categories"] == ["n<1K"]
    assert "metacurate" in said["tags"]


def test_streaming(out: Path, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    cache = str(tmp_path)
    streamed = datasets.load_dataset(str(out), split="train", streaming=True, cache_dir=cache)
    assert streamed.features == FEATURES
    assert [*streamed] == rows
    smaller = streamed.filter(lambda row: row["min_threshold"] <= 5)
    assert [*smaller] == [row for row in rows if row["min_threshold"] <= 5]
    assert streamed.num_shards == 3


def test_offline(out: Path, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name[:3] != "HF_"}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, out, tmp_path / "cache"],
        env={**environment, "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"asked": [], "loaded": len(rows), "streamed": len(rows)}
