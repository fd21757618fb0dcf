"""What reaches standard output and standard error, whatever the data and the terminal are."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metacurate as mc
from metacurate.cli.printing import print_table, printable, shown, shown_bytes

from .calls import CURATE, ENTRIES, ROWS, call, cells, error_line, execute, start, write_pairs

# ---- values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (1234567, "1,234,567"), (-5, "-5"), (20000.0, "20,000"), (0.06, "0.06"),
        (1234.5678, "1234.57"), (1e-9, "1e-09"), (True, "True"), ("a", "a"), (None, "None"),
    ],
)  # fmt: skip
def test_values(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"),
        (5e9, "5.0 GB"), (7.25e15, "7,250.0 TB"),
    ],
)  # fmt: skip
def test_sizes(size: float, text: str) -> None:
    assert shown_bytes(size) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, Ünicode 🌭 日本語", "plain, Ünicode 🌭 日本語"),
        ("two\nlines", "two\nlines"),
        ("\x1b[31mred\x1b[0m", "\ufffd[31mred\ufffd[0m"),
        ("\x9b31m \x07 \r \x7f \x00", "\ufffd31m \ufffd \ufffd \ufffd \ufffd"),
        ("\u202eright to left", "\ufffdright to left"),
        ("\udce9 from a file name", "\ufffd from a file name"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_tables_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("nothing", ("a", "b"), [])
    print_table("nothing at all", None, [])
    assert capsys.readouterr().out.startswith("nothing\n")


# ---- data that a terminal would obey


def test_sources_of_metadata(folder: Path) -> None:
    sources = ["\x1b[31mred", "[bold]b", ":bomb:", "c\u202ed"]
    table = {"entry": ["a", "b", "c", "d"], "source": sources}
    pq.write_table(pa.table(table), "m.parquet")
    done = call("metadata info m.parquet")
    assert done.code == 0
    assert "\x1b" not in done.out
    rows = cells(done.out.splitlines())
    assert all(rows[f"sources: {printable(source)}"] == ["1"] for source in sources)
    as_json = call("metadata info m.parquet --json").out
    assert json.loads(as_json)["sources"] == dict.fromkeys(sources, 1)


CONTROLS = "\x1b[31m", "\x07", "\x9b31m", "\x7f", "\u202e", "\u2028"


@pytest.mark.parametrize("control", CONTROLS)
def test_names_of_columns(control: str, folder: Path) -> None:
    pq.write_table(pa.table({f"a{control}": ["u"], "text": ["x"]}), "p.parquet")
    for more in ([], ["--url-column", "nope"], ["--where", "nope == 1", "--id-column", "text"]):
        done = call("curate p.parquet -m m.txt -o out", *more)
        assert done.code in (1, 2)
        assert control not in done.err
        assert "a\ufffd" in done.err


def test_json_can_be_looked_at(folder: Path) -> None:
    """Whoever looks at a text with `match` does so on a terminal."""
    text = f"a fox {' '.join(CONTROLS)} 🌭"
    pq.write_table(pa.table({"entry": ["fox"], "source": [text]}), "m.parquet")
    for command in ("match -m m.parquet", "metadata info m.parquet --json"):
        done = execute(command, text.encode(), PYTHONIOENCODING="utf-8")
        found = json.loads(done.out)
        assert text in (found.get("text"), *found.get("sources", ()))
        assert "🌭" in done.out
        assert not [control for control in CONTROLS if control in done.out]


@pytest.mark.parametrize("control", CONTROLS)
def test_names_of_files(control: str, folder: Path) -> None:
    shutil.copy("m.txt", f"m{control}.txt")
    ran = [
        call("metadata info", f"m{control}.txt"),
        call("metadata info", f"none{control}.txt"),
        call("metadata convert m.txt", f"n{control}.json"),
        call("match -m m.txt", f"none{control}"),
    ]
    assert [done.code for done in ran] == [0, 2, 0, 2]
    assert all(control not in done.out + done.err for done in ran)


# ---- standard output that is no UTF-8


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_other_encodings(encoding: str, folder: Path) -> None:
    mc.Metadata.from_entries([*ENTRIES, "日本語"]).write("m.json")
    pq.write_table(pa.table({"entry": ["a", "b"], "source": ["Übersicht", "日本"]}), "m.parquet")
    Path("pool").rename("pool🌭")
    commands = {
        "metadata info m.parquet --json": {"Übersicht": 1, "日本": 1},
        "curate pool🌭 -m m.json -t 5 -o out🌭 --json": 3 * ROWS,
        "info out🌭": None,
        "status out🌭 --json": "out🌭",
    }
    for command, expected in commands.items():
        process = start(
            "-m", "metacurate", *command.split(), PYTHONIOENCODING=encoding, PYTHONUTF8="0"
        )
        raw, errors = process.communicate()
        assert process.returncode == 0, errors
        assert b"Traceback" not in errors
        out = raw.decode(encoding)
        if expected is None:
            assert len(out.splitlines()) > 4
        else:
            found = json.loads(out)
            assert expected in (found.get("sources"), found.get("rows_read"), found.get("out"))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_match_in_other_encodings(encoding: str, folder: Path) -> None:
    done = execute("match -m m.txt", "hot 🌭".encode(), PYTHONIOENCODING=encoding)
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"text": "hot 🌭", "entries": [{"id": 5, "entry": "🌭"}]}


def test_a_name_that_is_no_utf8(folder: Path) -> None:
    name = os.fsdecode(b"out\xe9")
    done = call(CURATE.replace("-o out", "-o"), name)
    if done.code:  # it need not work, but has to be told
        assert error_line(done, done.code).startswith("out\ufffd")
    write_pairs(folder / "plain" / "a.parquet")
    Path("plain/a.parquet").rename(os.fsdecode(b"plain/\xe9.parquet"))
    done = call("curate plain -m m.txt -t 5 -o two")
    if done.code:
        assert "plain/\ufffd.parquet: " in error_line(done, done.code)


# ---- users without a home

UNSHARE = ["unshare", "--user", "--map-user=54321"]  # a user whom the system does not know


def test_without_a_home(folder: Path) -> None:
    if subprocess.run([*UNSHARE, "true"], capture_output=True).returncode:
        pytest.skip("needs user namespaces")
    gone = {"HOME", "METACURATE_CACHE", "XDG_CACHE_HOME"}
    environment = {name: value for name, value in os.environ.items() if name not in gone}
    environment["PYTHONPATH"] = str(Path(mc.__file__).parents[1])
    commands = [CURATE, "match -m m.txt -c out -u u m.txt", "status out", "info out", "curate -h"]
    for command in commands:
        done = subprocess.run(
            [*UNSHARE, sys.executable, "-B", "-m", "metacurate", *command.split()],
            capture_output=True, text=True, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert not list(folder.glob("~*"))


# ---- Ctrl-C


def interrupt(process: "subprocess.Popen[bytes]") -> str:
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    return errors.decode().splitlines()[-1]


LISTENING = """
import signal, sys
from metacurate.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[0] = "metacurate"
main()
"""


def test_only_what_goes_on_says_so(folder: Path) -> None:
    with start("-c", LISTENING, "match", "-m", "m.txt") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"a fox\n" * 5_000)
        process.stdin.flush()
        process.stdout.readline()
        assert interrupt(process) == "metacurate: interrupted"

    write_pairs(folder / "large" / "a.parquet", 2_000_000)
    goes_on = "metacurate: interrupted; the same command goes on where this stopped"
    for flags, expected in ((["-o", "out"], goes_on), ([], "metacurate: interrupted")):
        arguments = ["plan", "large", "-m", "m.txt", "-t", "5", "--workers", "1", *flags]
        with start("-c", LISTENING, *arguments) as process:
            assert process.stderr is not None
            assert process.stderr.readline().startswith(b"count: ")  # the second stage begins
            assert interrupt(process) == expected
