"""The main job and its steps: count a pool, plan, sample, or all; with all that is written."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Unpack

import numpy as np

from metacurate.curation.balance import DEFAULT_TAIL_SHARE, Balance, check_threshold, threshold_of
from metacurate.curation.count import Counts
from metacurate.curation.croissant import CROISSANT_FILE, curated_schema, make_croissant
from metacurate.curation.datacard import make_datacard
from metacurate.curation.job import Job, KnownCounts, PoolOptions, read_counts
from metacurate.curation.plan import check_budget
from metacurate.curation.readme import PICTURE_FILE, REPORT_FILE, make_readme
from metacurate.curation.stages import SampleStage, Values, total_sampled
from metacurate.curation.uids import check_uids, write_uids
from metacurate.engine.storage import make_folder, remove, write_json, write_text
from metacurate.engine.stores import Place, place_of
from metacurate.errors import UsageError
from metacurate.hashing.pairs import check_seed
from metacurate.matching.matcher import Matcher
from metacurate.matching.spacing import Mode
from metacurate.metadata.metadata import Metadata
from metacurate.pool.files import CURATED_FOLDER, Source
from metacurate.schema import CURATED

log = logging.getLogger(__name__)

PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class Result:
    """What a run made.

    Attributes:
        out: the output folder.
        summary: totals, JSON (the same as the commands print with --json).
    """

    out: Place
    summary: dict[str, Any]


def count(
    pool: Source,
    matcher: Matcher,
    *,
    out: str | Place | None = None,
    seed: int = 0,
    **options: Unpack[PoolOptions],
) -> Counts:
    """Count the entries of a pool's texts, in one pass over the text column.

    Args:
        pool: a file, folder, glob or list: Parquet, CSV, TSV, JSON lines or tars.
        matcher: of the metadata.
        out: folder for counts.parquet and the records that a later run goes on from; without
            it nothing is kept.
        seed: uint64; matters only where one caption per image is chosen.
        **options: see `PoolOptions`.

    Returns:
        The counts.

    Raises:
        UsageError: for an argument that can't be.
        MetacurateError: when inputs are broken, or the folder can't be written.
    """
    job = Job("count", pool, matcher.metadata, matcher.mode, check_seed(seed), options)
    with job.open(out, matcher=matcher) as work:
        counts, outcome = work.count()
        if out is not None:
            summary = {
                **work.fates(outcome, ("rows_read", "invalid")),
                "texts": counts.texts,
                "matched_texts": counts.matched_texts,
                "matches": counts.matches,
                "entries": len(counts.values),
                "matched_entries": int(np.count_nonzero(counts.values)),
                **work.space.unit_totals(outcome),
            }
            work.write_counts(counts)
            work.finish(counts, outcome, summary)
    return counts


def plan(
    pool: Source,
    metadata: Metadata,
    *,
    thresholds: Sequence[float] = (),
    tail_shares: Sequence[float] = (),
    budgets: Sequence[int] = (),
    counts: str | Place | None = None,
    foreign_counts: bool = False,
    out: str | Place | None = None,
    seed: int = 0,
    mode: Mode = "paper",
    **options: Unpack[PoolOptions],
) -> dict[str, Any]:
    """Tell exactly what `curate` would keep, for any thresholds, in one pass besides counting.

    Args:
        pool, metadata: as for `curate`.
        thresholds: to ask about.
        tail_shares: to ask about the thresholds with these tail shares.
        budgets: to ask about the largest thresholds that keep no more than so many pairs.
        counts: counts.parquet, or a folder that holds it; without it, the pool is counted.
        foreign_counts: allow counts of another pool.
        out: folder for counts.parquet, plan.json and the records that a later run goes on
            from, so that more thresholds cost nothing; without it nothing is kept.
        seed, mode: as for `curate`.
        **options: see `PoolOptions`.

    Returns:
        Totals, and `answers`: for each question what was `asked`, the `value`, and the fields
        of `metacurate.curation.plan.Answer`. JSON (the same as the command prints with --json).

    Raises:
        UsageError: for an argument that can't be.
        MetacurateError: when inputs are broken, or the folder can't be written.
    """
    questions: list[tuple[str, float]] = [
        *(("threshold", check_threshold(t)) for t in thresholds),
        *(("tail_share", float(share)) for share in tail_shares),
        *(("budget", check_budget(budget)) for budget in budgets),
    ]
    for name, value in questions:
        if name == "tail_share":
            threshold_of(np.zeros(0, np.uint64), value)  # refuses what is no share
    known = None if counts is None else KnownCounts(read_counts(counts), foreign_counts)
    job = Job("plan", pool, metadata, mode, check_seed(seed), options)
    with job.open(out, known) as work:
        total = work.counts()
        mins, outcome = work.plan(total)
        answers = []
        for asked, value in questions or [("tail_share", DEFAULT_TAIL_SHARE)]:
            threshold = value
            if asked == "tail_share":
                threshold = threshold_of(total.values, value)
            elif asked == "budget":
                threshold = mins.largest_threshold(int(value))
            answers.append({"asked": asked, "value": value, **mins.answer(threshold).to_json()})
        summary = {
            **work.fates(outcome, ("rows_read", "unmatched", "invalid")),
            "matched_texts": total.matched_texts,
            "matches": total.matches,
            "entries": len(total.values),
            "seed": job.seed,
            "round": work.pool.round,
            **work.space.unit_totals(outcome),
            "answers": answers,
        }
        if out is not None:
            write_json(place_of(out) / PLAN_FILE, answers)
            work.write_counts(total)
            work.finish(total, outcome, summary)
    return summary


def sample(
    pool: Source,
    metadata: Metadata,
    counts: str | Place,
    *,
    threshold: float | None = None,
    tail_share: float | None = None,
    budget: int | None = None,
    out: str | Place,
    seed: int = 0,
    mode: Mode = "paper",
    foreign_counts: bool = False,
    uids: str | Place | None = None,
    **options: Unpack[PoolOptions],
) -> Result:
    """Draw a balanced subset of a pool with counts that were made before.

    Args:
        counts: counts.parquet, or a folder that holds it.
        foreign_counts: allow counts of another pool.
        pool, metadata, threshold, tail_share, budget, out, seed, mode, uids: as for `curate`.
        **options: see `PoolOptions`.

    Returns:
        The folder and the totals.

    Raises:
        UsageError: for an argument that can't be; counts of another pool among them.
        MetacurateError: when the counts belong to other metadata or another mode, inputs are
            broken, or the folder can't be written.
    """
    known = KnownCounts(read_counts(counts), foreign_counts)
    target = _Target.of(threshold, tail_share, budget)
    job = Job("sample", pool, metadata, mode, check_seed(seed), options)
    return _curate(job, target, place_of(out), uids, known)


def curate(
    pool: Source,
    metadata: Metadata,
    *,
    threshold: float | None = None,
    tail_share: float | None = None,
    budget: int | None = None,
    out: str | Place,
    seed: int = 0,
    mode: Mode = "paper",
    uids: str | Place | None = None,
    **options: Unpack[PoolOptions],
) -> Result:
    """Balance a pool: count, find the threshold, sample, and write the data card.

    The subset depends on the pairs, the metadata, the mode, the threshold and the seed only.
    A run that was cut off goes on where it was when it is called again.

    Args:
        pool: a file, folder, glob or list: Parquet, CSV, TSV, JSON lines or tars.
        metadata: the entries.
        threshold: t, above 0: entries with more matches are thinned to about that many.
        tail_share: take the threshold whose tail entries hold this share of the matches;
            0.06, the paper's, where nothing else is given.
        budget: take the largest threshold that keeps no more than so many pairs; this costs a
            pass over urls and texts.
        out: the output folder: curated/, counts.parquet, shards.parquet, datacard.json,
            README.md, croissant.json, and last manifest.json.
        seed: uint64.
        mode: how entries are spaced, ``paper`` or ``spaced``.
        uids: file for DataComp's list of the subset, where the pool has its uids.
        **options: see `PoolOptions`.

    Returns:
        The folder and the totals.

    Raises:
        UsageError: for an argument that can't be.
        MetacurateError: when inputs are broken, or the folder can't be written.
    """
    target = _Target.of(threshold, tail_share, budget)
    job = Job("curate", pool, metadata, mode, check_seed(seed), options)
    return _curate(job, target, place_of(out), uids, None)


@dataclass(frozen=True)
class _Target:
    """What decides the threshold: exactly one of the three."""

    threshold: float | None
    tail_share: float | None
    budget: int | None

    @classmethod
    def of(cls, threshold: float | None, tail_share: float | None, budget: int | None) -> "_Target":
        if sum(given is not None for given in (threshold, tail_share, budget)) > 1:
            raise UsageError("give one of: a threshold, a tail share, a budget")
        if threshold is not None:
            return cls(check_threshold(threshold), None, None)
        if budget is not None:
            return cls(None, None, check_budget(budget))
        share = DEFAULT_TAIL_SHARE if tail_share is None else float(tail_share)
        threshold_of(np.zeros(0, np.uint64), share)  # refuses what is no share
        return cls(None, share, None)


def _curate(
    job: Job, target: _Target, out: Place, uids: str | Place | None, known: KnownCounts | None
) -> Result:
    with job.open(
        out,
        known,
        check=None if uids is None else check_uids,
        threshold=target.threshold,
        tail_share=target.tail_share,
        budget=target.budget,
    ) as work:
        space, pool, metadata = work.space, work.pool, work.matcher.metadata
        replaced = [name for name in CURATED.names if name in pool.columns]
        if replaced:
            log.warning("columns that the pool has already are replaced: %s", ", ".join(replaced))
        counts = work.counts()
        threshold = target.threshold
        if target.budget is not None:
            threshold = work.plan(counts)[0].largest_threshold(target.budget)
        balance = Balance(counts, threshold, target.tail_share)
        make_folder(out / CURATED_FOLDER)  # also where nothing is kept
        stage = SampleStage(work.sampling(balance))
        outcome = space.run(stage)
        kept, census = total_sampled(outcome.partials, stage.sampling)
        names = ("rows_read", "kept", "balanced_away", "unmatched", "invalid")
        totals = {
            **work.fates(outcome, names),
            "matched_texts": counts.matched_texts,
            "seed": job.seed,
            "round": pool.round,
        }
        asked = {**space.configuration, "foreign_counts": known is not None and known.foreign}
        schema = curated_schema(pool)
        card = make_datacard(metadata, counts, kept, balance, census, totals, schema, asked)
        summary = {
            **totals,
            **{key: card[key] for key in _SUMMED},
            **_unseen(kept, counts, known),
            **space.unit_totals(outcome),
        }
        for name in (REPORT_FILE, PICTURE_FILE):  # of another set, which an earlier run has left
            remove([out / name])
        write_json(out / "datacard.json", card)
        write_text(out / "README.md", make_readme(card))
        if uids is not None:
            write_uids(out / CURATED_FOLDER, place_of(uids))
        content = work.write_counts(counts, kept)
        croissant = make_croissant(card, schema, sha256(content).hexdigest(), len(content))
        write_json(out / CROISSANT_FILE, croissant)
        work.finish(counts, outcome, summary)
        return Result(out, summary)


_SUMMED = (
    "matches", "kept_matches", "threshold", "tail_share", "entries", "head_entries",
    "tail_entries", "unmatched_entries", "mode", "metadata_digest",
)  # fmt: skip


def _unseen(kept: Values, counts: Counts, known: KnownCounts | None) -> dict[str, int]:
    """How many entries match in this pool, but never did in the one that was counted."""
    if known is None or not known.foreign:
        return {}
    unseen = int(np.count_nonzero((kept > 0) & (counts.values == 0)))
    if unseen:
        log.warning(
            "%d entries match in this pool but have no count in the other: their pairs were all "
            "kept",
            unseen,
        )
    return {"unseen_entries": unseen}
