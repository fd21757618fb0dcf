"""Pairs that were curated of shards come back as they are: repeated ones, and keys that repeat."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metacurate as mc
from metacurate.engine.run import CorruptInputError
from metacurate.errors import UsageError
from metacurate.images.filters.filter import filter_images
from metacurate.images.filters.verdicts import Filters
from metacurate.images.selection.select import select_images
from metacurate.images.shards import Sample, list_shards, read_samples, write_shard
from tests.images.made import encoded, noise

METADATA = mc.Metadata.from_entries(["cat", "dog", "fox"])
PNG = encoded(noise(1))


def write(folder: Path, shards: dict[str, list[dict[str, Any]]]) -> str:
    """Write shards of pairs, given with key, url, text and whatever else."""
    folder.mkdir()
    for number, (name, rows) in enumerate(shards.items()):
        by_key: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_key.setdefault(row["key"], []).append(row)
        samples = [
            Sample(key, encoded(noise(100 * number + place)), "png", some[0]["text"],
                   {"url": some[0]["url"], "pairs": [{"text": row["text"]} for row in some]})
            for place, (key, some) in enumerate(by_key.items())
        ]  # fmt: skip
        table = pa.Table.from_pylist([{**row, "status": "success"} for row in rows])
        write_shard(folder, name, samples, table, {})
    return str(folder)


def curated(source: str, out: Path, **more: Any) -> str:
    mc.curate(source, METADATA, **{"threshold": 1, "out": str(out), **more})
    return str(out)


def texts(out: Path) -> Counter[tuple[str, str]]:
    """Url and text of each pair, as the tars have them; the tables tell the same."""
    found: Counter[tuple[str, str]] = Counter()
    told: Counter[tuple[str, str]] = Counter()
    for shard in list_shards(str(out)):
        for sample in read_samples(shard.tar):
            found.update((sample.url(""), pair["text"]) for pair in sample.pairs)
        for row in pq.read_table(shard.table).to_pylist():
            if row["status"] == "success":
                told[row["url"], row["text"]] += 1
    assert found == told
    return found


def pairs_of(folder: str) -> Counter[tuple[str, str]]:
    rows = pq.read_table(f"{folder}/curated").to_pylist()
    return Counter((row["url"], row["text"]) for row in rows)


REPEATED = {
    "00000": [
        {"key": "a", "url": "u", "text": "a cat", "lang": "en"},
        {"key": "a", "url": "u", "text": "a cat", "lang": "de"},
        {"key": "a", "url": "u", "text": "a dog", "lang": "en"},
    ]
}


@pytest.mark.parametrize(
    "more", [{}, {"per_image": "one"}, {"where": 'lang == "en"'}, {"where": 'lang == "de"'}]
)
def test_pairs_that_repeat_stay_as_often_as_they_were_curated(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    source = write(tmp_path / "s", REPEATED)
    kept = curated(source, tmp_path / "c", **more)
    select_images(source, str(tmp_path / "out"), pairs=kept)
    assert texts(tmp_path / "out") == pairs_of(kept)
    languages = pq.read_table(f"{kept}/curated")["lang"].to_pylist()
    table = pq.read_table(tmp_path / "out" / "00000.parquet").to_pylist()
    assert sorted(row["lang"] for row in table if row["status"] == "success") == sorted(languages)


def test_a_condition_on_pairs_that_repeat(tmp_path: Path) -> None:
    source = write(tmp_path / "s", REPEATED)
    select_images(source, str(tmp_path / "out"), where='lang == "en"')
    assert texts(tmp_path / "out") == {("u", "a cat"): 1, ("u", "a dog"): 1}


@pytest.mark.parametrize("tables", [True, False])
def test_keys_that_are_unique_in_their_shard_only(tmp_path: Path, tables: bool) -> None:
    source = write(
        tmp_path / "s",
        {f"{n:05d}": [{"key": "000", "url": f"u{n}", "text": "a cat"}] for n in range(6)},
    )
    more: dict[str, Any] = {"threshold": 3}
    if not tables:
        for path in (tmp_path / "s").glob("*.parquet"):
            path.unlink()
        more["id_column"] = "__id__"
    kept = curated(source, tmp_path / "c", **more)
    rows = len(pq.read_table(f"{kept}/curated"))
    assert 0 < rows < 6
    assert select_images(source, str(tmp_path / "out"), pairs=kept)["pairs_kept"] == rows


def test_pairs_that_were_not_curated_of_these_shards(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = write(tmp_path / "one", REPEATED)
    other = write(tmp_path / "other", {"00000": [{"key": "b", "url": "v", "text": "a fox"}]})
    with pytest.raises(UsageError, match="are shards, not what was curated of them"):
        select_images(one, str(tmp_path / "x"), pairs=one)
    with pytest.raises(UsageError, match="none of its pairs is in these shards"):
        select_images(other, str(tmp_path / "y"), pairs=curated(one, tmp_path / "c"))
    both = curated(f"{tmp_path}/o*", tmp_path / "both")
    select_images(other, str(tmp_path / "z"), pairs=both)
    assert "curated pairs are not in these shards" in caplog.text


def test_what_lies_beside_a_tar_is_made_again(tmp_path: Path) -> None:
    source = write(tmp_path / "s", REPEATED)
    for _ in range(2):
        select_images(source, str(tmp_path / "out"), where='lang == "en"')
        assert texts(tmp_path / "out")
        (tmp_path / "out" / "00000.parquet").unlink()


def test_shards_without_verdicts_may_be_skipped(tmp_path: Path) -> None:
    rows = {n: [{"key": f"{n}0", "url": f"u{n}", "text": "a cat"}] for n in ("00000", "00001")}
    source = write(tmp_path / "s", rows)
    tar = tmp_path / "s" / "00001.tar"
    tar.write_bytes(tar.read_bytes()[:1000])
    filters = Filters(smallest_side=10)
    filter_images(source, str(tmp_path / "v"), filters, on_error="skip")
    call: dict[str, Any] = {"verdicts": [str(tmp_path / "v")], "drop": ["too_small"]}
    found = select_images(source, str(tmp_path / "out"), **call, on_error="skip")
    assert (found["images_kept"], found["failed_units"]) == (1, 1)


def test_a_benchmark_is_never_skipped(tmp_path: Path) -> None:
    source = write(tmp_path / "s", REPEATED)
    val = tmp_path / "val"
    val.mkdir()
    (val / "a.png").write_bytes(encoded(noise(0)))
    (val / "._a.png").write_bytes(b"what macOS leaves")
    filters = Filters(benchmarks=(str(val),))
    assert filter_images(source, str(tmp_path / "v"), filters)["benchmark"] == 1
    (val / "b.png").write_bytes(b"no image")
    with pytest.raises(CorruptInputError, match=r"b\.png"):
        filter_images(source, str(tmp_path / "w"), filters, on_error="skip")


def test_originals_are_known_by_the_table_too(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"as it came").hexdigest()
    row = {"key": "a", "url": "u", "text": "a cat", "sha256": digest}
    source = write(tmp_path / "s", {"00000": [row]})
    (tmp_path / "list").write_text(digest)
    filters = Filters(sha256_lists=(str(tmp_path / "list"),))
    assert filter_images(source, str(tmp_path / "v"), filters)["listed"] == 1


def test_shards_in_folders_below(tmp_path: Path) -> None:
    write(tmp_path / "s", {})
    write(tmp_path / "s" / "part", REPEATED)
    assert [shard.name for shard in list_shards(str(tmp_path / "s"))] == ["00000"]


def test_long_keys(tmp_path: Path) -> None:
    key = "k" * 150
    source = write(tmp_path / "s", {"00000": [{"key": key, "url": "u", "text": "a cat"}]})
    assert [s.key for shard in list_shards(source) for s in read_samples(shard.tar)] == [key]
