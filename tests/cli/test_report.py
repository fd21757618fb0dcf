"""Curating ends with a report, where what it needs is installed; the set is made anyhow."""

import json
from pathlib import Path

import pytest

import metacurate as mc
from metacurate.cli import report as report_command

from .calls import call, write_pairs

CURATE = "curate pool -m m.txt -t 5 -o out"


@pytest.fixture(autouse=True)
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path / "pool" / "a.parquet")
    (tmp_path / "m.txt").write_text("red fox\nfox\nsnow\n")


def test_curate_and_sample_end_with_a_report(caplog: pytest.LogCaptureFixture) -> None:
    for command in (CURATE, "sample pool -m m.txt -c out -t 7 -o other"):
        done = call(command)
        out = Path(command.split()[-1])
        assert done.code == 0
        assert caplog.messages[-1] == f"the set at a glance: {out}/report.html"
        readme = (out / "README.md").read_text("utf-8")
        assert "(report/balance.png)" in readme
        assert "(report.html)" in readme
        assert (out / "report" / "balance.png").read_bytes().startswith(b"\x89PNG")
        page = (out / "report.html").read_text("utf-8")
        manifest = json.loads((out / "manifest.json").read_text())
        assert manifest["command_line"] == f"metacurate {command}"
        assert command in page
        assert f"{manifest['totals']['kept']:,}" in page


def test_without_a_report() -> None:
    assert call(f"{CURATE} --no-report").code == 0
    assert not Path("out/report.html").exists()
    assert "balance.png" not in Path("out/README.md").read_text()


def test_without_the_packages_it_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(report_command, "find_spec", lambda name: name != "altair" or None)
    done = call(CURATE)
    assert done.code == 0
    assert 'needs more packages: pip install "metacurate[report]"' in caplog.messages[-1]
    assert not Path("out/report.html").exists()


def test_no_report_of_an_earlier_set_is_left() -> None:
    call(CURATE)
    mc.curate("pool", mc.Metadata.read("m.txt"), threshold=2, out="out")
    assert not Path("out/report.html").exists()
    assert "balance.png" not in Path("out/README.md").read_text()
    done = call("report out")
    assert (done.code, done.out) == (0, "out/report.html\n")
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert manifest["command_line"] is None


@pytest.mark.parametrize("command", ["report", "explore", "compare other"])
def test_what_is_no_curated_set(command: str) -> None:
    call("count pool -m m.txt -o counts")
    call(f"{CURATE.replace('out', 'other')} --no-report")
    done = call(f"{command} counts")
    assert done.code == 2
    assert done.err.splitlines()[-1] == (
        "metacurate: error: counts holds no curated set, but what metacurate count made"
    )
    done = call(f"{command} nowhere")
    assert done.code == 2
    assert "nowhere holds no finished curated set" in done.err
