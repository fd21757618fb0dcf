"""Verdicts on the images of shards, none of which is removed: `metacurate images filter`."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from metacurate.engine.manifest import WORK
from metacurate.engine.progress import Progress
from metacurate.engine.run import CorruptInputError, Outcome
from metacurate.engine.storage import arrow_tables, list_folder, remove
from metacurate.engine.stores import Place, place_of
from metacurate.engine.work import Engine
from metacurate.engine.workspace import POOL_SHARDS_FILE, OnError, Workspace, open_workspace
from metacurate.errors import UsageError
from metacurate.hashing.pairs import check_seed
from metacurate.images.filters.decide import decide
from metacurate.images.filters.hash_lists import HashLists, digest_of
from metacurate.images.filters.judge import JudgeStage
from metacurate.images.filters.measure import FOLDER, Measured, MeasureStage, Meter
from metacurate.images.filters.references import ONLY_HASH, References, ReferenceStage
from metacurate.images.filters.verdicts import VERDICTS, Filters
from metacurate.images.shards import Shard, list_shards
from metacurate.pool.files import Source, absolute_sources


def filter_images(
    source: Source,
    out: str | Place,
    filters: Filters,
    *,
    engine: Engine | None = None,
    workers: int | None = None,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write what speaks against each image of shards; `select_images` removes them, when told.

    Args:
        source: shards: a folder, tar, glob or list.
        out: folder for the verdicts: NAME.parquet for NAME.tar, a row for each sample.
        filters: what is asked.
        engine: what runs it: this machine without it, a `RayEngine` or `SlurmEngine`.
        workers: number of tasks at once; as many as there is room for without it.
        on_error: ``fail`` when a tar is damaged, after all others are done; or ``skip`` it. An
            image that can't be decoded is no error but a verdict.
        progress: told of pairs that are done.

    Returns:
        Totals, JSON: images, and how many each verdict is about.

    Raises:
        UsageError: for an argument that can't be, or two shards of one name.
        MetacurateError: when inputs are broken, a package is missing, or the folder can't be
            written.
    """
    filters.check()
    check_seed(filters.seed)
    filters = replace(
        filters,
        benchmarks=tuple(absolute_sources(filters.benchmarks)),
        sha256_lists=tuple(absolute_sources(filters.sha256_lists)),
        pdq_lists=tuple(absolute_sources(filters.pdq_lists)),
        nsfw_model=_absolute(filters.nsfw_model),
        face_model=_absolute(filters.face_model),
    )
    folder = place_of(out)
    measured = Measured(
        filters.perceptual,
        bool(filters.pdq_lists),
        filters.nsfw_model,
        filters.face_model,
        filters.seed,
    )
    lists = HashLists(filters.sha256_lists, filters.pdq_lists)  # what is wrong shows now
    Meter(measured)
    configuration = {
        "command": "images filter",
        "pool": absolute_sources(source),
        **{
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(filters).items()
        },
    }
    with open_workspace(
        folder, configuration, engine=engine, workers=workers, on_error=on_error,
        progress=progress, shards=POOL_SHARDS_FILE,
    ) as space:  # fmt: skip
        shards = list_shards(source, folder)
        refuse_namesakes(shards)
        space.claim()
        stage, judged, references = _run(space, shards, filters, measured, lists)
        drop_files(folder, {r.output for r in judged.records if r.output is not None})
        found = Counter[str]()
        for table in arrow_tables(judged.partials):
            found.update({name: sum(table[name].to_pylist()) for name in table.column_names})
        asked = [name for name in VERDICTS if name in filters.schema.names]
        summary = {
            "images": sum(record.rows_read for record in judged.records),
            "without_verdict": sum(record.kept or 0 for record in judged.records),
            **{name: found[name] for name in asked},
            **({"benchmark_images": len(references.names)} if filters.benchmarks else {}),
            **space.unit_totals(judged),
        }
        space.write_shards(judged)
        space.write_manifest(summary, {"shards": identity_of_shards(shards), "decided": stage.key_})
    return summary


def _run(
    space: Workspace,
    shards: Sequence[Shard],
    filters: Filters,
    measured: Measured,
    lists: HashLists,
) -> tuple[JudgeStage, Outcome, References]:
    """Measure, decide, and write verdicts."""
    partials: list[Place] = []
    identity = ""
    if filters.benchmarks:
        reading = ReferenceStage(filters.benchmarks, ONLY_HASH.configuration())
        hashed = space.run(reading)
        if hashed.errors:  # not to be skipped: what can't be read can't be kept out
            raise CorruptInputError(reading.name, hashed.errors)
        partials = hashed.partials
        identity = ",".join(record.unit for record in hashed.records if not record.failed)
    references = References.join(partials)
    outcome = space.run(MeasureStage(tuple(shards), measured, measured.configuration()))
    files: list[Place | None] = [
        space.folder / FOLDER / record.output if record.output is not None else None
        for record in outcome.records
    ]
    told = {
        "filters": asdict(filters),
        "lists": digest_of([*filters.sha256_lists, *filters.pdq_lists]),
        "measured": measured.configuration(),
        "units": [record.unit for record in outcome.records if not record.failed],
        "benchmark": identity,
    }
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    decided = decide(space.work, key, shards, files, filters, lists, references)
    stage = JudgeStage(
        tuple(shards),
        tuple(files),
        tuple(record.error if record.failed else None for record in outcome.records),
        filters,
        decided,
        key,
    )
    return stage, space.run(stage), references


def refuse_namesakes(shards: Sequence[Shard]) -> None:
    """Refuse shards of one name: their files would be one.

    Args:
        shards: which.

    Raises:
        UsageError: naming two.
    """
    seen: dict[str, str] = {}
    for shard in shards:
        other = seen.setdefault(shard.name, shard.tar)
        if other != shard.tar:
            raise UsageError(f"{other} and {shard.tar} have the same name")


def identity_of_shards(shards: Sequence[Shard]) -> str:
    """What changes when one of some shards does, in hex.

    Args:
        shards: which.
    """
    told = "\n".join(f"{shard.tar} {shard.identity}" for shard in shards)
    return hashlib.sha256(told.encode()).hexdigest()


def drop_files(folder: Place, wanted: set[str]) -> None:
    """Remove files of shards that are none of some: what an earlier run over others had left.

    Args:
        folder: of the output. wanted: names of those that stay.
    """
    endings = (".parquet", ".tar", "_stats.json")
    remove(
        folder / name
        for name, entry in list_folder(folder).items()
        if name.endswith(endings) and name not in wanted and name != WORK and not entry.is_folder
    )


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).absolute())
