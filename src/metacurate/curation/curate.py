"""The main job and its steps: count a pool, sample it, or both; with all that is written."""

import json
import logging
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metacurate.curation.balance import DEFAULT_TAIL_SHARE, Balance, check_threshold
from metacurate.curation.count import Counts
from metacurate.curation.datacard import make_datacard, make_readme, versions
from metacurate.curation.sample import check_seed
from metacurate.curation.stages import CountStage, SampleStage, Tally
from metacurate.engine.manifest import MANIFEST, claim, refuse_foreign, work_folder
from metacurate.engine.progress import Progress, Silent
from metacurate.engine.run import CorruptInputError, Outcome, run
from metacurate.engine.storage import lock, write_json, write_parquet, write_text
from metacurate.errors import InputError, MetacurateError, UsageError, first_line
from metacurate.matching.matcher import Matcher
from metacurate.matching.spacing import Mode
from metacurate.metadata.metadata import Metadata
from metacurate.pool.tables import Pool, Source
from metacurate.schema import CURATED, SHARDS

log = logging.getLogger(__name__)

OnError: TypeAlias = Literal["fail", "skip"]

COUNTS_FILE = "counts.parquet"
SHARDS_FILE = "shards.parquet"
CURATED_FOLDER = "curated"
OUTPUT_NAME = re.compile(r"-[0-9a-f]{12}-\d{9,}-\d{9,}\.parquet$")  # as units name their files


@dataclass(frozen=True)
class Result:
    """What a run made.

    Attributes:
        out: the output folder.
        summary: totals, JSON (the same as the commands print with --json).
    """

    out: Path
    summary: dict[str, Any]


def count(
    pool: Source,
    matcher: Matcher,
    *,
    out: str | Path | None = None,
    url_column: str | None = None,
    text_column: str | None = None,
    id_column: str | None = None,
    workers: int | None = None,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> Counts:
    """Count the entries of a pool's texts, in one pass over the text column.

    Args:
        pool: Parquet files: a file, folder, glob or list.
        matcher: of the metadata.
        out: folder for counts.parquet and the records that a later run goes on from; without
            it nothing is kept.
        url_column, text_column, id_column: as for `curate`.
        workers: number of threads; all cores without it.
        on_error: ``fail`` when an input is corrupt, after all others are done; or ``skip`` it.
        progress: told of rows that are done.

    Returns:
        The counts.

    Raises:
        UsageError: for an argument that can't be.
        MetacurateError: when inputs are broken, or the folder can't be written.
    """
    began = time.monotonic()
    opened = Pool.open(pool, url_column=url_column, text_column=text_column, id_column=id_column)
    if out is None:
        with tempfile.TemporaryDirectory(prefix="metacurate-") as folder:
            return _count(opened, matcher, Path(folder), workers, on_error, progress)[0]
    folder_path = Path(out)
    _refuse_overlap(folder_path, pool, opened)
    refuse_foreign(folder_path)
    with lock(work_folder(folder_path)):
        configuration = {
            "command": "count",
            **_inputs(pool, opened),
            **_matching(matcher),
        }
        claim(folder_path, configuration)
        counts, outcome = _count(opened, matcher, folder_path, workers, on_error, progress)
        _write_counts(folder_path, counts, matcher.metadata)
        summary = {
            "rows_read": sum(record.rows_read for record in outcome.records),
            "texts": counts.texts,
            "matched_texts": counts.matched_texts,
            "matches": counts.matches,
            "invalid": sum(record.invalid for record in outcome.records),
            "entries": len(counts.values),
            "matched_entries": int(np.count_nonzero(counts.values)),
            **_unit_totals(outcome),
            "seconds": round(time.monotonic() - began, 3),
        }
        _write_shards(folder_path, outcome)
        _write_manifest(folder_path, configuration, counts, summary)
    return counts


def sample(
    pool: Source,
    metadata: Metadata,
    counts: str | Path,
    *,
    threshold: float | None = None,
    tail_share: float | None = None,
    out: str | Path,
    seed: int = 0,
    mode: Mode = "paper",
    foreign_counts: bool = False,
    url_column: str | None = None,
    text_column: str | None = None,
    id_column: str | None = None,
    workers: int | None = None,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> Result:
    """Draw a balanced subset of a pool with counts that were made before.

    Args:
        counts: counts.parquet, or a folder that holds it.
        foreign_counts: allow counts of another pool.
        pool, metadata, threshold, tail_share, out, seed, mode, url_column, text_column,
            id_column, workers, on_error, progress: as for `curate`.

    Returns:
        The folder and the totals.

    Raises:
        UsageError: for an argument that can't be; counts of another pool among them.
        MetacurateError: when the counts belong to other metadata or another mode, inputs are
            broken, or the folder can't be written.
    """
    return _curate(
        "sample", pool, metadata, read_counts(counts), foreign_counts=foreign_counts,
        threshold=threshold, tail_share=tail_share, out=Path(out), seed=seed, mode=mode,
        columns={"url_column": url_column, "text_column": text_column, "id_column": id_column},
        workers=workers, on_error=on_error, progress=progress,
    )  # fmt: skip


def curate(
    pool: Source,
    metadata: Metadata,
    *,
    threshold: float | None = None,
    tail_share: float | None = None,
    out: str | Path,
    seed: int = 0,
    mode: Mode = "paper",
    url_column: str | None = None,
    text_column: str | None = None,
    id_column: str | None = None,
    workers: int | None = None,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> Result:
    """Balance a pool: count, find the threshold, sample, and write the data card.

    The subset depends on the pairs, the metadata, the mode, the threshold and the seed only.
    A run that was cut off goes on where it was when it is called again.

    Args:
        pool: Parquet files: a file, folder, glob or list.
        metadata: the entries.
        threshold: t, above 0: entries with more matches are thinned to about that many.
        tail_share: take the threshold whose tail entries hold this share of the matches;
            0.06, the paper's, where neither is given.
        out: the output folder: curated/, counts.parquet, shards.parquet, datacard.json,
            README.md, and last manifest.json.
        seed: uint64.
        mode: how entries are spaced, ``paper`` or ``spaced``.
        url_column: found by its name (url, URL, image_url) without it.
        text_column: found by its name (text, TEXT, caption) without it.
        id_column: what tells images apart in a pool without urls.
        workers: number of threads; all cores without it.
        on_error: ``fail`` when an input is corrupt, after all others are done; or ``skip`` it.
        progress: told of rows that are done.

    Returns:
        The folder and the totals.

    Raises:
        UsageError: for an argument that can't be.
        MetacurateError: when inputs are broken, or the folder can't be written.
    """
    return _curate(
        "curate", pool, metadata, None, foreign_counts=False,
        threshold=threshold, tail_share=tail_share, out=Path(out), seed=seed, mode=mode,
        columns={"url_column": url_column, "text_column": text_column, "id_column": id_column},
        workers=workers, on_error=on_error, progress=progress,
    )  # fmt: skip


def read_counts(path: str | Path) -> Counts:
    """Read counts.parquet.

    Args:
        path: the file, or a folder that holds it.

    Raises:
        UsageError: when there is none.
        InputError: when it is none of counts.
    """
    file = Path(path) / COUNTS_FILE if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise UsageError(f"{file}: no such file of counts")
    try:
        return Counts.from_table(pq.read_table(file))
    except (pa.ArrowException, OSError, MetacurateError) as error:
        raise InputError(str(file), f"can't be read: {first_line(error)}") from error


def read_summary(out: str | Path) -> dict[str, Any]:
    """Read the totals of a finished run.

    Args:
        out: its output folder.

    Raises:
        UsageError: when no finished run is there.
    """
    path = Path(out) / MANIFEST
    if not path.is_file():
        raise UsageError(f"{out} holds no finished run")
    totals: dict[str, Any] = json.loads(path.read_text("utf-8"))["totals"]
    return totals


def _curate(
    command: str,
    source: Source,
    metadata: Metadata,
    counts: Counts | None,
    *,
    foreign_counts: bool,
    threshold: float | None,
    tail_share: float | None,
    out: Path,
    seed: int,
    mode: Mode,
    columns: dict[str, str | None],
    workers: int | None,
    on_error: OnError,
    progress: Progress | None,
) -> Result:
    began = time.monotonic()
    if threshold is not None:
        threshold = check_threshold(threshold)
    seed = check_seed(seed)
    tail_share = None if tail_share is None else float(tail_share)
    share = DEFAULT_TAIL_SHARE if threshold is None and tail_share is None else tail_share
    if counts is not None:
        counts.check(metadata.digest, mode)
        if len(counts.values) != len(metadata):
            raise MetacurateError(f"{len(counts.values)} counts for {len(metadata)} entries")
        Balance(counts, threshold, share)  # refuses what can't be before any work
    else:
        Balance(np.zeros(1, np.uint64), threshold, share)
    pool = Pool.open(source, **columns)
    _refuse_overlap(out, source, pool)
    for column in {pool.id_column, pool.text_column} & set(CURATED.names):
        raise UsageError(f"column '{column}' can't be read: curation writes one of this name")
    if counts is not None and counts.pool != pool.identity and not foreign_counts:
        raise UsageError(
            "the counts belong to another pool (its files differ in path, size or time): "
            "count this one, or allow it with --foreign-counts"
        )
    replaced = [name for name in CURATED.names if name in pool.columns]
    if replaced:
        log.warning("columns that the pool has already are replaced: %s", ", ".join(replaced))
    refuse_foreign(out)
    with lock(work_folder(out)):
        matcher = Matcher(metadata, mode)
        configuration = {
            "command": command,
            **_inputs(source, pool),
            **_matching(matcher),
            "threshold": threshold,
            "tail_share": share,
            "seed": seed,
        }
        claim(out, configuration)
        counting = None
        if counts is None:
            counts, counting = _count(pool, matcher, out, workers, on_error, progress)
        _write_counts(out, counts, metadata)
        balance = Balance(counts, threshold, share)
        (out / CURATED_FOLDER).mkdir(exist_ok=True)  # also where nothing is kept
        stage = SampleStage(pool, matcher, balance, seed)
        outcome = run(
            stage, out, workers=workers, progress=progress or Silent(), outputs=CURATED_FOLDER
        )
        _check_errors(stage.name, outcome, out, on_error)
        kept = Tally.total(outcome.partials, len(metadata)).values
        _drop_stale(out / CURATED_FOLDER, outcome)
        totals = {
            **_fates(outcome),
            "matched_texts": counts.matched_texts,
            "seed": seed,
            "round": pool.round,
        }
        card = make_datacard(metadata, counts, kept, balance, totals)
        unseen = int(np.count_nonzero((kept > 0) & (counts.values == 0)))
        summary = {
            **totals,
            **{key: card[key] for key in _SUMMED},
            **({"unseen_entries": unseen} if foreign_counts else {}),
            **_unit_totals(outcome, counting),
            "seconds": round(time.monotonic() - began, 3),
        }
        if unseen:
            log.warning(
                "%d entries match in this pool but have no count: their pairs were all kept",
                unseen,
            )
        _write_shards(out, outcome)
        write_json(out / "datacard.json", card)
        write_text(out / "README.md", make_readme(card))
        _write_manifest(out, configuration, counts, summary)
    return Result(out, summary)


_SUMMED = (
    "matches", "kept_matches", "threshold", "tail_share", "entries", "head_entries",
    "tail_entries", "unmatched_entries", "mode", "metadata_digest",
)  # fmt: skip


def _count(
    pool: Pool,
    matcher: Matcher,
    out: Path,
    workers: int | None,
    on_error: OnError,
    progress: Progress | None,
) -> tuple[Counts, Outcome]:
    stage = CountStage(pool, matcher)
    outcome = run(
        stage, out, workers=workers, progress=progress or Silent(), outputs=CURATED_FOLDER
    )
    _check_errors(stage.name, outcome, out, on_error)
    tally = Tally.total(outcome.partials, len(matcher.metadata))
    counts = tally.to_counts(matcher, pool.identity)
    return counts, outcome


def _write_counts(out: Path, counts: Counts, metadata: Metadata) -> None:
    write_parquet(out / COUNTS_FILE, counts.to_table(metadata), use_dictionary=["source", "count"])


def _check_errors(stage: str, outcome: Outcome, out: Path, on_error: OnError) -> None:
    if not outcome.errors:
        return
    error = CorruptInputError(stage, outcome.errors)
    if on_error == "fail":
        (out / MANIFEST).unlink(missing_ok=True)
        _write_shards(out, outcome)
        raise error
    log.warning("skipped: %s", error)


def _fates(outcome: Outcome) -> dict[str, int]:
    def total(name: str) -> int:
        return sum(getattr(record, name) or 0 for record in outcome.records)

    names = ("rows_read", "kept", "balanced_away", "unmatched", "invalid")
    return {name: total(name) for name in names}


def _unit_totals(*outcomes: Outcome | None) -> dict[str, int]:
    known = [outcome for outcome in outcomes if outcome is not None]
    return {
        "units": len(known[0].records),
        "failed_units": sum(record.failed for record in known[0].records),
        "resumed_units": sum(outcome.resumed for outcome in known),
    }


def _inputs(source: Source, pool: Pool) -> dict[str, Any]:
    sources = [source] if isinstance(source, str | Path) else source
    return {
        "pool": sorted(s if "://" in s else str(Path(s).absolute()) for s in map(str, sources)),
        "id_column": pool.id_column,
        "text_column": pool.text_column,
    }


def _matching(matcher: Matcher) -> dict[str, Any]:
    return {"metadata": matcher.metadata.digest, "mode": matcher.mode}


def _refuse_overlap(out: Path, source: Source, pool: Pool) -> None:
    """Refuse outputs among the pool's files: they would be read as part of it the next time."""
    resolved = out.resolve()
    for file in pool.files:
        if Path(file.path).resolve().is_relative_to(resolved):
            raise UsageError(f"the output folder {out} holds files of the pool: {file.path}")
    sources = [source] if isinstance(source, str | Path) else source
    for folder in (Path(one).resolve() for one in sources):
        if folder.is_dir() and resolved.is_relative_to(folder):
            raise UsageError(f"the output folder {out} lies in the pool's folder {folder}")


def _drop_stale(folder: Path, outcome: Outcome) -> None:
    """Remove files that inputs which have changed or gone left behind."""
    wanted = {record.output for record in outcome.records}
    for path in folder.glob("*") if folder.exists() else ():
        ours = OUTPUT_NAME.search(path.name) or path.name.endswith(".tmp")
        if ours and path.name not in wanted:
            path.unlink()


def _write_shards(out: Path, outcome: Outcome) -> None:
    rows = [
        {
            **{name: getattr(record, name) for name in SHARDS.names if name != "input"},
            "input": record.source,
        }
        for record in outcome.records
    ]
    write_parquet(out / SHARDS_FILE, pa.Table.from_pylist(rows, schema=SHARDS))


def _write_manifest(
    out: Path, configuration: dict[str, Any], counts: Counts, summary: dict[str, Any]
) -> None:
    write_json(
        out / MANIFEST,
        {
            "totals": summary,
            "configuration": configuration,
            "digests": {"metadata": counts.metadata_digest, "pool": counts.pool},
            "versions": versions(),
        },
    )
