"""Places that runs write to: folders of this machine, or of an object store, by the same calls.

A file appears whole or not at all: by renaming on this machine, by what a store makes of one
upload. Places are `pathlib.Path` here, and `upath.UPath` in a store.
"""

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from metacurate.engine.stores import Place, at_once, reaching, storage_errors
from metacurate.errors import MetacurateError, first_line

AT_ONCE = 16  # files that are read from a store together
CHANGED = ("LastModified", "mtime", "updated", "created")  # as stores name it


def write_atomically(place: Place, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name, then rename or upload it.

    Args:
        place: where the file belongs; its folder is made.
        write: writes the content to the path that it is given.

    Raises:
        MetacurateError: when it can't be written (a full disk, no permission, no answer).
    """
    if not isinstance(place, Path):
        _upload(place, write)
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.parent / f".{secrets.token_hex(8)}.tmp"
        temporary.touch(exist_ok=False)  # with the permissions that the user's umask leaves
        try:
            write(temporary)
            flush(temporary)
            temporary.replace(place)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise MetacurateError(f"{place}: can't be written: {error}") from error


def _upload(place: UPath, write: Callable[[Path], object]) -> None:
    try:
        with tempfile.TemporaryDirectory(prefix="metacurate-") as folder:
            temporary = Path(folder) / "file"
            write(temporary)
            place.fs.put_file(str(temporary), place.path)
    except storage_errors(place.fs) as error:
        raise MetacurateError(f"{place}: can't be written: {first_line(error)}") from error


def scratch(place: Place) -> Path:
    """A folder of this machine for large temporary files: where it is written to, if that is here.

    Args:
        place: a folder.
    """
    return place if isinstance(place, Path) else Path(tempfile.gettempdir())


def make_folder(place: Place) -> None:
    """Make a folder where it is missing; stores have none.

    Raises:
        MetacurateError: when it can't be made.
    """
    if isinstance(place, Path):
        with reaching(place, "written"):
            place.mkdir(parents=True, exist_ok=True)


def write_text(place: Place, text: str) -> None:
    """Write a text file atomically.

    Raises:
        MetacurateError: when it can't be written.
    """
    write_atomically(place, lambda temporary: temporary.write_bytes(text.encode()))


def write_json(place: Place, value: Any) -> None:
    """Write a JSON file atomically.

    Raises:
        MetacurateError: when it can't be written.
    """
    write_text(place, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_parquet(place: Place, table: pa.Table, **options: Any) -> None:
    """Write a Parquet file atomically, compressed with zstd.

    Args:
        place: where to. table: what. **options: of `pyarrow.parquet.write_table`.

    Raises:
        MetacurateError: when it can't be written.
    """
    write_atomically(
        place, lambda temporary: pq.write_table(table, temporary, compression="zstd", **options)
    )


def write_arrow(place: Place, table: pa.Table, *, compressed: bool = False) -> None:
    """Write an Arrow IPC file atomically: quicker than Parquet, for what only a run reads.

    Args:
        place: where to. table: what.
        compressed: whether to make it small, with zstd, rather than quick to read.

    Raises:
        MetacurateError: when it can't be written.
    """
    codec = pa.Codec("zstd", 1) if compressed else None
    options = pa.ipc.IpcWriteOptions(compression=codec)

    def write(temporary: Path) -> None:
        with (
            pa.OSFile(str(temporary), "wb") as sink,
            pa.ipc.new_file(sink, table.schema, options=options) as file,
        ):
            file.write_table(table)

    write_atomically(place, write)


def read_arrow(path: Path) -> pa.Table:
    """Map what `write_arrow` wrote into memory; its chunks are those that were written.

    Args:
        path: the file, on this machine.
    """
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def arrow_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Read what `write_arrow` wrote, a chunk at a time.

    Args:
        path: the file, on this machine.

    Raises:
        OSError, ValueError: when it is no whole file.
    """
    with pa.OSFile(str(path)) as source:
        file = pa.ipc.open_file(source)
        for i in range(file.num_record_batches):
            yield file.get_batch(i)


def arrow_tables(places: Sequence[Place]) -> Iterator[pa.Table]:
    """Read what `write_arrow` wrote, one file after another, from wherever they are.

    Args:
        places: the files.

    Raises:
        MetacurateError: when a store does not answer.
    """
    here = [place for place in places if isinstance(place, Path)]
    yield from map(read_arrow, here)
    for content in read_all([place for place in places if not isinstance(place, Path)]):
        yield pa.ipc.open_file(pa.BufferReader(content)).read_all()


def read_bytes(place: Place) -> bytes:
    """Read a small file.

    Args:
        place: which.

    Raises:
        FileNotFoundError, IsADirectoryError, NotADirectoryError: when there is none.
        MetacurateError: when it can't be read.
    """
    with reaching(place):
        content: bytes = (
            place.read_bytes()
            if isinstance(place, Path)
            else place.fs.cat_file(place.path, **at_once(place.fs))
        )
    return content


def table_of(content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a small Parquet file that is in memory.

    This thread alone does it: one of Arrow's, letting go of Python's bytes while the interpreter
    ends, aborts the process.

    Args:
        content: of the file. columns: to read; all without it.

    Raises:
        ArrowException, OSError: when it is none.
    """
    return pq.ParquetFile(pa.BufferReader(content)).read(columns, use_threads=False)


def read_all(places: Sequence[Place]) -> Iterator[bytes]:
    """Read files in their order; from a store, several at once.

    Args:
        places: of one folder.

    Raises:
        FileNotFoundError: when one is gone.
        MetacurateError: when one can't be read.
    """
    for start in range(0, len(places), AT_ONCE):
        some = places[start : start + AT_ONCE]
        if isinstance(some[0], Path):
            yield from map(read_bytes, some)
            continue
        names = [place.path for place in some if not isinstance(place, Path)]
        with reaching(some[0]):
            contents = some[0].fs.cat(names, **at_once(some[0].fs))
        yield from (contents[name] for name in names)


class LocalCopies:
    """Files on this machine: where they are, or copies that go with this object.

    Attributes:
        paths: of the files, in the order in which they were asked for.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        """Copy what is not here.

        Args:
            places: the files.

        Raises:
            MetacurateError: when they can't be copied.
        """
        self.paths = [place for place in places if isinstance(place, Path)]
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        remote = [place for place in places if not isinstance(place, Path)]
        if remote:
            self._folder = tempfile.TemporaryDirectory(prefix="metacurate-")
            copies = [Path(self._folder.name) / f"{i}{p.suffix}" for i, p in enumerate(remote)]
            with reaching(remote[0]):
                remote[0].fs.get([place.path for place in remote], list(map(str, copies)))
            self.paths += copies


def is_file(place: Place) -> bool:
    """Whether there is a file.

    Args:
        place: where.

    Raises:
        MetacurateError: when a store does not answer.
    """
    return place.is_file() if isinstance(place, Path) else _kind(place) == "file"


def is_folder(place: Place) -> bool:
    """Whether there is a folder; in a store, whether there is anything below that name.

    Args:
        place: where.

    Raises:
        MetacurateError: when a store does not answer.
    """
    return place.is_dir() if isinstance(place, Path) else _kind(place) == "directory"


def _kind(place: UPath) -> str | None:
    try:
        with reaching(place):
            return str(place.fs.info(place.path)["type"])
    except FileNotFoundError:
        return None


class Entry(NamedTuple):
    """What lies in a folder.

    Attributes:
        size: in bytes. changed: when, in seconds since 1970. is_folder: whether it is one.
        is_remote: whether it lies in a store.
    """

    size: int
    changed: float
    is_folder: bool
    is_remote: bool = False


def list_folder(folder: Place) -> dict[str, Entry]:
    """What lies in a folder, by name.

    Args:
        folder: may be missing.

    Raises:
        MetacurateError: when it can't be looked at.
    """
    try:
        with reaching(folder, "looked at"):
            if isinstance(folder, Path):
                found = {}
                with os.scandir(folder) as entries:
                    for entry in entries:
                        with suppress(FileNotFoundError):  # it has gone meanwhile
                            found[entry.name] = _entry(entry)
                return found
            return {
                info["name"].rstrip("/").rpartition("/")[2]: _entry_of(info)
                for info in folder.fs.ls(folder.path, detail=True)
                if info["name"].rstrip("/") != folder.path.rstrip("/")
            }
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _entry(entry: "os.DirEntry[str]") -> Entry:
    status = entry.stat(follow_symlinks=False)
    return Entry(status.st_size, status.st_mtime, entry.is_dir())


def _entry_of(info: dict[str, Any]) -> Entry:
    changed: Any = next((info[name] for name in CHANGED if info.get(name)), 0.0)
    if isinstance(changed, str):
        changed = datetime.fromisoformat(changed)
    if isinstance(changed, datetime):
        changed = changed.timestamp()
    return Entry(int(info["size"] or 0), float(changed), info["type"] == "directory", True)


def walk(folder: Place) -> Iterator[tuple[str, int]]:
    """All files below a folder.

    Args:
        folder: which.

    Yields:
        Path of each in the folder, and its size in bytes.

    Raises:
        MetacurateError: when a store does not answer.
    """
    if isinstance(folder, Path):
        for file in folder.rglob("*"):
            if file.is_file():
                yield file.relative_to(folder).as_posix(), file.stat().st_size
        return
    with reaching(folder):
        found = folder.fs.find(folder.path, detail=True)
    for name, info in found.items():
        if info["type"] == "file":
            yield name.removeprefix(folder.path.rstrip("/") + "/"), int(info["size"] or 0)


def remove(places: Iterable[Place]) -> None:
    """Remove files; those that are gone already are passed over.

    Args:
        places: of one folder.

    Raises:
        MetacurateError: when one can't be removed.
    """
    remote: list[UPath] = []
    for place in places:
        if isinstance(place, Path):
            with reaching(place, "removed"):
                place.unlink(missing_ok=True)
        else:
            remote.append(place)
    if not remote:
        return
    with reaching(remote[0], "removed"):
        if "s3" in remote[0].protocol and len(remote) > 1:  # a thousand a request
            remote[0].fs.rm([place.path for place in remote])
            return
        for place in remote:
            with suppress(FileNotFoundError):
                place.fs.rm_file(place.path)


def remove_folder(folder: Place) -> None:
    """Remove a folder and all that is in it; it may be gone already.

    Args:
        folder: which.

    Raises:
        MetacurateError: when it can't be removed.
    """
    try:
        with reaching(folder, "removed"):
            if isinstance(folder, Path):
                shutil.rmtree(folder)
            else:
                folder.fs.rm(folder.path, recursive=True)
    except FileNotFoundError:
        return


def flush(path: Path) -> None:
    """Have the content on the disk before its name is: a machine may lose its power.

    Args:
        path: of a file or a folder.

    Raises:
        OSError: when it can't be.
    """
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def drop_temporaries(folder: Place) -> None:
    """Remove what a killed run was writing.

    Args:
        folder: where it wrote; may be missing.
    """
    if not isinstance(folder, Path):
        return  # an upload that was cut off leaves nothing to be seen
    for left in folder.glob(".*.tmp"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)
