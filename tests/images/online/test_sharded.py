"""Over ranks and workers each image is considered once, and any place can be gone on from."""

import itertools
import tarfile
from collections import Counter
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metacurate as mc
from metacurate.errors import InputError, MetacurateError, UsageError
from metacurate.images.online import BalancedShards, samples_of
from metacurate.images.online.reading import deal, shuffled
from metacurate.images.online.sharded import to_sample
from metacurate.images.shards import Shard

from .sets import JPEG, MATCHER, balance_of, expected, shards_of, write_shards

SIZES = (130, 7, 300, 1, 64, 201)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


@pytest.fixture(scope="module")
def told(folder: Path) -> dict[str, list[str]]:
    return write_shards(folder, SIZES)


def urls_of(samples: Any) -> list[str]:
    return [sample["json"]["url"] for sample in samples]


def all_slots(shards: BalancedShards, world: int, workers: int) -> list[list[dict[str, Any]]]:
    ranks = [replace(shards, rank=rank, world_size=world) for rank in range(world)]
    length = ranks[0].length(workers)
    return [
        [to_sample(kept, 0) for kept in one.stream(worker, workers, length)]
        for one in ranks
        for worker in range(workers)
    ]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 20), max_size=8), st.integers(1, 12))
def test_every_sample_is_dealt_once(sizes: list[int], slots: int) -> None:
    shards = [Shard(str(i), f"{i}.tar", None, "") for i in range(len(sizes))]
    dealt = deal(shards, np.array(sizes, np.int64), slots)
    found: Counter[tuple[str, int]] = Counter()
    counts = []
    for parts in dealt:
        some = [
            (part.shard.name, place)
            for part in parts
            for place in range(
                part.first, sizes[int(part.shard.name)] if part.stop is None else part.stop
            )
        ]
        counts.append(len(some))
        found.update(some)
    assert found == Counter(
        (str(i), place) for i, size in enumerate(sizes) for place in range(size)
    )
    assert max(counts) - min(counts) <= 1
    ends = [part.shard.name for parts in dealt for part in parts if part.stop is None]
    assert ends == [shard.name for shard in shards]


@pytest.mark.parametrize(("world", "workers"), [(1, 1), (2, 2), (3, 1), (1, 20)])
@pytest.mark.parametrize("tables", [True, False])
def test_an_epoch_is_the_draw_of_the_whole_set(
    tmp_path: Path, world: int, workers: int, tables: bool
) -> None:
    told = write_shards(tmp_path, SIZES, tables=tables)
    shards = shards_of(tmp_path, told, epoch=4)
    wanted = expected(told, balance_of(told), 7, 4)
    slots = all_slots(shards, world, workers)
    samples = list(itertools.chain(*slots))
    assert Counter(urls_of(samples)) == Counter(wanted.keys())
    assert {one["json"]["url"]: one["txt"] for one in samples} == wanted
    assert all(one["jpg"] == JPEG for one in samples)
    assert shards.lengths(1) == [len(wanted)]
    dealt = replace(shards, world_size=world).lengths(workers)
    assert dealt == [len(some) for some in slots]


def test_epochs_differ_in_images_and_in_order(folder: Path, told: dict[str, list[str]]) -> None:
    orders = [urls_of(shards_of(folder, told, epoch=epoch)) for epoch in (0, 0, 1)]
    assert orders[0] == orders[1]
    assert set(orders[0]) != set(orders[2])
    both = [url for url in orders[0] if url in set(orders[2])]
    assert both != [url for url in orders[2] if url in set(orders[0])]
    places = {url: i for i, url in enumerate(told)}
    order = [places[url] for url in orders[0]]
    assert order != sorted(order)
    assert len({tuple(shuffled(shards_of(folder, told).shards, 7, e)) for e in range(20)}) > 10


def test_a_buffer_of_one_keeps_the_order(folder: Path, told: dict[str, list[str]]) -> None:
    shards = shards_of(folder, told, buffer=1)
    order = [shards.shards[place].tar for place in shuffled(shards.shards, 7, 0)]
    found = [(order.index(s["__url__"]), s["__key__"]) for s in shards]
    assert found == sorted(found)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 500), st.sampled_from([1, 3, 100, 1000]), st.sampled_from([None, "pad", "stop"])
)
def test_any_place_can_be_gone_on_from(
    folder: Path, told: dict[str, list[str]], skip: int, buffer: int, even: Any
) -> None:
    shards = shards_of(folder, told, buffer=buffer, even=even, epoch=2, world_size=3, rank=1)
    length = shards.length(1)
    whole = [to_sample(kept, 0) for kept in shards.stream(0, 1, length)]
    skip = min(skip, len(whole))
    rest = [to_sample(kept, 0) for kept in shards.stream(0, 1, length, skip)]
    assert rest == whole[skip:]


@pytest.mark.parametrize("even", ["pad", "stop"])
def test_slots_are_made_even(folder: Path, told: dict[str, list[str]], even: Any) -> None:
    shards = shards_of(folder, told, even=even)
    plain = all_slots(replace(shards, even=None), 2, 2)
    slots = all_slots(shards, 2, 2)
    sizes = [len(some) for some in plain]
    length = max(sizes) if even == "pad" else min(sizes)
    assert min(sizes) < max(sizes)
    assert [len(some) for some in slots] == [length] * 4
    for one, all_ in zip(slots, plain, strict=True):
        assert urls_of(one) == (urls_of(all_) * 2)[:length]


def test_a_slot_without_images_cant_be_padded(tmp_path: Path) -> None:
    told = write_shards(tmp_path, [3])
    shards = shards_of(tmp_path, told, even="pad", world_size=5)
    empty = shards.lengths(1).index(0)
    with pytest.raises(MetacurateError, match="keeps no image, and can't be padded"):
        list(replace(shards, rank=empty))


def test_samples_that_tables_do_not_tell_of_are_considered(tmp_path: Path) -> None:
    told = write_shards(tmp_path, [20, 20])
    other = write_shards(tmp_path / "other", [30, 30])
    for name in ("00000", "00001"):
        (tmp_path / "other" / f"{name}.tar").replace(tmp_path / f"{name}.tar")
    balance = mc.Balance(np.ones(40, np.uint64), threshold=1)
    shards = BalancedShards(str(tmp_path), MATCHER, balance)
    found = Counter(url for some in all_slots(shards, 2, 2) for url in urls_of(some))
    assert found == Counter(other.keys())
    assert len(told) < len(other)


def test_samples_of_a_shard_whose_table_is_empty_are_considered(tmp_path: Path) -> None:
    told = write_shards(tmp_path, [10, 10])
    path = tmp_path / "00001.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    shards = BalancedShards(str(tmp_path), MATCHER, mc.Balance(np.ones(40, np.uint64), threshold=1))
    found = Counter(url for some in all_slots(shards, 2, 2) for url in urls_of(some))
    assert found == Counter(told.keys())


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_damaged_tars(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = write_shards(tmp_path, [50, 50])
    shards = shards_of(tmp_path, told)
    damage(tmp_path / "00001.tar")
    with pytest.raises(InputError, match=r"00001\.tar: .*cut short"):
        list(shards)
    found = list(replace(shards, on_error="skip"))
    assert {s["__url__"] for s in found} == {str(tmp_path / f"0000{i}.tar") for i in (0, 1)}
    assert "00001.tar" in caplog.text


def test_pickles_and_commands_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        info = tarfile.TarInfo("1.pkl")
        info.size = 3
        tar.addfile(info, BytesIO(b"abc"))
    balance = mc.Balance(np.ones(40, np.uint64), threshold=1)
    with pytest.raises(InputError, match="is a pickle, which is refused"):
        list(samples_of(str(tmp_path)))
    with pytest.raises(InputError, match="is a pickle, which is refused"):
        list(BalancedShards(str(tmp_path), MATCHER, balance))
    for source in ("pipe:touch x", ["pipe:cat a.tar"]):
        with pytest.raises(UsageError, match="a command to be run"):
            BalancedShards(source, MATCHER, balance)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"rank": 2, "world_size": 2}, "rank 2 is none of 2"),
        ({"buffer": 0}, "too small"),
        ({"even": "trim"}, "neither"),
        ({"epoch": -1}, "epoch -1"),
    ],
)
def test_numbers_that_cant_be(
    folder: Path, told: dict[str, list[str]], more: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        shards_of(folder, told, **more)
