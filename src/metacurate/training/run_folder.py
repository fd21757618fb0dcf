"""The folder of a run: what it is bound to, so that a run goes on only as the same."""

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from metacurate import __version__
from metacurate.engine.manifest import WORK
from metacurate.engine.storage import drop_temporaries, write_json
from metacurate.errors import InputError, UsageError, first_line
from metacurate.training.checkpoint import CHECKPOINTS, list_checkpoints
from metacurate.training.distributed import World
from metacurate.training.metrics import LINES, TENSORBOARD

RUN = "run.json"
TOKENIZER = "tokenizer"

Settings = dict[str, Any]


def open_run(
    folder: Path, settings: Settings, resume: bool, world: World, free: Collection[str] = ()
) -> Settings:
    """Bind a folder to a run, or find it bound to the same.

    A run that has no checkpoint yet binds nothing.

    Args:
        folder: of the run; may be missing.
        settings: all that its numbers depend on, as JSON.
        resume: whether it may hold a run already.
        world: the processes; the first one writes.
        free: settings that nobody asked for: a run that goes on keeps its own.

    Returns:
        The settings that the run has.

    Raises:
        UsageError: when it holds something else, a run that is not to be resumed, or one of other
            settings, naming both.
        InputError: when its run.json is damaged.
    """
    settings = json.loads(json.dumps(settings))
    if world.is_first:
        _bind(folder, settings, resume, free)
        drop_temporaries(folder)
        drop_temporaries(folder / CHECKPOINTS)
    world.wait()
    return _read(folder)


def _bind(folder: Path, settings: Settings, resume: bool, free: Collection[str]) -> None:
    if (folder / RUN).is_file() and not list_checkpoints(folder):
        for place in (folder / TOKENIZER, folder / TENSORBOARD):  # it ended before it had begun
            shutil.rmtree(place, ignore_errors=True)
        (folder / LINES).unlink(missing_ok=True)
        (folder / RUN).unlink()
    if (folder / RUN).is_file():
        if not resume:
            raise UsageError(
                f"{folder} holds a run already: --resume goes on with it; or choose another folder"
            )
        found = _read(folder)
        asked = {name: value for name, value in settings.items() if name not in free}
        differing = _differing(asked, found)
        if differing:
            raise UsageError(f"{folder} holds another run: {'; '.join(differing)}")
        return
    if folder.is_dir() and any(path.name not in (WORK, CHECKPOINTS) for path in folder.iterdir()):
        raise UsageError(f"{folder} holds something that is no run: choose another folder")
    write_json(folder / RUN, {**settings, "version": __version__})


def _differing(settings: Settings, found: Settings) -> list[str]:
    names = [name for name in settings if name != "recipe"]
    pairs = [(name, found.get(name), settings[name]) for name in names]
    recipe = found.get("recipe", {})
    pairs += [(name, recipe.get(name), value) for name, value in settings["recipe"].items()]
    return [
        f"{name.replace('_', ' ')} {before!r}, not {now!r}"
        for name, before, now in pairs
        if before != now
    ]


def _read(folder: Path) -> Settings:
    path = folder / RUN
    try:
        found: Any = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(str(path), f"can't be read: {first_line(error)}") from error
    if not isinstance(found, dict) or "workers" not in found:
        raise InputError(str(path), "is none of a run")
    return found
