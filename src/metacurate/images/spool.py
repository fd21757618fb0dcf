"""What has come of a shard's images, on the disk as soon as it is there: a kill costs nothing.

Results are appended to an Arrow stream, each a batch of one row. A run that goes on reads what is
whole of the streams before, and begins another.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from metacurate.engine.stores import Place
from metacurate.errors import MetacurateError

SPOOLS = "spools"

SCHEMA = pa.schema(
    [
        ("index", pa.int32()),
        ("status", pa.string()),
        ("error_message", pa.string()),
        ("image", pa.large_binary()),
        ("ending", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("original_width", pa.int32()),
        ("original_height", pa.int32()),
        ("sha256", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an image.

    Attributes:
        index: of the image in its shard.
        status: one of `Status`. error_message: more about it, in one line.
        image: its bytes, as they go into the shard; None without success.
        ending: of its file name.
        width, height: in pixels. original_width, original_height: before it was made smaller.
        sha256: of the bytes as they came, in hex.
    """

    index: int
    status: str
    error_message: str | None = None
    image: bytes | None = None
    ending: str | None = None
    width: int | None = None
    height: int | None = None
    original_width: int | None = None
    original_height: int | None = None
    sha256: str | None = None


class Spool:
    """The results of one shard, in a folder of its own.

    Attributes:
        done: indexes of the images whose results are there.
    """

    def __init__(self, folder: Path) -> None:
        """Find what earlier runs left, and begin a new stream.

        Args:
            folder: is made.

        Raises:
            OSError: when it can't be written.
        """
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._streams = sorted(folder.glob("*.arrows"))
        self.done: set[int] = set()
        for batch in self._batches():
            self.done.add(batch.column("index")[0].as_py())
        self._path = folder / f"{len(self._streams):06d}.arrows"
        self._sink = pa.OSFile(str(self._path), "wb")
        self._writer = pa.ipc.new_stream(self._sink, SCHEMA)
        self._streams.append(self._path)

    def add(self, result: Result) -> None:
        """Put a result on the disk.

        Args:
            result: of an image that is not done.

        Raises:
            OSError: when it can't be written.
        """
        row = {name: [value] for name, value in asdict(result).items()}
        self._writer.write_batch(pa.RecordBatch.from_pydict(row, schema=SCHEMA))
        self.done.add(result.index)

    def close(self) -> None:
        """Write no more."""
        self._writer.close()
        self._sink.close()

    def read(self) -> "Results":
        """All results, mapped from the disk; once nothing more is written."""
        return Results(list(self._batches()))

    def remove(self) -> None:
        """Remove the results: the shard is written."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """All whole batches of the streams, of one row each."""
        for path in self._streams:
            if not path.stat().st_size:
                continue
            try:
                stream = pa.ipc.open_stream(pa.memory_map(str(path)))
                yield from stream
            except (pa.ArrowInvalid, OSError):  # where the kill was: all before is whole
                continue


class Results:
    """Results by the index of their image; images stay on the disk until they are asked for."""

    def __init__(self, batches: list[pa.RecordBatch]) -> None:
        """Take results in.

        Args:
            batches: of one row each.
        """
        self._batches = {batch.column("index")[0].as_py(): batch for batch in batches}

    def table(self, images: int) -> pa.Table:
        """What became of images, without these themselves.

        Args:
            images: how many the shard has; all of them are done.

        Returns:
            A row for each image, in their order.
        """
        names = [name for name in SCHEMA.names if name != "image"]
        schema = pa.schema([SCHEMA.field(name) for name in names])
        if not images:
            return schema.empty_table()
        rows = [self._batches[index].select(names) for index in range(images)]
        return pa.Table.from_batches(rows, schema).combine_chunks()

    def image(self, index: int) -> bytes:
        """The bytes of an image that succeeded.

        Args:
            index: in its shard.
        """
        content: bytes = self._batches[index].column("image")[0].as_py()
        return content


def spool_folder(folder: Path, unit: str) -> Path:
    """Where the results of a shard are kept.

    Args:
        folder: of all spools. unit: names the shard, and what decides about its images.
    """
    return folder / hashlib.sha256(unit.encode()).hexdigest()[:24]


def spools_of(work: Place) -> Path:
    """Where the spools of an output folder are: in it, or where that is a store, on this machine.

    Args:
        work: the folder for what only resumption needs.

    Returns:
        A folder that nobody else on this machine can write to.

    Raises:
        MetacurateError: when there is one that somebody else made.
        OSError: when it can't be made.
    """
    if isinstance(work, Path):
        return work / SPOOLS
    own = Path(tempfile.gettempdir()) / f"metacurate-{os.getuid()}"
    own.mkdir(mode=0o700, exist_ok=True)
    found = own.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise MetacurateError(f"{own}: is not ours alone: remove it, or set TMPDIR")
    return own / hashlib.sha256(str(work).encode()).hexdigest()[:24]
