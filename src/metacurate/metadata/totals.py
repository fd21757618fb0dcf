"""Counts added up and ranked on disk, by DuckDB, within a limit of memory."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from metacurate.engine.progress import Progress, Silent
from metacurate.engine.storage import write_atomically
from metacurate.engine.stores import literal
from metacurate.errors import MetacurateError, first_line
from metacurate.metadata.buckets import Part
from metacurate.metadata.titles import VIEWS
from metacurate.schema import NGRAMS, RANKED

WORD_TOTALS = pa.schema([("word", pa.string()), ("count", pa.int64())])
BIGRAM_TOTALS = pa.schema(
    [("first", pa.string()), ("second", pa.string()), ("count", pa.int64()),
     ("first_count", pa.int64())]
)  # fmt: skip
FORMAT = 1  # raise with each change of what is added up
TEMPORARY = "duckdb.tmp"  # the folder for what does not fit into memory
BELOW = "below the threshold"
BYTES_OF_WORD = 200  # in a join
LEAST_MEMORY = 128 << 20  # bytes that DuckDB needs to get anywhere


@dataclass(frozen=True)
class Ranking:
    """Candidates of a source, the best first.

    Attributes:
        read: how many there were before any was left out.
        dropped: how many were left out, by reason.
        listed: the others, of `metacurate.schema.RANKED`; perhaps only as many as were asked for.
    """

    read: int
    dropped: dict[str, int]
    listed: pa.Table


@dataclass(frozen=True)
class _Session:
    """A connection to DuckDB, and what went wrong in what it was given to read."""

    connection: Any
    failures: list[Exception]

    def register(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Give batches a name, once; DuckDB asks for them when it comes to need them."""

        def read() -> Iterator[pa.RecordBatch]:
            try:
                yield from batches
            except Exception as error:
                self.failures.append(error)
                raise

        reader = pa.RecordBatchReader.from_batches(schema, read())
        self.connection.register(name, reader)

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Run a query, and fetch all that it finds."""
        found: list[Any] = self._run(
            lambda: self.connection.execute(query, list(parameters)).fetchall()
        )
        return found

    def ranked(self, query: str, parameters: Sequence[Any]) -> pa.Table:
        """Run a query for entries and scores, and fetch all that it finds, of `RANKED`."""

        def run() -> pa.Table:
            return self.connection.sql(query, params=list(parameters)).to_arrow_table()

        return self._run(run).cast(RANKED)

    def each(self, query: str, take: Callable[[pa.RecordBatch], None]) -> None:
        """Run a query, and hand over what it finds bit by bit."""

        def run() -> None:
            for batch in self.connection.sql(query).to_arrow_reader():
                take(batch)

        self._run(run)

    def _run(self, work: Callable[[], Any]) -> Any:
        """Work in another thread: while DuckDB is at it, this one hears Ctrl-C."""
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(work)
            try:
                return future.result()
            except BaseException:
                self.connection.interrupt()
                raise


@dataclass(frozen=True)
class Store:
    """Where totals are kept, and what making them may take.

    Attributes:
        folder: for the totals. memory: in bytes. workers: number of threads.
        progress: told of parts that are added up.
    """

    folder: Path
    memory: int
    workers: int
    progress: Progress = field(default_factory=Silent, compare=False)

    @contextmanager
    def connect(self) -> Iterator["_Session"]:
        """Open DuckDB for some queries; what it puts aside is removed at the end.

        Raises:
            MetacurateError: when DuckDB, of the extra `metadata`, is missing, or memory or disk
                do not suffice.
        """
        try:
            import duckdb
        except ImportError as error:
            raise MetacurateError(
                'counts are added up by DuckDB: pip install "metacurate[metadata]"'
            ) from error
        temporary = self.folder / TEMPORARY
        shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
        config = {
            "memory_limit": f"{max(LEAST_MEMORY, self.memory)}B",
            "threads": self.workers,
            "temp_directory": str(temporary),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
        }
        failures: list[Exception] = []
        try:
            with duckdb.connect(":memory:", config=config) as connection:
                connection.execute("SET enable_progress_bar = false")  # it goes to standard output
                yield _Session(connection, failures)
        except duckdb.Error as error:
            if failures:  # of what was read, not of the database
                raise failures[0] from error
            if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException):
                raise MetacurateError("counts add up to more than 2^63 - 1") from error
            if isinstance(error, duckdb.OutOfMemoryException):
                reason = f"{first_line(error)}: give more --memory, or room on the disk"
                raise MetacurateError(f"{self.folder}: {reason}") from error
            raise MetacurateError(f"{self.folder}: {first_line(error)}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def add_up(self, name: str, parts: Sequence[Part]) -> "NgramTotals":
        """Add up counts of the same words and bigrams, or take what an earlier run left.

        Args:
            name: of the totals; another one for other counts.
            parts: functions that read batches of `NGRAMS`; each has all counts of its first words.

        Raises:
            MetacurateError: see `connect`.
        """
        words = self.folder / f"{name}.words.parquet"
        bigrams = self.folder / f"{name}.bigrams.parquet"
        if not (words.exists() and bigrams.exists()):
            self.progress.start("add up", len(parts), "parts")
            write_atomically(
                words,
                lambda path: write_atomically(bigrams, partial(self._add_up, parts, path)),
            )
            self.progress.end()
        with self.connect() as connection:
            ((n_words, tokens),) = connection.rows(
                f"SELECT count(*), coalesce(sum(count), 0)::BIGINT FROM {_table(words)}"  # noqa: S608
            )
        n_bigrams = pq.read_metadata(bigrams).num_rows
        return NgramTotals(self, words, bigrams, n_words, n_bigrams, tokens)

    def _add_up(self, parts: Sequence[Part], words: Path, bigrams: Path) -> None:
        """Add up one part after another, so that what is in memory is one part's."""
        query = """
            WITH totals AS MATERIALIZED (
                SELECT first, second, sum(count)::BIGINT AS count FROM counted GROUP BY ALL
            )
            SELECT totals.first, totals.second, totals.count, words.count AS first_count
            FROM totals LEFT JOIN (SELECT first, count FROM totals WHERE second IS NULL) AS words
            ON totals.first = words.first"""
        with (
            pq.ParquetWriter(words, WORD_TOTALS, compression="zstd") as word_file,
            pq.ParquetWriter(bigrams, BIGRAM_TOTALS, compression="zstd") as bigram_file,
        ):
            for part in parts:
                with self.connect() as connection:
                    connection.register("counted", NGRAMS, part())
                    connection.each(query, partial(_write_totals, word_file, bigram_file))
                self.progress.advance(1)

    def rank_titles(
        self,
        views: Iterable[pa.RecordBatch] | None,
        titles: Iterable[pa.RecordBatch] | None,
        min_views: int,
        most: int,
    ) -> Ranking:
        """Titles by their views, the largest first, ties by text; without views all by text.

        Args:
            views: of `metacurate.metadata.titles.VIEWS`, a title perhaps several times; None where
                there are none. titles: the same of a list; None where there is none. With both,
                titles that are not in the list are left out: what people asked for need not exist.
            min_views: of a title, where there are views. most: how many to list.
        """
        with self.connect() as connection:
            for name, batches in (("viewed", views), ("listed", titles)):
                connection.register(f"{name}_batches", VIEWS, batches or ())
                connection.rows(
                    f"CREATE TEMP TABLE {name} AS SELECT title, sum(views)::BIGINT AS views "  # noqa: S608
                    f"FROM {name}_batches GROUP BY title"
                )
            first = "listed" if views is None else "viewed"
            both = views is not None and titles is not None
            fate = f"""
                SELECT {first}.title AS entry, {first}.views AS views, CASE
                    WHEN contains({first}.title, ':') THEN $1
                    WHEN {both} AND others.title IS NULL THEN $2
                    WHEN {first}.views < $3 THEN $4 END AS reason
                FROM {first} LEFT JOIN listed AS others ON {first}.title = others.title"""  # noqa: S608
            least = 0 if views is None else min_views
            parameters = ["with a colon", "in no list of titles", least, BELOW]
            counted = connection.rows(
                f"SELECT reason, count(*) FROM ({fate}) GROUP BY reason",  # noqa: S608
                parameters,
            )
            score = "NULL" if views is None else "views"
            listed = connection.ranked(
                f"SELECT entry, {score}::DOUBLE AS score FROM ({fate}) WHERE reason IS NULL "  # noqa: S608
                "ORDER BY views DESC, entry LIMIT $5",
                [*parameters, most],
            )
        numbers = dict(counted)
        read = sum(numbers.values())
        numbers.pop(None, None)  # of those that are left
        return Ranking(read, numbers, listed)


@dataclass(frozen=True)
class NgramTotals:
    """Counts of all words and bigrams.

    Attributes:
        store: where they are.
        words_file: Parquet of word, count.
        bigrams_file: Parquet of first, second, count, first_count.
        words, bigrams: how many different ones there are.
        tokens: the sum of all words' counts: N.
    """

    store: Store
    words_file: Path
    bigrams_file: Path
    words: int
    bigrams: int
    tokens: int

    def rank_words(self, min_count: int, most: int) -> Ranking:
        """Words by their counts, the largest first, ties by text (by code point).

        Args:
            min_count: of a word. most: how many to list.
        """
        source = _table(self.words_file)
        with self.store.connect() as connection:
            ((enough,),) = connection.rows(
                f"SELECT count(*) FROM {source} WHERE count >= ?",  # noqa: S608 - our own file
                [min_count],
            )
            query = f"""
                SELECT word AS entry, count::DOUBLE AS score FROM {source} WHERE count >= ?
                ORDER BY count DESC, word LIMIT ?"""  # noqa: S608
            listed = connection.ranked(query, [min_count, most])
        return Ranking(self.words, {BELOW: self.words - enough}, listed)

    def rank_bigrams(self, least_association: float, min_count: int, most: int) -> Ranking:
        """Bigrams by the association of their words, the closest first, ties by text.

        Their order is that of c12 N / (c1 c2), in float64: products and quotients are the same on
        every machine, which logarithms are not. The score is the PMI, its logarithm: log2(c12 N /
        (c1 c2)) (Church and Hanks, 1990, with the authors' counts).

        Args:
            least_association: of a bigram. min_count: of a bigram. most: how many to list.
        """
        # the second words' counts are looked up for some of them at a time
        n_parts = max(1, self.words * BYTES_OF_WORD // self.store.memory)
        known = often = close = 0
        listed = []
        for part in range(n_parts):
            joined = f"""
                SELECT bigrams.first || ' ' || bigrams.second AS entry, bigrams.count AS count,
                    (bigrams.count::DOUBLE * {self.tokens}::DOUBLE)
                        / (bigrams.first_count::DOUBLE * words.count::DOUBLE) AS association
                FROM {_table(self.bigrams_file)} AS bigrams
                JOIN {_table(self.words_file)} AS words ON bigrams.second = words.word
                WHERE bigrams.first_count IS NOT NULL AND hash(words.word) % {n_parts} = {part}
                    AND hash(bigrams.second) % {n_parts} = {part}"""  # noqa: S608
            with self.store.connect() as connection:
                (numbers,) = connection.rows(
                    f"""
                    SELECT count(*), count(*) FILTER (count >= $1),
                        count(*) FILTER (count >= $1 AND association >= $2)
                    FROM ({joined})""",  # noqa: S608
                    [min_count, least_association],
                )
                query = f"""
                    SELECT entry, association AS score FROM ({joined})
                    WHERE count >= $1 AND association >= $2
                    ORDER BY association DESC, entry LIMIT $3"""  # noqa: S608
                parameters = [min_count, least_association, most]
                listed.append(connection.ranked(query, parameters))
            known, often, close = known + numbers[0], often + numbers[1], close + numbers[2]
        best = pa.concat_tables(listed)
        if n_parts > 1:
            best = best.sort_by([("score", "descending"), ("entry", "ascending")]).slice(0, most)
        pmi = pc.log2(best["score"])
        dropped = {
            "a word was never counted": self.bigrams - known,
            "too few": known - often,
            BELOW: often - close,
        }
        return Ranking(self.bigrams, dropped, pa.table([best["entry"], pmi], schema=RANKED))


def _write_totals(
    words: pq.ParquetWriter, bigrams: pq.ParquetWriter, batch: pa.RecordBatch
) -> None:
    is_word = pc.is_null(batch["second"])
    of_words, of_bigrams = batch.filter(is_word), batch.filter(pc.invert(is_word))
    if of_words.num_rows:
        columns = [of_words["first"], of_words["count"]]
        words.write_batch(pa.record_batch(columns, schema=WORD_TOTALS))
    if of_bigrams.num_rows:
        bigrams.write_batch(pa.record_batch(of_bigrams.columns, schema=BIGRAM_TOTALS))


def _table(path: Path) -> str:
    """A Parquet file as SQL names it."""
    quoted = literal(str(path)).replace("'", "''")
    return f"read_parquet('{quoted}')"
