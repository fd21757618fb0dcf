"""A CLIP checkpoint as files: where they are, whether they are safe to load, their digest."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metacurate.errors import InputError, first_line
from metacurate.evaluation.preprocessing import Preparation

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
PROCESSOR = "processor_config.json"  # where transformers puts both configurations since 5.0
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"))  # one of these
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt",
    "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip
DOWNLOADED = (
    CONFIG,
    PREPROCESSOR,
    PROCESSOR,
    WEIGHTS,
    INDEX,
    "model-*.safetensors",
    *TOKENIZER_FILES,
)
PICKLE = "pytorch_model*.bin"
OTHER_TOKENIZERS = "tokenizer.*.json"  # of other versions of transformers
OTHER_WEIGHTS, ADAPTER = "transformers_weights", "adapter_config.json"  # would be loaded in place

HUB_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)(?:@([\w./-]+))?")  # name, revision
STEP = re.compile(r"step-(\d{8,})")
JSON_LIMIT = 64 << 20  # bytes


@dataclass(frozen=True)
class Checkpoint:
    """A CLIP model's folder, looked at but not loaded.

    Attributes:
        name: as it was asked for.
        folder: that holds it.
        config: its config.json.
        preparation: of images.
        digest: SHA-256 over weights, configurations and tokenizer, in hex.
    """

    name: str
    folder: Path
    config: Mapping[str, Any]
    preparation: Preparation
    digest: str

    @property
    def vision(self) -> Mapping[str, Any]:
        """The configuration of its vision tower; what it leaves out is CLIP's ViT-B/32."""
        told = self.config.get("vision_config")
        standard = {
            "hidden_size": 768, "num_hidden_layers": 12, "patch_size": 32, "image_size": 224,
        }  # fmt: skip
        return {**standard, **(told if isinstance(told, dict) else {})}


def open_checkpoint(model: str) -> Checkpoint:
    """Find a checkpoint, and make sure that it is one of CLIP and holds no pickle.

    Args:
        model: a folder in the layout of transformers; a folder of `metacurate train`, of which the
            last checkpoint is taken; or a name on the Hugging Face hub, NAME or NAME@REVISION,
            which is downloaded unless it was before.

    Raises:
        InputError: when there is none, it is another kind of model, or files are missing.
    """
    folder = _locate(model)
    config = _read_config(folder)
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZERS):
        raise InputError(
            str(folder), "holds no tokenizer: tokenizer.json, or vocab.json and merges.txt"
        )
    prepares, told = _preprocessor(folder)
    preparation = Preparation.of(told, str(folder / prepares))
    there = [name for name in TOKENIZER_FILES if (folder / name).is_file()]
    others = sorted(file.name for file in folder.glob(OTHER_TOKENIZERS))
    decisive = [*_weights(folder), CONFIG, prepares, *there, *others]
    checkpoint = Checkpoint(model, folder, config, preparation, _digest(folder, decisive))
    side = checkpoint.vision["image_size"]
    if preparation.crop != (side, side):
        made = "x".join(map(str, preparation.crop))
        raise InputError(
            str(folder), f"takes images of {side}x{side} pixels, but {prepares} makes {made}"
        )
    return checkpoint


def _locate(model: str) -> Path:
    folder = Path(model)
    if not folder.is_dir():
        match = HUB_NAME.fullmatch(model)
        if match is None:
            raise InputError(model, "there is no such folder, and it is no name on the hub")
        return _download(match[1], match[2])
    if (folder / CONFIG).is_file():
        return folder
    steps = {
        int(match[1]): one
        for one in (folder / "checkpoints").glob("step-*")
        if (match := STEP.fullmatch(one.name)) and one.is_dir()
    }
    if steps:
        return steps[max(steps)]
    raise InputError(model, f"is no checkpoint: it holds no {CONFIG} and no checkpoints/step-*")


def _download(name: str, revision: str | None) -> Path:
    """The folder of a checkpoint of the hub; its configuration is fetched and looked at first."""
    _read_config(_fetch(name, revision, [CONFIG]))
    folder = _fetch(name, revision, [*DOWNLOADED])
    if not _named_weights(folder):
        raise InputError(
            name,
            f"has no {WEIGHTS} on the hub, and pickles are not read; a pull request may have it: "
            f"{name}@refs/pr/1",
        )
    return folder


def _fetch(name: str, revision: str | None, files: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=files))
    except Exception as error:
        raise InputError(
            name, f"is no folder, and can't be had from the hub: {first_line(error)}"
        ) from error


def _read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a CLIP whose weights are where they are looked for.

    Raises:
        InputError: when it is of another model, or other weights would be loaded.
    """
    config = _read_json(folder / CONFIG)
    kind = config.get("model_type")
    if kind != "clip":
        raise InputError(str(folder), f"is a model of type {kind!r}; only 'clip' is evaluated")
    if OTHER_WEIGHTS in config:
        raise InputError(
            str(folder / CONFIG), f"names other weights ({OTHER_WEIGHTS}), which is not supported"
        )
    if (folder / ADAPTER).is_file():
        raise InputError(
            str(folder), f"has an adapter ({ADAPTER}): merge it into the model's weights first"
        )
    return config


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > JSON_LIMIT:
            raise InputError(str(path), f"is larger than {JSON_LIMIT >> 20} MB")
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(str(path), f"can't be read: {first_line(error)}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(str(path), f"is no JSON: {first_line(error)}") from error
    if not isinstance(value, dict):
        raise InputError(str(path), "is no JSON object")
    return value


def _preprocessor(folder: Path) -> tuple[str, dict[str, Any]]:
    """What tells how images are prepared, and the name of its file; as transformers looks for it.

    Raises:
        InputError: when there is nothing of it.
    """
    if (folder / PROCESSOR).is_file():
        told = _read_json(folder / PROCESSOR).get("image_processor")
        if isinstance(told, dict):
            return PROCESSOR, told
    if (folder / PREPROCESSOR).is_file():
        return PREPROCESSOR, _read_json(folder / PREPROCESSOR)
    raise InputError(str(folder), f"holds no {PREPROCESSOR}, which tells how images are prepared")


def _weights(folder: Path) -> list[str]:
    """Names of the files that decide on weights: the index of several, too.

    Raises:
        InputError: when there are none but pickles, or an index names files that can't be.
    """
    names = _named_weights(folder)
    if names is not None:
        return names
    if pickles := sorted(folder.glob(PICKLE)):
        raise InputError(
            str(folder),
            f"its weights are a pickle ({pickles[0].name}), which could run anything and is "
            f"never read; {WEIGHTS} is",
        )
    raise InputError(str(folder), f"holds no weights: {WEIGHTS} is missing")


def _named_weights(folder: Path) -> list[str] | None:
    """Like `_weights`, but None where there are none."""
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    if not (folder / INDEX).is_file():
        return None
    named = _read_json(folder / INDEX).get("weight_map")
    names = sorted(set(map(str, named.values()))) if isinstance(named, dict) else []
    for name in names:
        if not re.fullmatch(r"[\w.-]+\.safetensors", name) or not (folder / name).is_file():
            raise InputError(str(folder / INDEX), f"names a file that is not there: {name!r}")
    if not names:
        raise InputError(str(folder / INDEX), "names no files")
    return [*names, INDEX]


def _digest(folder: Path, names: list[str]) -> str:
    digest = hashlib.sha256()
    try:
        for name in names:
            with (folder / name).open("rb") as file:
                digest.update(f"{name}\0".encode())
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise InputError(str(folder), f"can't be read: {first_line(error)}") from error
    return digest.hexdigest()
