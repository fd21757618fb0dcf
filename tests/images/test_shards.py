"""Shards as files: read back by webdataset's rules, and whatever else may lie in a tar."""

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metacurate.errors import InputError, UsageError
from metacurate.images.shards import (
    Sample,
    ShardWriter,
    drop_other_shards,
    list_shards,
    read_columns,
    read_samples,
    read_table,
    sample_key,
    shard_name,
    write_shard,
)

KEYS = st.lists(st.from_regex(r"[a-zä0-9]{1,8}", fullmatch=True), unique=True, max_size=5)
TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def write_tar(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def sample(key: str, text: str | None = "a photo") -> Sample:
    return Sample(key, b"\xff\xd8 " + key.encode(), "jpg", text, {"url": f"https://a/{key}"})


@settings(deadline=None, max_examples=100)
@given(KEYS, TEXTS, st.booleans())
def test_samples_come_back(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str], text: str | None, images: bool
) -> None:
    path = tmp_path_factory.mktemp("tar") / "00000.tar"
    wanted = [sample(key, text) for key in keys]
    with ShardWriter(path) as tar:
        for one in wanted:
            tar.add(one)
    stripped = None if text is None else text.removesuffix("\n")
    found = list(read_samples(str(path), images=lambda _: images))
    assert [one.key for one in found] == keys
    assert [one.text for one in found] == [stripped] * len(keys)
    assert [one.image for one in found] == [one.image if images else None for one in wanted]
    assert [one.fields for one in found] == [one.fields for one in wanted]


def test_the_same_samples_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with ShardWriter(tmp_path / name) as tar:
            tar.add(sample("1"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_pairs_of_our_shards_and_of_others() -> None:
    ours = Sample("1", None, None, "x", {"url": "u", "pairs": [{"text": "x"}, {"text": "y"}, 3]})
    assert ours.pairs == [{"text": "x"}, {"text": "y"}]
    assert ours.url("00000.tar") == "u"
    assert Sample("1", None, None, "x", {"caption": "y"}).pairs == [{"text": "x"}]
    assert Sample("1", None, None, None, {"caption": "y"}).pairs == [{"text": "y"}]
    assert Sample("1", None, None, None, {}).pairs == []
    assert Sample("1", None, None, None, {"url": 3}).url("00000.tar") == "00000.tar/1"


def test_other_members_are_passed_over(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar",
        ("__meta__/x.json", b"{"),
        ("a/1.cls", b"3"), ("a/1.PNG", b"png"), ("a/1.seg.png", b"other"), ("a/1.jpg", b"second"),
        ("noending", b""), ("a/2.txt", b"text\n"),
    )  # fmt: skip
    first, second = read_samples(str(path))
    assert (first.key, first.image, first.ending) == ("a/1", b"png", "png")
    assert (second.key, second.image, second.text) == ("a/2", None, "text")


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("1.pkl", b"")], "'1.pkl' is a pickle, which is refused"),
        ([("1.x.pyd", b"")], "is a pickle"),
        ([("1.PTH", b"")], "is a pickle"),
        ([("../1.jpg", b"")], "leads out of the tar"),
        ([("/1.jpg", b"")], "absolute"),
        ([("1.jpg", b""), ("2.jpg", b""), ("1.txt", b"")], "'1' comes twice"),
        ([("1.txt", b"\xff")], "sample '1': its .txt is no UTF-8"),
        ([("1.json", b"{")], "sample '1': its .json is no JSON"),
        ([("1.json", b"[]")], "its .json is no JSON object"),
    ],
)
def test_what_is_refused(tmp_path: Path, members: list[tuple[str, bytes]], reason: str) -> None:
    path = write_tar(tmp_path / "a.tar", *members)
    with pytest.raises(InputError, match=reason):
        list(read_samples(str(path)))


def test_a_tar_that_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with ShardWriter(path) as tar:
        for number in range(5):
            tar.add(sample(str(number)))
    for size in (0, 100, 2000, 4000):
        (tmp_path / "cut.tar").write_bytes(path.read_bytes()[:size])
        with pytest.raises(InputError, match=r"cut\.tar: "):
            list(read_samples(str(tmp_path / "cut.tar")))


def test_shards_are_found_with_their_tables(tmp_path: Path) -> None:
    table = pa.table({"key": ["1", "2"]})
    write_shard(tmp_path, shard_name(0), [sample("1")], table, {"count": 2})
    write_tar(tmp_path / "00001.tar")
    first, second = list_shards(str(tmp_path))
    assert (first.name, first.rows, first.tar) == ("00000", 2, str(tmp_path / "00000.tar"))
    assert read_table(first).equals(table)
    assert read_columns(first, ["key", "other"]).equals(table)
    assert json.loads((tmp_path / "00000_stats.json").read_text())["count"] == 2
    assert second.table is None
    with pytest.raises(InputError, match=r"no table beside it: 00001\.parquet"):
        read_table(second)
    assert [shard.name for shard in list_shards(str(tmp_path / "*1.tar"))] == ["00001"]
    identity = first.identity
    pq.write_table(pa.table({"key": ["1"]}), tmp_path / "00000.parquet")
    assert list_shards(str(tmp_path))[0].identity != identity


def test_no_shards(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no tars"):
        list_shards(str(tmp_path))
    with pytest.raises(UsageError, match="a command to be run, which is refused"):
        list_shards(["pipe:cat a.tar"])
    (tmp_path / "00000.tar").write_bytes(b"")
    (tmp_path / "00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"00000\.parquet: can't be looked at"):
        list_shards(str(tmp_path))


def test_shards_of_a_run_that_is_not_complete(tmp_path: Path) -> None:
    write_tar(tmp_path / "00000.tar")
    (tmp_path / ".metacurate").mkdir()
    with pytest.raises(UsageError, match="not complete"):
        list_shards(str(tmp_path))


def test_names() -> None:
    assert [shard_name(0), shard_name(123_456)] == ["00000", "123456"]
    assert sample_key("00001", 7, 10_000) == "000010007"
    assert sample_key("00001", 7, 10_001) == "0000100007"


def test_shards_of_earlier_flags_go(tmp_path: Path) -> None:
    for number in range(3):
        write_shard(tmp_path, shard_name(number), [], pa.table({"key": ["1"]}), {})
    (tmp_path / "mine.tar").touch()
    drop_other_shards(tmp_path, ["00001"])
    assert {path.name for path in tmp_path.iterdir()} == {
        "00001.tar", "00001.parquet", "00001_stats.json", "mine.tar",
    }  # fmt: skip
