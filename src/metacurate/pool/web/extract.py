"""From archives of the web to a pool: `metacurate extract`."""

import hashlib
from collections import Counter
from dataclasses import asdict
from typing import Any, Final

from metacurate.engine.progress import Progress
from metacurate.engine.run import Outcome
from metacurate.engine.storage import arrow_tables, read_bytes
from metacurate.engine.stores import Place, place_of
from metacurate.engine.work import Engine
from metacurate.engine.workspace import POOL_SHARDS_FILE, OnError, open_workspace
from metacurate.errors import InputError, UsageError, first_line
from metacurate.metadata.metadata import Metadata
from metacurate.pool.files import Source, absolute_sources
from metacurate.pool.web.crawl import (
    PATHS_ROOT,
    ArchiveKind,
    crawl_archives,
    list_archives,
    listing_of,
)
from metacurate.pool.web.harvest import IMAGES, KEPT, PAGES, TEXTLESS, TEXTS
from metacurate.pool.web.language import model_digest
from metacurate.pool.web.parser import BROKE, SECONDS, TOO_LONG
from metacurate.pool.web.sieve import Sieve, Wanted
from metacurate.pool.web.stage import ExtractStage
from metacurate.pool.web.warc import TOO_LARGE, UNDECODABLE

LISTS: Final = ("block_domains", "block_url_hashes", "block_words")
LOST_PAGES: Final = (TOO_LONG, BROKE, TOO_LARGE, UNDECODABLE)


def extract(
    source: Source | None,
    out: str | Place,
    *,
    crawl: str | None = None,
    kind: ArchiveKind = "wat",
    limit: int | None = None,
    seed: int = 0,
    paths_root: str = PATHS_ROOT,
    wanted: Wanted | None = None,
    page_seconds: float = SECONDS,
    engine: Engine | None = None,
    workers: int | None = None,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Find the image-text pairs of web archives, and write them as a pool.

    The paper's section 2.1: every image of every page, with each of its texts, its absolute URL
    and its language.

    Args:
        source: WAT or WARC files: paths, folders, globs, URIs; None for those of a crawl.
        out: folder for the pool, a Parquet file of schema EXTRACTED for each archive.
        crawl: name of a crawl of Common Crawl, as CC-MAIN-2024-22, in place of a source.
        kind: which of a crawl's files: WAT, what its own parser found, or WARC, the pages.
        limit: number of a crawl's archives, at most: a sample without replacement.
        seed: of that sample, uint64; a larger sample of the same seed holds a smaller one.
        paths_root: where a crawl's listing, and what it lists, is: URL, URI or folder.
        wanted: what rows must be like; all texts of any length up to 10,000 without it.
        page_seconds: for a page of a WARC file, at most; one that takes longer is left out.
        engine: what runs it: this machine without it, a `RayEngine` or `SlurmEngine`.
        workers: number of tasks at once; as many as there is room for without it.
        on_error: ``fail`` when an archive is damaged, after all others are done, or ``skip``.
        progress: told of bytes that are read.

    Returns:
        Totals, JSON: pages, images and texts, and of these how many were kept, or left out by
        reason.

    Raises:
        UsageError: for an argument that can't be, or a folder that holds something else.
        InputError: when a list or listing can't be read.
        CorruptInputError: when archives are damaged and that is not to be skipped; what can be
            read of them is in the pool.
        MetacurateError: when the folder can't be written.
    """
    folder = place_of(out)
    wanted = wanted or Wanted()
    wanted.check()
    if (source is None) == (crawl is None):
        raise UsageError("name archives, or a crawl of Common Crawl with --crawl: one of them")
    if crawl is None and (limit, seed, kind, paths_root) != (None, 0, "wat", PATHS_ROOT):
        raise UsageError("--limit, --seed, --kind and --paths-root are for --crawl")
    named = absolute_sources(source) if source is not None else []
    if crawl is not None:
        named = [listing_of(crawl, kind, paths_root)]
    digests = _digests(wanted)
    configuration = {
        "command": "extract",
        "pool": named,
        **({} if crawl is None else {"limit": limit, "seed": seed}),
        **{name: value for name, value in asdict(wanted).items() if value not in (None, ())},
    }
    with open_workspace(
        folder,
        configuration,
        engine=engine,
        workers=workers,
        on_error=on_error,
        progress=progress,
        shards=POOL_SHARDS_FILE,
    ) as space:
        if source is not None:
            archives = list_archives(source, folder)
        if crawl is not None:
            archives = crawl_archives(crawl, kind, limit=limit, seed=seed, paths_root=paths_root)
        Sieve(wanted)  # what is wrong with it should show now, and what it compiles be there
        stage = ExtractStage(tuple(archives), wanted, tuple(digests.items()), page_seconds)
        space.claim()
        outcome = space.run(stage)
        summary = _summary(outcome)
        summary.update(space.unit_totals(outcome))
        space.write_shards(outcome)
        space.write_manifest(summary, digests)
    return summary


def _digests(wanted: Wanted) -> dict[str, str]:
    """What the files are that a pool depends on, besides its archives."""
    digests = {"language_model": model_digest()}
    if wanted.metadata is not None:
        digests["metadata"] = Metadata.read(wanted.metadata).digest
    for name in LISTS:
        found = hashlib.sha256()
        for path in getattr(wanted, name):
            try:
                found.update(hashlib.sha256(read_bytes(place_of(path))).digest())
            except OSError as error:
                raise InputError(path, f"can't be read: {first_line(error)}") from error
        if getattr(wanted, name):
            digests[name] = found.hexdigest()
    return digests


def _summary(outcome: Outcome) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for table in arrow_tables(outcome.partials):
        counts.update(
            dict(zip(*(table[name].to_pylist() for name in ("name", "count")), strict=True))
        )
    totals = (PAGES, IMAGES, TEXTLESS, TEXTS, KEPT)
    return {
        "archives": len(outcome.records),
        **{name: counts.pop(name, 0) for name in totals},
        "pages_lost": {name: n for name in LOST_PAGES if (n := counts.pop(name, 0))},
        "left_out": {name: n for name, n in sorted(counts.items()) if n},
    }
