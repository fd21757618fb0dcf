"""`metacurate images filter` and `select` on the command line."""

import json
from pathlib import Path

from typer.testing import CliRunner

from metacurate.cli.images import DISTANCE, app
from metacurate.images.filters import verdicts
from metacurate.images.selection.select import read_keys
from tests.images.made import encoded, noise, write_set

RUNNER = CliRunner()


def test_filter_and_select(tmp_path: Path) -> None:
    images = {"000000000": encoded(noise(1)), "000000001": encoded(noise(1, (32, 24)))}
    source = write_set(tmp_path / "shards", {"00000": images})
    judged, out = tmp_path / "verdicts", tmp_path / "out"
    done = RUNNER.invoke(
        app,
        [
            "filter",
            str(source),
            "-o",
            f"{judged}/",
            "--near-duplicates",
            "--json",
            "--workers",
            "1",
        ],
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["near_duplicate"] == 1
    done = RUNNER.invoke(
        app,
        ["select", str(source), "-o", str(out), "--verdicts", str(judged), "--drop",
         "near_duplicate, broken", "--keys", "--json", "--workers", "1"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["images_kept"] == 1
    assert read_keys(out) == {"000000000"}


def test_the_default_is_the_same_in_both_places() -> None:
    assert DISTANCE == verdicts.DISTANCE
