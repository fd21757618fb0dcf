"""Selection: only what is told goes, what stays is what it was, and each pair is accounted for."""

import json
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import metacurate as mc
from metacurate.engine.run import CorruptInputError
from metacurate.errors import InputError, UsageError
from metacurate.hashing.pairs import hash_pairs
from metacurate.images.filters.filter import filter_images
from metacurate.images.filters.verdicts import Filters
from metacurate.images.selection.select import read_keys, select_images
from metacurate.images.shards import Sample, ShardWriter, list_shards, read_samples
from metacurate.pool.pack import pack
from tests.images.made import Inline, encoded, flat, noise, write_set
from tests.images.onnx_models import faces

FILTERS = Filters(near_duplicates=True, smallest_side=20)


def selected(source: Path, out: Path, **options: Any) -> dict[str, Any]:
    return select_images(str(source), out, engine=Inline(), **options)


def samples(folder: Path) -> dict[str, Sample]:
    shards = list_shards(str(folder))
    return {sample.key: sample for shard in shards for sample in read_samples(shard.tar)}


def table(folder: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("*.parquet")))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Three shards; all of the last go. Two captions an image."""
    return write_set(
        tmp_path / "shards",
        {
            "00000": {"000000000": encoded(noise(1)), "000000001": encoded(noise(2))},
            "00001": {"000010000": encoded(noise(1, (96, 72))), "000010001": b"no image"},
            "00002": {"000020000": encoded(noise(4, (64, 16)))},
        },
        captions=2,
    )


@pytest.fixture
def judged(shards: Path, tmp_path: Path) -> str:
    filter_images(str(shards), tmp_path / "verdicts", FILTERS, engine=Inline())
    return str(tmp_path / "verdicts")


def test_what_is_told_goes(shards: Path, judged: str, tmp_path: Path) -> None:
    summary = selected(
        shards, tmp_path / "out", verdicts=[judged], drop=["near_duplicate", "too_small"]
    )
    before, after = samples(shards), samples(tmp_path / "out")
    assert sorted(after) == ["000000001", "000010000", "000010001"]
    assert all(before[key] == sample for key, sample in after.items())
    assert summary["images"] == 5
    assert summary["images_kept"] == 3
    assert summary["images_dropped"] == {"near_duplicate": 1, "too_small": 1}
    assert summary["pairs_dropped"] == {"near_duplicate": 2, "too_small": 2}
    assert [path.name for path in sorted((tmp_path / "out").glob("*.tar"))] == [
        "00000.tar", "00001.tar", "00002.tar",
    ]  # fmt: skip
    rows = table(tmp_path / "out").to_pylist()
    assert len(rows) == len(table(shards))  # each pair is accounted for
    status = [row["status"] for row in rows]
    assert [status.count(s) for s in ("success", "dropped", "failed_to_download")] == [6, 4, 3]
    small = {(r["status"], r["error_message"]) for r in rows if r["key"] == "000020000"}
    assert small == {("dropped", "too_small")}
    stats = json.loads((tmp_path / "out" / "00002_stats.json").read_text())
    assert stats["images"] == {"read": 1, "kept": 0, "dropped": {"too_small": 1}}


def test_what_was_selected_can_be_selected_from(shards: Path, judged: str, tmp_path: Path) -> None:
    selected(shards, tmp_path / "a", verdicts=[judged], drop=["near_duplicate", "too_small"])
    filter_images(str(tmp_path / "a"), tmp_path / "again", FILTERS, engine=Inline())
    summary = selected(tmp_path / "a", tmp_path / "b", verdicts=[tmp_path / "again"],
        drop=["broken"])  # fmt: skip
    assert sorted(samples(tmp_path / "b")) == ["000000001", "000010000"]
    assert (summary["images"], summary["images_dropped"]) == (3, {"broken": 1})


def test_lists_of_keys(shards: Path, judged: str, tmp_path: Path) -> None:
    selected(shards, tmp_path / "out", verdicts=[judged], drop=["near_duplicate"], keys=True)
    assert read_keys(tmp_path / "out") == {"000000001", "000010000", "000010001", "000020000"}
    assert pq.read_table(tmp_path / "out" / "keys" / "00002.parquet").num_rows == 1
    assert not list((tmp_path / "out").glob("*.tar"))
    with pytest.raises(UsageError, match="holds no lists of keys"):
        read_keys(shards)


def test_a_condition_on_columns_of_tables_and_verdicts(
    shards: Path, judged: str, tmp_path: Path
) -> None:
    where = 'width >= 64 and not startswith(text, "text 0")'
    summary = selected(shards, tmp_path / "out", verdicts=[judged], where=where)
    found = samples(tmp_path / "out")
    assert sorted(found) == ["000000000", "000000001", "000010000", "000020000"]
    assert found["000000000"].text == "text 1 of 000000000"
    assert [pair["text"] for pair in found["000000000"].pairs] == ["text 1 of 000000000"]
    assert found["000000000"].fields["caption"] == "text 1 of 000000000"
    assert (summary["pairs_kept"], summary["pairs_dropped"]) == (4, {"where": 6})
    selected(shards, tmp_path / "plain", where='contains(text, "00001")')
    assert sorted(samples(tmp_path / "plain")) == ["000000001", "000010000", "000010001"]
    with pytest.raises(UsageError, match="no column 'colour'"):
        selected(shards, tmp_path / "other", where="colour > 1")
    assert not (tmp_path / "other").exists()


def test_several_folders_of_verdicts(shards: Path, judged: str, tmp_path: Path) -> None:
    more = tmp_path / "more"
    filter_images(str(shards), more, Filters(smallest_side=60, aspect_ratio=2.0), engine=Inline())
    drop = ["too_small", "too_long", "near_duplicate"]
    summary = selected(shards, tmp_path / "out", verdicts=[judged, str(more)], drop=drop)
    assert summary["images_dropped"] == {"too_small": 3}
    assert sorted(samples(tmp_path / "out")) == ["000010000", "000010001"]


def test_verdicts_must_be_there_and_on_this_very_shard(
    shards: Path, judged: str, tmp_path: Path
) -> None:
    (Path(judged) / "00001.parquet").rename(tmp_path / "away")
    with pytest.raises(InputError, match=r"00001\.tar: has no verdicts in"):
        selected(shards, tmp_path / "out", verdicts=[judged], drop=["broken"])
    (tmp_path / "away").rename(Path(judged) / "00001.parquet")
    tar = shards / "00001.tar"
    tar.write_bytes(tar.read_bytes() + bytes(512))
    with pytest.raises(InputError, match=r"00001\.tar: has changed since the verdicts"):
        selected(shards, tmp_path / "out", verdicts=[judged], drop=["broken"])
    (Path(judged) / "manifest.json").unlink()
    with pytest.raises(UsageError, match="not complete"):
        selected(shards, tmp_path / "out", verdicts=[judged], drop=["broken"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "all images would stay"),
        ({"drop": ["broken"]}, "give the folder that holds them"),
        ({"blur": True}, "give --verdicts"),
        ({"verdicts": ["V"], "blur": True, "keys": True}, "give one"),
        ({"verdicts": ["V"]}, "all images would stay"),
        ({"verdicts": ["V"], "drop": ["listed"]}, r"no such verdict \(there is broken, near"),
        ({"verdicts": ["V"], "blur": True}, "do not tell of faces"),
        ({"where": "width >"}, "--where"),
    ],
)
def test_what_can_not_be(
    shards: Path, judged: str, tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    if "verdicts" in options:
        options = {**options, "verdicts": [judged]}
    with pytest.raises(UsageError, match=reason):
        selected(shards, tmp_path / "out", **options)


@pytest.mark.parametrize("packed", [False, True])
def test_pairs_that_curation_kept(shards: Path, tmp_path: Path, packed: bool) -> None:
    entries = ["text 0", "text 1", "000000001", "000010000"]
    mc.curate(str(shards), mc.Metadata.from_entries(entries), threshold=1, out=tmp_path / "curated")
    kept = table(tmp_path / "curated" / "curated")
    assert 0 < len(kept) < 10
    source = tmp_path / "curated"
    if packed:
        source = tmp_path / "packed"
        pack(str(tmp_path / "curated"), source, rows_per_shard=3)
    summary = selected(shards, tmp_path / "out", pairs=str(source))
    wanted: dict[str, list[dict[str, Any]]] = {}
    for row in kept.to_pylist():
        wanted.setdefault(row["key"], []).append(row)
    found = samples(tmp_path / "out")
    assert found.keys() == wanted.keys()
    for key, rows in wanted.items():
        texts = [row["text"] for row in rows]
        assert {pair["text"]: pair for pair in found[key].pairs} == {
            row["text"]: {name: row[name] for name in ("text", "entries", "probability",
            "min_threshold")} for row in rows
        }  # fmt: skip
        draws = hash_pairs([rows[0]["url"]] * len(texts), texts, 0, "caption")
        assert found[key].text == texts[int(np.argmin(draws))]
    assert summary["pairs_kept"] == len(kept)
    assert summary["pairs_dropped"] == {"pairs": 10 - len(kept)}
    new = table(tmp_path / "out").filter(pa.compute.field("status") == "success")
    assert new.select(kept.column_names).to_pylist() == kept.to_pylist()
    assert pq.read_schema(tmp_path / "out" / "00000.parquet").metadata[b"metacurate.round"] == b"0"
    again = mc.curate(
        str(tmp_path / "out"), mc.Metadata.from_entries(entries), threshold=1, out=tmp_path / "next"
    )
    assert again.summary["rows_read"] - again.summary.get("filtered", 0) == len(kept)


def test_pairs_of_something_else(shards: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": ["a"], "text": ["b"]}), tmp_path / "pool.parquet")
    with pytest.raises(UsageError, match="no columns of keys, texts and"):
        selected(shards, tmp_path / "out", pairs=str(tmp_path / "pool.parquet"))


def img2dataset(folder: Path, *, with_table: bool) -> Path:
    """A shard as img2dataset writes it: one caption, no `pairs`."""
    folder.mkdir()
    rows = []
    with ShardWriter(folder / "00000.tar") as tar:
        for i in range(3):
            key = f"00000000{i}"
            row = {"caption": f"caption {i}", "url": f"u{i}", "key": key, "status": "success",
                "error_message": None, "width": 64}  # fmt: skip
            tar.add(Sample(key, encoded(noise(i % 2)), "png", f"caption {i}", row))
            rows.append(row)
    rows.append({**rows[0], "key": "000000003", "status": "failed_to_download"})
    if with_table:
        pq.write_table(pa.Table.from_pylist(rows), folder / "00000.parquet")
    return folder


@pytest.mark.parametrize("with_table", [False, True])
def test_shards_of_img2dataset(tmp_path: Path, with_table: bool) -> None:
    source = img2dataset(tmp_path / "shards", with_table=with_table)
    filter_images(str(source), tmp_path / "v", FILTERS, engine=Inline())
    selected(source, tmp_path / "a", verdicts=[tmp_path / "v"], drop=["near_duplicate"])
    found = samples(tmp_path / "a")
    assert len(found) == 2
    assert "000000001" in found
    assert found["000000001"] == samples(source)["000000001"]
    mc.curate(
        str(source), mc.Metadata.from_entries(["caption", "caption 1"]), threshold=2,
        out=tmp_path / "curated",
    )  # fmt: skip
    kept = table(tmp_path / "curated" / "curated")
    selected(source, tmp_path / "b", pairs=str(tmp_path / "curated"))
    found = samples(tmp_path / "b")
    assert len(found) == len(kept) > 0
    for sample in found.values():
        assert [pair["text"] for pair in sample.pairs] == [sample.text]
        assert sample.text == sample.fields["caption"]
        assert "min_threshold" in sample.pairs[0]


def test_blurred_faces(shards: Path, tmp_path: Path) -> None:
    model = faces(tmp_path / "f.onnx", [[0.25, 0.25, 0.5, 0.5]], [0.9])
    filter_images(str(shards), tmp_path / "v", Filters(face_model=model), engine=Inline())
    summary = selected(shards, tmp_path / "out", verdicts=[tmp_path / "v"], blur=True)
    before, after = samples(shards), samples(tmp_path / "out")
    assert before.keys() == after.keys()
    assert summary["images_dropped"] == {}
    for key in before:
        assert before[key].fields == after[key].fields
        assert (before[key].image == after[key].image) == (key == "000010001")  # a broken one
    pixels = np.asarray(Image.open(BytesIO(after["000000000"].image or b"")), float)
    original = np.asarray(Image.open(BytesIO(before["000000000"].image or b"")), float)
    assert pixels[12:24, 16:32].std() < original[12:24, 16:32].std()
    assert (pixels[30:] == original[30:]).all()


def test_the_same_bytes_again_and_what_is_done_is_not_done_again(
    shards: Path, judged: str, tmp_path: Path
) -> None:
    told: dict[str, Any] = {"verdicts": [judged], "drop": ["near_duplicate"]}
    selected(shards, tmp_path / "a", **told)
    selected(shards, tmp_path / "b", **told)
    names = [f"0000{n}{end}" for n in range(3) for end in (".tar", ".parquet", "_stats.json")]
    assert {p.name for p in (tmp_path / "a").iterdir() if p.is_file()} == {*names, "manifest.json"}
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    (tmp_path / "a" / "00001.tar").unlink()
    summary = selected(shards, tmp_path / "a", **told)
    assert summary["resumed_units"] == 2
    assert (tmp_path / "a" / "00001.tar").read_bytes() == (
        tmp_path / "b" / "00001.tar"
    ).read_bytes()
    summary = selected(shards, tmp_path / "a", verdicts=[judged], drop=["too_small"])
    assert (summary["resumed_units"], summary["images_dropped"]) == (0, {"too_small": 1})
    for path in shards.glob("00002*"):
        path.unlink()
    selected(shards, tmp_path / "a", **told)
    assert not list((tmp_path / "a").glob("00002*"))


def test_a_damaged_tar(shards: Path, tmp_path: Path) -> None:
    tar = shards / "00000.tar"
    tar.write_bytes(tar.read_bytes()[:3000])
    with pytest.raises(CorruptInputError, match=r"00000\.tar: the tar is cut short"):
        selected(shards, tmp_path / "out", where='text != ""')
    summary = selected(shards, tmp_path / "out", where='text != ""', on_error="skip")
    assert (summary["failed_units"], summary["images"]) == (1, 3)
    assert not list((tmp_path / "out").glob("00000*"))


def test_nothing_old_is_left_of_a_shard_that_can_not_be_read_any_more(
    shards: Path, tmp_path: Path
) -> None:
    selected(shards, tmp_path / "out", where='text != ""')
    (shards / "00000.tar").write_bytes(b"no tar")
    selected(shards, tmp_path / "out", where='text != ""', on_error="skip")
    assert not list((tmp_path / "out").glob("00000*"))


def test_samples_and_tables_that_differ(shards: Path, tmp_path: Path) -> None:
    path = shards / "00000.parquet"
    rows = pq.read_table(path)
    pq.write_table(rows.slice(2), path)
    with pytest.raises(CorruptInputError, match="sample '000000000' has no row in the table"):
        selected(shards, tmp_path / "a", where='text != ""')
    more = rows.slice(0, 1).set_column(2, "key", pa.array(["000000007"]))
    pq.write_table(pa.concat_tables([rows, more]), path)
    summary = selected(shards, tmp_path / "b", where='text != ""')
    assert summary["images_dropped"] == {"missing": 1}
    unkeyed = rows.slice(0, 1).set_column(2, "key", pa.array([None], pa.string()))
    pq.write_table(pa.concat_tables([rows, unkeyed]), path)
    assert selected(shards, tmp_path / "c", where='text != ""')["images_dropped"] == {}


def test_an_image_that_is_flat_all_over_is_as_any_other(tmp_path: Path) -> None:
    source = write_set(tmp_path / "s", {"00000": {"a": encoded(flat(1)), "b": encoded(flat(200))}})
    summary = filter_images(str(source), tmp_path / "v", FILTERS, engine=Inline())
    assert summary["near_duplicate"] == 1


def test_members_of_a_tar_are_as_before(shards: Path, tmp_path: Path) -> None:
    selected(shards, tmp_path / "out", where='text != ""')
    with (
        tarfile.open(tmp_path / "out" / "00000.tar") as tar,
        tarfile.open(shards / "00000.tar") as old,
    ):
        assert tar.getnames() == old.getnames()
