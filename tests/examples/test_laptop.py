"""The laptop example in its small form: from web pages to two models and their scores."""

import os
import re
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from examples.laptop import web
from examples.laptop.run import MODELS, QUICK, accuracies_of

ROOT = Path(__file__).parents[2]
COMMANDS = [
    "extract", "dedup", "images download", "images filter", "images select", "curate",
    "images select", "train", "train", "evaluate", "evaluate",
]  # fmt: skip

if any(find_spec(name) is None for name in ("torch", "transformers")):
    pytest.skip("needs the extra train", allow_module_level=True)


def free_port() -> int:
    """The first of a few ports: draws depend on URLs, which hold it."""
    for port in range(8018, 8040):
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.skip("no port from 8018 to 8039 is free")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    variables = {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, "-m", "examples.laptop.run", *arguments],
        cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("laptop")
    done = run("--quick", "-o", str(folder), "--port", str(free_port()))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_each_step_is_a_command_that_is_shown(made: tuple[Path, str]) -> None:
    shown = re.findall(r"^\$ metacurate ((?:images )?\w+)", made[1], re.MULTILINE)
    assert shown == COMMANDS


def test_fewer_pairs_and_images_stay_with_each_stage(made: tuple[Path, str]) -> None:
    table = made[1].split("What is left")[1].split("Zero-shot")[0]
    rows = re.findall(r"^(\S+)/ .* ([\d,]+) +([\d,]+)$", table, re.MULTILINE)
    assert [row[0] for row in rows] == ["pool", "unique", "shards", "clean", "balanced-shards"]
    pairs = [number(row[1]) for row in rows]
    images = [number(row[2]) for row in rows]
    assert pairs == sorted(set(pairs), reverse=True)
    assert images == sorted(images, reverse=True)
    assert images[0] == images[1] > images[2] > images[3] > images[4] > 0


def test_copies_and_images_of_the_test_set_are_out(made: tuple[Path, str]) -> None:
    table = pq.ParquetDataset(sorted((made[0] / "clean").glob("*.parquet"))).read()
    dropped = set(table.filter(pc.field("status") == "dropped")["url"].to_pylist())
    leaked = {url for url in dropped if "/test-" in url}
    copies = {url for url in dropped if url.endswith("-small.jpeg")}
    assert len(leaked) == web.LEAKED
    assert len(copies) > 20
    assert len(dropped - leaked - copies) < 5


def test_frequent_concepts_are_thinned_and_rare_ones_stay_whole(made: tuple[Path, str]) -> None:
    counts = pq.read_table(made[0] / "balanced" / "counts.parquet").to_pylist()
    of_entry = {row["entry"]: row for row in counts}
    first, *_, last = web.concepts(QUICK.size)
    assert of_entry[first]["kept"] < of_entry[first]["count"] / 2
    assert 0 < of_entry[last]["count"] < QUICK.threshold
    rare = [row for row in counts if row["count"] < QUICK.threshold]
    assert all(row["kept"] == row["count"] for row in rare)


def test_both_models_have_learned(made: tuple[Path, str]) -> None:
    names = web.concepts(QUICK.size)
    means = {}
    for model in MODELS:
        accuracies = accuracies_of(made[0] / "scores" / f"{model}.json")
        assert list(accuracies) == names
        means[model] = sum(accuracies.values()) / len(names)
    assert min(means.values()) > 2.5 / len(names)
    row = re.findall(r"^all .* ([\d.]+) +([\d.]+)$", made[1], re.MULTILINE)
    assert row == [tuple(f"{100 * means[model]:.1f}" for model in MODELS)]


def test_a_folder_of_another_web_is_left_as_it_is(made: tuple[Path, str]) -> None:
    before = (made[0] / "made.json").read_bytes()
    done = run("-o", str(made[0]), "--port", str(free_port()))
    assert done.returncode == 1
    assert f"{made[0]} holds another web" in done.stderr
    assert "Traceback" not in done.stderr
    assert (made[0] / "made.json").read_bytes() == before


def test_a_port_that_is_taken_is_told_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("-o", str(tmp_path), "--port", str(port))
    assert done.returncode == 1
    assert f"port {port} can't be had" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_same_web_is_made_each_time(tmp_path: Path) -> None:
    size = web.Size(colours=2, patterns=2, images=30, tests=5)
    for name in ("one", "two"):
        web.make(tmp_path / name, size, "127.0.0.1:8017")
    files = [path for path in sorted((tmp_path / "one").rglob("*")) if path.is_file()]
    assert len(files) > 30
    for path in files:
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes()
