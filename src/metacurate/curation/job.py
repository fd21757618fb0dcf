"""What the commands of curation share: the pool they open, the folder they hold, the stages."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypedDict, get_args

import pyarrow as pa

from metacurate.curation.balance import Balance
from metacurate.curation.count import Counts
from metacurate.curation.per_image import CaptionStage, choose_captions
from metacurate.curation.plan import MinThresholds, PlanStage
from metacurate.curation.stages import CountStage, Sampling, Tally, Values
from metacurate.engine.manifest import read_manifest
from metacurate.engine.progress import Progress
from metacurate.engine.run import Outcome
from metacurate.engine.storage import is_file, read_bytes, table_of, write_parquet
from metacurate.engine.stores import Place, place_of
from metacurate.engine.work import Engine
from metacurate.engine.workspace import OnError, Workspace, open_workspace
from metacurate.errors import InputError, MetacurateError, UsageError, first_line
from metacurate.hashing.pairs import check_seed
from metacurate.matching.matcher import Matcher
from metacurate.matching.spacing import Mode
from metacurate.metadata.metadata import Metadata
from metacurate.pool.files import COUNTS_FILE, Source, absolute_sources, find_files
from metacurate.pool.opening import Asked, check_identity, open_pools, parse_where
from metacurate.pool.tables import Pool
from metacurate.pool.winners import Fates
from metacurate.schema import CURATED, KEPT

log = logging.getLogger(__name__)

PerImage: TypeAlias = Literal["all", "one"]
ColumnOption: TypeAlias = Literal["url_column", "text_column", "id_column"]

COLUMN_OPTIONS: tuple[ColumnOption, ...] = ("url_column", "text_column", "id_column")


class PoolOptions(TypedDict, total=False):
    """How a pool is read, and how the work on it runs.

    Attributes:
        url_column: found by its name (url, URL, image_url) without it.
        text_column: found by its name (text, TEXT, caption) without it.
        id_column: what tells images apart in a pool without urls.
        columns: names of the columns of CSV and TSV files without a header.
        where: which rows to take, as "similarity > 0.28 and width >= 200".
        per_image: ``all`` matched captions of an image, or ``one`` of them: chosen by its own
            draw before anything is counted.
        round: of balancing, for pools that were balanced and don't tell in which round, as tools
            that copied them may have left out their files' metadata.
        engine: what runs it: this machine without it, a `RayEngine` or `SlurmEngine`.
        workers: number of tasks at once; as many as there is room for without it.
        on_error: ``fail`` when an input is corrupt, after all others are done; or ``skip`` it.
        progress: told of what is done.
    """

    url_column: str | None
    text_column: str | None
    id_column: str | None
    columns: Sequence[str] | None
    where: str | None
    per_image: PerImage
    round: int | None
    engine: Engine | None
    workers: int | None
    on_error: OnError
    progress: Progress | None


@dataclass(frozen=True)
class KnownCounts:
    """Counts that were made before."""

    counts: Counts
    foreign: bool

    def check(self, metadata: Metadata, mode: Mode) -> None:
        """Refuse counts of other metadata, or of another mode.

        Raises:
            MetacurateError: naming both.
        """
        self.counts.check(metadata.digest, mode)
        if len(self.counts.values) != len(metadata):
            raise MetacurateError(f"{len(self.counts.values)} counts for {len(metadata)} entries")

    def check_pool(self, identity: str) -> None:
        """Refuse counts of other pairs, unless they may be foreign.

        Raises:
            UsageError: when they are.
        """
        if self.counts.pool != identity and not self.foreign:
            raise UsageError(
                "the counts belong to another pool (its files differ in path, size or time, or "
                "other rows were chosen): count this one, or allow it with --foreign-counts"
            )


@dataclass(frozen=True)
class Job:
    """What is asked for, before any file is looked at."""

    command: str
    source: Source
    metadata: Metadata
    mode: Mode
    seed: int
    options: PoolOptions

    @property
    def named(self) -> dict[str, str | None]:
        """The columns that were named."""
        return {name: self.options.get(name) for name in COLUMN_OPTIONS}

    def check(self) -> None:
        """Refuse options that can't be, or contradict one another.

        Raises:
            UsageError: naming them.
        """
        check_identity(self.named["url_column"], self.named["id_column"])
        for column in set(self.named.values()) & set(CURATED.names):
            raise UsageError(f"column '{column}' can't be read: curation writes it")
        per_image, round_ = self.options.get("per_image", "all"), self.options.get("round")
        if per_image not in get_args(PerImage):
            raise UsageError(f"per_image {per_image!r} is none of: {', '.join(get_args(PerImage))}")
        if round_ is not None:
            check_seed(round_, "round")

    def configuration(self) -> dict[str, Any]:
        """What decides about the outputs, as JSON; see `metacurate.engine.manifest.check_claim`."""
        columns = self.options.get("columns")
        return {
            "command": self.command,
            "pool": absolute_sources(self.source),
            **self.named,
            "columns": None if columns is None else list(columns),
            "per_image": self.options.get("per_image", "all"),
            "round": self.options.get("round"),
            "metadata": self.metadata.digest,
            "mode": self.mode,
            "seed": self.seed,
        }

    @contextmanager
    def open(
        self,
        out: str | Place | None,
        known: KnownCounts | None = None,
        *,
        matcher: Matcher | None = None,
        check: Callable[[Pool], None] | None = None,
        **decides: Any,
    ) -> Iterator["Work"]:
        """Find the pool, hold the output folder, and choose captions where one is wanted.

        Args:
            out: the output folder; None for a temporary one.
            known: counts that were made before.
            matcher: made from the metadata without it.
            check: refuses pools that won't do.
            **decides: what else the outputs depend on.
        """
        options = self.options
        self.check()
        if known is not None:
            known.check(self.metadata, self.mode)
        where = parse_where(options.get("where"))
        round_ = options.get("round")
        folder = None if out is None else place_of(out)
        files = find_files(self.source, folder)
        configuration = {
            **self.configuration(),
            "where": where and where.text,
            "counts": known and known.counts.digest,
            **decides,
        }
        with open_workspace(
            folder,
            configuration,
            engine=options.get("engine"),
            workers=options.get("workers"),
            on_error=options.get("on_error", "fail"),
            progress=options.get("progress"),
        ) as space:
            asked = Asked(
                files,
                url_column=options.get("url_column"),
                text_column=options.get("text_column"),
                id_column=options.get("id_column"),
                where=where,
                round_=round_,
            )
            (pool,) = open_pools(space, [asked], options.get("columns"))
            if check is not None:
                check(pool)
            matcher = matcher or Matcher(self.metadata, self.mode)
            captions = None
            if options.get("per_image") == "one":
                captions = CaptionStage(pool, matcher, self.seed)
            if known is not None:
                known.check_pool(pool.identity if captions is None else captions.choice_key)
            space.claim()
            choice = None if captions is None else choose_captions(space, captions)
            yield Work(self, space, pool, matcher, choice, known)


@dataclass(frozen=True)
class Work:
    """A job at work in its folder."""

    job: Job
    space: Workspace
    pool: Pool
    matcher: Matcher
    choice: Fates | None
    known: KnownCounts | None

    @property
    def pool_identity(self) -> str:
        """Identity of the pairs that are counted: of the pool, or of its chosen captions."""
        return self.pool.identity if self.choice is None else self.choice.key

    def count(self) -> tuple[Counts, Outcome]:
        """Count the pool."""
        outcome = self.space.run(CountStage(self.pool, self.matcher, self.choice))
        tally = Tally.total(outcome.partials, len(self.matcher.metadata))
        if tally.texts and not tally.matched:
            log.warning(
                "no text matches an entry: is '%s' the right column?", self.pool.text_column
            )
        identity = outcome.identity(self.pool_identity)
        return tally.to_counts(self.matcher, identity), outcome

    def counts(self) -> Counts:
        """The counts that are known, or else the pool's."""
        return self.count()[0] if self.known is None else self.known.counts

    def sampling(self, balance: Balance) -> Sampling:
        """What pairs are drawn from, and with."""
        return Sampling(self.pool, self.matcher, balance, self.job.seed, self.choice)

    def plan(self, counts: Counts) -> tuple[MinThresholds, Outcome]:
        """Find the smallest thresholds of all pairs."""
        stage = PlanStage(self.sampling(Balance(counts, threshold=1.0)))  # any one would do
        outcome = self.space.run(stage)
        pairs = sum(record.rows_read - record.filtered for record in outcome.records)
        return MinThresholds.read(outcome.partials, counts, pairs), outcome

    def write_counts(self, counts: Counts, kept: Values | None = None) -> bytes:
        """Write counts.parquet.

        Args:
            counts: of the pool. kept: uint64[entries], counts over a balanced subset.

        Returns:
            The file's content.
        """
        place = self.space.folder / COUNTS_FILE
        table = counts.to_table(self.matcher.metadata, kept)
        coded = [name for name in ("source", "count", KEPT.name) if name in table.column_names]
        write_parquet(place, table, use_dictionary=coded)
        return read_bytes(place)

    def finish(self, counts: Counts, outcome: Outcome, summary: dict[str, Any]) -> None:
        """Write shards, and last the manifest.

        Args:
            counts: of the pool. outcome: of the stage that decided the rows' fates.
            summary: totals.
        """
        self.space.write_shards(outcome)
        digests = {"metadata": counts.metadata_digest, "pool": counts.pool}
        self.space.write_manifest(summary, digests)

    def fates(self, outcome: Outcome, names: Sequence[str]) -> dict[str, int]:
        """Rows by fate, over all units; of captions and filters only where there are any.

        Args:
            outcome: of a stage. names: of the fates that it decides.
        """
        names = [
            *names,
            *(["other_caption"] if self.choice is not None else []),
            *(["filtered"] if self.pool.filters else []),
        ]
        return {
            name: sum(getattr(record, name) or 0 for record in outcome.records) for name in names
        }


def read_counts(path: str | Place) -> Counts:
    """Read counts.parquet.

    Args:
        path: the file, or a folder that holds it.

    Raises:
        UsageError: when there is none.
        InputError: when it is none of counts.
    """
    place = place_of(path)
    if not is_file(place):
        place = place / COUNTS_FILE
    if not is_file(place):
        raise UsageError(f"{path}: no such file of counts, nor a folder that holds one")
    content = read_bytes(place)
    try:
        return Counts.from_table(table_of(content))
    except (pa.ArrowException, OSError, MetacurateError) as error:
        raise InputError(str(place), f"can't be read: {first_line(error)}") from error


def read_summary(out: str | Place) -> dict[str, Any]:
    """Read the totals of a finished run.

    Args:
        out: its output folder.

    Raises:
        UsageError: when no finished run is there.
    """
    manifest = read_manifest(place_of(out))
    if manifest is None:
        raise UsageError(f"{out} holds no finished run")
    totals: dict[str, Any] = manifest["totals"]
    return totals


def read_settings(counts: str | Place) -> dict[str, Any]:
    """Threshold, seed and round of the curated set that some counts lie beside.

    Args:
        counts: an output folder; of a file of counts, nothing is known.

    Returns:
        `threshold`, `seed`, `round`; empty where the folder holds no finished curated set.
    """
    manifest = read_manifest(place_of(counts))
    totals = {} if manifest is None else manifest["totals"]
    names = ("threshold", "seed", "round")
    return {name: totals[name] for name in names if name in totals}
