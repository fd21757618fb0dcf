"""Embeddings of classes, from prompts; kept on disk, for they are the same for all images."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metacurate.engine.progress import Progress
from metacurate.engine.storage import write_atomically
from metacurate.errors import MetacurateError, first_line
from metacurate.evaluation.datasets import Templates

if TYPE_CHECKING:
    from metacurate.evaluation.model import Clip, Embeddings

log = logging.getLogger(__name__)

FORMAT = 1
TENSOR, TOLD = "classes", "metacurate"
AT_ONCE = 4096  # prompts that are tokenized together


def default_cache() -> Path | None:
    """Where embeddings are kept unless a folder is named; None for a user without a home."""
    from metacurate.matching.cache import cache_folder

    folder = cache_folder()
    return None if folder is None else folder / "prompts"


def class_embeddings(
    model: "Clip",
    classes: Sequence[str],
    templates: Templates,
    *,
    cache: Path | None,
    batch: int,
    progress: Progress,
    title: str,
) -> "Embeddings":
    """Embed classes: the mean of their prompts' embeddings, all of length 1, before and after.

    Args:
        model: that embeds. classes: their names. templates: of prompts.
        cache: folder of what was embedded before; None for no such folder.
        batch: prompts at once. progress: told of prompts that are done. title: for it.

    Returns:
        float32[classes, dimensions].

    Raises:
        InputError: when the model gives no numbers.
    """
    key = cache_key(model.checkpoint.digest, classes, templates)
    path = None if cache is None else cache / f"{key}.safetensors"
    if path is not None and (kept := _load(path, key, len(classes))) is not None:
        return kept
    names = list(dict.fromkeys(classes))  # the same name has the same embedding, to the last bit
    progress.start(title, len(names) * len(templates.prompts), "prompts")
    found = []
    step = max(1, AT_ONCE // len(templates.prompts))
    for start in range(0, len(names), step):
        some = names[start : start + step]
        prompts = [prompt for name in some for prompt in templates.of(name)]
        embedded = model.embed_texts(prompts, batch, progress.advance)
        mean = embedded.reshape(len(some), len(templates.prompts), -1).mean(axis=1)
        found.append(mean / np.linalg.norm(mean, axis=1, keepdims=True))
    progress.end()
    places = {name: i for i, name in enumerate(names)}
    embeddings: Embeddings = np.concatenate(found)[[places[name] for name in classes]]
    if path is not None:
        _save(path, key, embeddings)
    return embeddings


def cache_key(digest: str, classes: Sequence[str], templates: Templates) -> str:
    """What changes when embeddings do, in hex.

    Args:
        digest: of the checkpoint. classes: their names, in order. templates: of prompts.
    """
    from transformers import __version__

    told = [FORMAT, __version__, digest, list(classes), list(templates.prompts)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _save(path: Path, key: str, embeddings: "Embeddings") -> None:
    from safetensors.numpy import save_file

    told = {TOLD: _seal(key, embeddings)}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, lambda place: save_file({TENSOR: embeddings}, place, told))
    except (MetacurateError, OSError) as error:
        log.warning("prompts could not be kept for later runs: %s", error)


def _seal(key: str, embeddings: "Embeddings") -> str:
    """What a file tells of itself: two entries would come in any order."""
    return f"{key} {hashlib.sha256(embeddings.tobytes()).hexdigest()}"


def _load(path: Path, key: str, classes: int) -> "Embeddings | None":
    """What was kept, or None; what is damaged is reported, and embedded again."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            told = (file.metadata() or {}).get(TOLD)
            embeddings: Embeddings = file.get_tensor(TENSOR)
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, ValueError) as error:
        log.warning("%s can't be read, and is made again: %s", path, first_line(error))
        return None
    if told != _seal(key, embeddings) or len(embeddings) != classes:
        log.warning("%s is damaged, and is made again", path)
        return None
    return embeddings
