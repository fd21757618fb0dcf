"""What is kept for later serves only the very same work: other rows, columns or files redo it."""

import json
import os
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metacurate as mc
from metacurate.curation.curate import sample
from metacurate.errors import InputError, MetacurateError, UsageError
from metacurate.pool.pack import pack

CONCEPTS = mc.Metadata.from_entries(["fox", "dog", "cat", "http"])
FATES = ("rows_read", "kept", "balanced_away", "unmatched", "invalid", "matches")


def fates(summary: dict[str, Any]) -> list[Any]:
    return [summary[name] for name in FATES]


def test_columns_that_are_named_otherwise(tmp_path: Path) -> None:
    lines = "".join(f"a fox {i}\thttp {i}\n" for i in range(40))
    (tmp_path / "x.tsv").write_text(lines)
    for columns in (["text", "url"], ["url", "text"], ["text", "url"]):
        named: dict[str, Any] = {"threshold": 5, "columns": columns}
        result = mc.curate(tmp_path / "x.tsv", CONCEPTS, out=tmp_path / "out", **named)
        fresh = mc.curate(tmp_path / "x.tsv", CONCEPTS, out=tmp_path / "-".join(columns), **named)
        assert fates(result.summary) == fates(fresh.summary)
        assert pq.read_table(result.out / "curated").equals(pq.read_table(fresh.out / "curated"))
    mc.count(tmp_path / "x.tsv", mc.Matcher(CONCEPTS), out=tmp_path / "c", columns=["text", "url"])
    with pytest.raises(UsageError, match="counts belong to another pool"):
        sample(
            tmp_path / "x.tsv", CONCEPTS, tmp_path / "c", threshold=5, out=tmp_path / "s",
            columns=["url", "text"],
        )  # fmt: skip


def test_counts_of_another_text_column(tmp_path: Path) -> None:
    table = {"url": ["u", "v"], "text": ["a fox", "a fox"], "alt": ["a dog", "a cat"]}
    pq.write_table(pa.table(table), tmp_path / "p.parquet")
    mc.count(tmp_path / "p.parquet", mc.Matcher(CONCEPTS), out=tmp_path / "c")
    with pytest.raises(UsageError, match="counts belong to another pool"):
        sample(
            tmp_path / "p.parquet", CONCEPTS, tmp_path / "c", threshold=1, out=tmp_path / "s",
            text_column="alt",
        )  # fmt: skip


def write_files(folder: Path, files: int = 4, rows: int = 5_000) -> Path:
    folder.mkdir()
    for i in range(files):
        urls = [f"u{i}/{row}" for row in range(rows)]
        texts = [f"a fox {row % 7}" if row % 3 else f"a dog {row}" for row in range(rows)]
        extra = [os.urandom(8).hex() for _ in range(rows)]
        table = pa.table({"url": urls, "text": texts, "extra": extra})
        pq.write_table(table, folder / f"{i}.parquet", compression="none", use_dictionary=False)
    return folder


def damage(path: Path, column: int) -> bytes:
    """Overwrite a column's pages, as a failing disk would: neither size nor time change."""
    whole, status = path.read_bytes(), path.stat()
    chunk = pq.read_metadata(path).row_group(0).column(column)
    start, size = chunk.data_page_offset, chunk.total_compressed_size
    path.write_bytes(whole[:start] + b"\xff" * size + whole[start + size :])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return whole


def restore(path: Path, whole: bytes) -> None:
    status = path.stat()
    path.write_bytes(whole)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("per_image", ["all", "one"])
def test_counts_without_what_could_not_be_read(per_image: Any, tmp_path: Path) -> None:
    pool = write_files(tmp_path / "pool", 2)
    matcher = mc.Matcher(CONCEPTS)
    whole = damage(pool / "1.parquet", 1)
    partly = mc.count(pool, matcher, out=tmp_path / "c", on_error="skip", per_image=per_image)
    assert partly.texts == 5_000
    restore(pool / "1.parquet", whole)
    with pytest.raises(UsageError, match="counts belong to another pool"):
        sample(pool, CONCEPTS, tmp_path / "c", threshold=5, out=tmp_path / "s", per_image=per_image)
    mc.count(pool, matcher, out=tmp_path / "c", per_image=per_image)
    done = sample(
        pool, CONCEPTS, tmp_path / "c", threshold=5, out=tmp_path / "s", per_image=per_image
    )
    assert done.summary["rows_read"] == 10_000


def test_a_file_that_is_known_to_be_broken_is_broken_for_counts_and_sample(tmp_path: Path) -> None:
    pool = write_files(tmp_path / "pool", 2)
    (pool / "1.parquet").write_bytes(b"no Parquet")
    mc.count(pool, mc.Matcher(CONCEPTS), out=tmp_path / "c", on_error="skip")
    done = sample(pool, CONCEPTS, tmp_path / "c", threshold=5, out=tmp_path / "s", on_error="skip")
    assert done.summary["rows_read"] == 5_000


def test_a_run_that_fails_leaves_nothing_of_another_configuration(tmp_path: Path) -> None:
    pool, out = write_files(tmp_path / "pool", 3), tmp_path / "out"
    mc.curate(pool, CONCEPTS, threshold=100, out=out)
    damage(pool / "1.parquet", 2)
    with pytest.raises(MetacurateError, match=r"1\.parquet"):
        mc.curate(pool, CONCEPTS, threshold=5_000, out=out)
    drawn = [pq.read_schema(path).metadata for path in (out / "curated").glob("*")]
    assert [made[b"metacurate.threshold"] for made in drawn] == [b"5000.0"] * 2
    with pytest.raises(UsageError, match="its run is not complete"):
        mc.count(out, mc.Matcher(CONCEPTS))


def test_packing_leaves_out_whole_files_only(tmp_path: Path) -> None:
    pool = write_files(tmp_path / "pool")
    damage(pool / "1.parquet", 2)
    with pytest.raises(MetacurateError, match=r"1\.parquet"):
        pack(pool, tmp_path / "failed", rows_per_shard=7_000)
    summary = pack(pool, tmp_path / "out", rows_per_shard=7_000, on_error="skip")
    assert (summary["rows"], summary["shards"], summary["files_skipped"]) == (15_000, 3, 1)
    urls = pq.read_table(sorted((tmp_path / "out").glob("*.parquet")), columns=["url"])["url"]
    assert urls.to_pylist() == [f"u{i}/{row}" for i in (0, 2, 3) for row in range(5_000)]


def test_files_of_json_lines_share_their_columns(tmp_path: Path) -> None:
    contents: list[dict[str, Any]] = [{"w": 1}, {}, {"w": "big"}, {"w": {"k": [1]}}]
    for i, more in enumerate(contents):
        row = {"url": f"u{i}", "text": "a fox", **more}
        (tmp_path / f"{i}.jsonl").write_text(json.dumps(row))
    sources = [tmp_path / f"{i}.jsonl" for i in range(4)]
    mc.curate(sources, CONCEPTS, threshold=10, out=tmp_path / "out")
    kept = pq.read_table(tmp_path / "out/curated").sort_by("url")
    assert kept["w"].to_pylist() == ["1", None, "big", '{"k": [1]}']
    files = f"{tmp_path}/out/curated/*.parquet"
    assert duckdb.sql(f"SELECT count(w) FROM '{files}'").fetchall() == [(3,)]
    where = mc.curate(
        sources, CONCEPTS, threshold=10, out=tmp_path / "where", where="w is not None"
    )
    assert (where.summary["kept"], where.summary["filtered"]) == (3, 1)
    pack(sources, tmp_path / "packed")
    packed = pq.read_table(next((tmp_path / "packed").glob("*.parquet")))
    assert packed["w"].to_pylist() == kept["w"].to_pylist()


def test_a_file_of_json_lines_without_urls_is_no_part_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"url": "u", "text": "a fox"}')
    (tmp_path / "b.jsonl").write_text('{"link": "u", "text": "a fox"}')
    with pytest.raises(MetacurateError, match=r"b\.jsonl: no column 'url'"):
        mc.count([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], mc.Matcher(CONCEPTS))


@pytest.mark.parametrize("content", ['{"name": "app"}', "[]", "3"])
def test_a_manifest_of_another_program(content: str, tmp_path: Path) -> None:
    (tmp_path / "curated").mkdir()
    pq.write_table(pa.table({"url": ["u"], "text": ["a fox"]}), tmp_path / "curated/a.parquet")
    pq.write_table(pa.table({"url": ["v"], "text": ["a dog"]}), tmp_path / "b.parquet")
    (tmp_path / "manifest.json").write_text(content)
    assert mc.count(tmp_path, mc.Matcher(CONCEPTS)).texts == 2
    outside = write_files(tmp_path.parent / f"{tmp_path.name}-pool", 1, 10)
    with pytest.raises(UsageError, match="is not empty, and holds no run of metacurate"):
        mc.curate(outside, CONCEPTS, threshold=1, out=tmp_path)


def test_wide_rows_are_read_in_small_batches(tmp_path: Path) -> None:
    from metacurate.pool.files import find_files
    from metacurate.pool.tables import UNIT_BYTES, Pool, read_footer

    rows = 3_000
    image = [os.urandom(100) * 2_000] * rows  # 200 kB each, which Parquet compresses
    table = pa.table({"url": [f"u{i}" for i in range(rows)], "text": ["a fox"] * rows})
    pq.write_table(table.append_column("image", pa.array(image)), tmp_path / "a.parquet",
                   use_dictionary=False)  # fmt: skip
    pool = Pool.open([read_footer(file) for file in find_files(tmp_path)])
    assert len(pool.units) == -(-pool.files[0].bytes // UNIT_BYTES)
    assert sum(unit.rows for unit in pool.units) == rows
    result = mc.curate(tmp_path, CONCEPTS, threshold=10, out=tmp_path.parent / "wide")
    assert result.summary["rows_read"] == rows


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.parquet"
    pq.write_table(pa.table({"url": ["u"], "text": ["a fox"]}), tmp_path / "a.parquet")
    os.rename(tmp_path / "a.parquet", path)  # noqa: PTH104 - a name of bytes
    with pytest.raises(InputError, match="its name is no UTF-8"):
        mc.count(tmp_path, mc.Matcher(CONCEPTS))
