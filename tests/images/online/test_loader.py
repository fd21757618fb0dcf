"""Real workers of PyTorch that prefetch, and runs that are broken off."""

import json
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as distributed
import webdataset as wds
from torch.utils.data import DataLoader
from torch.utils.data._utils.pin_memory import pin_memory

import metacurate as mc
from metacurate.errors import UsageError
from metacurate.images.online import BalancedShards, decode, online_balance, samples_of
from metacurate.images.online.balancing import Share
from metacurate.images.online.loader import Loader, _Made

from .sets import MATCHER, THRESHOLD, balance_of, expected, shards_of, write_shards

SIZES = (150, 80, 170)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


@pytest.fixture(scope="module")
def told(folder: Path) -> dict[str, list[str]]:
    return write_shards(folder, SIZES)


def urls(samples: list[dict[str, Any]]) -> list[str]:
    return [sample["json"]["url"] for sample in samples]


def tensors(samples: list[dict[str, Any]]) -> tuple[torch.Tensor, list[str]]:
    decoded = [decode(sample) for sample in samples]
    images = [torch.frombuffer(bytearray(d["image"].tobytes()), dtype=torch.uint8) for d in decoded]
    return torch.stack(images), [d["txt"] for d in decoded]


def ranks(shards: BalancedShards, world: int) -> Iterator[BalancedShards]:
    for rank in range(world):
        yield replace(shards, rank=rank, world_size=world)


def test_two_ranks_with_two_workers_see_each_image_once(
    folder: Path, told: dict[str, list[str]]
) -> None:
    wanted = expected(told, balance_of(told), 7, 0)
    found: Counter[str] = Counter()
    considered, padded = 0, 0
    for one in ranks(shards_of(folder, told), 2):
        loader = Loader(one, 16, workers=2, collate=urls)
        for batch in loader:
            found.update(batch)
        considered += loader.share.images
        assert loader.epoch == 1
        even = Loader(replace(one, even="pad"), 16, workers=2, collate=urls)
        assert len(even) == len(list(even))
        padded += even.share.images
    assert found == Counter(wanted.keys())
    assert considered == padded == sum(SIZES)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 2, 3])
@pytest.mark.parametrize("even", [None, "pad"])
def test_a_broken_epoch_goes_on_as_if_it_had_not_been(
    folder: Path, told: dict[str, list[str]], workers: int, even: Any
) -> None:
    shards = shards_of(folder, told, even=even)
    options: dict[str, Any] = {"prefetch_factor": 4} if workers else {}

    def make() -> Loader[list[str]]:
        return Loader(shards, 8, workers=workers, collate=urls, **options)

    whole = list(make())
    if even == "pad":
        assert len(make()) == len(whole)
    for stop in (1, len(whole) // 2, len(whole) - 1):
        broken = make()
        seen = [batch for _, batch in zip(range(stop), broken, strict=False)]
        state = json.loads(json.dumps(broken.state_dict()))
        assert len(json.dumps(state)) < 1000
        again = make()
        again.load_state_dict(state)
        assert seen + list(again) == whole
        assert again.epoch == 1


def test_a_pass_that_is_left_goes_on_with_the_next(
    folder: Path, told: dict[str, list[str]]
) -> None:
    shards = shards_of(folder, told)
    whole = list(Loader(shards, 8, collate=urls))
    loader = Loader(shards, 8, collate=urls)
    seen = []
    for batch in loader:
        seen.append(batch)
        if len(seen) == 3:
            break
    assert seen + list(loader) == whole


def test_the_state_at_an_epochs_end_is_that_of_the_next(
    folder: Path, told: dict[str, list[str]]
) -> None:
    shards = shards_of(folder, told)
    loader = Loader(shards, 8, collate=urls)
    first = list(loader)
    state = loader.state_dict()
    second = list(loader)
    again = Loader(shards, 8, collate=urls)
    again.load_state_dict(state)
    assert list(again) == second != first
    again.set_epoch(0)
    assert list(again) == first


def test_states_of_other_loaders_are_refused(
    folder: Path, told: dict[str, list[str]], tmp_path: Path
) -> None:
    shards = shards_of(folder, told)
    state = Loader(shards, 8, workers=2).state_dict()
    others: list[tuple[Loader[Any], str]] = [
        (Loader(replace(shards, seed=8), 8, workers=2), "seed 7, not 8"),
        (Loader(shards, 8, workers=3), "workers 2, not 3"),
        (Loader(replace(shards, world_size=2), 8, workers=2), "world size 1, not 2"),
        (Loader(shards_of(folder, told, buffer=5), 8, workers=2), "buffer 1000, not 5"),
    ]
    for other, reason in others:
        with pytest.raises(UsageError, match=f"another loader: {reason}"):
            other.load_state_dict(state)
    write_shards(tmp_path, (150, 80))
    with pytest.raises(UsageError, match="shards"):
        Loader(shards_of(tmp_path, told), 8, workers=2).load_state_dict(state)


def test_batches_of_tensors_from_workers_that_are_spawned(
    folder: Path, told: dict[str, list[str]]
) -> None:
    shards = shards_of(folder, told)
    loader = Loader(
        shards, 32, workers=1, collate=tensors, drop_last=True, multiprocessing_context="spawn"
    )
    batches = list(loader)
    kept = len(expected(told, balance_of(told), 7, 0))
    assert [len(texts) for _, texts in batches] == [32] * (kept // 32)
    assert all(images.shape == (32, 8 * 6 * 3) for images, _ in batches)


def test_in_a_pipeline_of_webdataset(folder: Path, told: dict[str, list[str]]) -> None:
    balance = balance_of(told)
    pipeline = wds.DataPipeline(
        partial(samples_of, str(folder)), online_balance(MATCHER, balance, 7, 2), wds.map(decode)
    )
    found = {sample["json"]["url"]: sample["txt"] for sample in pipeline}
    assert found == expected(told, balance, 7, 2)


def test_webdataset_reads_the_shards(folder: Path, told: dict[str, list[str]]) -> None:
    tars = sorted(str(path) for path in folder.glob("*.tar"))
    balance = balance_of(told)
    samples = list(wds.WebDataset(tars, shardshuffle=False))
    assert [json.loads(sample["json"])["url"] for sample in samples] == list(told)
    found = online_balance(MATCHER, balance, 7, 2)(iter(samples))
    kept = {json.loads(s["json"])["url"]: s["txt"].decode() for s in found}
    assert kept == expected(told, balance, 7, 2)


@pytest.mark.parametrize("own", [True, False])
def test_in_the_workers_of_a_plain_loader_each_image_comes_once(
    folder: Path, told: dict[str, list[str]], own: bool
) -> None:
    balance = balance_of(told)
    found: Counter[str] = Counter()
    for one in ranks(shards_of(folder, told), 2):
        source = partial(samples_of, str(folder), one.rank, one.world_size)
        stages = [one.__iter__] if own else [source, online_balance(MATCHER, balance, 7, 0)]
        loader = DataLoader(wds.DataPipeline(*stages, wds.map(decode)), None, num_workers=2)
        found.update(sample["json"]["url"] for sample in loader)
    assert found == Counter(expected(told, balance, 7, 0).keys())


def test_workers_that_outlive_an_epoch_are_told_the_next(
    folder: Path, told: dict[str, list[str]]
) -> None:
    balance = balance_of(told)
    epoch = multiprocessing.Value("i", 0)
    pipeline = wds.DataPipeline(
        partial(samples_of, str(folder)), online_balance(MATCHER, balance, 7, partial(held, epoch))
    )
    loader = DataLoader(pipeline, None, num_workers=2, persistent_workers=True)
    for number in (0, 3):
        epoch.value = number
        found = {sample["json"]["url"]: sample["txt"] for sample in loader}
        assert found == expected(told, balance, 7, number)


def held(value: Any) -> int:
    return int(value.value)


def in_step(shards: BalancedShards, meeting: str, wanted: dict[str, str]) -> None:
    """What one of two processes does that exchange something at each batch, as training does."""
    distributed.init_process_group(
        "gloo", init_method=meeting, rank=shards.rank, world_size=shards.world_size
    )
    for even in ("pad", "stop"):
        found: Counter[str] = Counter()
        for batch in Loader(replace(shards, even=even), 8, workers=2, collate=urls):
            gathered: list[Any] = [None, None]
            distributed.all_gather_object(gathered, batch)
            found.update(url for some in gathered for url in some)
        if even == "pad":
            assert set(found) == set(wanted)
        else:
            assert found <= Counter(wanted.keys())
    distributed.destroy_process_group()


def test_two_processes_go_in_step(folder: Path, told: dict[str, list[str]], tmp_path: Path) -> None:
    wanted = expected(told, balance_of(told), 7, 0)
    meeting = f"file://{tmp_path / 'meeting'}"
    start = multiprocessing.get_context("fork").Process
    processes = [
        start(target=in_step, args=(one, meeting, wanted))
        for one in ranks(shards_of(folder, told), 2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]


def test_a_state_that_is_refused_changes_nothing(folder: Path, told: dict[str, list[str]]) -> None:
    shards = shards_of(folder, told)
    loader = Loader(shards, 8, collate=urls)
    next(iter(loader))
    state = loader.state_dict()
    other = replace(shards, balance=mc.Balance(np.arange(40) + 1, threshold=THRESHOLD), epoch=3)
    refused = Loader(other, 8, collate=urls)
    with pytest.raises(UsageError, match="counts"):
        refused.load_state_dict(state)
    assert refused.epoch == 3


def test_naming_the_epoch_that_has_begun_leaves_its_place(
    folder: Path, told: dict[str, list[str]]
) -> None:
    shards = shards_of(folder, told)
    whole = list(Loader(shards, 8, collate=urls))
    loader = Loader(shards, 8, collate=urls)
    seen = [batch for _, batch in zip(range(3), loader, strict=False)]
    again = Loader(shards, 8, collate=urls)
    again.load_state_dict(loader.state_dict())
    again.set_epoch(0)
    assert seen + list(again) == whole


def test_batches_are_pinned_where_that_is_asked_for() -> None:
    class Pinned:
        def pin_memory(self) -> str:
            return "pinned"

    made = pin_memory(_Made(0, (0, 8), Share(), [Pinned()]))  # type: ignore[no-untyped-call]
    assert (made.place, made.batch) == ((0, 8), ["pinned"])


@pytest.mark.parametrize(("batch", "workers"), [(0, 0), (1, -1)])
def test_numbers_that_cant_be(
    folder: Path, told: dict[str, list[str]], batch: int, workers: int
) -> None:
    with pytest.raises(UsageError):
        Loader(shards_of(folder, told), batch, workers=workers)
