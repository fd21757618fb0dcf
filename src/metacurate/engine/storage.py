"""Files: atomic writes, and the lock that keeps two runs out of one folder."""

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from metacurate.errors import MetacurateError


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
        temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
        temporary.touch(exist_ok=False)  # with the permissions that the user's umask leaves
        try:
            write(temporary)
            _flush(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise MetacurateError(f"{path}: can't be written: {error}") from error


def make_folder(path: Path) -> None:
    """Make a folder where it is missing.

    Raises:
        MetacurateError: when it can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
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


def write_arrow(path: Path, table: pa.Table, *, compressed: bool = False) -> None:
    """Write an Arrow IPC file atomically: quicker than Parquet, for what only a run reads.

    Args:
        path: where to. table: what.
        compressed: whether to make it small, with zstd, rather than quick to read.

    Raises:
        MetacurateError: when it can't be written.
    """
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1) if compressed else None)

    def write(temporary: Path) -> None:
        with (
            pa.OSFile(str(temporary), "wb") as sink,
            pa.ipc.new_file(sink, table.schema, options=options) as file,
        ):
            file.write_table(table)

    write_atomically(path, write)


def read_arrow(path: Path) -> pa.Table:
    """Map what `write_arrow` wrote into memory; its chunks are those that were written.

    Args:
        path: the file.
    """
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def arrow_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Read what `write_arrow` wrote, a chunk at a time.

    Args:
        path: the file.

    Raises:
        OSError, ValueError: when it is no whole file.
    """
    with pa.OSFile(str(path)) as source:
        file = pa.ipc.open_file(source)
        for i in range(file.num_record_batches):
            yield file.get_batch(i)


def _flush(path: Path) -> None:
    """Have a file's content on the disk before its name is: a machine may lose its power."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def drop_temporaries(folder: Path) -> None:
    """Remove what a killed run was writing.

    Args:
        folder: where it wrote; may be missing.
    """
    for left in folder.glob(".*.tmp"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; the system drops it when the process ends, however it does.

    Args:
        folder: made where it is missing.

    Raises:
        MetacurateError: when another run holds it, or the folder can't be made.
    """
    path = folder / "lock"
    for pause in (0.1, 0.1, 0):  # somebody may only have asked whether it is held
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = path.open("a")
        except OSError as error:
            raise MetacurateError(f"{folder}: can't be written: {error}") from error
        with file:
            if _try_lock(file, fcntl.LOCK_EX) and _is_file(path, file):
                yield
                return
        time.sleep(pause)
    raise MetacurateError(f"{folder.parent}: another run is at work on it")


def is_locked(folder: Path) -> bool:
    """Whether a run holds a folder's lock at this moment.

    Args:
        folder: may be missing.
    """
    path = folder / "lock"
    if not path.exists():
        return False
    with path.open() as file:
        return not _try_lock(file, fcntl.LOCK_SH)


def _is_file(path: Path, file: IO[str]) -> bool:
    """Whether a path still leads to an open file: a refused run removes the folder it made."""
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


def _try_lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
