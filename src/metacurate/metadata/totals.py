"""Counts added up and ranked on disk, by DuckDB, within a limit of memory."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from metacurate.engine.storage import write_atomically
from metacurate.errors import MetacurateError, first_line
from metacurate.metadata.titles import VIEWS
from metacurate.schema import NGRAMS, RANKED

TEMPORARY = "duckdb.tmp"  # the folder for what does not fit into memory
BELOW = "below the threshold"
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
class Store:
    """Where totals are kept, and what making them may take.

    Attributes:
        folder: for the totals. memory: in bytes. workers: number of threads.
    """

    folder: Path
    memory: int
    workers: int

    @contextmanager
    def connect(self) -> Iterator[Any]:
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
        try:
            with duckdb.connect(":memory:", config=config) as connection:
                yield connection
        except duckdb.Error as error:
            raise MetacurateError(f"{self.folder}: {first_line(error)}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def add_up(self, name: str, batches: Iterable[pa.RecordBatch]) -> "NgramTotals":
        """Add up counts of the same words and bigrams, or take what an earlier run left.

        Args:
            name: of the totals; another one for other counts. batches: of `NGRAMS`; not looked at
                where the totals are there.

        Raises:
            MetacurateError: see `connect`.
        """
        ngrams = self.folder / f"{name}.ngrams.parquet"
        words = self.folder / f"{name}.words.parquet"
        with self.connect() as connection:
            if not ngrams.exists():
                reader = pa.RecordBatchReader.from_batches(NGRAMS, batches)
                connection.register("counted", reader)
                _copy(
                    connection,
                    "SELECT first, second, sum(count)::BIGINT AS count FROM counted GROUP BY ALL",
                    ngrams,
                )
            if not words.exists():
                found = f"FROM read_parquet({_quoted(ngrams)}) WHERE second IS NULL"
                _copy(connection, f"SELECT first AS word, count {found}", words)
            counted = "SELECT count(*), coalesce(sum(count), 0)::BIGINT FROM read_parquet"
            ((n_words, tokens),) = connection.execute(f"{counted}({_quoted(words)})").fetchall()
            ((n_all, _),) = connection.execute(f"{counted}({_quoted(ngrams)})").fetchall()
        return NgramTotals(self, ngrams, words, n_words, n_all - n_words, tokens)

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
                reader = pa.RecordBatchReader.from_batches(VIEWS, batches or ())
                connection.register(f"{name}_batches", reader)
                connection.execute(
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
            counted = connection.execute(
                f"SELECT reason, count(*) FROM ({fate}) GROUP BY reason",  # noqa: S608
                parameters,
            ).fetchall()
            score = "NULL" if views is None else "views"
            listed = _ranked(
                connection.sql(
                    f"SELECT entry, {score}::DOUBLE AS score FROM ({fate}) WHERE reason IS NULL "  # noqa: S608
                    "ORDER BY views DESC, entry LIMIT $5",
                    params=[*parameters, most],
                )
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
        ngrams_file: Parquet of first, second (null for a word), count.
        words_file: Parquet of word, count.
        words, bigrams: how many different ones there are.
        tokens: the sum of all words' counts: N.
    """

    store: Store
    ngrams_file: Path
    words_file: Path
    words: int
    bigrams: int
    tokens: int

    def rank_words(self, min_count: int, most: int) -> Ranking:
        """Words by their counts, the largest first, ties by text (by code point).

        Args:
            min_count: of a word. most: how many to list.
        """
        source = f"read_parquet({_quoted(self.words_file)})"
        with self.store.connect() as connection:
            ((enough,),) = connection.execute(
                f"SELECT count(*) FROM {source} WHERE count >= ?",  # noqa: S608 - our own file
                [min_count],
            ).fetchall()
            query = f"""
                SELECT word AS entry, count::DOUBLE AS score FROM {source} WHERE count >= ?
                ORDER BY count DESC, word LIMIT ?"""  # noqa: S608
            listed = _ranked(connection.sql(query, params=[min_count, most]))
        return Ranking(self.words, {BELOW: self.words - enough}, listed)

    def rank_bigrams(self, least_association: float, min_count: int, most: int) -> Ranking:
        """Bigrams by the association of their words, the closest first, ties by text.

        Their order is that of c12 N / (c1 c2), in float64: products and quotients are the same on
        every machine, which logarithms are not. The score is the PMI, its logarithm.

        Args:
            least_association: of a bigram. min_count: of a bigram. most: how many to list.
        """
        words = f"read_parquet({_quoted(self.words_file)})"
        joined = f"""
            SELECT ngrams.first || ' ' || ngrams.second AS entry, ngrams.count AS count,
                (ngrams.count::DOUBLE * {self.tokens}::DOUBLE)
                    / (left_word.count::DOUBLE * right_word.count::DOUBLE) AS association
            FROM read_parquet({_quoted(self.ngrams_file)}) AS ngrams
            JOIN {words} AS left_word ON ngrams.first = left_word.word
            JOIN {words} AS right_word ON ngrams.second = right_word.word
            WHERE ngrams.second IS NOT NULL"""  # noqa: S608
        with self.store.connect() as connection:
            ((known, often, close),) = connection.execute(
                f"""
                SELECT count(*), count(*) FILTER (count >= $1),
                    count(*) FILTER (count >= $1 AND association >= $2)
                FROM ({joined})""",  # noqa: S608
                [min_count, least_association],
            ).fetchall()
            query = f"""
                SELECT entry, log2(association) AS score FROM ({joined})
                WHERE count >= $1 AND association >= $2
                ORDER BY association DESC, entry LIMIT $3"""  # noqa: S608
            parameters = [min_count, least_association, most]
            listed = _ranked(connection.sql(query, params=parameters))
        dropped = {
            "a word was never counted": self.bigrams - known,
            "too few": known - often,
            BELOW: often - close,
        }
        return Ranking(self.bigrams, dropped, listed)


def _copy(connection: Any, query: str, path: Path) -> None:
    """Write a query's result as a Parquet file, atomically."""

    def write(temporary: Path) -> None:
        options = "(FORMAT parquet, COMPRESSION zstd)"
        connection.execute(f"COPY ({query}) TO {_quoted(temporary)} {options}")

    write_atomically(path, write)


def _ranked(relation: Any) -> pa.Table:
    return relation.to_arrow_table().cast(RANKED)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
