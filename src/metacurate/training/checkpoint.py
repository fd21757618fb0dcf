"""Checkpoints: folders that transformers loads, with what training needs to go on beside.

A folder appears whole or not at all. Nothing in it is a pickle: tensors are safetensors, the rest
is JSON.
"""

import json
import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, PreTrainedTokenizerBase

from metacurate.engine.storage import flush
from metacurate.errors import InputError, MetacurateError, first_line
from metacurate.training.transforms import preprocessor

CHECKPOINTS = "checkpoints"
NAME = re.compile(r"step-(\d{8,})")
WEIGHTS, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "training.json"
KEPT = 2  # checkpoints of a run: the last, and the one before

State = dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """What a checkpoint holds of a training.

    Attributes:
        model: with its weights. optimizer: with its moments. tokenizer: of the model.
    """

    model: CLIPModel
    optimizer: torch.optim.Optimizer
    tokenizer: PreTrainedTokenizerBase


def list_checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run, the last one last.

    Args:
        run: its folder.
    """
    folder = run / CHECKPOINTS
    found = [(NAME.fullmatch(path.name), path) for path in folder.glob("step-*")]
    return [path for _, path in sorted((int(name[1]), path) for name, path in found if name)]


def write_checkpoint(run: Path, step: int, trained: Trained, state: State) -> Path:
    """Write a checkpoint, then remove those before the last two.

    Args:
        run: its folder. step: how many are done. trained: what to write.
        state: of the training, as JSON.

    Returns:
        Its folder.

    Raises:
        MetacurateError: when it can't be written (a full disk, no permission), or weights are no
            numbers; those that were there stay.
    """
    place = run / CHECKPOINTS / f"step-{step:08d}"
    if not all(one.isfinite().all() for one in trained.model.parameters()):
        raise MetacurateError(
            f"step {step}: weights are no numbers any more, and no checkpoint is written: try a "
            "smaller learning rate, a longer warm-up, or another precision"
        )
    write_folder(place, lambda folder: _write(folder, trained, state))
    for old in list_checkpoints(run)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)  # the next checkpoint tries again
    return place


def write_folder(place: Path, write: Callable[[Path], object]) -> None:
    """Write a folder of files under a temporary name, then rename it.

    Args:
        place: of the folder; one that is there already is replaced.
        write: writes files into the folder that it is given.

    Raises:
        MetacurateError: when it can't be written.
    """
    temporary = place.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        temporary.mkdir(parents=True)
        try:
            write(temporary)
            for path in temporary.iterdir():
                flush(path)
            if place.exists():
                # The next run drops it.
                place.rename(place.parent / f".{secrets.token_hex(8)}.tmp")
            temporary.rename(place)
            flush(place.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except (OSError, SafetensorError) as error:
        raise MetacurateError(f"{place}: can't be written: {first_line(error)}") from error


def _write(folder: Path, trained: Trained, state: State) -> None:
    trained.model.config.save_pretrained(folder)
    save_file(trained.model.state_dict(), folder / WEIGHTS, {"format": "pt"})
    trained.tokenizer.save_pretrained(folder)
    size = trained.model.config.vision_config.image_size
    for name, content in (("preprocessor_config.json", preprocessor(size)), (STATE, state)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    moments = {
        f"{name}/{kind}": tensor
        for name, parameter in trained.model.named_parameters()
        for kind, tensor in trained.optimizer.state[parameter].items()
    }
    save_file(moments, folder / OPTIMIZER)


def read_state(folder: Path) -> State:
    """What training needs to go on, besides tensors.

    Args:
        folder: of the checkpoint.

    Raises:
        InputError: when it is broken, or of a model that was not trained here.
    """
    path = folder / STATE
    try:
        state: State = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(str(path), f"can't be read: {first_line(error)}") from error
    if not isinstance(state, dict) or not {"step", "loader", "places", "scaler"} <= state.keys():
        raise InputError(str(path), "does not tell how far a training is")
    return state


def read_tensors(folder: Path, trained: Trained) -> None:
    """Put weights and moments back.

    Args:
        folder: of the checkpoint. trained: of the same sizes.

    Raises:
        InputError: when they are broken, or of other sizes.
    """
    try:
        weights = load_file(folder / WEIGHTS)
        moments = load_file(folder / OPTIMIZER)
        trained.model.load_state_dict(weights)
        for name, parameter in trained.model.named_parameters():
            trained.optimizer.state[parameter] = {
                kind: _beside(moments[f"{name}/{kind}"], parameter, kind)
                for kind in ("step", "exp_avg", "exp_avg_sq")
            }
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise InputError(str(folder), f"can't be loaded: {first_line(error)}") from error


def _beside(tensor: torch.Tensor, parameter: torch.Tensor, kind: str) -> torch.Tensor:
    if kind != "step" and tensor.shape != parameter.shape:
        raise KeyError(f"{kind} of shape {list(tensor.shape)}, not {list(parameter.shape)}")
    return tensor.to(parameter.device)
