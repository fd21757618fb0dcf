"""Verdicts: what is written about each image, and that none is lost, whatever a shard holds."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metacurate.engine.local import LocalEngine
from metacurate.engine.run import CorruptInputError
from metacurate.errors import InputError, MetacurateError, UsageError
from metacurate.images.filters import measure
from metacurate.images.filters.decide import ranked
from metacurate.images.filters.filter import filter_images
from metacurate.images.filters.verdicts import IDENTITY, Filters
from metacurate.images.shards import Sample, list_shards, write_shard
from tests.images.made import Inline, encoded, flat, noise, write_set
from tests.images.onnx_models import PLAIN, brightness, faces

NEAR = Filters(near_duplicates=True)


def filtered(source: Path, out: Path, filters: Filters, **options: Any) -> dict[str, Any]:
    return filter_images(str(source), out, filters, engine=Inline(), **options)


def verdicts(out: Path) -> dict[str, dict[str, Any]]:
    """Rows by key, of all shards."""
    rows = [
        row for path in sorted(out.glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]
    return {row["key"]: row for row in rows}


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two shards: an image and smaller copies of it, others, and one that is broken."""
    large = noise(1, (160, 120))
    return write_set(
        tmp_path / "shards",
        {
            "00000": {
                "000000000": encoded(large.resize((80, 60))),
                "000000001": encoded(noise(2)),
                "000000002": b"no image",
            },
            "00001": {
                "000010000": encoded(large, "JPEG", quality=50),
                "000010001": encoded(noise(3, (64, 16))),
                "000010002": encoded(flat(9)),
                "000010003": encoded(flat(9)),
            },
        },
    )


def test_the_largest_of_those_that_look_alike_stays(shards: Path, tmp_path: Path) -> None:
    summary = filtered(shards, tmp_path / "out", NEAR)
    found = verdicts(tmp_path / "out")
    small = found["000000000"]
    assert small["near_duplicate"]
    assert (small["duplicate_of"], small["duplicate_shard"]) == ("000010000", "00001")
    assert small["duplicate_distance"] <= NEAR.distance
    assert not found["000010000"]["near_duplicate"]
    assert found["000010000"]["duplicate_of"] is None
    twins = [found[key] for key in ("000010002", "000010003")]
    assert sorted(twin["near_duplicate"] for twin in twins) == [False, True]
    assert (summary["images"], summary["near_duplicate"], summary["broken"]) == (7, 2, 1)
    assert summary["without_verdict"] == 4
    assert "benchmark" not in summary


def test_what_each_row_tells(shards: Path, tmp_path: Path) -> None:
    filtered(shards, tmp_path / "out", Filters(smallest_side=17, aspect_ratio=3.0))
    found = verdicts(tmp_path / "out")
    assert list(found["000000000"]) == ["key", "sha256", "width", "height", "broken", "problem",
        "too_small", "too_long"]  # fmt: skip
    assert found["000000001"]["sha256"] == hashlib.sha256(encoded(noise(2))).hexdigest()
    assert [k for k, row in found.items() if row["too_small"]] == ["000010001"]
    assert [k for k, row in found.items() if row["too_long"]] == ["000010001"]
    broken = found["000000002"]
    assert broken["broken"]
    assert broken["width"] is None
    assert "no image" in broken["problem"]
    metadata = pq.read_schema(tmp_path / "out" / "00000.parquet").metadata
    assert metadata[IDENTITY].decode() == list_shards(str(shards))[0].identity


def test_the_same_again_wherever_it_is_done(shards: Path, tmp_path: Path) -> None:
    filtered(shards, tmp_path / "a", NEAR)
    filter_images(str(shards), tmp_path / "b", NEAR, engine=LocalEngine(), workers=1)
    for name in ("00000.parquet", "00001.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_images_of_benchmarks_are_named(shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "test set"
    (folder / "cats").mkdir(parents=True)
    (folder / "cats" / "a.JPG").write_bytes(encoded(noise(2, (128, 96)), "JPEG", quality=40))
    images = [encoded(noise(50)), encoded(noise(1, (50, 40)))]
    kinds: list[tuple[str, list[Any]]] = [
        ("plain.parquet", list(images)), ("struct.parquet", [{"bytes": i} for i in images]),
    ]  # fmt: skip
    for name, column in kinds:
        pq.write_table(pa.table({"image": column}), tmp_path / name)
    tar = write_set(tmp_path / "tars", {"99999": {"t": images[1]}}) / "99999.tar"
    for source, name in [
        (tmp_path / "plain.parquet", "plain.parquet#1"),
        (tmp_path / "struct.parquet", "struct.parquet#1"),
        (tar, "99999.tar/t"),
    ]:
        filters = Filters(near_duplicates=True, benchmarks=(str(folder), str(source)))
        summary = filtered(shards, tmp_path / f"out-{source.stem}", filters)
        found = verdicts(tmp_path / f"out-{source.stem}")
        known = {k: row["benchmark_image"] for k, row in found.items() if row["benchmark"]}
        assert known == {
            "000000000": name, "000000001": "test set/cats/a.JPG", "000010000": name,
        }  # fmt: skip
        assert not any(found[key]["near_duplicate"] for key in known)
        assert summary["benchmark"] == 3


def test_benchmarks_that_can_not_be_read(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no images"):
        filtered(shards, tmp_path / "a", Filters(benchmarks=(str(tmp_path / "empty"),)))
    with pytest.raises(UsageError, match="is no folder of images"):
        filtered(shards, tmp_path / "b", Filters(benchmarks=(str(tmp_path / "none"),)))
    (tmp_path / "empty" / "x.png").write_bytes(b"no image")
    with pytest.raises(CorruptInputError, match=r"image empty/x\.png can't be decoded"):
        filtered(shards, tmp_path / "c", Filters(benchmarks=(str(tmp_path / "empty"),)))
    pq.write_table(pa.table({"image": ["a"]}), tmp_path / "text.parquet")
    with pytest.raises(CorruptInputError, match="no column 'image' of images' bytes"):
        filtered(shards, tmp_path / "d", Filters(benchmarks=(str(tmp_path / "text.parquet"),)))


def test_images_that_were_made_smaller_are_listed_by_what_they_were(tmp_path: Path) -> None:
    original = encoded(noise(3))
    digest = hashlib.sha256(original).hexdigest()
    small = encoded(noise(3, (32, 24)), "JPEG")
    write_shard(
        tmp_path / "shards", "00000", [Sample("000000000", small, "jpg", "a", {"sha256": digest})],
        pa.table({"key": ["000000000"], "text": ["a"], "status": ["success"]}), {},
    )  # fmt: skip
    (tmp_path / "list").write_text(digest)
    filtered(tmp_path / "shards", tmp_path / "out", Filters(sha256_lists=(str(tmp_path / "list"),)))
    assert verdicts(tmp_path / "out")["000000000"]["listed"]


def test_listed_images(shards: Path, tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text(hashlib.sha256(encoded(noise(2))).hexdigest().upper())
    filtered(shards, tmp_path / "out", Filters(sha256_lists=(str(path),)))
    assert [k for k, row in verdicts(tmp_path / "out").items() if row["listed"]] == ["000000001"]
    path.write_text("abc")
    with pytest.raises(InputError, match="line 1 is no hash"):
        filtered(shards, tmp_path / "other", Filters(sha256_lists=(str(path),)))


def test_pdq_needs_its_library(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pdqhash", None)
    (tmp_path / "list").write_text("")
    with pytest.raises(MetacurateError, match="pip install"):
        filtered(shards, tmp_path / "out", Filters(pdq_lists=(str(tmp_path / "list"),)))


def test_pdq_of_a_library(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        @staticmethod
        def compute(image: Any) -> tuple[Any, int]:
            return np.unpackbits(np.frombuffer(hashlib.sha256(image).digest(), np.uint8)), 100

    monkeypatch.setitem(__import__("sys").modules, "pdqhash", Library)
    pdq = hashlib.sha256(noise(2).tobytes()).hexdigest()
    (tmp_path / "list").write_text(pdq[:-2] + f"{int(pdq[-2:], 16) ^ 255:02x}")
    filtered(shards, tmp_path / "out", Filters(pdq_lists=(str(tmp_path / "list"),)))
    found = verdicts(tmp_path / "out")
    assert [k for k, row in found.items() if row["listed"]] == ["000000001"]
    assert found["000000001"]["pdq"] == pdq


def test_models(shards: Path, tmp_path: Path) -> None:
    nsfw = brightness(tmp_path / "nsfw" / "m.onnx", preprocessor_config=PLAIN)
    seen = faces(tmp_path / "faces.onnx", [[0.25, 0.25, 0.5, 0.5]], [0.9])
    filters = Filters(nsfw_model=nsfw, nsfw_threshold=0.4, face_model=seen)
    filtered(shards, tmp_path / "out", filters)
    found = verdicts(tmp_path / "out")
    assert found["000010002"]["nsfw_score"] == pytest.approx(9 / 255, abs=1e-4)
    assert not found["000010002"]["unsafe"]
    assert found["000000001"]["unsafe"] == (found["000000001"]["nsfw_score"] >= 0.4)
    assert found["000000002"]["nsfw_score"] is None
    assert found["000000002"]["faces"] is None
    assert not found["000000002"]["unsafe"]
    (face,) = found["000010000"]["faces"]
    assert (face["x"], face["y"], face["width"], face["height"]) == (40, 30, 40, 30)
    with pytest.raises(InputError, match="not UltraFace's"):
        filtered(shards, tmp_path / "other", Filters(face_model=nsfw))


def test_what_others_speak_against_does_not_stand_for_others(shards: Path, tmp_path: Path) -> None:
    path = tmp_path / "list"
    large = encoded(noise(1, (160, 120)), "JPEG", quality=50)
    path.write_text(hashlib.sha256(large).hexdigest())
    filtered(shards, tmp_path / "out", Filters(near_duplicates=True, sha256_lists=(str(path),)))
    found = verdicts(tmp_path / "out")
    assert found["000010000"]["listed"]
    assert not found["000000000"]["near_duplicate"]


def test_a_damaged_tar_is_named_and_the_others_are_done(shards: Path, tmp_path: Path) -> None:
    tar = shards / "00000.tar"
    content = tar.read_bytes()
    tar.write_bytes(content[:1000])
    with pytest.raises(CorruptInputError, match=r"00000\.tar: the tar is cut short"):
        filtered(shards, tmp_path / "out", NEAR)
    summary = filtered(shards, tmp_path / "out", NEAR, on_error="skip")
    assert (summary["failed_units"], summary["images"]) == (1, 4)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.parquet")) == ["00001.parquet"]
    tar.write_bytes(content)
    summary = filtered(shards, tmp_path / "out", NEAR)
    assert (summary["failed_units"], summary["images"], summary["near_duplicate"]) == (0, 7, 2)


def test_each_image_is_measured_once(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filtered(shards, tmp_path / "out", NEAR)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.parquet")}

    def never(*_: Any) -> None:
        raise AssertionError("measured again")

    with monkeypatch.context() as patch:
        patch.setattr(measure.Meter, "measure", never)
        summary = filtered(shards, tmp_path / "out", NEAR)
        assert summary["resumed_units"] == 4
        (tmp_path / "out" / "00001.parquet").unlink()
        filtered(shards, tmp_path / "out", NEAR)
        assert {p.name: p.read_bytes() for p in (tmp_path / "out").glob("*.parquet")} == before
        filtered(shards, tmp_path / "out", Filters(near_duplicates=True, distance=0))
    assert verdicts(tmp_path / "out")["000010003"]["duplicate_distance"] in (0, None)
    (shards / "00001.tar").unlink()
    (shards / "00001.parquet").unlink()
    summary = filtered(shards, tmp_path / "out", NEAR)
    assert (summary["images"], summary["near_duplicate"]) == (3, 0)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.parquet")) == ["00000.parquet"]


def test_shards_of_one_name(shards: Path, tmp_path: Path) -> None:
    other = write_set(tmp_path / "more", {"00000": {"k": encoded(flat(1))}})
    with pytest.raises(UsageError, match="have the same name"):
        filter_images([str(shards), str(other)], tmp_path / "out", NEAR, engine=Inline())


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        (Filters(), "no filter"),
        (Filters(near_duplicates=True, distance=65), "distance 65"),
        (Filters(nsfw_model="m", nsfw_threshold=2), "--nsfw-threshold"),
        (Filters(smallest_side=0), "--smallest-side"),
        (Filters(aspect_ratio=0.5), "--aspect-ratio"),
        (Filters(near_duplicates=True, seed=-1), "seed"),
    ],
)
def test_what_can_not_be(tmp_path: Path, filters: Filters, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        filtered(tmp_path, tmp_path / "out", filters)


def test_larger_images_come_first_then_the_draw_decides() -> None:
    order = ranked(np.array([5, 9, 9, 5]), np.array([1, 7, 3, 1], np.uint64))
    assert order.tolist() == [2, 1, 0, 3]
