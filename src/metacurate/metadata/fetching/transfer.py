"""A run over all files of some sources: look up, look what is there, download the rest."""

import logging
import shlex
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from metacurate.engine.progress import Progress
from metacurate.engine.storage import make_folder
from metacurate.errors import MetacurateError
from metacurate.http.client import Client
from metacurate.http.failures import HINT, UnreachableError
from metacurate.metadata.fetching.download import Checksums, digest, download, part_of
from metacurate.metadata.fetching.listings import files_of
from metacurate.metadata.fetching.sources import SOURCES, RemoteFile, Selection

Item = TypeVar("Item")

log = logging.getLogger(__name__)

CONNECTIONS = 2  # at a time: Wikimedia asks for no more than three
ELSEWHERE = (
    f"{HINT} Files can be downloaded elsewhere by their URLs: metacurate metadata fetch --urls "
    "lists them"
)


class FetchError(MetacurateError):
    """Some files could not be had; all others are in their places."""

    def __init__(self, failures: Sequence[MetacurateError], result: dict[str, Any]) -> None:
        """List the failures, a line for each cause.

        Args:
            failures: one for each file, or for each source that could not be listed.
            result: as `fetch_sources` returns it.
        """
        unreachable = [error for error in failures if isinstance(error, UnreachableError)]
        self.failures = [
            error.fact if isinstance(error, UnreachableError) else str(error) for error in failures
        ]
        self.result = result
        here = sum(one["files"] for one in result["sources"].values())
        lines = [
            f"not all could be downloaded; {here:,} files are in {result['folder']}, and the same "
            "command tries the others again"
            if here
            else "nothing could be downloaded"
        ]
        for cause, n in Counter(self.failures).items():
            lines.append(cause if n == 1 else f"{cause} (for {n:,} files)")
        if unreachable:
            lines.append(ELSEWHERE[0].upper() + ELSEWHERE[1:])
        super().__init__("\n".join(lines))


@dataclass
class _Job:
    """A file that there is to get."""

    file: RemoteFile
    here: bool = False  # in its place before anything was downloaded
    done: bool = False  # in its place now
    part: int = 0  # bytes of it that an earlier run left

    @property
    def size(self) -> int:
        assert self.file.size is not None
        return self.file.size


class Transfer:
    """A run of `fetch_sources`, while the folder is its own."""

    def __init__(self, client: Client, out: Path, selection: Selection, progress: Progress) -> None:
        """Prepare; nobody is asked yet.

        Args:
            client: for requests. out: the folder of all sources. selection: which files.
            progress: told of bytes that have come.
        """
        self._client = client
        self._out = out
        self._selection = selection
        self._progress = progress
        self._checksums = Checksums(out)
        self._failures: list[MetacurateError] = []
        self._began = time.monotonic()

    def run(self, names: list[str], tell: Callable[[list[dict[str, Any]]], None]) -> dict[str, Any]:
        """Look up all files, then download those that are not there.

        Args:
            names: of sources. tell: as for `fetch_sources`.

        Returns:
            As `fetch_sources`.

        Raises:
            MetacurateError: as from `fetch_sources`.
        """
        jobs = self._look_up(names)
        for name, _ in _by_source(jobs):
            make_folder(self._out / name)
        self._look_around(jobs)
        self._tell_others(jobs)
        if self._failures and not jobs:
            first = self._failures[0]
            causes = {str(error) for error in self._failures}
            raise first if len(causes) == 1 else FetchError(self._failures, self._result(jobs))
        missing = [job for job in jobs if not job.here]
        tell([_plan(name, of) for name, of in _by_source(jobs)])
        self._refuse_lack_of_space(missing)
        self._download(missing)
        result = self._result(jobs)
        if self._failures:
            raise FetchError(self._failures, result)
        return result

    def _look_up(self, names: list[str]) -> list[_Job]:
        """Learn which files there are, and how large each is."""
        files: list[RemoteFile] = []
        for name in names:
            try:
                files += files_of(name, self._selection, self._client.read_listing)
            except MetacurateError as error:
                self._failures.append(error)
        unknown = [i for i, file in enumerate(files) if file.size is None]
        if unknown:
            self._progress.start("looking up", len(unknown), "files")

            def ask(i: int) -> None:
                files[i] = replace(files[i], size=self._client.size(files[i].url))
                self._progress.advance(1)

            self._each(ask, unknown)
            self._progress.end()
        return [_Job(file) for file in files if file.size is not None]

    def _look_around(self, jobs: list[_Job]) -> None:
        """Learn what is there already; what was not verified yet is."""
        for job in jobs:
            place = self._out / job.file.place
            job.part = part_of(job.file, self._out).have()
            if not place.is_file() or place.stat().st_size != job.size:
                continue
            if job.file.algorithm is None or self._checksums.holds(job.file):
                job.here = True
                continue
            log.info("%s: is compared with its published checksum", place)
            if digest(place, job.file.algorithm, self._client.check) == job.file.checksum:
                self._checksums.note(job.file)
                job.here = True
        for job in jobs:
            job.done = job.here
            if job.here:
                part_of(job.file, self._out).discard()

    def _tell_others(self, jobs: list[_Job]) -> None:
        """Warn of files that a build would read along with those that are asked for."""
        for name, of in _by_source(jobs):
            ours = {job.file.name for job in of}
            others = sorted(
                path.name
                for path in (self._out / name).iterdir()
                if path.name not in ours and not path.name.startswith(".")
            )
            if others:
                log.warning(
                    "%s holds files that were not asked for now, which a build would read, too: %s",
                    self._out / name,
                    ", ".join(others[:3]) + (f" and {len(others) - 3:,} more" * (len(others) > 3)),
                )

    def _refuse_lack_of_space(self, missing: list[_Job]) -> None:
        needed = sum(job.size - job.part for job in missing)
        free = shutil.disk_usage(self._out).free
        if needed > free:
            raise MetacurateError(
                f"{self._out}: {needed:,} bytes are to come, but only {free:,} are free there"
            )

    def _download(self, missing: list[_Job]) -> None:
        def get(job: _Job) -> None:
            size = download(
                self._client, job.file, self._out, self._checksums, self._progress.advance
            )
            job.file, job.done = replace(job.file, size=size), True

        if missing:
            self._progress.start("downloading", sum(job.size for job in missing), "bytes")
            self._each(get, missing)
            self._progress.end()

    def _each(self, work: Callable[[Item], None], items: Sequence[Item]) -> None:
        """Do something for each item, a few at a time; failures are kept for the end.

        Unlike the engine's threads, these may wait for a server for minutes when Ctrl-C comes:
        the client has to wake them.
        """
        with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="metacurate") as pool:
            futures = [pool.submit(work, item) for item in items]
            try:
                for future in as_completed(futures):
                    error = future.exception()
                    if isinstance(error, MetacurateError):
                        self._failures.append(error)
                    elif error is not None:
                        raise error
            except BaseException:
                self._client.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _result(self, jobs: list[_Job]) -> dict[str, Any]:
        done = [job for job in jobs if job.done]
        sources = {
            name: {
                "path": str(self._out / name),
                "files": len(of),
                "bytes": sum(job.size for job in of),
                "downloaded": sum(not job.here for job in of),
            }
            for name, of in _by_source(done)
        }
        return {
            "folder": str(self._out),
            "sources": sources,
            "bytes_downloaded": sum(job.size - job.part for job in done if not job.here),
            "seconds": round(time.monotonic() - self._began, 3),
            "build": _build_command(self._out, done),
        }


def _by_source(jobs: list[_Job]) -> Iterator[tuple[str, list[_Job]]]:
    for name in dict.fromkeys(job.file.source for job in jobs):
        yield name, [job for job in jobs if job.file.source == name]


def _plan(name: str, jobs: list[_Job]) -> dict[str, Any]:
    missing = [job for job in jobs if not job.here]
    return {
        "source": name,
        "files": len(jobs),
        "bytes": sum(job.size for job in jobs),
        "here": len(jobs) - len(missing),
        "missing": len(missing),
        "missing_bytes": sum(job.size - job.part for job in missing),
    }


def _build_command(out: Path, done: list[_Job]) -> str:
    """The command that makes a list of concepts from what is there."""
    words = ["metacurate", "metadata", "build"]
    for name, jobs in _by_source(done):
        flag = SOURCES[name].flag
        if flag in words:
            continue  # the same articles, as plain text or as wikitext: one of the two will do
        path = out / name if len(jobs) > 1 or name in ("wikipedia", "dump") else None
        words += [flag, str(path or out / jobs[0].file.place)]
    return shlex.join([*words, "--out", "metadata.parquet"])
