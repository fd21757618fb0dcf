"""Files: atomic writes, and the lock that keeps two runs out of one folder."""

import fcntl
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from metacurate.errors import MetacurateError

UMASK_LOCK = threading.Lock()


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name in its folder, then rename it.

    Args:
        path: where the file belongs; its folder is made.
        write: writes the content to the path that it is given.

    Raises:
        MetacurateError: when it can't be written (a full disk, no permission).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise MetacurateError(f"{path}: can't be written: {error}") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically.

    Raises:
        MetacurateError: when it can't be written.
    """
    write_atomically(path, lambda temporary: temporary.write_bytes(text.encode()))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically.

    Raises:
        MetacurateError: when it can't be written.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_parquet(path: Path, table: pa.Table, **options: Any) -> None:
    """Write a Parquet file atomically, compressed with zstd.

    Args:
        path: where to. table: what. **options: of `pyarrow.parquet.write_table`.

    Raises:
        MetacurateError: when it can't be written.
    """
    write_atomically(
        path, lambda temporary: pq.write_table(table, temporary, compression="zstd", **options)
    )


def write_arrow(path: Path, table: pa.Table) -> None:
    """Write an Arrow IPC file atomically: quicker than Parquet, for what only a run reads.

    Args:
        path: where to. table: what.

    Raises:
        MetacurateError: when it can't be written.
    """

    def write(temporary: Path) -> None:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, table.schema) as file:
            file.write_table(table)

    write_atomically(path, write)


def read_arrow(path: Path) -> pa.Table:
    """Read what `write_arrow` wrote.

    Args:
        path: the file.
    """
    with pa.OSFile(str(path), "rb") as source:
        return pa.ipc.open_file(source).read_all()


def _umask() -> int:
    with UMASK_LOCK:  # asking for it sets it, for the whole process
        mask = os.umask(0o077)
        os.umask(mask)
    return mask


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; the system drops it when the process ends, however it does.

    Args:
        folder: made where it is missing.

    Raises:
        MetacurateError: when another run holds it, or the folder can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a")
    except OSError as error:
        raise MetacurateError(f"{folder}: can't be written: {error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MetacurateError(f"{folder.parent}: another run is at work on it") from error
        yield
