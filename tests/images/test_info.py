from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metacurate.errors import InputError
from metacurate.images.info import read_info
from metacurate.images.shards import list_shards, shard_name, write_shard

URLS = [
    "https://A.example/1", "https://a.example/1", "http://user:pw@a.example:8080/2", "http://[::1]/",
    "no url", "https://b.example?x", "https://c.example/",
]  # fmt: skip


def write(folder: Path, rows: int = len(URLS)) -> Path:
    table = pa.table(
        {
            "key": [f"{i}" for i in range(rows)],
            "url": URLS[:rows],
            "status": (["success", "not_found"] * rows)[:rows],
            "text": ["x"] * rows,
        }
    )
    doubled = pa.concat_tables([table.slice(0, 1), table]).sort_by("key")
    for number in range(2):
        write_shard(folder, shard_name(number), [], doubled, {})
    return folder


def test_images_and_pairs_by_cause_and_host(tmp_path: Path) -> None:
    found = read_info(list_shards(str(write(tmp_path))))
    assert (found["shards"], found["images"], found["pairs"]) == (2, 14, 16)
    assert found["status"] == [
        {"status": "success", "images": 8, "pairs": 10},
        {"status": "not_found", "images": 6, "pairs": 6},
    ]
    hosts = {one["host"]: (one["images"], one["success"]) for one in found["hosts"]}
    assert hosts == {
        "a.example": (6, 4), "[::1]": (2, 0), "(none)": (2, 2), "b.example": (2, 0),
        "c.example": (2, 2),
    }  # fmt: skip
    assert found["hosts"][0] == {
        "host": "a.example", "images": 6, "success": 4, "status": {"not_found": 2},
    }  # fmt: skip
    assert len(read_info(list_shards(str(tmp_path)), hosts=2)["hosts"]) == 2


def test_shards_without_images(tmp_path: Path) -> None:
    found = read_info(list_shards(str(write(tmp_path, 0))))
    assert (found["images"], found["status"], found["hosts"]) == (0, [], [])


def test_tables_that_tell_nothing(tmp_path: Path) -> None:
    write(tmp_path)
    pq.write_table(pa.table({"key": ["1"], "url": ["u"]}), tmp_path / "00001.parquet")
    with pytest.raises(InputError, match=r"00001\.parquet: has no column 'status'"):
        read_info(list_shards(str(tmp_path)))
    (tmp_path / "00001.parquet").unlink()
    with pytest.raises(InputError, match="no table beside it"):
        read_info(list_shards(str(tmp_path)))
