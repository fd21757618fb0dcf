"""New shards, or lists of keys, of the images that stay: `metacurate images select`."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from metacurate.engine.progress import Progress
from metacurate.engine.run import Outcome
from metacurate.engine.storage import arrow_tables, list_folder, read_bytes, table_of
from metacurate.engine.stores import Place, place_of
from metacurate.engine.work import Engine
from metacurate.engine.workspace import POOL_SHARDS_FILE, OnError, open_workspace
from metacurate.errors import InputError, UsageError, first_line
from metacurate.images.filters.filter import drop_files, identity_of_shards, refuse_namesakes
from metacurate.images.selection.choice import CURATED_PAIRS, error_of, read_rows, reasons
from metacurate.images.selection.curated_pairs import CuratedPairs
from metacurate.images.selection.judged import Judged
from metacurate.images.selection.stage import KEYS, KeysStage, SelectStage
from metacurate.images.shards import (
    Shard,
    drop_incomplete_shards,
    list_shards,
)
from metacurate.pool.files import Source, absolute_sources
from metacurate.pool.opening import parse_where
from metacurate.pool.where import Where

log = logging.getLogger(__name__)


def select_images(
    source: Source,
    out: str | Place,
    *,
    verdicts: Sequence[str] = (),
    drop: Sequence[str] = (),
    where: str | None = None,
    pairs: str | None = None,
    keys: bool = False,
    blur: bool = False,
    engine: Engine | None = None,
    workers: int | None = None,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write new shards of what stays: the same names and keys, so that lists of keys stay valid.

    A shard of which nothing stays is written empty. A pair that goes keeps its row in the table,
    with the status ``dropped`` and the reason as its error.

    Args:
        source: shards: a folder, tar, glob or list.
        out: folder for the new ones; with ``keys`` for keys/NAME.parquet.
        verdicts: folders that `filter_images` has written, on these shards.
        drop: names of verdicts for which an image goes.
        where: what a pair must meet: a condition on columns of the shards' tables and verdicts.
        pairs: output of `curate` over these shards: only its pairs stay.
        keys: write lists of the keys of images that stay, in place of shards.
        blur: blur the faces that verdicts tell of.
        engine: what runs it: this machine without it, a `RayEngine` or `SlurmEngine`.
        workers: number of tasks at once; as many as there is room for without it.
        on_error: ``fail`` when a shard is broken, after all others are done; or ``skip`` it.
        progress: told of pairs that are done.

    Returns:
        Totals, JSON: images and pairs, how many stay, and how many go for which reason.

    Raises:
        UsageError: for an argument that can't be, or verdicts that were not asked for.
        InputError: when verdicts on a shard are missing, or on another version of it.
        MetacurateError: when inputs are broken, or the folder can't be written.
    """
    condition = parse_where(where)
    _check(verdicts, drop, condition, pairs, keys, blur)
    folder = place_of(out)
    configuration = {
        "command": "images select",
        "pool": absolute_sources(source),
        "verdicts": absolute_sources(verdicts),
        "drop": list(drop),
        "where": condition and condition.text,
        "pairs": None if pairs is None else absolute_sources(pairs),
        "keys": keys,
        "blur_faces": blur,
    }
    with open_workspace(
        folder, configuration, engine=engine, workers=workers, on_error=on_error,
        progress=progress, shards=POOL_SHARDS_FILE,
    ) as space:  # fmt: skip
        shards = list_shards(source, folder)
        refuse_namesakes(shards)
        judged = Judged.open(verdicts, shards, on_error) if verdicts else None
        if judged is not None:
            _check_names(judged, drop, blur)
        stage = SelectStage(
            tuple(shards), judged, tuple(drop), condition,
            None if pairs is None else CuratedPairs.open(pairs), keys, blur,
        )  # fmt: skip
        if condition is not None and shards[0].table is not None:
            rows = read_rows(shards[0])
            first = None if judged is None else judged.read(shards[0])
            _try(rows, first, condition, shards[0])
        space.claim()
        drop_incomplete_shards(folder)
        if keys:
            stage = KeysStage(**vars(stage))
        outcome = space.run(stage)
        endings = (".parquet",) if keys else (".tar", ".parquet", "_stats.json")
        stems = [r.output.rpartition(".")[0] for r in outcome.records if r.output is not None]
        wanted = {f"{stem}{ending}" for stem in stems for ending in endings}
        drop_files(folder / KEYS, wanted if keys else set())
        drop_files(folder, set() if keys else wanted)
        counts = _counts(outcome)
        if stage.pairs is not None:
            _check_used(stage.pairs.rows, counts[CURATED_PAIRS, ""])
        summary = {**_totals(counts), **space.unit_totals(outcome)}
        space.write_shards(outcome)
        told = json.dumps([identity_of_shards(shards), judged and judged.identities])
        digest = hashlib.sha256(told.encode()).hexdigest()
        space.write_manifest(summary, {"shards_and_verdicts": digest})
    return summary


def read_keys(folder: str | Place) -> set[str]:
    """The keys of images that stay, as `select_images` lists them.

    Args:
        folder: its output.

    Raises:
        UsageError: when it holds no lists of keys.
        InputError: when one can't be read.
    """
    place = place_of(folder) / KEYS
    names = [name for name in list_folder(place) if name.endswith(".parquet")]
    if not names:
        raise UsageError(f"{folder}: holds no lists of keys")
    found: set[str] = set()
    for name in sorted(names):
        try:
            found.update(table_of(read_bytes(place / name), ["key"])["key"].to_pylist())
        except (OSError, pa.ArrowException) as error:
            raise InputError(str(place / name), f"can't be read: {first_line(error)}") from error
    return found


def _check(
    verdicts: Sequence[str],
    drop: Sequence[str],
    where: Where | None,
    pairs: str | None,
    keys: bool,
    blur: bool,
) -> None:
    if drop and not verdicts:
        raise UsageError("--drop names verdicts: give the folder that holds them with --verdicts")
    if blur and not verdicts:
        raise UsageError("--blur-faces needs the folder that tells of faces: give --verdicts")
    if blur and keys:
        raise UsageError("--blur-faces changes images, which --keys does not write: give one")
    if not drop and where is None and pairs is None and not blur:
        raise UsageError("all images would stay: give --drop, --where, --pairs or --blur-faces")


def _check_names(judged: Judged, drop: Sequence[str], blur: bool) -> None:
    there = judged.verdicts
    for name in drop:
        if name not in there:
            raise UsageError(f"--drop {name}: no such verdict (there is {', '.join(there)})")
    if blur and "faces" not in judged.schema.names:
        raise UsageError(
            "--blur-faces: the verdicts do not tell of faces: filter with --face-model"
        )


def _try(rows: Any, verdicts: pa.Table | None, where: Where, shard: Shard) -> None:
    """Have a condition fail before anything is written, where it does not fit at all."""
    try:
        reasons(rows, verdicts, (), where, None)
    except pa.ArrowException as error:
        raise InputError(shard.table or shard.tar, error_of(where, error)) from error


def _check_used(pairs: int, used: int) -> None:
    """Tell of curated pairs that are in none of the shards.

    Raises:
        UsageError: when none is in them.
    """
    if pairs and not used:
        raise UsageError(
            "--pairs: none of its pairs is in these shards: they were curated of others"
        )
    if used < pairs:
        log.warning("%d of the %d curated pairs are not in these shards", pairs - used, pairs)


def _counts(outcome: Outcome) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for table in arrow_tables(outcome.partials):
        for row in table.to_pylist():
            counts[row["what"], row["why"]] += row["count"]
    return counts


def _totals(counts: Counter[tuple[str, str]]) -> dict[str, Any]:
    return {
        name: value
        for what in ("images", "pairs")
        for name, value in (
            (what, sum(n for (of, _), n in counts.items() if of == what)),
            (f"{what}_kept", counts[what, ""]),
            (f"{what}_dropped", {why: n for (of, why), n in sorted(counts.items())
                if of == what and why}),
        )
    }  # fmt: skip
