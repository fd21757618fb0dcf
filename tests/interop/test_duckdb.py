"""DuckDB queries what a run writes, in place."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

import metacurate as mc


@pytest.fixture
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def test_types(database: duckdb.DuckDBPyConnection, out: Path) -> None:
    columns = database.execute(f"DESCRIBE SELECT * FROM '{out}/curated/*.parquet'").fetchall()
    assert {name: kind for name, kind, *_ in columns} == {
        "url": "VARCHAR",
        "text": "VARCHAR",
        "entries": "UINTEGER[]",
        "probability": "DOUBLE",
        "min_threshold": "DOUBLE",
    }


def test_rows(database: duckdb.DuckDBPyConnection, out: Path) -> None:
    rows = database.execute(f"SELECT * FROM '{out}/curated/*.parquet'").fetchall()
    expected = pq.read_table(out / "curated").to_pylist()
    assert sorted(rows) == sorted(tuple(row.values()) for row in expected)


def test_a_smaller_threshold(
    database: duckdb.DuckDBPyConnection,
    out: Path,
    pool: Path,
    metadata: mc.Metadata,
    tmp_path: Path,
) -> None:
    query = f"SELECT count(*) FROM '{out}/curated/*.parquet' WHERE min_threshold <= 5"
    smaller = mc.curate(pool, metadata, threshold=5, out=tmp_path / "smaller", seed=0)
    kept = smaller.summary["kept"]
    assert 0 < kept < len(pq.read_table(out / "curated"))
    assert database.execute(query).fetchall() == [(kept,)]


def test_pairs_of_an_entry(database: duckdb.DuckDBPyConnection, out: Path) -> None:
    query = f"SELECT text FROM '{out}/curated/*.parquet' WHERE list_contains(entries, 3)"
    texts = [text for (text,) in database.execute(query).fetchall()]
    curated = pq.read_table(out / "curated").to_pylist()
    assert sorted(texts) == sorted(row["text"] for row in curated if 3 in row["entries"])
    assert texts
    assert all("w3" in text.split() for text in texts)


def test_names_of_entries(
    database: duckdb.DuckDBPyConnection, out: Path, metadata: mc.Metadata
) -> None:
    query = f"""
        WITH matches AS (
            SELECT url, unnest(entries) AS entry_id FROM '{out}/curated/*.parquet'
        )
        SELECT url, list(entry ORDER BY entry_id)
        FROM matches JOIN '{out}/counts.parquet' USING (entry_id)
        GROUP BY url
    """
    names = metadata.entries.to_pylist()
    curated = pq.read_table(out / "curated").to_pylist()
    assert dict(database.execute(query).fetchall()) == {
        row["url"]: [names[i] for i in row["entries"]] for row in curated
    }


def test_what_is_left_of_each_entry(
    database: duckdb.DuckDBPyConnection, out: Path, metadata: mc.Metadata
) -> None:
    query = f"""
        WITH matches AS (
            SELECT unnest(entries) AS entry_id FROM '{out}/curated/*.parquet'
        ), found AS (
            SELECT entry_id, count(*) AS number FROM matches GROUP BY entry_id
        )
        SELECT entry, count, coalesce(number, 0), kept
        FROM '{out}/counts.parquet' LEFT JOIN found USING (entry_id)
        ORDER BY count DESC, entry_id
    """
    rows = database.execute(query).fetchall()
    card = json.loads((out / "datacard.json").read_text("utf-8"))
    most_matched = [(e["entry"], e["count"], e["kept"]) for e in card["most_matched"]]
    assert [row[:3] for row in rows[: len(most_matched)]] == most_matched
    names = metadata.entries.to_pylist()
    curated = pq.read_table(out / "curated")["entries"].to_pylist()
    kept = Counter(names[i] for entries in curated for i in entries)
    assert {entry: n for entry, _, n, _ in rows} == {name: kept[name] for name in names}
    assert all(number == told for _, _, number, told in rows)


def test_metadata_of_the_file(database: duckdb.DuckDBPyConnection, out: Path) -> None:
    source = f"parquet_kv_metadata('{out}/curated/*.parquet')"
    query = f"SELECT DISTINCT decode(key), decode(value) FROM {source}"
    said = dict(database.execute(query).fetchall())
    assert said["metacurate.threshold"] == "20.0"
    assert said["metacurate.seed"] == "0"
