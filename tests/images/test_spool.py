from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metacurate.images.spool import Result, Spool, spool_folder

GOOD = Result(3, "success", None, b"bytes", "jpg", 4, 5, 6, 7, "ab")
BAD = Result(1, "not_found", "404 Not Found")


def test_results_come_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    for result in (GOOD, BAD, Result(0, "empty"), Result(2, "empty")):
        spool.add(result)
    spool.close()
    found = spool.read()
    assert found.image(3) == b"bytes"
    rows = found.table(4).to_pylist()
    assert [row["status"] for row in rows] == ["empty", "not_found", "empty", "success"]
    assert rows[3]["original_height"] == 7
    assert rows[1]["error_message"] == "404 Not Found"
    spool.remove()
    assert not (tmp_path / "s").exists()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 20), st.data())
def test_what_is_whole_survives_a_cut_anywhere(
    tmp_path_factory: pytest.TempPathFactory, results: int, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("spool") / "s"
    spool = Spool(folder)
    sizes = []
    for index in range(results):
        spool.add(Result(index, "success", None, bytes([index]) * 100, "jpg"))
        sizes.append((folder / "000000.arrows").stat().st_size)
    content = (folder / "000000.arrows").read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    (folder / "000000.arrows").write_bytes(content[:cut])
    again = Spool(folder)
    assert again.done == {index for index, size in enumerate(sizes) if size <= cut}
    for index in set(range(results)) - again.done:
        again.add(Result(index, "success", None, bytes([index]) * 100, "jpg"))
    again.close()
    found = again.read()
    assert [found.image(index) for index in range(results)] == [
        bytes([index]) * 100 for index in range(results)
    ]


def test_nothing_but_whole_streams(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.close()
    assert spool.read().table(0).num_rows == 0
    (tmp_path / "s" / "000001.arrows").write_bytes(b"no stream at all, and longer than a header")
    assert Spool(tmp_path / "s").done == set()


def test_each_shard_has_a_folder_of_its_own(tmp_path: Path) -> None:
    assert spool_folder(tmp_path, "a") != spool_folder(tmp_path, "b")
