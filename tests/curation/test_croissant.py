"""croissant.json is valid for mlcroissant, which reads a set's rows by it, and asks no network."""

import datetime
import hashlib
import json
import socket
from decimal import Decimal
from pathlib import Path
from typing import Any

import absl.logging
import mlcroissant
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metacurate as mc
from metacurate.curation.croissant import make_croissant
from metacurate.curation.curate import sample
from metacurate.schema import CURATED

from .pools import ENTRIES, read_curated, write_pool, zipf_pool

UNKNOWN = (
    "https://schema.org/datePublished",
    "https://schema.org/license",
)  # whoever publishes a set knows them
WARNED = "Found the following 2 warning(s) during the validation:"

VALUES: dict[str, pa.Array] = {
    "int8": pa.array([-1, None, 3], pa.int8()),
    "uint64": pa.array([2**64 - 1, 0, 1], pa.uint64()),
    "float32": pa.array([0.5, None, 1.5], pa.float32()),
    "bool": pa.array([True, False, True]),
    "string": pa.array(["é", None, "🦊"]),
    "large": pa.array(["a", "b", "c"], pa.large_string()),
    "view": pa.array(["a", "b", "c"], pa.string_view()),
    "bytes": pa.array([b"\xff", b"", b"a"]),
    "four bytes": pa.array([b"\xff\0ab", b"abcd", None], pa.binary(4)),
    "words": pa.array(["a", "b", "a"]).dictionary_encode(),
    "day": pa.array([datetime.date(2024, 1, 2)] * 3),
    "moment": pa.array([datetime.datetime(2024, 1, 2, 3, 4, 5)] * 3, pa.timestamp("us")),
    "hour": pa.array([datetime.time(3, 4, 5)] * 3, pa.time64("us")),
    "price": pa.array([Decimal("1.50")] * 3),
    "list": pa.array([[1, 2], [], None], pa.list_(pa.int32())),
    "pair": pa.array([[1.0, 2.0]] * 3, pa.list_(pa.float64(), 2)),
    "lists": pa.array([[[1], [2, 3]], [], [[]]], pa.list_(pa.list_(pa.int64()))),
}
ODD = [
    "a b", "a/b", "../x", "#a", "@id", "@type", "https://example.org/?a=b#c", "<script>", "_:b0",
    '"', "\\", "\n", "\u202e", "é", "🦊", "sc:Text", "1", "a" * 500, "column-3", "column-4", "{}",
    "index", "filename", "%20", "\u2028",
]  # fmt: skip
UNNAMED = {
    "struct": pa.array([{"a": 1}] * 3),
    "map": pa.array([[("a", 1)]] * 3, pa.map_(pa.string(), pa.int64())),
    "duration": pa.array([1, 2, 3], pa.duration("s")),
    "": pa.array([1, 2, 3]),
}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for the network fails."""

    def refuse(*arguments: Any) -> None:
        raise AssertionError(f"the network was asked for: {arguments}")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def curated(tmp_path: Path, table: pa.Table, **options: Any) -> Path:
    source = write_pool(tmp_path / "pool", [table])
    out = tmp_path / "out"
    mc.curate(source, mc.Metadata.from_entries(["x", "y"]), threshold=9, out=out, **options)
    return out


def read(out: Path) -> mlcroissant.Dataset:
    """It, after a look at what mlcroissant finds wrong: nothing but what nobody knows here."""
    with pytest.MonkeyPatch.context() as patch:
        told: list[str] = []
        patch.setattr(absl.logging, "warning", lambda text, *more: told.append(text))
        dataset = mlcroissant.Dataset(jsonld=str(out / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert issues.errors == set()
    assert sorted(line.split('"')[1] for line in issues.warnings) == sorted(UNKNOWN)
    assert [text.split("\n")[0] for text in told] == [WARNED]
    return dataset


def described(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "croissant.json").read_text("utf-8"))
    return found


def columns(out: Path, records: int = 0) -> dict[str, Any]:
    fields = described(out)["recordSet"][records]["field"]
    return {field["source"]["extract"]["column"]: field for field in fields}


def plain(value: Any) -> Any:
    """A value that mlcroissant read, as Arrow gives it."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def rows(out: Path, records: str) -> list[dict[str, Any]]:
    """Rows as mlcroissant reads them, by column."""
    names = {field["@id"]: name for n in (0, 1) for name, field in columns(out, n).items()}
    return [
        {names[key]: plain(value) for key, value in row.items()}
        for row in read(out).records(records)
    ]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("croissant")
    pool = zipf_pool(1_000)
    write_pool(folder / "pool", [pool.slice(0, 500), pool.slice(500)])
    metadata = mc.Metadata.from_entries(ENTRIES)
    mc.curate(folder / "pool", metadata, threshold=20, out=folder / "out")
    return folder / "out"


def test_it_is_valid(out: Path) -> None:
    dataset = read(out)
    assert str(dataset.metadata.ctx.conforms_to.value) == "http://mlcommons.org/croissant/1.1"
    assert dataset.metadata.version == "1.0.0"
    assert "Demystifying" in str(dataset.metadata.cite_as)


def test_all_pairs_are_read(out: Path) -> None:
    expected = read_curated(out)
    assert columns(out).keys() == set(expected.column_names)
    found = rows(out, "pairs")
    assert found == expected.to_pylist()
    assert len(found) > 300


def test_all_entries_are_read(out: Path) -> None:
    assert rows(out, "entries") == pq.read_table(out / "counts.parquet").to_pylist()


def test_counts_by_their_checksum(out: Path) -> None:
    content = (out / "counts.parquet").read_bytes()
    (file,) = [one for one in described(out)["distribution"] if one["@type"] == "cr:FileObject"]
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert file["contentSize"] == f"{len(content)} B"
    assert (out / file["contentUrl"]).read_bytes() == content


def test_types_of_what_curation_adds(out: Path) -> None:
    fields = columns(out)
    assert {name: fields[name]["dataType"] for name in CURATED.names} == {
        "entries": "cr:UInt32",
        "probability": "cr:Float64",
        "min_threshold": "cr:Float64",
    }
    assert (fields["entries"]["isArray"], fields["entries"]["arrayShape"]) == (True, "-1")
    assert (fields["url"]["dataType"], fields["text"]["dataType"]) == ("sc:URL", "sc:Text")


@pytest.mark.parametrize("name", VALUES)
def test_types_of_the_pool(tmp_path: Path, name: str) -> None:
    table = pa.table({"url": ["a", "b", "c"], "text": ["x"] * 3, name: VALUES[name]})
    out = curated(tmp_path, table)
    key = columns(out)[name]["@id"]
    found = [row[key] for row in read(out).records("pairs")]
    expected = VALUES[name].to_pylist()
    if "bytes" in name:
        assert found == expected
    elif name in ("day", "moment"):
        assert [moment.to_pydatetime() for moment in found] == [
            datetime.datetime.combine(one, datetime.time()) if name == "day" else one
            for one in expected
        ]
    elif name == "price":
        assert found == [1.5] * 3
    else:
        assert [plain(value) for value in found] == expected


def test_odd_names(tmp_path: Path) -> None:
    own = {name: [f"{name} {i}" for i in range(3)] for name in ODD}
    out = curated(tmp_path, pa.table({"url": ["a", "b", "c"], "text": ["x"] * 3, **own}))
    ids = [field["@id"] for field in columns(out).values()]
    assert len(set(ids)) == len(ids) == len(ODD) + 5
    assert all(
        one.removeprefix("pairs/").replace("-", "_").replace(".", "_").isidentifier() for one in ids
    )
    assert rows(out, "pairs") == read_curated(out).to_pylist()


def test_columns_without_a_name_or_type_are_told(tmp_path: Path) -> None:
    out = curated(tmp_path, pa.table({"url": ["a", "b", "c"], "text": ["x"] * 3, **UNNAMED}))
    assert columns(out).keys() == {"url", "text", *CURATED.names}
    told = described(out)["recordSet"][0]["description"]
    assert all(name in told for name in UNNAMED)
    assert [row["url"] for row in rows(out, "pairs")] == ["a", "b", "c"]


def test_an_index_of_pandas(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"url": ["a", "b"], "text": ["x", "x"]}, index=[7, 9])
    out = curated(tmp_path, pa.Table.from_pandas(frame))
    assert "__index_level_0__" in read_curated(out).column_names
    assert [row["url"] for row in rows(out, "pairs")] == ["a", "b"]


def test_files_that_differ_in_columns(tmp_path: Path) -> None:
    one = pa.table({"url": ["a"], "text": ["x"], "both": [1], "kind": [1], "one": [1]})
    other = pa.table({"url": ["b"], "text": ["x"], "both": [2], "kind": ["b"], "other": [1]})
    source = write_pool(tmp_path / "pool", [one, other])
    mc.curate(source, mc.Metadata.from_entries(["x"]), threshold=9, out=tmp_path / "out")
    assert columns(tmp_path / "out").keys() == {"url", "text", "both", *CURATED.names}
    assert [row["both"] for row in rows(tmp_path / "out", "pairs")] == [1, 2]


def test_an_empty_set(tmp_path: Path) -> None:
    out = curated(tmp_path, pa.table({"url": ["a"], "text": ["nothing"], "width": [7]}))
    assert list((out / "curated").iterdir()) == []
    read(out)
    assert columns(out).keys() == {"url", "text", "width", *CURATED.names}
    assert [row["entry"] for row in rows(out, "entries")] == ["x", "y"]


def test_columns_that_curation_replaces(tmp_path: Path) -> None:
    table = pa.table({"entries": ["none"], "url": ["a"], "text": ["x"], "min_threshold": [1]})
    out = curated(tmp_path, table, round=0)
    assert list(columns(out)) == ["url", "text", *CURATED.names]
    assert rows(out, "pairs") == read_curated(out).to_pylist()


def test_it_is_the_same_each_time(out: Path, tmp_path: Path) -> None:
    metadata = mc.Metadata.from_entries(ENTRIES)
    mc.curate(out.parent / "pool", metadata, threshold=20, out=tmp_path / "again", workers=1)
    assert (tmp_path / "again/croissant.json").read_bytes() == (out / "croissant.json").read_bytes()
    sample(out.parent / "pool", metadata, out, threshold=20, out=tmp_path / "sampled")
    assert (tmp_path / "sampled/croissant.json").read_bytes() == (
        out / "croissant.json"
    ).read_bytes()


def test_hostile_numbers_stay_json(out: Path) -> None:
    card = json.loads((out / "datacard.json").read_text("utf-8"))
    text = json.dumps(make_croissant(card | {"threshold": 1e300}, CURATED, "0" * 64, 1))
    assert json.loads(text)["name"] == "Balanced image-text pairs, t = 1e+300, seed 0"
