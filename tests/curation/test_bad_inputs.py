"""What is broken is named with its place, counted, and costs nothing else."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metacurate as mc
from metacurate.errors import MetacurateError, UsageError

CONCEPTS = mc.Metadata.from_entries(["fox", "dog"])
GOOD = [("https://a.b/1", "a fox"), ("https://a.b/2", "a dog"), ("https://a.b/3", "nothing")]
CSV = b"url,text\n" + b"".join(f"{url},{text}\n".encode() for url, text in GOOD)
JSON = "".join(json.dumps({"url": url, "text": text}) + "\n" for url, text in GOOD).encode()


def tar_of(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                name, content = member
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def sample(key: str, url: str, text: str) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    return (f"{key}.txt", text.encode()), (f"{key}.json", json.dumps({"url": url}).encode())


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


TAR = tar_of(*(part for i, pair in enumerate(GOOD) for part in sample(f"{i}", *pair)))
FOX = ("0.json", b'{"url": "u", "caption": "a fox"}')

# Name, content, rows that are read of it besides, of these invalid ones, what is said of it.
ROWS = [
    pytest.param(
        "b.csv", b"url,text\nu,a fox\nu,a \xff fox\n", 2, 1,
        "column 'text': 1 row is no UTF-8, the first is row 1 (counted from 0)",
        id="invalid UTF-8 in CSV",
    ),
    pytest.param("b.csv", b"url,text\nu,a\x00fox\nu,a fox\n", 2, 0, None, id="NUL in CSV"),
    pytest.param(
        "b.csv", b"url,text\nu,a fox\nu\n", 2, 1, "row 1: 1 field, not 2", id="a field is missing"
    ),
    pytest.param(
        "b.csv", b"url,text\nu,a fox\nu,a,fox\n", 2, 1, "row 1: 3 fields, not 2", id="a comma more"
    ),
    pytest.param(
        "b.csv", b'url,text\nu,a fox\nu,"a" fox\n', 2, 1, "row 1: text behind a closing quote",
        id="a broken quote",
    ),
    pytest.param(
        "b.jsonl", JSON + b'{"url": "u", "text": "a fo', 4, 1, "line 4: ",
        id="a JSON line cut short",
    ),
    pytest.param(
        "b.jsonl", JSON + b'{"url": "u", "text": "a \xff fox"}\n', 4, 1, "line 4: ",
        id="invalid UTF-8 in JSON lines",
    ),
    pytest.param(
        "b.jsonl", JSON + b'{"url": "u", "text": "a \x00 fox"}\n', 4, 1, "line 4: ",
        id="NUL in JSON lines",
    ),
    pytest.param("b.jsonl", JSON + b"[1, 2]\n", 4, 1, "line 4: ", id="a list in JSON lines"),
    pytest.param(
        "b.jsonl", b'{"url": "u", "text": "a fox", "text": "a dog"}\n' + JSON, 4, 1, "line 1: ",
        id="a key twice",
    ),
    pytest.param("b.tar", tar_of(FOX, ("1.json", b"[1]")), 2, 1, "sample '1': ", id="no object"),
    pytest.param(
        "b.tar", tar_of(FOX, *sample("../../etc/x", "u", "a fox")), 2, 1, "../../etc/x",
        id="a name that leads out of the tar",
    ),
    pytest.param(
        "b.tar", tar_of(FOX, *sample("/etc/x", "u", "a fox")), 2, 1, "/etc/x",
        id="a name from the root",
    ),
    pytest.param(
        "b.tar", tar_of(FOX, link("1.txt", "/etc/passwd")), 2, 1,
        "member '1.txt': is a link", id="a symbolic link",

    ),
    pytest.param(
        "b.tar", tar_of(FOX, link("1.json", "0.json", tarfile.LNKTYPE)), 2, 1,
        "member '1.json': is a link", id="a hard link",
    ),
]  # fmt: skip

# Name, content, and what is said of a file that is no use at all.
FILES = [
    pytest.param("b.csv", b"PAR1\x15\x04\x15", "is Parquet by its content", id="Parquet as CSV"),
    pytest.param("b.csv", b"url,text,url\nu,t,u\n", "two columns share the name", id="name twice"),
    pytest.param("b.csv", b'url,text\nu,"a fox\n', "a quote is never closed", id="open quote"),
    pytest.param("b.csv", b"", "the file is empty", id="empty CSV"),
    pytest.param("b.csv", b"link,text\nu,a fox\n", "no column 'url' (it has link, text)", id="URL"),
    pytest.param("b.csv", CSV.decode().encode("utf-16"), "is UTF-16, not UTF-8", id="UTF-16"),
    pytest.param(
        "b.csv.gz", gzip.compress(CSV) + b"garbage", "garbage after the end of the gzip stream",
        id="gz with trailing garbage",
    ),
    pytest.param("b.csv.gz", gzip.compress(CSV)[:-9], "cut short", id="gz cut short"),
    pytest.param("b.csv.gz", CSV, "is not gzip by its content", id="no gz"),
    pytest.param("b.jsonl", b'[{"url": "u"}]', "JSON array", id="a JSON array"),
    pytest.param("b.jsonl", b"", "the file is empty", id="empty JSON lines"),
    pytest.param("b.jsonl.gz", gzip.compress(JSON)[:-9], "cut short", id="JSON gz cut short"),
    pytest.param("b.tar", TAR[:700], "cut short", id="tar cut short in a file"),
    pytest.param("b.tar", TAR[:1500], "cut short", id="tar cut short in a header"),
    pytest.param("b.tar", b"not a tar at all" * 100, "tar", id="no tar"),
    pytest.param("b.tar", b"", "the file is empty", id="empty tar"),
]  # fmt: skip


def good_file(name: str, stem: str = "a") -> tuple[str, bytes]:
    if ".csv" in name:
        return f"{stem}.csv", CSV
    return (f"{stem}.jsonl", JSON) if ".jsonl" in name else (f"{stem}.tar", TAR)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    (tmp_path / "pool").mkdir()
    return tmp_path / "pool"


def curate(pool: Path, **options: Any) -> dict[str, Any]:
    named = {"threshold": 10, "out": pool.parent / "out", **options}
    return mc.curate(pool, CONCEPTS, **named).summary


def add_up(pool: Path, summary: dict[str, Any]) -> None:
    fates = ("kept", "balanced_away", "unmatched", "invalid")
    assert summary["rows_read"] == sum(summary[fate] for fate in fates)
    shards = pq.read_table(pool.parent / "out/shards.parquet").to_pylist()
    for name in ("rows_read", *fates):
        assert summary[name] == sum(shard[name] or 0 for shard in shards)


@pytest.mark.parametrize(("name", "content", "rows", "invalid", "reason"), ROWS)
def test_bad_rows(
    name: str, content: bytes, rows: int, invalid: int, reason: str | None, pool: Path
) -> None:
    good, good_content = good_file(name)
    (pool / good).write_bytes(good_content)
    (pool / name).write_bytes(content)
    if reason is not None:
        with pytest.raises(MetacurateError) as caught:
            curate(pool)
        assert str(pool / name) in str(caught.value)
        assert reason in str(caught.value)
        assert str(pool / good) not in str(caught.value)
        assert not (pool.parent / "out/manifest.json").exists()
    summary = curate(pool, on_error="skip")
    assert summary["rows_read"] == len(GOOD) + rows
    assert summary["invalid"] == invalid
    add_up(pool, summary)
    shards = pq.read_table(pool.parent / "out/shards.parquet").to_pylist()
    told = {Path(shard["input"]).name: shard["error"] for shard in shards}
    assert told[good] is None
    assert told[name] is None if reason is None else reason in told[name]


@pytest.mark.parametrize("stem", ["a", "c"])  # the good file comes first, or last
@pytest.mark.parametrize(("name", "content", "reason"), FILES)
def test_bad_files(name: str, content: bytes, reason: str, stem: str, pool: Path) -> None:
    good, good_content = good_file(name, stem)
    (pool / good).write_bytes(good_content)
    (pool / name).write_bytes(content)
    with pytest.raises(MetacurateError) as caught:
        curate(pool)
    assert str(caught.value).startswith(f"{pool / name}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    summary = curate(pool, on_error="skip")
    assert (summary["rows_read"], summary["failed_units"]) == (len(GOOD), 1)
    add_up(pool, summary)
    (pool / name).write_bytes(good_content)  # mended: only it is done again
    mended = curate(pool) if ".gz" not in name else None
    if mended is not None:
        assert mended["rows_read"] == 2 * len(GOOD)
        assert mended["failed_units"] == 0


@pytest.mark.parametrize(("name", "content", "reason"), FILES)
def test_a_bad_file_alone(name: str, content: bytes, reason: str, pool: Path) -> None:
    (pool / name).write_bytes(content)
    for on_error in ("fail", "skip"):  # where nothing is left, there is nothing to go on with
        with pytest.raises(MetacurateError):
            curate(pool, on_error=on_error)
    assert not (pool.parent / "out/manifest.json").exists()


def test_parquet_among_csv(pool: Path) -> None:
    (pool / "a.csv").write_bytes(CSV)
    pq.write_table(pa.table({"url": ["u"], "text": ["a fox"]}), pool / "b.parquet")
    with pytest.raises(UsageError, match=r"mixes formats: 1 CSV \(.*a\.csv\); 1 Parquet \(.*\)"):
        curate(pool)
    assert not (pool.parent / "out").exists()


def write_lists(pool: Path) -> None:
    pq.write_table(pa.table({"url": ["u"], "text": [["a fox", "a dog"]]}), pool / "a.parquet")


def write_lists_as_json(pool: Path) -> None:
    (pool / "a.jsonl").write_bytes(b'{"url": "u", "text": ["a fox", "a dog"]}\n')


@pytest.mark.parametrize("write", [write_lists, write_lists_as_json])
def test_texts_that_are_lists(write: Callable[[Path], None], pool: Path) -> None:
    write(pool)
    with pytest.raises(MetacurateError, match=r"column 'text' is of type list<.*>, not strings"):
        curate(pool)


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_thousand_columns(ending: str, pool: Path) -> None:
    names = ["url", "text", *(f"column {i}" for i in range(998))]
    rows = [["u", "a fox", *map(str, range(998))], ["v", "a dog", *map(str, range(998))]]
    if ending == "parquet":
        pq.write_table(pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))),
                       pool / "a.parquet")  # fmt: skip
    elif ending == "csv":
        (pool / "a.csv").write_text("\n".join(",".join(row) for row in [names, *rows]))
    else:
        objects = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
        (pool / "a.jsonl").write_text("\n".join(objects))
    assert curate(pool)["kept"] == 2
    kept = pq.read_table(pool.parent / "out/curated")
    assert kept.column_names == [*names, "entries", "probability", "min_threshold"]
    with pytest.raises(MetacurateError, match="and 980 more"):
        curate(pool, text_column="none", out=pool.parent / "other")
