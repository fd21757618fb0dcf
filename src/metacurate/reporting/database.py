"""DuckDB for one question: in memory, and on the disk where that does not suffice."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from metacurate.errors import MetacurateError, first_line

SETTINGS = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "preserve_insertion_order": False,
}


@contextmanager
def open_database(purpose: str, failure: str, memory: int | None = None) -> Iterator[Any]:
    """Open an empty database until the block ends.

    Args:
        purpose: what it is for, as a message has it: "hosts are counted".
        failure: how to call it when a query fails.
        memory: that it may take before it writes to the disk, in bytes; 80 % of the machine's
            without it.

    Yields:
        The connection.

    Raises:
        MetacurateError: when DuckDB, of the extra `report`, is missing; when a query fails.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MetacurateError(f'{purpose} by DuckDB: pip install "metacurate[report]"') from error
    limit = {} if memory is None else {"memory_limit": f"{memory}B"}
    try:
        with (
            tempfile.TemporaryDirectory(prefix="metacurate-") as folder,
            duckdb.connect(
                ":memory:", config={**SETTINGS, **limit, "temp_directory": folder}
            ) as connection,
        ):
            connection.execute("SET enable_progress_bar = false")  # it goes to standard output
            yield connection
    except duckdb.Error as error:
        raise MetacurateError(f"{failure}: {first_line(error)}") from error
