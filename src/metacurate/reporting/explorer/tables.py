"""DuckDB over Parquet files: no import, no other file, and no query longer than someone waits."""

import os
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from metacurate.engine.stores import literal, locate
from metacurate.errors import InputError, MetacurateError, first_line

MEMORY = "2GB"  # of all queries of a shelf together
POLL = 0.05  # seconds

Row = tuple[Any, ...]


class TooSlowError(MetacurateError):
    """An answer would take longer than a page may."""


class EncodingError(InputError):
    """A file has texts that are no UTF-8, which DuckDB does not read."""


class Patience:
    """How long an answer may take, and whether somebody still waits for it."""

    def __init__(self, seconds: float) -> None:
        """Begin to wait.

        Args:
            seconds: after which what is asked is broken off.
        """
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._stopped = threading.Event()

    @property
    def left(self) -> float:
        """Seconds that are left, at least 0."""
        return 0.0 if self._stopped.is_set() else max(0.0, self._end - time.monotonic())

    def stop(self) -> None:
        """Nobody waits any more."""
        self._stopped.set()

    def check(self) -> None:
        """Refuse to go on when time is over.

        Raises:
            TooSlowError: telling so.
        """
        if not self.left:
            raise TooSlowError(f"this takes longer than {self._seconds:g} seconds: it was ended")


class Tables:
    """Parquet files that can be asked; nothing else can be, neither here nor elsewhere."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Open DuckDB in memory, and shut it off from all but these files.

        Args:
            paths: paths or URIs.

        Raises:
            MetacurateError: when DuckDB is missing, naming the extra.
        """
        try:
            import duckdb
        except ImportError as error:
            raise MetacurateError(
                'the explorer asks DuckDB: pip install "metacurate[report]"'
            ) from error
        self._errors = duckdb
        self._lock = threading.Lock()
        config = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "memory_limit": MEMORY,
            "threads": os.cpu_count() or 1,
            "preserve_insertion_order": True,  # so that the first rows are the first of the file
            "temp_directory": "",
        }
        self._connection = duckdb.connect(":memory:", config=config)
        stores = {locate(path)[0] for path in paths if "://" in path}
        for store in stores:
            self._connection.register_filesystem(store)
        allowed = dict.fromkeys([*paths, *map(literal, paths)])  # a pattern, and what it means
        self._connection.execute("SET allowed_paths = ?", [list(allowed)])
        for setting in ("enable_external_access = false", "lock_configuration = true"):
            self._connection.execute(f"SET {setting}")

    def ask(self, path: str, query: str, values: Sequence[Any], patience: Patience) -> list[Row]:
        """Ask a query of a file.

        Args:
            path: of the file. query: SQL, with ? for values, the path the first of them.
            values: for the others. patience: breaks it off.

        Raises:
            InputError: when the file can't be read; an EncodingError for texts that are no UTF-8.
            TooSlowError: when time is over.
        """
        return self._run(path, query, values, patience)[1]

    def columns(self, path: str, patience: Patience) -> list[str]:
        """Names that DuckDB gives to the columns of a file, in the file's order.

        It takes no notice of case, so of two names that differ in nothing else it changes one.

        Args:
            path: of the file. patience: as for `ask`.

        Raises:
            InputError, TooSlowError: as for `ask`.
        """
        query = "SELECT * FROM read_parquet(?, hive_partitioning = false) LIMIT 0"
        return self._run(path, query, [], patience)[0]

    def _run(
        self, path: str, query: str, values: Sequence[Any], patience: Patience
    ) -> tuple[list[str], list[Row]]:
        patience.check()
        with self._lock:
            cursor = self._connection.cursor()
        done = threading.Event()

        def watch() -> None:
            while not done.wait(min(POLL, patience.left) or POLL / 10):
                if not patience.left:
                    cursor.interrupt()  # again and again: it may come before the query begins

        watcher = threading.Thread(target=watch, daemon=True)
        with closing(cursor):
            watcher.start()
            try:
                cursor.execute(query, [literal(path), *values])
                names = [column[0] for column in cursor.description or ()]
                return names, cursor.fetchall()
            except self._errors.InterruptException:
                patience.check()
                raise
            except self._errors.Error as error:
                kind = EncodingError if "not valid UTF8" in str(error) else InputError
                raise kind(path, f"can't be read: {first_line(error)}") from error
            finally:
                done.set()
                watcher.join()


def quote(name: str) -> str:
    """A column's name as SQL takes it, whatever characters it has.

    Args:
        name: from a file.
    """
    return '"' + name.replace('"', '""') + '"'
