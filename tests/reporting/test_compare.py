"""Two and three finished sets side by side, against what plain Python finds in their files."""

import json
import shutil
import tarfile
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

import metacurate as mc
from metacurate.errors import InputError, UsageError
from metacurate.reporting.compare import Entries, compare, compare_entries, label_of

from ..curation.pools import ENTRIES, read_curated, write_pool, zipf_pool

OTHERS = [*reversed(ENTRIES[:300]), "w1", "w3", "nothing at all"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sets: t of 5 and 20, other metadata and a seed, and a part of the pool."""
    folder = tmp_path_factory.mktemp("compare")
    pool = zipf_pool(3_000)
    write_pool(folder / "pool", [pool.slice(0, 1_000), pool.slice(1_000)])
    write_pool(folder / "part", [pool.slice(500, 1_500)])
    metadata, others = mc.Metadata.from_entries(ENTRIES), mc.Metadata.from_entries(OTHERS)
    for name, threshold in (("t5", 5), ("t20", 20)):
        mc.curate(folder / "pool", metadata, threshold=threshold, out=folder / name)
    mc.curate(folder / "pool", others, threshold=20, out=folder / "other", seed=1)
    mc.curate(folder / "part", metadata, threshold=20, out=folder / "partly")
    return folder


def pairs_of(out: Path) -> list[tuple[str, str]]:
    table = read_curated(out)
    return list(zip(table["url"].to_pylist(), table["text"].to_pylist(), strict=True))


def kept_of(out: Path) -> Counter[str]:
    """Kept pairs that match each entry, counted from the files of pairs."""
    names = pq.read_table(out / "counts.parquet")["entry"].to_pylist()
    kept = Counter(dict.fromkeys(names, 0))
    kept.update(names[i] for ids in read_curated(out)["entries"].to_pylist() for i in ids)
    return kept


def test_thresholds(folder: Path) -> None:
    found = compare([folder / "t5", folder / "t20"])
    assert [one["name"] for one in found["sets"]] == [str(folder / "t5"), str(folder / "t20")]
    for name, one in zip(("t5", "t20"), found["sets"], strict=True):
        totals = json.loads((folder / name / "manifest.json").read_text())["totals"]
        assert {k: totals[k] for k in one["totals"]} == one["totals"]
        assert one["totals"]["kept"] == len(pairs_of(folder / name))
    assert found["differ"] == ["threshold"]
    smaller, larger = (set(pairs_of(folder / name)) for name in ("t5", "t20"))
    assert smaller < larger
    overlap = found["overlap"]
    assert overlap["both"] == [[len(smaller), len(smaller)], [len(smaller), len(larger)]]
    assert overlap["jaccard"][0][1] == len(smaller) / len(larger)
    assert [one["only"] for one in overlap["sets"]] == [0, len(larger - smaller)]
    repeated = len(pairs_of(folder / "t20")) - len(larger)
    assert overlap["sets"][1]["repeated"] == repeated > 0
    (changes,) = found["entries"]
    assert (changes["shrank"], changes["lost"], changes["only_first"]["number"]) == (0, [], 0)


def test_entries_against_the_files(folder: Path) -> None:
    (changes,) = compare([folder / "t20", folder / "other"], top=10_000)["entries"]
    first, second = kept_of(folder / "t20"), kept_of(folder / "other")
    common = first.keys() & second.keys()
    assert changes["common"] == len(common) == 300
    told = {e["entry"]: e["kept"] for kind in ("gained", "lost") for e in changes[kind]}
    differing = {name for name in common if first[name] != second[name]}
    assert told == {name: [first[name], second[name]] for name in differing}
    assert {e["entry"] for e in changes["gained"]} == {n for n in common if second[n] > first[n]}
    shares = {
        e["entry"]: e["share"] for kind in ("gained_share", "lost_share") for e in changes[kind]
    }
    for name, (one, other) in shares.items():
        assert one == pytest.approx(first[name] / first.total())
        assert other == pytest.approx(second[name] / second.total())
    for kind, sign in (("gained", 1), ("lost", -1)):
        changed = [sign * (e["kept"][1] - e["kept"][0]) for e in changes[kind]]
        assert changed == sorted(changed, reverse=True)
    alone = changes["only_second"]
    assert alone["number"] == 3
    assert {e["entry"] for e in alone["top"]} == {"w1", "w3"}  # the third matches nothing
    assert alone["kept_matches"] == sum(second[name] for name in ("w1", "w3"))
    assert changes["only_first"]["number"] == len(ENTRIES) - 300


def test_three_sets(folder: Path) -> None:
    outs = [folder / name for name in ("t20", "other", "partly")]
    found = compare(outs, top=3)
    sets = [set(pairs_of(out)) for out in outs]
    assert found["overlap"]["both"] == [[len(a & b) for b in sets] for a in sets]
    assert found["overlap"]["all"] == len(sets[0] & sets[1] & sets[2])
    assert [(e["from"], e["to"]) for e in found["entries"]] == [(0, 1), (0, 2)]
    assert all(len(e["gained"]) <= 3 for e in found["entries"])
    assert set(found["differ"]) == {"seed", "metadata_digest", "pool", "pool_identity"}


def test_it_is_the_same_each_time(folder: Path) -> None:
    outs = [folder / "t5", folder / "other"]
    assert json.dumps(compare(outs)) == json.dumps(compare(outs))


def test_every_setting_that_differs(folder: Path, tmp_path: Path) -> None:
    options: Any = {"mode": "spaced", "where": "url != 'x'", "per_image": "one", "round": 4}
    metadata = mc.Metadata.from_entries(ENTRIES)
    mc.curate(folder / "pool", metadata, tail_share=0.5, out=tmp_path / "out", **options)
    found = compare([folder / "t20", tmp_path / "out"])
    assert set(found["differ"]) == {
        "threshold", "round", "mode", "tail_share_asked", "where", "per_image", "pool_identity",
    }  # fmt: skip
    assert "other_caption" not in found["sets"][0]["totals"]
    assert {"other_caption", "filtered"} <= found["sets"][1]["totals"].keys()


# ---- sets of other kinds


def test_whole_numbers_tell_images_apart(tmp_path: Path) -> None:
    metadata = mc.Metadata.from_entries(["x"])
    numbers = pa.table({"key": [1, 2, 3], "text": ["x", "x", "x"]})
    texts = pa.table({"key": ["2", "3", "4"], "text": ["x", "x", "x"]})
    for name, table in (("numbers", numbers), ("texts", texts)):
        source = write_pool(tmp_path / name, [table])
        mc.curate(source, metadata, threshold=9, id_column="key", out=tmp_path / f"{name}-out")
    overlap = compare([tmp_path / "numbers-out", tmp_path / "texts-out"])["overlap"]
    assert overlap["identities"] == ["key", "key"]
    assert overlap["both"] == [[3, 2], [2, 3]]


def test_tars(tmp_path: Path) -> None:
    metadata = mc.Metadata.from_entries(["x"])
    for name, keys in (("one", "abc"), ("other", "bcd")):
        (tmp_path / name).mkdir()
        with tarfile.open(tmp_path / name / "00000.tar", "w") as tar:
            for key in keys:
                member = tarfile.TarInfo(f"{key}.txt")
                member.size = 1
                tar.addfile(member, BytesIO(b"x"))
        out = tmp_path / f"{name}-out"
        mc.curate(tmp_path / name, metadata, threshold=9, id_column="__id__", out=out)
    found = compare([tmp_path / "one-out", tmp_path / "other-out"])
    assert found["overlap"]["identities"] == ["__id__", "__id__"]
    assert found["overlap"]["both"] == [[3, 2], [2, 3]]
    assert found["differ"] == ["pool", "pool_identity"]


def test_urls_beside_keys(folder: Path, tmp_path: Path) -> None:
    source = write_pool(tmp_path / "pool", [pa.table({"key": [1], "text": ["w0"]})])
    metadata = mc.Metadata.from_entries(ENTRIES)
    mc.curate(source, metadata, threshold=9, id_column="key", out=tmp_path / "out")
    found = compare([folder / "t5", tmp_path / "out"])
    assert found["overlap"]["identities"] == ["url", "key"]
    assert found["overlap"]["both"][0][1] == 0
    assert "id_column" in found["differ"]


def test_empty_sets(folder: Path, tmp_path: Path) -> None:
    source = write_pool(tmp_path / "pool", [pa.table({"url": ["a"], "text": ["nothing"]})])
    for name in ("one", "other"):
        mc.curate(source, mc.Metadata.from_entries(["x"]), out=tmp_path / name)
    found = compare([tmp_path / "one", tmp_path / "other", folder / "t5"])
    assert found["overlap"]["jaccard"][0] == [1.0, 1.0, 0.0]
    assert found["overlap"]["identities"] == [None, None, "url"]
    assert found["entries"][0]["gained_share"] == []


def test_a_set_in_a_store(folder: Path, tmp_path: Path) -> None:
    store = UPath("memory://compare-sets/out")
    for path in (folder / "t20").rglob("*"):
        if path.is_file() and ".metacurate" not in path.parts:
            (store / path.relative_to(folder / "t20").as_posix()).write_bytes(path.read_bytes())
    here = compare([folder / "t5", folder / "t20"])
    there = compare([folder / "t5", "memory://compare-sets/out"])
    assert there["overlap"] == here["overlap"]
    assert there["entries"] == here["entries"]


# ---- what can't be compared


def test_one_set_twice(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="are the same set"):
        compare([folder / "t5", folder / "other", folder / "t5" / ".." / "t5"])
    (tmp_path / "link").symlink_to(folder / "t5")
    with pytest.raises(UsageError, match="are the same set"):
        compare([folder / "t5", tmp_path / "link"])


def test_a_copy_is_another_set(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "t5", tmp_path / "copy")
    found = compare([folder / "t5", tmp_path / "copy"])
    assert found["differ"] == []
    assert found["overlap"]["jaccard"] == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize("outs", [[], ["a"], ["a"] * 64])
def test_numbers_of_sets(outs: list[str]) -> None:
    with pytest.raises(UsageError, match="2 to 63 curated sets"):
        compare(outs)


def test_what_is_no_set(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no finished curated set"):
        compare([folder / "t5", folder / "pool"])
    with pytest.raises(UsageError, match="holds no finished curated set"):
        compare([folder / "t5", tmp_path / "missing"])
    mc.count(
        folder / "pool", mc.Matcher(mc.Metadata.from_entries(["w0"])), out=tmp_path / "counted"
    )
    with pytest.raises(UsageError, match="metacurate count"):
        compare([folder / "t5", tmp_path / "counted"])
    with pytest.raises(UsageError, match="top -1"):
        compare([folder / "t5", folder / "t20"], top=-1)


def test_a_broken_table_is_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "t5", tmp_path / "copy")
    (tmp_path / "copy" / "curated" / "z.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match=r"z\.parquet"):
        compare([folder / "t5", tmp_path / "copy"])


# ---- the core, on arrays


NAMES = st.sampled_from("abcdefgh")
KEPT = st.dictionaries(NAMES, st.integers(0, 5))


def entries(kept: dict[str, int], more: int) -> Entries:
    names, values = list(kept), np.array(list(kept.values()), np.int64)
    return Entries(
        pa.array(names, pa.string()), pa.array(names, pa.string()), values + more, values
    )


@given(first=KEPT, second=KEPT, top=st.integers(0, 4))
def test_changes_as_plain_python_finds_them(
    first: dict[str, int], second: dict[str, int], top: int
) -> None:
    found = compare_entries(entries(first, 1), entries(second, 1), top)
    common = [name for name in first if name in second]
    change = {name: second[name] - first[name] for name in common}
    assert found["common"] == len(common)
    assert found["grew"] == sum(value > 0 for value in change.values())
    assert found["shrank"] == sum(value < 0 for value in change.values())
    assert found["same"] == sum(value == 0 for value in change.values())
    for kind, sign in (("gained", 1), ("lost", -1)):
        wanted = [name for name in common if sign * change[name] > 0]
        wanted.sort(key=lambda name: -sign * change[name])  # stable: by id then
        assert [e["entry"] for e in found[kind]] == wanted[:top]
    for kind, one, other in (("only_first", first, second), ("only_second", second, first)):
        alone = [name for name in one if name not in other]
        assert found[kind]["number"] == len(alone)
        alone.sort(key=lambda name: -one[name])
        assert [e["entry"] for e in found[kind]["top"]] == alone[:top]


def test_labels() -> None:
    assert [label_of(i) for i in (0, 25, 26, 51, 52, 62)] == ["A", "Z", "AA", "AZ", "BA", "BK"]
    assert len({label_of(i) for i in range(63)}) == 63
