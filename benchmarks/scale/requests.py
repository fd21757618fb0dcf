"""What commands ask of a store, counted in memory."""

import threading
from collections import Counter
from collections.abc import Callable
from functools import partial, wraps
from io import BytesIO
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.memory import MemoryFileSystem

from benchmarks.fresh import Figures, measure
from benchmarks.scale.amount import task_count
from benchmarks.scale.empty import Nothing
from metacurate import Matcher, Metadata
from metacurate.curation.curate import count, plan, sample
from metacurate.engine.stores import EXTRAS, place_of
from metacurate.engine.workspace import open_workspace
from metacurate.pool.dedup import dedup
from metacurate.schema import EXTRACTED

COMMANDS = ("nothing", "count", "plan", "sample", "dedup")
KINDS = ("GET", "HEAD", "LIST", "PUT", "DELETE")
FILES = ((32, 1), (96, 1), (96, 4))  # files and workers: 8, 8 and 32 tasks


def measure_requests(command: str, files: int, workers: int) -> Figures:
    """Count what a command asks a store of memory that holds its pool and its outputs."""
    texts = [" ".join(f"w{i * k % 97}" for k in range(6)) for i in range(200)]
    made: dict[str, list[Any]] = dict.fromkeys(EXTRACTED.names, texts)
    made["language_score"] = [0.5] * len(texts)
    for number in range(files):
        made["url"] = [f"https://example.org/{number}/{i}.jpg" for i in range(len(texts))]
        content = BytesIO()
        pq.write_table(pa.table(made, schema=EXTRACTED), content)
        fsspec.filesystem("memory").pipe_file(f"/pool/{number:06d}.parquet", content.getvalue())
    metadata = Metadata.from_entries([f"w{i}" for i in range(90)])
    matcher, pool = Matcher(metadata), "memory://pool"
    requests = _count_requests()
    count(pool, matcher, out="memory://counted", workers=workers)

    def nothing(out: str, workers: int) -> None:
        configuration = {"command": "nothing", "pool": []}
        with open_workspace(place_of(out), configuration, workers=workers) as space:
            space.claim()
            space.run(Nothing(files, writes=True))

    counted = "memory://counted"
    commands: dict[str, Callable[..., object]] = {
        "nothing": nothing,
        "count": partial(count, pool, matcher),
        "plan": partial(plan, pool, metadata, budgets=[50], counts=counted),
        "sample": partial(sample, pool, metadata, counted, threshold=20.0),
        "dedup": partial(dedup, pool),
    }
    requests.clear()
    commands[command](out="memory://out", workers=workers)
    return {"requests": dict(requests)}


ASKED = {
    "put_file": "PUT", "pipe_file": "PUT", "cat_file": "GET", "get_file": "GET", "ls": "LIST",
    "find": "LIST", "glob": "LIST", "isdir": "LIST", "info": "HEAD", "exists": "HEAD",
    "isfile": "HEAD", "open": "HEAD", "rm_file": "DELETE", "rm": "DELETE",
}  # fmt: skip  # calls of fsspec, and the request that s3fs makes of each


def _count_requests() -> Counter[str]:
    """Count from now on what is asked of the store in memory, as S3 would be asked for it."""
    requests: Counter[str] = Counter()
    inside, lock = threading.local(), threading.Lock()

    def counted(kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Count calls, but not those that the file system makes of itself."""

        @wraps(call)
        def outermost(*arguments: Any, **named: Any) -> Any:
            if getattr(inside, "it", False):
                return call(*arguments, **named)
            with lock:
                requests[kind] += 1
            inside.it = True
            try:
                return call(*arguments, **named)
            finally:
                inside.it = False

        return outermost

    opens, tells = MemoryFileSystem._open, MemoryFileSystem.info
    reads = counted("GET", BytesIO.read)

    class Opened(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            content: bytes = reads(self, size)
            return content

    def opened(self: Any, path: str, mode: str = "rb", **named: Any) -> Any:
        file = opens(self, path, mode, **named)
        return Opened(file.getvalue()) if mode == "rb" else file

    def info(self: Any, path: str, **named: Any) -> Any:
        found = tells(self, path, **named)  # the time of a file as listings tell it
        created = found.get("created")
        return found | ({"created": created.timestamp()} if hasattr(created, "timestamp") else {})

    EXTRAS["memory"] = ""  # so that what its listings tell is believed, as of S3
    MemoryFileSystem.info, MemoryFileSystem._open = info, opened
    for name, kind in ASKED.items():
        setattr(MemoryFileSystem, name, counted(kind, getattr(MemoryFileSystem, name)))
    return requests


def requests_of(command: str) -> dict[str, dict[str, float]]:
    """Requests of a command, by kind: so many for each unit, for each task, and besides."""
    runs = [
        measure("scale", part="requests", command=command, files=files, workers=workers)
        for files, workers in FILES
    ]
    (files, more, _), tasks = (f for f, _ in FILES), [task_count(*one) for one in FILES]
    result: dict[str, dict[str, float]] = {"unit": {}, "task": {}, "run": {}}
    for kind in KINDS:
        few, many, cut = (one["requests"].get(kind, 0) for one in runs)
        unit, task = (many - few) / (more - files), (cut - many) / (tasks[2] - tasks[1])
        result["unit"][kind], result["task"][kind] = unit, task
        result["run"][kind] = few - unit * files - task * tasks[0]
    return result
