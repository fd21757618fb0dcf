"""One row of those that share a url, a text or both: `metacurate dedup`."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from metacurate.engine.progress import Progress
from metacurate.engine.run import Outcome
from metacurate.engine.stores import Place, place_of
from metacurate.engine.work import Engine
from metacurate.engine.workspace import POOL_SHARDS_FILE, OnError, Workspace, open_workspace
from metacurate.errors import UsageError
from metacurate.hashing.pairs import check_seed
from metacurate.pool.dedup_stages import AgainstStage, By, DedupStage, KeyStage
from metacurate.pool.files import Source, absolute_sources, find_files, list_sources
from metacurate.pool.opening import Asked, check_identity, open_pools, parse_where
from metacurate.pool.winners import decide


def dedup(
    source: Source,
    out: str | Place,
    *,
    by: By = "pair",
    against: Source | None = None,
    seed: int = 0,
    columns: Sequence[str] | None = None,
    url_column: str | None = None,
    text_column: str | None = None,
    id_column: str | None = None,
    where: str | None = None,
    engine: Engine | None = None,
    workers: int | None = None,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Keep one row of those that share a key, and none whose key another pool holds.

    Which one is kept depends on the rows and the seed only, and has nothing to do with what
    they draw when they are sampled.

    Args:
        source: a file, folder, glob or list: Parquet, CSV, TSV, JSON lines or tars.
        out: folder for the kept rows, a Parquet file for each unit that has any; one without
            rows where nothing is kept.
        by: what makes the key: the ``pair`` of url and text, ``url``, or ``text``.
        against: one other pool, or a list of pools; only columns of the key are needed there.
        seed: uint64.
        columns: names of the columns of CSV and TSV files without a header, of all pools.
        url_column: found by its name (url, URL, image_url) without it; of all pools.
        text_column: found by its name (text, TEXT, caption) without it; of all pools.
        id_column: what tells images apart in pools without urls.
        where: which rows to take of the pool; of the others all are.
        engine: what runs it: this machine without it, a `RayEngine` or `SlurmEngine`.
        workers: number of tasks at once; as many as there is room for without it.
        on_error: ``fail`` when an input is corrupt, after all others are done; or ``skip`` it.
        progress: told of rows that are done.

    Returns:
        Totals, JSON.

    Raises:
        UsageError: for an argument that can't be.
        MetacurateError: when inputs are broken, or the folder can't be written.
    """
    if by not in get_args(By):
        raise UsageError(f"by {by!r} is none of: {', '.join(get_args(By))}")
    seed = check_seed(seed)
    check_identity(url_column, id_column)
    folder = place_of(out)
    named: dict[str, Any] = {
        "url_column": url_column, "text_column": text_column, "id_column": id_column
    }  # fmt: skip
    asked = [Asked(find_files(source, folder), where=parse_where(where), round_=0, **named)]
    others = [] if against is None else list_sources(against)
    for other in others:
        only = None if by == "pair" else by
        files = find_files(other, folder)
        asked.append(Asked(files, round_=0, only=only, may_be_empty=True, **named))
    _refuse_itself(asked)
    configuration = {
        "command": "dedup",
        "pool": absolute_sources(source),
        "against": absolute_sources(others),
        "by": by,
        "seed": seed,
        "columns": None if columns is None else list(columns),
        "where": asked[0].where and asked[0].where.text,
        **named,
    }
    with open_workspace(
        folder, configuration, engine=engine, workers=workers, on_error=on_error, progress=progress,
        shards=POOL_SHARDS_FILE,
    ) as space:  # fmt: skip
        pool, *rest = open_pools(space, asked, columns)
        space.claim()
        outcome, digests = _run(space, KeyStage(pool, by, seed), AgainstStage(tuple(rest), by))
        names = [
            "rows_read", "kept", "duplicate",
            *(["held_elsewhere"] if rest else []),
            "invalid",
            *(["filtered"] if pool.filters else []),
        ]  # fmt: skip
        summary = {
            **{name: sum(getattr(r, name) or 0 for r in outcome.records) for name in names},
            "by": by,
            "seed": seed,
            **space.unit_totals(outcome),
        }
        space.write_shards(outcome)
        space.write_manifest(summary, digests)
    return summary


def _run(space: Workspace, keys: KeyStage, others: AgainstStage) -> tuple[Outcome, dict[str, str]]:
    """Collect keys, decide, and copy; also what identifies what was read."""
    outcome = space.run(keys)
    digests = {"pool": outcome.identity(keys.pool.identity)}
    failed = {record.unit: record.error for record in outcome.records if record.failed}
    elsewhere: list[Place] = []
    if others.pools:
        held = space.run(others)
        elsewhere = held.partials
        planned = "\n".join(pool.identity for pool in others.pools)
        digests["against"] = held.identity(hashlib.sha256(planned.encode()).hexdigest())
    text = json.dumps([keys.configuration(), others.configuration(), digests], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()
    fates = decide(space.work, key, keys.pool, outcome.partials, elsewhere)
    kept = sum(r.rows_read - r.invalid - r.filtered for r in outcome.records)
    kept -= fates.count()
    good = (record.unit for record in outcome.records if not record.failed)
    stage = DedupStage(
        keys.pool, fates, bool(others.pools), failed, empty=None if kept else next(good, None)
    )
    return space.run(stage), digests


def _refuse_itself(asked: Sequence[Asked]) -> None:
    """Refuse files that are in the pool and in another: all of their rows would go."""
    own = {_place(file.path) for file in asked[0].files}
    for other in asked[1:]:
        for file in other.files:
            if _place(file.path) in own:
                raise UsageError(
                    f"{file.path} is in the pool and in --against: none of its rows would stay"
                )


def _place(path: str) -> str | tuple[int, int]:
    """What all names of a file share, links too: its device and number there; or a URI."""
    if "://" in path:
        return path
    try:
        status = Path(path).stat()
    except OSError:  # it went away since it was listed: what reads it will tell
        return path
    return status.st_dev, status.st_ino
