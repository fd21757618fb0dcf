"""The stage that downloads images: a shard for each unit, asked for by many connections at once."""

import asyncio
import hashlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pyarrow as pa

from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.stores import Place
from metacurate.errors import MetacurateError, first_line
from metacurate.images.answers import Answers, host_of
from metacurate.images.decoding import ImageError, inspect, resize
from metacurate.images.fetching.fetcher import NO_ANSWER, Fetcher
from metacurate.images.fetching.limits import FetchLimits
from metacurate.images.fetching.statuses import Status
from metacurate.images.listing import ImageList
from metacurate.images.results import count_statuses, make_samples, make_stats, pairs_table
from metacurate.images.shards import write_shard
from metacurate.images.spool import Result, Spool, spool_folder, spools_of

DOWNLOAD_FORMAT = 1  # raise with each change of what shards hold
WAITING = 8  # times as many images as connections: most wait for a host's turn
DECODERS = 2  # threads: Pillow lets go of Python's lock
TELL_SECONDS = 0.5  # after which it is told how far it is, and noticed that the run is to end


@dataclass(frozen=True)
class Making:
    """What is made of an image's bytes.

    Attributes:
        smallest_side: of a JPEG, in pixels; None to keep the bytes as they come.
        quality: of the JPEG. max_pixels: of an image that is decoded at all.
    """

    smallest_side: int | None
    quality: int
    max_pixels: int

    def make(self, index: int, body: bytes) -> Result:
        """Look at an image, and make it smaller where that is asked.

        Args:
            index: in its shard. body: as it came.
        """
        digest = hashlib.sha256(body).hexdigest()
        try:
            found = inspect(body, self.max_pixels)
            size = original = (found.width, found.height)
            ending = found.ending
            if self.smallest_side is not None:
                body = resize(body, self.smallest_side, self.quality, self.max_pixels)
                made = inspect(body, self.max_pixels)
                size, ending = (made.width, made.height), made.ending
        except ImageError as error:
            return Result(index, error.status, str(error), sha256=digest)
        return Result(index, Status.SUCCESS, None, body, ending, *size, *original, sha256=digest)


@dataclass(frozen=True)
class DownloadStage(Stage):
    """Asks for the images of a list, and writes shards.

    Attributes:
        images: which. making: what is made of them. limits: what a fetch may take, of one worker.
        work: folder for what only resumption needs.
    """

    images: ImageList
    making: Making
    limits: FetchLimits
    work: Place
    name = "download"
    measure: ClassVar[str] = "images"
    runs_in: Literal["threads", "processes"] = "processes"
    outputs: ClassVar[str | None] = "."

    def configuration(self) -> dict[str, Any]:
        """What decides about the images that servers give; not how long they are waited for."""
        return {
            "smallest_side": self.making.smallest_side,
            "quality": self.making.quality,
            "max_pixels": self.making.max_pixels,
            "max_bytes": self.limits.max_bytes,
            "respect_opt_out": self.limits.respect_opt_out,
            "allow": sorted(map(str, self.limits.allow)),
            "format": DOWNLOAD_FORMAT,
        }

    def units(self) -> Sequence[Unit]:
        """A unit for each shard."""
        return self.images.units

    def task(self, outputs: Place, watch: Watch) -> "DownloadTask":
        """Begin to download into the folder `outputs`."""
        return DownloadTask(self, outputs, watch)


class DownloadTask(Task):
    """Downloads shards, one after another; connections and what is known of hosts stay."""

    def __init__(self, stage: DownloadStage, outputs: Place, watch: Watch) -> None:
        """Prepare; nothing is connected yet."""
        self._stage = stage
        self._outputs = outputs
        self._watch = watch
        self._runner = asyncio.Runner()
        self._fetcher: Fetcher | None = None
        self._threads = ThreadPoolExecutor(DECODERS)
        self._spools: list[Spool] = []
        self.clear()

    @property
    def full(self) -> bool:
        """Each shard takes so long that it is recorded at once."""
        return bool(self._statuses)

    def clear(self) -> None:
        """Begin again with no statuses; what was recorded needs its spools no more."""
        self._statuses: list[pa.Table] = []
        for spool in self._spools:
            spool.remove()
        self._spools = []

    def close(self) -> None:
        """Close connections, and end the threads."""
        if self._fetcher is not None:
            self._runner.run(self._fetcher.__aexit__(None, None, None))
        self._runner.close()
        self._threads.shutdown()

    def process(self, unit: Unit) -> UnitRecord:
        """Download a shard; what an earlier run got of it is not asked for again.

        Raises:
            StoppedError: when the run is to end.
            MetacurateError: when something can't be written.
        """
        began, began_at = time.monotonic(), time.time()
        stage = self._stage
        images = stage.images.read(unit)
        try:
            spool = Spool(spool_folder(spools_of(stage.work), f"{stage.key} {unit.name}"))
            try:
                self._watch.advance(len(spool.done))
                self._runner.run(self._download(images["url"].to_pylist(), spool))
            finally:
                spool.close()
        except OSError as error:
            raise MetacurateError(f"what comes can't be kept: {first_line(error)}") from error
        results = spool.read()
        outcome = results.table(len(images))
        statuses = count_statuses(images, outcome)
        write_shard(
            self._outputs,
            unit.source,
            make_samples(images, outcome, results.image),
            pairs_table(images, outcome, stage.images.metadata),
            make_stats(statuses, began_at, time.time()),
        )
        self._statuses.append(statuses)
        self._spools.append(spool)
        pairs = dict(
            zip(statuses["status"].to_pylist(), statuses["pairs"].to_pylist(), strict=True)
        )
        return UnitRecord.of(
            unit,
            began,
            rows_read=sum(pairs.values()),
            invalid=0,
            kept=pairs.get(Status.SUCCESS, 0),
            output=f"{unit.source}.tar",
        )

    def partial(self) -> pa.Table:
        """How many images and pairs have which status."""
        return pa.concat_tables(self._statuses) if self._statuses else pa.table({})

    async def _download(self, urls: Sequence[str], spool: Spool) -> None:
        """Ask for all images that are not in the spool."""
        if self._fetcher is None:
            self._fetcher = await Fetcher(self._stage.limits).__aenter__()
        missing = [(index, url) for index, url in enumerate(urls) if index not in spool.done]
        left = iter(missing)
        answers = Answers(spool.add)
        workers = [
            asyncio.create_task(self._work(self._fetcher, left, answers))
            for _ in range(min(len(missing), WAITING * self._stage.limits.connections))
        ]
        done = len(spool.done)
        at_work = set(workers)
        try:
            while at_work:
                ended, at_work = await asyncio.wait(
                    at_work, timeout=TELL_SECONDS, return_when=asyncio.FIRST_EXCEPTION
                )
                for worker in ended:
                    worker.result()  # what it raised, or nothing
                before, done = done, len(spool.done)
                self._watch.advance(done - before)
            answers.end()
            self._watch.advance(len(spool.done) - done)
        finally:
            for worker in at_work:
                worker.cancel()
            await asyncio.gather(*at_work, return_exceptions=True)

    async def _work(
        self, fetcher: Fetcher, left: Iterator[tuple[int, str]], answers: Answers
    ) -> None:
        """Take one image after another, until none is left."""
        loop = asyncio.get_running_loop()
        make = self._stage.making.make
        for index, url in left:

            async def use(body: bytes, index: int = index) -> None:
                answers.add(await loop.run_in_executor(self._threads, make, index, body))

            fetched = await fetcher.fetch(url, use)
            if fetched.status is not Status.SUCCESS:
                host = host_of(url) if fetched.status in NO_ANSWER else None
                answers.add(Result(index, fetched.status, fetched.error), host)
