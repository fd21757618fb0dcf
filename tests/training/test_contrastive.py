"""One process, several, or a batch in parts: the same loss, and the same gradients."""

import os
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.multiprocessing.spawn import spawn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from metacurate.training.contrastive import Features, backward, contrastive_loss
from metacurate.training.distributed import World, join
from metacurate.training.model import TrainedTowers, make_model

from .sets import SMALL
from .test_recipe import OpenAI

PAIRS = 12
ALONE = World(0, 1, torch.device("cpu"))


class Tokens(OpenAI):
    bos_token_id, eos_token_id, pad_token_id = 98, 99, 99

    def __len__(self) -> int:
        return 100


def towers() -> TrainedTowers:
    return TrainedTowers(make_model(SMALL, Tokens(), 1))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (PAIRS, 16, 16, 3), dtype=torch.uint8, generator=generator)
    tokens = torch.randint(0, 98, (PAIRS, 8), generator=generator)
    tokens[:, -1] = 99
    return images, tokens


def parts(number: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    images, tokens = batch()
    return list(zip(images.chunk(number), tokens.chunk(number), strict=True))


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix("module."): one.grad
        for name, one in model.named_parameters()
        if one.grad is not None
    }


def computed(number: int = 1, scale: float = 1.0) -> tuple[float, dict[str, torch.Tensor]]:
    model = towers()
    loss = backward(model, parts(number), ALONE, nullcontext, lambda loss: loss * scale)
    return loss.item(), gradients(model)


def check_equal(
    found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], within: float
) -> None:
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=within, atol=within, msg=name)


def test_the_loss_is_that_of_clip() -> None:
    images, texts = torch.nn.functional.normalize(torch.randn(2, 6, 4), dim=-1)
    logits = 7.0 * images @ texts.T
    own = torch.arange(6)
    wanted = (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
    found = contrastive_loss(Features(images, texts, torch.tensor(7.0)), ALONE)
    torch.testing.assert_close(found, wanted)


def test_every_parameter_has_a_gradient() -> None:
    model = towers()
    backward(model, parts(1), ALONE, nullcontext, lambda loss: loss)
    assert {f"model.{name}" for name, _ in model.model.named_parameters()} == set(gradients(model))


@pytest.mark.parametrize("number", [2, 3, 12])
def test_a_batch_in_parts_has_the_gradients_of_the_whole(number: int) -> None:
    loss, whole = computed()
    again, found = computed(number)
    assert again == pytest.approx(loss, abs=1e-6)
    check_equal(found, whole, 1e-5)


def test_gradients_are_scaled_and_the_loss_is_told_as_it_is() -> None:
    loss, once = computed(3)
    again, scaled = computed(3, scale=64.0)
    assert again == loss
    check_equal({name: one / 64 for name, one in scaled.items()}, once, 1e-5)


def test_layers_computed_twice_have_the_same_gradients() -> None:
    _, wanted = computed()
    model = towers()
    model.model.activation_checkpointing_enable(
        activation_checkpointing_kwargs={"use_reentrant": False}
    )
    model.model.train()
    backward(model, parts(1), ALONE, nullcontext, lambda loss: loss)
    check_equal(gradients(model), wanted, 1e-6)


def train_as(rank: int, size: int, port: int, numbers: tuple[int, ...], folder: str) -> None:
    """What one of several processes does, as torchrun would start it."""
    torch.set_num_threads(1)
    os.environ.update(
        WORLD_SIZE=str(size), RANK=str(rank), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )  # fmt: skip
    with join("cpu") as world:
        own = PAIRS // size
        images, tokens = (one[rank * own : (rank + 1) * own] for one in batch())
        for number in numbers:
            model = DistributedDataParallel(towers())
            some = list(zip(images.chunk(number), tokens.chunk(number), strict=True))
            loss = backward(model, some, world, nullcontext, lambda loss: loss)
            found = {**gradients(model), "loss": torch.tensor(world.mean(loss))}
            save_file(found, Path(folder) / f"{rank}-{number}.safetensors")


def test_two_processes_have_the_loss_and_gradients_of_one(tmp_path: Path, free_port: int) -> None:
    loss, wanted = computed()
    numbers = (1, 3)  # parts: the whole, and some
    spawn(train_as, (2, free_port, numbers, str(tmp_path)), nprocs=2)  # type: ignore[no-untyped-call]
    for rank in range(2):
        for number in numbers:
            found = load_file(tmp_path / f"{rank}-{number}.safetensors")
            assert found.pop("loss").item() == pytest.approx(loss, abs=1e-5)
            check_equal(found, wanted, 1e-5)
