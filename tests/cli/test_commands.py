"""The command line: what goes in, what comes out, and one clear line where it can't be."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metacurate as mc
from metacurate.curation.balance import Balance
from metacurate.curation.explain import Explainer
from metacurate.curation.job import read_counts

from .calls import CURATE, ENTRIES, ROWS, Done, call, execute, start, write_pairs


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- what can't be: one line on standard error, the right code, and nothing lost

SAMPLE = "sample pool -m m.txt -t 5 -o out --no-report"

Setup = Callable[[], object]


def parquet(path: str, columns: dict[str, Any]) -> Setup:
    return lambda: pq.write_table(pa.table(columns), path)


def content(path: str, text: str) -> Setup:
    def write() -> None:
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(text)

    return write


def both(*setups: Setup) -> Setup:
    return lambda: [setup() for setup in setups]


def ran(command: str) -> Setup:
    def run() -> None:
        assert call(command).code == 0

    return run


def truncate(path: str | Path) -> None:
    path = Path(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage(path: str | Path, column: str) -> None:
    """Flip all bytes of a column's pages; the footer stays."""
    path = Path(path)
    group = pq.read_metadata(path).row_group(0)
    index = pq.read_schema(path).names.index(column)
    pages = group.column(index)
    start = pages.dictionary_page_offset or pages.data_page_offset
    stop = start + pages.total_compressed_size
    raw = path.read_bytes()
    path.write_bytes(raw[:start] + bytes(b ^ 0xFF for b in raw[start:stop]) + raw[stop:])


def spoil_rows(path: str | Path) -> None:
    """Make the second text no UTF-8."""
    raw = pa.array([b"a red fox", b"a \xff dog", b"a fox"])
    write_pairs(Path(path), 3, pa.Array.from_buffers(pa.string(), 3, raw.buffers()))


def replace(path: str, old: bytes, new: bytes) -> None:
    Path(path).write_bytes(Path(path).read_bytes().replace(old, new))


def spoiled(path: str, spoil: Callable[[str], None]) -> Setup:
    def write() -> None:
        write_pairs(Path(path))
        spoil(path)

    return write


def nothing() -> None:
    pass


ONE = CURATE.replace("pool", "p.parquet")
PAIR = {"url": ["u"], "text": ["a fox"]}

BROKEN = [  # setup, command, start of the message
    pytest.param(
        parquet("p.parquet", {"url": ["u"], "alt": ["x"]}), ONE,
        "{}/p.parquet: no text column found: name it with --text-column (it has url, alt)",
        id="missing column",
    ),
    pytest.param(
        parquet("p.parquet", {"text": ["x"]}), ONE,
        "{}/p.parquet: no url column found: name it with --url-column or --id-column",
        id="no url",
    ),
    pytest.param(
        nothing, f"{CURATE} --text-column alt",
        "{}/pool/a.parquet: no column 'alt' (it has url, text) (and 2 more like it)",
        id="named column is missing",
    ),
    pytest.param(
        parquet("p.parquet", {"url": ["u"], "text": [1]}), ONE,
        "{}/p.parquet: column 'text' is of type int64, not strings",
        id="column of numbers",
    ),
    pytest.param(
        spoiled("p.parquet", truncate), ONE, "{}/p.parquet: not a whole Parquet file: ",
        id="truncated",
    ),
    pytest.param(
        spoiled("p.parquet", lambda path: damage(path, "text")), ONE,
        "{}/p.parquet: can't be read: ",
        id="damaged pages",
    ),
    pytest.param(
        spoiled("p.parquet", lambda path: damage(path, "url")), ONE,
        "{}/p.parquet: can't be read: ",
        id="damaged pages of another column",
    ),
    pytest.param(
        spoiled("p.parquet", lambda path: replace(path, b"text", b"t\xf8xt")), ONE,
        "{}/p.parquet: ",
        id="name of a column is no UTF-8",
    ),
    pytest.param(
        lambda: pq.write_table(
            pa.table(PAIR).replace_schema_metadata({"metacurate.round": "first"}), "p.parquet"
        ),
        ONE, "{}/p.parquet: ",
        id="round that is no number",
    ),
    pytest.param(
        content("p.parquet", "url,text\n"), ONE, "{}/p.parquet: not a whole Parquet file: ",
        id="no Parquet",
    ),
    pytest.param(
        content("p.parquet", ""), ONE, "{}/p.parquet: the file is empty", id="empty file"
    ),
    pytest.param(
        parquet("p.parquet", {"url": pa.array([], pa.string()), "text": pa.array([], pa.string())}),
        ONE, "the pool has no rows: {}/p.parquet",
        id="no rows",
    ),
    pytest.param(
        lambda: spoil_rows("p.parquet"), ONE,
        "{}/p.parquet: column 'text': 1 row is no UTF-8, the first is row 1 (counted from 0)",
        id="rows of no UTF-8",
    ),
    pytest.param(
        content("m.txt", ""), CURATE, "m.txt: the list of entries is empty", id="no entries: text"
    ),
    pytest.param(
        content("m.json", "[]"), CURATE.replace("m.txt", "m.json"),
        "m.json: the list of entries is empty",
        id="no entries: JSON",
    ),
    pytest.param(
        parquet("m.parquet", {"entry": pa.array([], pa.string())}),
        CURATE.replace("m.txt", "m.parquet"), "m.parquet: the list of entries is empty",
        id="no entries: Parquet",
    ),
    pytest.param(
        content("m.txt", "fox\n\ndog\n"), CURATE, "m.txt: entry 1 (counted from 0) is empty",
        id="empty entry",
    ),
    pytest.param(
        content("m.parquet", "fox\n"), CURATE.replace("m.txt", "m.parquet"),
        "m.parquet: can't be read: ",
        id="metadata that is no Parquet",
    ),
    pytest.param(
        content("file", ""), CURATE.replace("out", "file/out"),
        "file/out/.metacurate: can't be written: ",
        id="output below a file",
    ),
    pytest.param(
        both(ran("count pool -m m.txt -o counts"), content("m.txt", "fox\n")),
        f"{SAMPLE} -c counts", "the counts belong to metadata of digest ",
        id="counts of other metadata",
    ),
    pytest.param(
        ran("count pool -m m.txt -o counts --mode spaced"), f"{SAMPLE} -c counts",
        "the counts were made in mode 'spaced', not 'paper'",
        id="counts of another mode",
    ),
    pytest.param(
        parquet("counts.parquet", PAIR), f"{SAMPLE} -c counts.parquet",
        "counts.parquet: can't be read: not a table of counts: ",
        id="no table of counts",
    ),
    pytest.param(
        content("counts.parquet", "x"), f"{SAMPLE} -c counts.parquet",
        "counts.parquet: can't be read: ",
        id="counts that are no Parquet",
    ),
    pytest.param(
        nothing, "metadata convert m.txt m.txt/new.json", "m.txt/new.json: can't be written: ",
        id="convert: below a file",
    ),
]  # fmt: skip

WRONG = [  # setup, command, start of the message
    pytest.param(nothing, CURATE.replace("-t 5", "-t 0"), "threshold 0 is not a", id="t is 0"),
    pytest.param(nothing, CURATE.replace("-t 5", "-t -3"), "threshold -3 is not a", id="t below 0"),
    pytest.param(nothing, CURATE.replace("-t 5", "-t nan"), "threshold nan is not", id="t is nan"),
    pytest.param(nothing, CURATE.replace("-t 5", "-t inf"), "threshold inf is not", id="t is inf"),
    pytest.param(
        nothing, CURATE.replace("-t 5", "--tail-share 6"), "tail share 6.0 is not between 0 and 1",
        id="tail share in percent",
    ),
    pytest.param(
        nothing, CURATE.replace("-t 5", "--tail-share nan"), "tail share nan is not between",
        id="tail share is nan",
    ),
    pytest.param(
        nothing, f"{CURATE} --tail-share 0.1", "give one of: a threshold, a tail share, a budget",
        id="threshold and tail share",
    ),
    pytest.param(
        nothing, f"{CURATE} --seed -1", "seed -1 is ", id="seed below 0"
    ),
    pytest.param(
        nothing, f"{CURATE} --seed {2**64}", f"seed {2**64} is ", id="seed too large"
    ),
    pytest.param(
        nothing, f"{CURATE} --workers 0", "0 workers can't work: at least 1", id="no workers"
    ),
    pytest.param(
        nothing, f"{CURATE} --workers -2", "-2 workers can't work", id="fewer than no workers"
    ),
    pytest.param(
        nothing, f"{CURATE} --url-column url --id-column url",
        "give --url-column or --id-column, not both",
        id="url and id column",
    ),
    pytest.param(
        nothing, CURATE.replace("pool", "none"), "none: no such file or folder", id="no pool"
    ),
    pytest.param(
        content("pool2/notes.txt", "x"), CURATE.replace("pool", "pool2"),
        "pool2: the folder holds no file of a pool",
        id="pool without Parquet",
    ),
    pytest.param(
        nothing, CURATE.replace("m.txt", "none.txt"), "none.txt: no such metadata file",
        id="no metadata",
    ),
    pytest.param(
        nothing, CURATE.replace("m.txt", "pool"), "pool: no such metadata file",
        id="metadata is a folder",
    ),
    pytest.param(
        ran(CURATE), "count pool -m m.txt -o out",
        "out holds what `metacurate curate` made: choose another folder",
        id="output of another command",
    ),
    pytest.param(
        content("out/thesis.tex", "x"), CURATE, "out is not empty, and holds no run of metacurate",
        id="foreign output folder",
    ),
    pytest.param(content("out", "x"), CURATE, "out is a file, not a folder", id="output is a file"),
    pytest.param(
        nothing, CURATE.replace("-o out", "-o pool"),
        "the output folder pool lies in the pool's folder pool",
        id="output is the pool",
    ),
    pytest.param(
        nothing, CURATE.replace("-o out", "-o ."),
        "the output folder . holds files of the pool: {}/pool/a.parquet",
        id="output holds the pool",
    ),
    pytest.param(
        ran(CURATE), CURATE.replace("pool", "out/curated"),
        "the output folder out holds files of the pool: {}/out/curated/",
        id="output balanced into itself",
    ),
    pytest.param(
        nothing, f"{CURATE} --budget 9", "give one of: a threshold, a tail share, a budget",
        id="threshold and budget",
    ),
    pytest.param(
        nothing, CURATE.replace("-t 5", "--budget 0"), "a budget of 0 is no number of pairs",
        id="budget of nothing",
    ),
    pytest.param(
        nothing, f"{CURATE} --where width>3", "--where: ", id="where: no such column"
    ),
    pytest.param(nothing, f"{CURATE} --where text==", "--where: ", id="where: no condition"),
    pytest.param(
        nothing, "plan pool -m m.txt --where text==", "--where: ", id="plan: where"
    ),
    pytest.param(
        nothing, f"{CURATE} --columns url,text", "--columns names the columns of CSV and TSV",
        id="columns of Parquet",
    ),
    pytest.param(
        nothing, "pack pool -o out --columns url,text", "--columns names the columns of CSV",
        id="pack: columns of Parquet",
    ),
    pytest.param(
        nothing, CURATE.replace("pool", "foo://bucket/pool"), "foo://bucket/pool: can't be reached",
        id="unknown store",
    ),
    pytest.param(
        nothing, CURATE.replace("-o out", "-o https://example.org/out"),
        "https://example.org/out: web servers are read from only",
        id="output on a web server",
    ),
    pytest.param(
        nothing, CURATE.replace("-o out", "-o hf://datasets/me/out"),
        "hf://datasets/me/out: each file that is written to the Hub is a commit: write to a folder",
        id="output on the Hub",
    ),
    pytest.param(
        nothing, "demo -o s3://bucket/demo", "s3://bucket/demo: this is made on this machine",
        id="demo on a store",
    ),
    pytest.param(
        nothing, "metadata build --wordnet w --out s3://bucket/m.parquet",
        "s3:/bucket/m.parquet: this is made on this machine", id="metadata built on a store",
    ),
    pytest.param(
        nothing, f"{CURATE} --ray-address 1.2.3.4:6379", "--ray-address is for --engine ray",
        id="address of another engine",
    ),
    pytest.param(
        nothing, f"{CURATE} --engine ray --slurm-cpus 2", "--slurm-cpus is for --engine slurm",
        id="jobs of another engine",
    ),
    pytest.param(
        nothing, f"{CURATE} --engine slurm --workers 2", "--workers is for local and ray",
        id="workers of jobs",
    ),
    pytest.param(
        both(content("pool/d.csv", "url,text\n"), content("pool/e.jsonl.gz", "")), CURATE,
        "the pool mixes formats: 1 CSV ({}/pool/d.csv); 1 JSON lines ({}/pool/e.jsonl.gz); "
        "3 Parquet ({}/pool/a.parquet)",
        id="mixed formats",
    ),
    pytest.param(
        nothing, "pack pool -o out --rows-per-shard 0", "0 rows per shard are too few",
        id="shards of no rows",
    ),
    pytest.param(
        nothing, "dedup pool -o out --against pool/a.parquet",
        "{}/pool/a.parquet is in the pool and in --against",
        id="dedup: pool against itself",
    ),
    pytest.param(nothing, "dedup pool -o out --seed -1", "seed -1 is ", id="dedup: seed below 0"),
    pytest.param(nothing, "dedup pool -o out --where text==", "--where: ", id="dedup: where"),
    pytest.param(
        nothing, "plan pool -m m.txt -t 5 -t 0", "threshold 0 is not a", id="plan: t is 0"
    ),
    pytest.param(
        nothing, "plan pool -m m.txt -c none", "none: no such file of counts", id="plan: no counts"
    ),
    pytest.param(
        both(ran("plan pool -m m.txt -o out"), lambda: Path("out/manifest.json").unlink()),
        CURATE.replace("pool", "out").replace("-o out", "-o two"),
        "{}/out: its run is not complete",
        id="pool is not complete",
    ),
    pytest.param(
        nothing, f"{SAMPLE} -c none", "none: no such file of counts", id="no counts"
    ),
    pytest.param(
        both(ran("count pool -m m.txt -o counts"), lambda: Path("pool/a.parquet").unlink()),
        f"{SAMPLE} -c counts", "the counts belong to another pool ",
        id="counts of another pool",
    ),
    pytest.param(
        nothing, "match -m m.txt -t 5", "--threshold, --tail-share and --url need --counts",
        id="match: threshold without counts",
    ),
    pytest.param(
        nothing, "match -m m.txt none.txt", "none.txt: no such file", id="match: no file"
    ),
    pytest.param(
        nothing, "metadata info none.txt", "none.txt: no such metadata file", id="info: no file"
    ),
    pytest.param(
        content("m.json", '["a\\nb"]'), "metadata convert m.json new.txt",
        "entry 0 ('a\\nb') has a line break: write .json or .parquet",
        id="convert: line break",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "setup", "command", "message"),
    [
        pytest.param(code, *case.values, id=str(case.id))
        for code, cases in ((1, BROKEN), (2, WRONG))
        for case in cases
    ],
)
def test_one_clear_line(code: int, setup: Setup, command: str, message: str, folder: Path) -> None:
    setup()
    before = snapshot(folder)
    done = call(command)
    assert (done.code, done.out) == (code, "")
    *progress, line = done.err.splitlines()
    assert line.startswith(f"metacurate: error: {message.replace('{}', str(folder))}")
    assert all(one.startswith(("count: ", "sample: ")) for one in progress)
    after = snapshot(folder)
    assert {path: after.get(path) for path in before} == before
    made = {path.relative_to(folder) for path in after.keys() - before.keys()}
    assert Path("out/manifest.json") not in made
    assert not [path for path in made if path.suffix == ".tmp"]


@pytest.mark.parametrize(
    ("setup", "command", "code", "message"),
    [
        (spoiled("p.parquet", lambda path: damage(path, "text")), ONE, 1, "{}/p.parquet: can't"),
        (nothing, CURATE.replace("-t 5", "-t 0"), 2, "threshold 0 is not a number above 0"),
    ],
    ids=["damaged pages", "t is 0"],
)
def test_the_same_in_a_process(
    setup: Setup, command: str, code: int, message: str, folder: Path
) -> None:
    setup()
    done = execute(command)
    assert (done.code, done.out) == (code, "")
    assert done.err.splitlines()[-1].startswith(f"metacurate: error: {message.format(folder)}")
    assert done.err.count("error") == 1
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        ("curate pool -m m.txt -o out -t x", "--threshold"),
        ("curate pool -m m.txt -o out --mode quick", "--mode"),
        ("curate pool -m m.txt -o out --on-error ignore", "--on-error"),
        ("curate pool -m m.txt", "--out"),
        ("dedup pool -o out --by image", "--by"),
        ("curate -m m.txt -o out", "pool"),
        ("ballance", "ballance"),
    ],
)
def test_wrong_usage_names_the_argument(command: str, cause: str, folder: Path) -> None:
    done = call(command)
    assert (done.code, done.out) == (2, "")
    assert cause in done.err
    assert not (folder / "out").exists()


def test_output_inside_the_pool_is_refused_at_once_or_works_again(folder: Path) -> None:
    command = CURATE.replace("-o out", "-o pool/out")
    first, second = call(command), call(command)
    assert first.code == second.code, second.err


# ---- one bad file among good ones


@pytest.mark.parametrize(
    ("spoil", "counted", "sampled", "reason"),
    [  # units that are done in spite of it
        pytest.param(truncate, 3, 0, "not a whole Parquet file: ", id="truncated"),
        pytest.param(
            lambda path: damage(path, "text"), 3, 0, "can't be read: ", id="damaged texts"
        ),
        pytest.param(lambda path: damage(path, "url"), 4, 3, "can't be read: ", id="damaged urls"),
        pytest.param(
            spoil_rows, 4, 0, "column 'text': 1 row is no UTF-8, the first is row 1 ", id="no UTF-8"
        ),
    ],
)  # fmt: skip
def test_one_bad_file(
    spoil: Callable[[Path], None], counted: int, sampled: int, reason: str, folder: Path
) -> None:
    bad = folder / "pool" / "bad.parquet"
    write_pairs(bad)
    spoil(bad)

    def errors(out: str) -> dict[str, str]:
        shards = pq.read_table(f"{out}/shards.parquet").to_pylist()
        assert len(shards) == 4
        return {shard["input"]: shard["error"] for shard in shards if shard["error"]}

    failed = call(f"{CURATE} --json")
    assert (failed.code, failed.out) == (1, "")
    assert f"metacurate: error: {bad}: {reason}" in failed.err.splitlines()[-1]
    assert not Path("out/manifest.json").exists()
    assert [*errors("out")] == [str(bad)]

    skipped = call(f"{CURATE} --json --on-error skip")
    assert skipped.code == 0
    summary = json.loads(skipped.out)
    assert summary["resumed_units"] == counted + sampled
    assert summary["failed_units"] == (spoil is not spoil_rows)
    assert summary["rows_read"] == 3 * ROWS + (3 if spoil is spoil_rows else 0)
    assert summary["invalid"] == (1 if spoil is spoil_rows else 0)
    assert json.loads(Path("out/manifest.json").read_text())["totals"] == summary
    assert errors("out")[str(bad)].startswith(reason)

    assert call(f"{CURATE} --on-error skip".replace("out", "fresh")).code == 0
    for path in [*Path("out/curated").iterdir(), Path("out/counts.parquet")]:
        assert path.read_bytes() == Path("fresh", *path.parts[1:]).read_bytes()

    assert call(CURATE).code == 1  # that it may pass was said of that one run only


def test_what_is_skipped_is_told_in_whole_lines(folder: Path) -> None:
    bad = folder / "pool" / f"{'long-name-' * 12}.parquet"
    content(str(bad), "no Parquet")()
    done = execute(f"{CURATE} --on-error skip --json")
    assert done.code == 0
    assert json.loads(done.out)["failed_units"] == 1
    told = [line for line in done.err.splitlines() if "skipped" in line]
    assert told
    assert all(f"{bad}: not a whole Parquet file" in line for line in told)


# ---- match


def lines(done: Done) -> list[dict[str, Any]]:
    assert (done.code, done.err) == (0, "")
    return [json.loads(line) for line in done.out.splitlines()]


@pytest.mark.parametrize(
    ("raw", "texts"),
    [
        pytest.param(b"a fox\na dog\n", ["a fox", "a dog"], id="lines"),
        pytest.param(b"a fox\na dog", ["a fox", "a dog"], id="no last line end"),
        pytest.param(b"a fox\r\na\rdog\r\n", ["a fox", "a\rdog"], id="CRLF"),
        pytest.param(b"\n\na fox\n\r\n", ["", "", "a fox", ""], id="empty lines"),
        pytest.param(b"  a fox \t\n", ["  a fox \t"], id="spaces stay"),
        pytest.param(
            "a\u2028b\x85c\x0cd\0e\n🌭\n".encode(), ["a\u2028b\x85c\x0cd\0e", "🌭"],
            id="other line ends",
        ),
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"a fox\n" * 10_000, ["a fox"] * 10_000, id="many"),
        pytest.param(b"a fox " * 200_000 + b"\n", ["a fox " * 200_000], id="a megabyte"),
    ],
)  # fmt: skip
def test_match_a_file(raw: bytes, texts: list[str], folder: Path) -> None:
    Path("texts.txt").write_bytes(raw)
    done = call("match -m m.txt texts.txt")
    told = [json.loads(line) for line in done.out.split("\n")[:-1]]
    assert [one["text"] for one in told] == texts
    fox = [{"id": 1, "entry": "fox"}]
    assert all(one["entries"] == fox for one in told if "fox" in one["text"])


def test_match_standard_input(folder: Path) -> None:
    done = execute("match -m m.txt", "a red fox\r\n\nhot 🌭".encode())
    assert lines(done) == [
        {
            "text": "a red fox",
            "entries": [
                {"id": 0, "entry": "red"},
                {"id": 1, "entry": "fox"},
                {"id": 2, "entry": "red fox"},
            ],
        },
        {"text": "", "entries": []},
        {"text": "hot 🌭", "entries": [{"id": 5, "entry": "🌭"}]},
    ]


@pytest.mark.parametrize("before", [0, 3, 5_000])
def test_match_a_line_of_no_utf8(before: int, folder: Path) -> None:
    Path("texts.txt").write_bytes(b"a fox\n" * before + b"caf\xe9\na dog\n")
    done = call("match -m m.txt texts.txt")
    assert done.code == 1
    assert done.out.count("\n") == before
    (line,) = done.err.splitlines()
    assert line.startswith(f"metacurate: error: texts.txt: line {before + 1} is no UTF-8: ")


def test_match_in_mode_spaced(folder: Path) -> None:
    content("texts.txt", "st. louis")()
    (paper,) = lines(call("match -m m.txt texts.txt"))
    (spaced,) = lines(call("match -m m.txt texts.txt --mode spaced"))
    assert paper["entries"] == []
    assert spaced["entries"] == [{"id": 4, "entry": "st. louis"}]


def test_match_a_reader_that_leaves(folder: Path) -> None:
    content("texts.txt", "a red fox\n" * 200_000)()
    with start("-m", "metacurate", "match", "-m", "m.txt", "texts.txt") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["text"] == "a red fox"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("flags", "of_text", "of_entry"),
    [
        ("", "text entries", "id entry"),
        ("-c out -t 5", "text entries keep_probability", "id entry count probability"),
        ("-c out/counts.parquet", "text entries keep_probability", "id entry count probability"),
        (
            "-c out --tail-share 0.5 -u u --seed 3 --round 1",
            "text entries keep_probability draw min_threshold fate",
            "id entry count probability",
        ),
    ],
)
def test_match_tells_what_the_flags_ask(
    flags: str, of_text: str, of_entry: str, folder: Path
) -> None:
    ran(CURATE)()
    content("texts.txt", "a fox\nnothing\n")()
    matched, unmatched = lines(call(f"match -m m.txt texts.txt {flags}"))
    assert " ".join(matched) == " ".join(unmatched) == of_text
    assert [" ".join(entry) for entry in matched["entries"]] == [of_entry]
    if "fate" in of_text:
        assert unmatched["fate"] == "unmatched"
        assert unmatched["min_threshold"] is None


def test_match_tells_the_fates_of_curate(folder: Path) -> None:
    seed = "--seed 11"
    ran(f"{CURATE} {seed}")()
    kept = {row["url"]: row for row in pq.read_table("out/curated").to_pylist()}
    fates = set()
    for pair in pq.read_table("pool/b.parquet").slice(0, 60).to_pylist():
        content("text.txt", pair["text"] + "\n")()
        told = call(f"match -m m.txt text.txt -c out -t 5 -u {pair['url']} {seed}")
        (one,) = lines(told)
        row = kept.get(pair["url"])
        assert (one["fate"] == "kept") == (row is not None)
        if row is not None:
            assert one["keep_probability"] == row["probability"]
            assert one["min_threshold"] == row["min_threshold"]
            assert [entry["id"] for entry in one["entries"]] == row["entries"]
        fates.add(one["fate"])
    assert fates == {"kept", "balanced away", "unmatched"}


# ---- metadata


def test_info(folder: Path) -> None:
    content("m.txt", "fox\nst. louis\nfox\n")()
    expected = {
        "entries": 2,
        "repeats_dropped": 1,
        "sources": {"user": 2},
        "never_match_in_mode_paper": 1,
        "never_match_by_source": {"user": 1},
        "build": None,
        "digest": mc.Metadata.from_entries(["fox", "st. louis"]).digest,
    }
    assert json.loads(call("metadata info m.txt --json").out) == expected
    shown = call("metadata info m.txt").out
    assert "never match in mode paper" in shown
    assert "sources: user" in shown


@pytest.mark.parametrize("first", ["m.parquet", "m.json", "m.txt"])
@pytest.mark.parametrize("second", ["n.parquet", "n.json", "n.txt"])
def test_convert_keeps_the_digest(first: str, second: str, folder: Path) -> None:
    metadata = mc.Metadata.from_entries(ENTRIES)
    metadata.write(first)
    done = call(f"metadata convert {first} {second}")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{second}: 6 entries, digest {metadata.digest}\n"
    call(f"metadata convert {second} back-{first}")
    again = mc.Metadata.read(f"back-{first}")
    assert again.digest == metadata.digest
    assert again.entries.to_pylist() == ENTRIES


# ---- summaries and help


def test_steps_give_what_curate_gives(folder: Path) -> None:
    whole = json.loads(call(f"{CURATE} --json").out)
    counted = json.loads(call("count pool -m m.txt -o counts --json").out)
    sampled = json.loads(call(f"{SAMPLE} -c counts --json".replace("out", "two")).out)
    assert counted["matches"] == whole["matches"]
    assert counted["matched_texts"] == whole["matched_texts"]
    assert counted["rows_read"] == counted["texts"] == 3 * ROWS
    same = set(whole) - {"seconds", "resumed_units"}
    assert {name: sampled[name] for name in same} == {name: whole[name] for name in same}
    for path in Path("out/curated").iterdir():
        assert path.read_bytes() == (Path("two/curated") / path.name).read_bytes()


def test_dedup(folder: Path) -> None:
    write_pairs(Path("again/a.parquet"), ROWS + 1)  # one more than pool/a.parquet
    done = call("dedup pool again -o out --where", "url != 'x'", "--json")
    summary = json.loads(done.out)
    fates = ("rows_read", "kept", "duplicate", "invalid", "filtered")
    assert [summary[name] for name in fates] == [4 * ROWS + 1, 3 * ROWS + 1, ROWS, 0, 0]
    assert json.loads(Path("out/manifest.json").read_text())["totals"] == summary
    held = json.loads(call("dedup again -o two --by url --against out --json").out)
    assert (held["kept"], held["held_elsewhere"]) == (0, ROWS + 1)
    status = json.loads(call("status out --json").out)
    assert (status["command"], status["state"]) == ("dedup", "complete")


def test_foreign_counts_are_allowed_and_told(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_pairs(Path("few/p.parquet"), 2, ["a fox", "a fox"])
    ran("count few -m m.txt -o counts")()
    done = call(f"{SAMPLE} -c counts --foreign-counts --json")
    summary = json.loads(done.out)
    assert summary["unseen_entries"] == 4  # red, red fox, dog, the sausage
    assert "4 entries match in this pool but have no count" in caplog.text


def test_summary_for_people(folder: Path) -> None:
    done = call(CURATE)
    assert done.code == 0
    assert "Curated into out" in done.out
    (row,) = [line for line in done.out.splitlines() if "rows read" in line]
    assert "600" in row


THRESHOLDS = "--threshold --tail-share --budget"
ENGINES = (
    "--workers --engine --ray-address --slurm-partition --slurm-time --slurm-mem --slurm-cpus "
    "--slurm-array-parallelism"
)
POOL = "--where --per-image --columns --url-column --text-column --id-column --on-error " + ENGINES
OPTIONS = {
    "curate": f"--metadata --out {THRESHOLDS} --seed --mode {POOL} --uids --json --report "
    "--no-report",
    "plan": f"--metadata --out {THRESHOLDS} --counts --foreign-counts --seed --mode {POOL} --json",
    "count": f"--metadata --out --mode {POOL} --json",
    "sample": f"--metadata --counts --out {THRESHOLDS} --foreign-counts --seed {POOL} --uids "
    "--report --no-report",
    "report": "--format --to --threshold --json",
    "compare": "--top --html --json",
    "explore": "--port --open",
    "match": "--metadata --counts --threshold --tail-share --url --seed --round --mode",
    "extract": f"{ENGINES} --out --crawl --kind --limit --seed --paths-root --metadata --mode "
    "--language "
    "--min-language-score --min-chars --max-chars --block-domains --block-url-hashes --block-words "
    "--on-error --json",
    "dedup": f"{ENGINES} --out --by --against --seed --where --columns --url-column --text-column "
    "--id-column --on-error --json",
    "pack": f"{ENGINES} --out --rows-per-shard --columns --json",
    "train": "--recipe --out --pairs-seen --batch --learning-rate --warmup --precision --tokenizer "
    "--metadata --counts --threshold --tail-share --mode --device --workers --accumulate "
    "--checkpoint-activations --compile --checkpoint-every --log-every --resume --seed --on-error "
    "--json",
    "evaluate": "--data --batch --workers --device --split --label-column --templates --cache "
    "--out --on-error --json",
    "info": "--json",
    "status": "--json",
    "demo": "--out --json",
    "metadata build": "--wordnet --wikipedia --unigram-counts --bigram-counts --pageviews "
    "--title-list --unigram-min-count --unigrams --bigram-min-pmi --bigram-min-count --bigrams "
    "--title-min-views --titles --hour-min-views --project --limit --spaced --drop-unmatchable "
    "--case-variants --memory --workers --on-error --out --json",
    "metadata fetch": "--out --language --days --dump-date --mirror --urls --json",
    "metadata info": "--json",
    "metadata diff": "--json",
    "metadata convert": "",
    "images download": f"{ENGINES} --out --contact --images-per-shard --resize --quality "
    "--max-pixels --max-bytes --connections --per-host --host-pause --connect-timeout --timeout "
    "--tries --respect-opt-out --ignore-opt-out --allow-network --where --columns --url-column "
    "--text-column --on-error --json",
    "images filter": f"{ENGINES} --out --near-duplicates --distance --benchmark --sha256-list "
    "--pdq-list --nsfw-model --nsfw-threshold --face-model --smallest-side --aspect-ratio --seed "
    "--on-error --json",
    "images select": f"{ENGINES} --out --verdicts --drop --where --pairs --keys --blur-faces "
    "--on-error --json",
    "images info": "--hosts --sample --to --seed --json",
}


@pytest.mark.parametrize(("command", "options"), OPTIONS.items())
def test_help_shows_an_example_and_the_options(command: str, options: str) -> None:
    done = call(f"{command} --help")
    assert (done.code, done.err) == (0, "")
    assert f"metacurate {command} " in done.out.partition("Example")[2]
    shown = set(re.findall(r"--[a-z0-9-]+", done.out))
    assert shown >= {"--help", *options.split()}


def test_help_lists_all_commands() -> None:
    top, below = call("--help").out, call("metadata -h").out + call("images -h").out
    assert all(re.search(rf"^.? ?{name.split()[0]} ", top, re.MULTILINE) for name in OPTIONS)
    assert all(name in below for name in ("build", "fetch", "info", "diff", "convert", "select"))


HEAVY = """
import sys
import metacurate.cli
try:
    metacurate.cli.main()
except SystemExit:
    print(sorted({"numba", "numpy", "pyarrow", "fsspec", "altair"} & sys.modules.keys()))
"""


def test_help_and_version_load_nothing_heavy() -> None:
    for flag, first in (("--help", ""), ("--version", f"metacurate {mc.__version__}")):
        with start("-c", HEAVY, flag) as process:
            out, err = process.communicate()
        shown = out.decode().splitlines()
        assert (shown[0].strip(), shown[-1], err) == (first, "[]", b"")


# ---- real pairs


@pytest.fixture(scope="module")
def real(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("real") / "out"
    done = execute(
        f"curate {data}/redcaps.parquet --metadata {data}/metadata.parquet -t 5 --seed 0 "
        f"--out {out} --json"
    )
    assert done.code == 0, done.err
    summary: dict[str, Any] = json.loads(done.out)
    return out, summary


def test_real_summary(real: tuple[Path, dict[str, Any]]) -> None:
    _, summary = real
    assert summary["rows_read"] == 321_338
    assert summary["kept"] == 155_755
    assert summary["balanced_away"] == 161_505
    assert summary["unmatched"] == 4_078
    assert summary["invalid"] == 0
    assert summary["matched_texts"] == 321_338 - 4_078
    assert summary["matches"] == 2_068_422
    assert summary["threshold"] == 5.0
    assert summary["tail_share"] == pytest.approx(0.0459, abs=1e-4)
    assert summary["seconds"] > 0


def test_real_fates(data: Path, real: tuple[Path, dict[str, Any]]) -> None:
    out, _ = real
    kept = {
        (row["url"], row["text"]): (row["probability"], row["min_threshold"], row["entries"])
        for row in pq.read_table(out / "curated").to_pylist()
    }
    matcher = mc.Matcher(mc.Metadata.read(data / "metadata.parquet"))
    balance = Balance(read_counts(out), 5.0)
    pool = pq.read_table(data / "redcaps.parquet", columns=["url", "text"])
    for i in random.Random(1).sample(range(len(pool)), 2_000):
        url, text = pool["url"][i].as_py(), pool["text"][i].as_py()
        (one,) = Explainer(matcher, balance, url, seed=0).explain([text])
        assert (one["fate"] == "kept") == ((url, text) in kept)
        if one["fate"] == "kept":
            told = one["keep_probability"], one["min_threshold"], [e["id"] for e in one["entries"]]
            assert told == kept[url, text]
