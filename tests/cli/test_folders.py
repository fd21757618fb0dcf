"""Commands that look at output folders: info and status."""

import json
from pathlib import Path
from typing import Any

import pytest

from metacurate.engine.lock import lock
from metacurate.engine.manifest import work_folder

from .calls import CURATE, ROWS, call, cells, error_line, on_terminal, write_pairs

MADE = {
    "curate": CURATE,
    "count": "count pool -m m.txt -o out",
    "plan": "plan pool -m m.txt -t 5 --budget 100 -o out",
    "pack": "pack pool -o out --rows-per-shard 450",
}


def make(command: str) -> None:
    assert call(command).code == 0


def as_json(command: str, *more: str) -> dict[str, Any]:
    done = call(f"{command} --json", *more)
    assert (done.code, done.err) == (0, "")
    assert done.out.count("\n") == 1
    value: dict[str, Any] = json.loads(done.out)
    return value


@pytest.mark.parametrize("command", MADE)
def test_status(command: str, folder: Path) -> None:
    make(MADE[command])
    found = as_json("status out")
    assert (found["out"], found["command"], found["state"]) == ("out", command, "complete")
    done = call("status out")
    assert done.code == 0
    title, *lines = done.out.splitlines()
    assert title == f"out: metacurate {command}, complete"
    rows = cells(lines)
    assert [*rows][1:] == [stage["stage"] for stage in found["stages"]]
    for stage in found["stages"]:
        units, failed, work, *_ = rows[stage["stage"]]
        assert units == f"{stage['units']} of {stage['units']}"
        assert failed == "0"
        assert work == f"600 of 600 {stage['measure']}"


def test_status_of_a_run_at_work(folder: Path) -> None:
    make(CURATE)
    with lock(work_folder(Path("out"))):
        assert as_json("status out")["state"] == "running"
        assert call("status out").out.startswith("out: metacurate curate, running\n")
        assert error_line(call(CURATE), 1) == "out: another run is at work on it"
    assert as_json("status out")["state"] == "complete"


def test_status_of_a_run_that_failed(folder: Path) -> None:
    bad = folder / "pool" / "bad.parquet"
    bad.write_bytes(b"no Parquet at all")
    assert call(CURATE).code == 1
    (stage,) = as_json("status out")["stages"]
    (reason,) = stage["errors"]
    shown = call("status out").out
    assert cells(shown.splitlines())["count"][:2] == ["3 of 4", "1"]
    told = shown.partition("Errors")[2]
    assert "".join(reason.split()) in "".join(told.replace("│", "").split())


@pytest.mark.parametrize("command", MADE)
def test_info(command: str, folder: Path) -> None:
    make(MADE[command])
    manifest = json.loads(Path("out/manifest.json").read_text())
    found = as_json("info out")
    assert {name: found[name] for name in manifest} == manifest
    done = call("info out")
    assert done.code == 0
    assert done.out.startswith(f"out: made by metacurate {command}\n")
    rows = cells(done.out.splitlines())
    for name, value in manifest["totals"].items():
        if isinstance(value, int):
            assert rows[name.replace("_", " ")][0] == f"{value:,}"
    assert rows["pool"] == [f"{folder}/pool"]
    assert rows["manifest.json"][0] == "1"
    assert "None" not in done.out


def test_info_of_many_shards_is_short(folder: Path) -> None:
    make("pack pool -o out --rows-per-shard 3")
    assert as_json("info out")["totals"]["shards"] == ROWS
    assert len(call("info out").out.splitlines()) < 40


def test_info_of_a_plan_shows_its_answers(folder: Path) -> None:
    make(MADE["plan"])
    rows = cells(call("info out").out.splitlines())
    answers = as_json("info out")["totals"]["answers"]
    assert [answer["asked"] for answer in answers] == ["threshold", "budget"]
    assert rows["budget 100"][1] == f"{answers[1]['kept']:,}"


# ---- hostile names

NAMES = [
    pytest.param("[red]a[bold] [x]", id="markup"),
    pytest.param("[link=x]a [@click=y]b", id="a link"),
    pytest.param(":bomb: :x:", id="emoji codes"),
    pytest.param("back\\slash\\", id="backslashes"),
    pytest.param("x" * 120, id="a long name"),
    pytest.param("{name} %s", id="placeholders"),
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_as_they_are(name: str, folder: Path) -> None:
    Path("pool").rename(name)
    bad = folder / name / f"{name}.parquet"
    bad.write_bytes(b"no Parquet at all")
    done = call("curate -m m.txt -t 5 --on-error skip -o", f"out {name}", name)
    assert done.code == 0
    assert done.out.startswith(f"Curated into out {name}\n")
    for command in ("status", "info"):
        done = call(command, f"out {name}")
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith(f"out {name}: ")
    packed = "".join(call("info", f"out {name}").out.split())
    assert "".join(f"{folder}/{name}".split()) in packed.replace("│", "").replace("pool", "", 1)
    assert bad.name in "".join(json.dumps(as_json("status", f"out {name}"))).replace("\\\\", "\\")


@pytest.mark.parametrize("char", ["\x1b", "\x07", "\r", "\x7f", "\x9b", "\u202e", "\u2028"])
def test_control_characters_never_reach_the_terminal(char: str, folder: Path) -> None:
    name = f"a{char}[31mb"
    write_pairs(folder / f"p{name}" / "a.parquet")
    (folder / f"p{name}" / f"{name}.parquet").write_bytes(b"no Parquet at all")
    ran = [call("curate -m m.txt -t 5 -o", f"out{name}", f"p{name}")]
    ran.append(call("curate -m m.txt -t 5 --on-error skip -o", f"out{name}", f"p{name}"))
    (Path(f"out{name}") / name).touch()
    ran += [call(command, f"out{name}") for command in ("status", "info")]
    ran += [call(f"{command} --json", f"out{name}") for command in ("status", "info")]
    ran.append(call("status", name))
    assert [done.code for done in ran] == [1, 0, 0, 0, 0, 0, 2]
    for done in ran:
        assert char not in done.out + done.err


# ---- on a terminal of 80 columns


@pytest.mark.parametrize("command", ["curate", "pack"])
def test_tables_on_a_narrow_terminal(command: str, folder: Path) -> None:
    make(MADE[command])
    for asked in ("status", "info"):
        shown = on_terminal(80, asked, "out")
        assert max(map(len, shown)) <= 80
        assert not any("\x1b" in line for line in shown)
        wide, narrow = cells(call(asked, "out").out.splitlines()), cells(shown)
        for name, values in wide.items():
            if not any(len(value) > 40 for value in values):  # paths and digests may be folded
                assert narrow.get(name) == values


# ---- what is no output folder


@pytest.mark.parametrize("command", ["status", "info", "status --json", "info --json"])
@pytest.mark.parametrize("name", ["none", "m.txt", "m.txt/below", "pool", "empty", "."])
def test_folders_that_hold_no_run(command: str, name: str, folder: Path) -> None:
    Path("empty").mkdir()
    assert error_line(call(f"{command} {name}"), 2) == f"{name} holds no run of metacurate"


def test_info_of_a_run_that_is_not_complete(folder: Path) -> None:
    make(CURATE)
    Path("out/manifest.json").unlink()
    expected = "out holds a run that is not complete: metacurate status tells how far it is"
    assert error_line(call("info out"), 2) == expected
    assert as_json("status out")["state"] == "interrupted"
