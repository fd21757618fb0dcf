"""From shards to batches: what is in them, and what happens to pairs that are broken."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import metacurate as mc
from metacurate.errors import InputError, MetacurateError, UsageError
from metacurate.images.online import BalancedShards
from metacurate.images.online.loader import Loader
from metacurate.images.shards import shard_name, write_tar
from metacurate.training.data import (
    Batch,
    Online,
    captions_of,
    join,
    make_loader,
    open_shards,
    slice_of,
)
from metacurate.training.distributed import World
from metacurate.training.tokenizer import train_tokenizer

from .sets import SMALL, picture, sample, write_shards

ALONE = World(0, 1, torch.device("cpu"))
CAPTIONS = ["a red wall, number 1", "a green wall, number 2", "a blue wall, a grey wall"]
TOKENIZER = train_tokenizer(CAPTIONS, 600)


def loader_of(shards: BalancedShards, batch: int = 8, workers: int = 0) -> Loader[Batch]:
    return make_loader(shards, SMALL, TOKENIZER, batch, workers, pinned=False)


def batches(shards: BalancedShards, number: int, batch: int = 8, workers: int = 0) -> list[Batch]:
    made = iter(loader_of(shards, batch, workers))
    return [next(made) for _ in range(number)]


def opened(source: str, world: World = ALONE, **more: object) -> BalancedShards:
    work = Path(source).with_name("work")
    return open_shards(source, None, 0, world, **{"on_error": "fail", "work": work, **more})  # type: ignore[arg-type]


def captions(batch: Batch) -> list[str]:
    return [TOKENIZER.decode(row, skip_special_tokens=True) for row in batch.tokens.tolist()]


def test_a_batch_has_images_and_their_tokens(tmp_path: Path) -> None:
    (batch,) = batches(opened(write_shards(tmp_path)), 1)
    assert batch.images.shape == (8, 16, 16, 3)
    assert batch.images.dtype == torch.uint8
    assert batch.tokens.shape == (8, 16)
    assert batch.tokens.dtype == torch.int64
    for image, caption in zip(batch.images, captions(batch), strict=True):
        colour = {(220, 30, 30): "red", (30, 200, 40): "green", (30, 40, 220): "blue"}
        mean = image.float().mean((0, 1)).numpy()
        near = {name: np.abs(mean - np.array(rgb)).max() for rgb, name in colour.items()}
        near["grey"] = np.abs(mean - 128).max()
        assert caption.startswith(f"a {min(near, key=near.__getitem__)} wall")


@pytest.mark.parametrize("workers", [0, 2])
def test_each_epoch_has_each_pair_once_and_batches_go_across(tmp_path: Path, workers: int) -> None:
    shards = opened(write_shards(tmp_path, (30, 20, 14)))
    found = [
        caption for batch in batches(shards, 16, workers=workers) for caption in captions(batch)
    ]
    numbers = sorted(captions_of(shards))
    assert len(found) == 128
    assert len(set(found)) == len(set(numbers))
    if not workers:
        assert sorted(found[:64]) == sorted(found[64:])
        assert found[:64] != found[64:]


def test_images_are_cropped_anew_in_each_epoch(tmp_path: Path) -> None:
    shards = opened(write_shards(tmp_path, (1,)))
    seen = [batch.images for batch in batches(shards, 6, batch=1)]
    assert len({image.numpy().tobytes() for image in seen}) > 3
    assert all(map(torch.equal, seen, [batch.images for batch in batches(shards, 6, batch=1)]))


def test_two_processes_share_the_pairs_of_an_epoch(tmp_path: Path) -> None:
    source = write_shards(tmp_path, (30, 20, 14))
    found = []
    for rank in range(2):
        shards = replace(opened(source), rank=rank, world_size=2)
        found += [caption for batch in batches(shards, 4) for caption in captions(batch)]
    assert len(found) == 64
    assert len(set(found)) == len(set(captions_of(opened(source))))


def test_a_broken_image_ends_training_and_is_named(tmp_path: Path) -> None:
    whole = picture("red", 1)
    write_tar(tmp_path, shard_name(0), [sample(0, 0), sample(0, 1, whole[: len(whole) // 2])])
    with pytest.raises(InputError, match=r"00000\.tar: sample '000000001': \.png can't be decoded"):
        batches(opened(str(tmp_path)), 1, batch=2)


@pytest.mark.parametrize("workers", [0, 1])
def test_another_pair_takes_the_place_of_one_that_is_skipped(tmp_path: Path, workers: int) -> None:
    broken = [sample(0, index, b"no image" if index % 3 == 0 else None) for index in range(12)]
    write_tar(tmp_path, shard_name(0), broken)
    found = batches(opened(str(tmp_path), on_error="skip"), 4, batch=4, workers=workers)
    assert [len(batch.images) for batch in found] == [4] * 4
    numbers = {caption.partition("number ")[2] for batch in found for caption in captions(batch)}
    assert numbers == {"1", "2", "4", "5", "7", "8", "1 0", "1 1"}


def test_where_all_images_are_broken_that_is_told(tmp_path: Path) -> None:
    write_tar(tmp_path, shard_name(0), [sample(0, index, b"no image") for index in range(5)])
    with pytest.raises(MetacurateError, match="10 epochs up to 9 have no sample for worker 0 of 1"):
        batches(opened(str(tmp_path), on_error="skip"), 1)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_cut_short_ends_training(tmp_path: Path, workers: int) -> None:
    write_shards(tmp_path, (20,))
    tar = tmp_path / "00000.tar"
    shards = opened(str(tmp_path))
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])
    with pytest.raises(InputError, match=r"00000\.tar"):
        batches(shards, 8, workers=workers)
    with pytest.raises(InputError, match=r"00000\.tar"):
        opened(str(tmp_path))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_rest_of_a_damaged_tar_is_skipped_where_that_is_asked_for(
    tmp_path: Path, workers: int
) -> None:
    write_shards(tmp_path / "shards", (20, 20))
    tar = tmp_path / "shards" / "00000.tar"
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])
    shards = opened(str(tmp_path / "shards"), on_error="skip")
    assert shards.samples is not None
    there = int(shards.samples[0])
    assert 5 < there < 15
    assert shards.samples[1] == 20
    assert len(list(captions_of(shards))) == there + 20
    found = batches(shards, 2 * (there + 20), batch=1, workers=workers)
    once = [TOKENIZER.decode(TOKENIZER(text).input_ids[1:-1]) for text in captions_of(shards)]
    assert Counter(c for one in found for c in captions(one)) == Counter(2 * once)


def test_shards_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_shards(tmp_path / "shards")
    first = opened(source)
    monkeypatch.setattr("metacurate.training.data.count_samples", None)
    again = opened(source)
    assert again.shards == first.shards
    assert again.samples is not None
    assert again.samples.tolist() == [30, 20, 25]


def test_a_damaged_count_is_made_again(tmp_path: Path) -> None:
    source = write_shards(tmp_path / "shards")
    first = opened(source)
    (tmp_path / "work" / "shards.parquet").write_bytes(b"PAR1")
    assert opened(source).identity == first.identity


@pytest.mark.parametrize(("batch", "size"), [(8, 8), (256, 256), (4096, 256), (300, 150), (257, 1)])
def test_slices_divide_a_batch(batch: int, size: int) -> None:
    assert slice_of(batch) == size


def test_slices_become_a_batch() -> None:
    images = torch.zeros(2, 4, 4, 3, dtype=torch.uint8)
    short = Batch(images, torch.ones(2, 8, dtype=torch.int64))
    long = Batch(images + 1, torch.ones(2, 16, dtype=torch.int64))
    batch = join([short, long], 7, torch.device("cpu"))
    assert batch.images[:, 0, 0, 0].tolist() == [0, 0, 1, 1]
    assert batch.tokens[0].tolist() == [1] * 8 + [7] * 8
    assert batch.tokens[3].tolist() == [1] * 16


def test_captions_may_be_empty_or_very_long(tmp_path: Path) -> None:
    texts = ["", "word " * 20_000, "x" * 100_000, "é" * 100]
    write_tar(tmp_path, shard_name(0), [sample(0, i, text=text) for i, text in enumerate(texts)])
    (batch,) = batches(opened(str(tmp_path)), 1, batch=4)
    ends = (batch.tokens == TOKENIZER.eos_token_id).int().argmax(dim=1).tolist()
    assert batch.tokens.shape == (4, 16)
    assert min(ends) == 1
    assert max(ends) == 15


def test_shards_without_images_are_refused(tmp_path: Path) -> None:
    write_tar(tmp_path, shard_name(0), [])
    with pytest.raises(UsageError, match="hold no images"):
        opened(str(tmp_path))


def test_balancing_shows_frequent_concepts_less(tmp_path: Path) -> None:
    colours = ["red"] * 90 + ["green"] * 10
    samples = [
        replace(sample(0, i, picture(colour, i), f"a {colour} wall"), fields={"url": f"u{i}"})
        for i, colour in enumerate(colours)
    ]
    write_tar(tmp_path / "shards", shard_name(0), samples)
    metadata = mc.Metadata.from_entries(["red", "green"])
    metadata.write(tmp_path / "m.parquet")
    mc.count(str(tmp_path / "shards"), mc.Matcher(metadata), out=str(tmp_path / "counts"))
    online = Online(str(tmp_path / "m.parquet"), str(tmp_path / "counts"), 10)
    shards = open_shards(str(tmp_path / "shards"), online, 0, ALONE, "fail", tmp_path)
    found = [c for batch in batches(shards, 40, batch=5) for c in captions(batch)]
    share = found.count("a green wall") / len(found)
    assert 0.4 < share < 0.6
    with pytest.raises(MetacurateError, match="counts were made in mode 'paper', not 'spaced'"):
        replace(online, mode="spaced").load()
