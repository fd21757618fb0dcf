"""One pool in every format: the same pairs are kept from all of them."""

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metacurate as mc
from metacurate.engine.stores import Place
from metacurate.errors import InputError, UsageError

Rows = list[tuple[str, str]]

PAIRS = 50_000
FILES = 4
CONCEPTS = mc.Metadata.from_entries([*(f"w{i}" for i in range(300)), 'a "quoted" word', "naïve 🦊"])
MARKS = [
    "",
    ' , said "she"',
    '"',
    " a 'b'",
    ' a "quoted" word',
    " naïve 🦊",
    "\\",
    " \\n",
    ";",
    "\u2028",
]
THRESHOLD = 50


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Urls and texts with all that formats might stumble over, but tabs and line breaks."""
    random = np.random.default_rng(5)
    words = random.geometric(0.02, (PAIRS, 6)) - 1
    marks = random.integers(0, len(MARKS), PAIRS)
    texts = [" ".join(f"w{w}" for w in row) + MARKS[m] for row, m in zip(words, marks, strict=True)]
    texts[::97] = [""] * len(texts[::97])
    return [(f"https://example.org/{i // 2}.jpg?a=1,2", text) for i, text in enumerate(texts)]


def parts(rows: Rows) -> Iterator[tuple[int, Rows]]:
    size = -(-len(rows) // FILES)
    for part in range(FILES):
        yield part, rows[part * size : (part + 1) * size]


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, compressed as its name tells."""
    compression = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
    with pa.output_stream(path, compression=compression) as stream:
        stream.write(content)


def parquet(folder: Path, rows: Rows) -> None:
    for part, some in parts(rows):
        urls, texts = zip(*some, strict=True)
        pq.write_table(pa.table({"url": urls, "text": texts}), folder / f"{part}.parquet")


def csv_files(ending: str) -> Callable[[Path, Rows], None]:
    def write(folder: Path, rows: Rows) -> None:
        for part, some in parts(rows):
            text = io.StringIO(newline="")
            writer = csv.writer(text)
            writer.writerow(["id", "text", "url"])
            writer.writerows([i, caption, url] for i, (url, caption) in enumerate(some))
            write_bytes(folder / f"{part}{ending}", text.getvalue().encode())

    return write


def tsv_files(ending: str, header: bool) -> Callable[[Path, Rows], None]:
    def write(folder: Path, rows: Rows) -> None:
        for part, some in parts(rows):
            lines = ["text\turl\n"] if header else []
            lines += [f"{text}\t{url}\n" for url, text in some]
            write_bytes(folder / f"{part}{ending}", "".join(lines).encode())

    return write


def json_lines(ending: str, ascii_only: bool) -> Callable[[Path, Rows], None]:
    def write(folder: Path, rows: Rows) -> None:
        for part, some in parts(rows):
            lines = [
                json.dumps({"url": url, "n": i, "text": text}, ensure_ascii=ascii_only)
                for i, (url, text) in enumerate(some)
            ]
            write_bytes(folder / f"{part}{ending}", "\n".join(lines).encode())

    return write


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def tars_of(some: Rows, path: Path, kind: str) -> None:
    with tarfile.open(path, "w") as tar:
        step = 2 if kind == "several" else 1  # two captions of an image follow one another
        for i in range(0, len(some), step):
            url, text = some[i]
            key = f"{path.stem}{i:06d}"
            add(tar, f"{key}.jpg", b"\xff\xd8 an image")
            if kind == "txt":
                add(tar, f"{key}.txt", text.encode())
                add(tar, f"{key}.json", json.dumps({"url": url}).encode())
            elif kind == "json":
                add(tar, f"{key}.json", json.dumps({"url": url, "caption": text}).encode())
            else:
                captions = [caption for _, caption in some[i : i + 2]]
                add(tar, f"{key}.json", json.dumps({"url": url, "captions": captions}).encode())


def tars(kind: str) -> Callable[[Path, Rows], None]:
    def write(folder: Path, rows: Rows) -> None:
        for part, some in parts(rows):
            tars_of(some, folder / f"{part:05d}.tar", kind)

    return write


def sidecars(folder: Path, rows: Rows) -> None:
    """As img2dataset leaves them: failed downloads are in the table, and not in the tar."""
    for part, some in parts(rows):
        urls, texts = zip(*some, strict=True)
        table = {
            "url": [*urls, "https://example.org/lost.jpg"],
            "caption": [*texts, "w250 w251"],
            "status": ["success"] * len(some) + ["failed_to_download"],
        }
        pq.write_table(pa.table(table), folder / f"{part:05d}.parquet")
        write_bytes(folder / f"{part:05d}.tar", b"is not looked into")
        write_bytes(folder / f"{part:05d}_stats.json", b"{}")


FORMATS: dict[str, tuple[Callable[[Path, Rows], None], dict[str, Any]]] = {
    "CSV": (csv_files(".csv"), {}),
    "CSV, gzip": (csv_files(".csv.gz"), {}),
    "CSV, zstd": (csv_files(".csv.zst"), {}),
    "TSV": (tsv_files(".tsv", header=True), {}),
    "TSV without a header": (tsv_files(".tsv.gz", header=False), {"columns": ["text", "url"]}),
    "JSON lines": (json_lines(".jsonl", ascii_only=True), {}),
    "JSON lines, gzip": (json_lines(".jsonl.gz", ascii_only=False), {}),
    "JSON lines, zstd": (json_lines(".ndjson.zst", ascii_only=False), {}),
    "tars with .txt": (tars("txt"), {}),
    "tars with .json": (tars("json"), {"text_column": "caption"}),
    "tars with several captions": (tars("several"), {}),
    "tars beside Parquet": (sidecars, {}),
}


def kept_of(out: Place, text_column: str) -> list[tuple[Any, ...]]:
    table = pq.read_table(out / "curated")
    names = ["url", text_column, "entries", "probability", "min_threshold"]
    rows = zip(*(table[name].to_pylist() for name in names), strict=True)
    return sorted((url, text, tuple(entries), *rest) for url, text, entries, *rest in rows)


@pytest.fixture(scope="module")
def expected(
    rows: Rows, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    folder = tmp_path_factory.mktemp("parquet")
    (folder / "pool").mkdir()
    parquet(folder / "pool", rows)
    result = mc.curate(folder / "pool", CONCEPTS, threshold=THRESHOLD, out=folder / "out")
    assert PAIRS // 10 < result.summary["kept"] < PAIRS // 2
    return kept_of(result.out, "text"), result.summary


FATES = ("rows_read", "kept", "balanced_away", "unmatched", "invalid", "matches", "kept_matches")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_keeps_the_same_pairs(
    name: str,
    rows: Rows,
    expected: tuple[list[tuple[Any, ...]], dict[str, Any]],
    tmp_path: Path,
) -> None:
    write, options = FORMATS[name]
    (tmp_path / "pool").mkdir()
    write(tmp_path / "pool", rows)
    result = mc.curate(
        tmp_path / "pool", CONCEPTS, threshold=THRESHOLD, out=tmp_path / "out", **options
    )
    pairs, summary = expected
    text_column = "caption" if name in ("tars beside Parquet", "tars with .json") else "text"
    assert kept_of(result.out, text_column) == pairs
    if name == "tars beside Parquet":
        assert result.summary["filtered"] == FILES
        assert result.summary["rows_read"] == PAIRS + FILES
    else:
        assert [result.summary[fate] for fate in FATES] == [summary[fate] for fate in FATES]


def test_line_breaks_and_tabs_in_texts(tmp_path: Path) -> None:
    texts = ["w1\nw2", "w1\r\nw2", "w1\tw2", "\n", '"w1"\n"w2"', "w1\x00w2"]
    rows = [(f"https://example.org/{i}.jpg", text) for i, text in enumerate(texts)]
    writers = {
        "parquet": parquet,
        "csv": csv_files(".csv"),
        "jsonl": json_lines(".jsonl", ascii_only=True),
        "tar": tars("json"),
    }
    found = {}
    for name, write in writers.items():
        (tmp_path / name).mkdir()
        write(tmp_path / name, rows * FILES)
        out = tmp_path / f"{name}-out"
        options: dict[str, Any] = {"text_column": "caption"} if name == "tar" else {}
        mc.curate(tmp_path / name, CONCEPTS, threshold=1000, out=out, **options)
        found[name] = kept_of(out, options.get("text_column", "text"))
    assert found["csv"] == found["jsonl"] == found["tar"] == found["parquet"]
    assert len(found["parquet"]) > FILES


def test_the_caption_list_of_a_tar_counts_each_caption(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    tars_of([("u", "w1"), ("u", "w2")], tmp_path / "pool/0.tar", "several")
    counts = mc.count(tmp_path / "pool", mc.Matcher(CONCEPTS))
    assert (counts.texts, counts.matches) == (2, 2)


def test_a_tar_without_urls_goes_by_shard_and_key(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    for shard in ("a", "b"):
        with tarfile.open(tmp_path / f"pool/{shard}.tar", "w") as tar:
            add(tar, "0001.txt", b"w1")
    with pytest.raises(InputError, match="--id-column"):
        mc.curate(tmp_path / "pool", CONCEPTS, threshold=1, out=tmp_path / "out")
    mc.curate(tmp_path / "pool", CONCEPTS, threshold=10, out=tmp_path / "out", id_column="__id__")
    kept = pq.read_table(tmp_path / "out/curated")
    assert sorted(kept["__id__"].to_pylist()) == ["a.tar/0001", "b.tar/0001"]
    assert len(set(kept["min_threshold"].to_pylist())) == 2  # each has a draw of its own


def test_tars_of_one_name_are_not_told_apart_by_it(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        tars_of([("u", "w1")], tmp_path / folder / "0.tar", "json")
    with pytest.raises(UsageError, match=r"a/0\.tar and .*b/0\.tar have one name"):
        mc.count(tmp_path, mc.Matcher(CONCEPTS), id_column="__id__")
    assert mc.count(tmp_path, mc.Matcher(CONCEPTS)).texts == 2  # with urls they may
