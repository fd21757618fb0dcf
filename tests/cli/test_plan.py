"""The command plan: the same answers as a table and as JSON, and what curate then keeps."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from .calls import ENTRIES, call, cells, error_line, on_terminal, write_pairs

PLAN = "plan pool -m m.txt"
ASKED = "-t 5 -t 60.5 --tail-share 0.3 --budget 100 --budget 1"
ANSWER = {
    "asked", "value", "threshold", "kept", "share", "tail_share", "head_entries", "tail_entries",
    "matches_kept",
}  # fmt: skip


def ask(command: str) -> dict[str, Any]:
    done = call(f"{command} --json")
    assert done.code == 0, done.err
    assert done.out.count("\n") == 1
    summary: dict[str, Any] = json.loads(done.out)
    assert all(answer.keys() == ANSWER for answer in summary["answers"])
    return summary


def shown_cells(answer: dict[str, Any]) -> list[str]:
    return [
        f"{answer['threshold']:,.9g}",
        f"{answer['kept']:,}",
        f"{answer['share']:.2%}",
        f"{answer['tail_share']:.2%}",
        f"{answer['head_entries']:,}",
        f"{answer['tail_entries']:,}",
        f"{answer['matches_kept']:,}",
    ]


def test_the_table_tells_what_the_json_does(folder: Path) -> None:
    summary = ask(f"{PLAN} {ASKED}")
    done = call(f"{PLAN} {ASKED}")
    assert done.code == 0
    title, *lines = done.out.splitlines()
    assert title == f"600 pairs, {summary['matches']:,} matches"
    header, *rows = cells(lines).items()
    assert header[0] == "asked"
    names = ["t 5", "t 60.5", "tail share 0.3", "budget 100", "budget 1"]
    assert rows == [
        (name, shown_cells(answer)) for name, answer in zip(names, summary["answers"], strict=True)
    ]
    for answer in summary["answers"]:
        assert answer["head_entries"] + answer["tail_entries"] == len(ENTRIES)
        assert answer["share"] == answer["kept"] / 600


def test_curate_keeps_what_was_answered(folder: Path) -> None:
    for per_image in ("all", "one"):
        flags = f"--seed 3 --per-image {per_image}"
        for i, answer in enumerate(ask(f"{PLAN} {ASKED} {flags}")["answers"]):
            option = "--" + answer["asked"].replace("_", "-")
            out = f"{per_image}{i}"
            done = call(f"curate pool -m m.txt -o {out} {option} {answer['value']} {flags} --json")
            kept = json.loads(done.out)
            for name in ("kept", "threshold", "tail_share", "head_entries", "tail_entries"):
                assert kept[name] == answer[name]
            assert kept["kept_matches"] == answer["matches_kept"]


def test_without_a_question_it_is_the_papers_tail_share(folder: Path) -> None:
    (answer,) = ask(PLAN)["answers"]
    assert (answer["asked"], answer["value"]) == ("tail_share", 0.06)


def test_one_caption_of_each_image(folder: Path) -> None:
    for name in "abc":
        write_pairs(folder / "pool" / f"{name}.parquet")
    table = pq.read_table("pool/a.parquet")
    pq.write_table(table.set_column(0, "url", [["one"] * len(table)]), "pool/a.parquet")
    everything, one = ask(f"{PLAN} -t 1e9"), ask(f"{PLAN} -t 1e9 --per-image one")
    matched = [text for text in table["text"].to_pylist() if text not in ("nothing here", "")]
    assert everything["answers"][0]["kept"] - one["answers"][0]["kept"] == len(matched) - 1


def test_asking_a_folder_again_is_quick(folder: Path) -> None:
    first = ask(f"{PLAN} -t 5 -o out")
    second = ask(f"{PLAN} -t 6 --budget 50 -o out")
    assert (first["resumed_units"], second["resumed_units"]) == (0, 6)
    assert second["answers"] == json.loads(Path("out/plan.json").read_text())
    assert second["answers"] == ask(f"{PLAN} -t 6 --budget 50")["answers"]


def test_counts_that_were_made_before(folder: Path) -> None:
    assert call("count pool -m m.txt -o counts").code == 0
    expected = ask(f"{PLAN} {ASKED}")["answers"]
    for counts in ("counts", "counts/counts.parquet"):
        assert ask(f"{PLAN} {ASKED} -c {counts}")["answers"] == expected
    Path("pool/c.parquet").unlink()
    line = error_line(call(f"{PLAN} -t 5 -c counts"), 2)
    assert line.startswith("the counts belong to another pool ")
    assert line.endswith("--foreign-counts")
    assert ask(f"{PLAN} -t 5 -c counts --foreign-counts")["rows_read"] == 400


def test_numbers_stay_whole_on_a_narrow_terminal(folder: Path) -> None:
    asked = f"{PLAN} {ASKED}"
    shown = on_terminal(80, asked)
    assert max(map(len, shown)) <= 80
    words = set(" ".join(shown).replace("│", " ").split())
    for answer in ask(asked)["answers"]:
        assert set(shown_cells(answer)) <= words


def test_nothing_is_left_without_a_folder(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    ask(f"{PLAN} -t 5")
    assert sorted(folder.rglob("*")) == before
