"""Checkpoints appear whole or not at all; the one before stays where the disk is full."""

import resource
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from metacurate.errors import InputError, MetacurateError
from metacurate.training.checkpoint import (
    Trained,
    list_checkpoints,
    read_state,
    read_tensors,
    write_checkpoint,
)
from metacurate.training.model import make_model
from metacurate.training.optimizer import make_optimizer
from metacurate.training.tokenizer import tokens_of

from .sets import SMALL
from .test_data import TOKENIZER


def trained(seed: int = 0) -> Trained:
    model = make_model(SMALL, TOKENIZER, seed)
    optimizer = make_optimizer(model, SMALL)
    tokens = tokens_of(["a red wall", "a green wall"], TOKENIZER, SMALL.context)
    found = model(input_ids=tokens, pixel_values=torch.randn(2, 3, 16, 16))
    found.logits_per_text.square().sum().backward()
    optimizer.step()
    return Trained(model, optimizer, TOKENIZER)


def names(run: Path) -> list[str]:
    return [path.name for path in list_checkpoints(run)]


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    written, other = trained(0), trained(1)
    state = {"step": 7, "loader": {}, "places": [[0]], "scaler": {}}
    place = write_checkpoint(tmp_path, 7, written, state)
    assert read_state(place) == state
    read_tensors(place, other)
    for one, again in zip(written.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(one, again)
        assert written.optimizer.state[one].keys() == other.optimizer.state[again].keys()
        for kind, tensor in written.optimizer.state[one].items():
            assert torch.equal(tensor, other.optimizer.state[again][kind])


def test_nothing_in_it_is_a_pickle(tmp_path: Path) -> None:
    place = write_checkpoint(tmp_path, 1, trained(), {})
    assert {path.name for path in place.iterdir()} == {
        "config.json", "model.safetensors", "optimizer.safetensors", "preprocessor_config.json",
        "tokenizer.json", "tokenizer_config.json", "training.json",
    }  # fmt: skip


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    made = trained()
    for step in (1, 2, 99_999_999, 100_000_000):
        write_checkpoint(tmp_path, step, made, {})
    assert names(tmp_path) == ["step-99999999", "step-100000000"]


def test_a_full_disk_leaves_the_one_before(tmp_path: Path) -> None:
    made = trained()
    first = write_checkpoint(tmp_path, 1, made, {"step": 1})
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    largest = max(map(len, before.values()))
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, limits[1]))
    try:
        with pytest.raises(MetacurateError, match=r"step-00000002: can't be written: .*too large"):
            write_checkpoint(tmp_path, 2, made, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert names(tmp_path) == ["step-00000001"]
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]


def test_a_checkpoint_of_other_sizes_is_refused(tmp_path: Path) -> None:
    place = write_checkpoint(tmp_path, 1, trained(), {})
    weights = load_file(place / "model.safetensors")
    del weights["logit_scale"]
    save_file(weights, place / "model.safetensors")
    with pytest.raises(InputError, match=r"step-00000001: can't be loaded: .*CLIPModel"):
        read_tensors(place, trained())


def test_a_state_that_is_no_json_is_named(tmp_path: Path) -> None:
    place = write_checkpoint(tmp_path, 1, trained(), {})
    (place / "training.json").write_text("{")
    with pytest.raises(InputError, match=r"training\.json: can't be read"):
        read_state(place)
    (place / "training.json").write_text('{"step": 3}')
    with pytest.raises(InputError, match=r"training\.json: does not tell how far"):
        read_state(place)
