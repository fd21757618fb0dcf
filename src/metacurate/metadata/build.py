"""Build metadata from WordNet and Wikipedia, and report how it came about."""

import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metacurate.engine.local import LocalEngine
from metacurate.engine.progress import Progress
from metacurate.engine.storage import write_json
from metacurate.engine.stores import here
from metacurate.engine.workspace import OnError, open_workspace, versions
from metacurate.errors import InputError, UsageError, first_line
from metacurate.metadata.assemble import Taken, assemble
from metacurate.metadata.candidates import Candidates, Origin, affordable_workers
from metacurate.metadata.describe import describe_metadata
from metacurate.metadata.metadata import Metadata
from metacurate.metadata.recipe import Recipe

log = logging.getLogger(__name__)

MEMORY = 4 << 30  # bytes
LEAST_MEMORY = 700_000_000
MOST_MEMORY = 2**50
ENDINGS = (".parquet", ".json", ".txt")


def build_folder(out: Path) -> Path:
    """The folder beside the metadata for counts, which later builds use again.

    Args:
        out: the metadata's file.
    """
    return out.with_name(f"{out.stem}.build")


def report_path(out: Path) -> Path:
    """The file beside the metadata that tells how it was built.

    Args:
        out: the metadata's file.
    """
    return out.with_name(f"{out.stem}.build.json")


def build_metadata(
    recipe: Recipe,
    out: str | Path,
    *,
    workers: int | None = None,
    memory: int = MEMORY,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Build metadata: numbers, WordNet, unigrams, bigrams, titles, of what the recipe gives.

    Counts of text and page views are kept in a folder beside `out`, so that a run that was cut off
    goes on, and other thresholds need no other count.

    Args:
        recipe: the sources, and what to take of each.
        out: the file to write: .parquet, .json, or text lines.
        workers: number of threads or processes; all cores without it.
        memory: about how much to take in all, in bytes.
        on_error: ``fail`` when an input is corrupt, after all others are done; or ``skip`` it.
        progress: told of what is done.

    Returns:
        The report, JSON: it is written beside `out`, too.

    Raises:
        UsageError: for a recipe that can't be.
        MetacurateError: when inputs are broken, an extra is missing, or nothing can be written.
    """
    recipe.check()
    path = here(out)
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"{path}: metadata is written as {', '.join(ENDINGS)}")
    if path.is_dir():
        raise UsageError(f"{path} is a folder: --out names a file")
    if memory < LEAST_MEMORY:
        raise UsageError(f"--memory {memory:,} bytes are too few: at least 700MB are needed")
    wanted, affordable = LocalEngine().slots(workers), affordable_workers(memory)
    if recipe.counts_files and wanted > affordable:
        log.info("%d workers, since --memory leaves room for no more", affordable)
    folder = build_folder(path) if recipe.counts_files else None
    configuration = {"command": "metadata build", "pool": [path.stem]}
    with open_workspace(
        folder, configuration, workers=min(wanted, affordable), on_error=on_error,
        progress=progress, shards=None,
    ) as space:  # fmt: skip
        candidates = Candidates(recipe, space, memory, (path, build_folder(path)))
        space.claim()
        sources = candidates.sources()
        metadata, taken = assemble(
            sources, recipe.limit, spaced=recipe.spaced,
            drop_unmatchable=recipe.drop_unmatchable, case_variants=recipe.case_variants,
        )  # fmt: skip
        _tell_of_no_bigrams(taken, candidates.origins)
        report = _report(recipe, metadata, taken, candidates.origins)
        metadata.write(path)
        write_json(report_path(path), report)
        space.write_manifest({"entries": len(metadata)}, {"metadata": metadata.digest})
    return report


def _tell_of_no_bigrams(taken: Sequence[Taken], origins: Mapping[str, Origin]) -> None:
    """Say why a text gave no bigrams, where it is too small for the PMI that is asked for."""
    for one in taken:
        if one.source == "bigram" and one.read and not one.kept:
            origin = origins[one.source]
            min_pmi, words = origin.selection["min_pmi"], origin.counted["all_words"]
            if min_pmi is not None and words < 2**min_pmi:
                log.warning(
                    "no bigrams: in %s words a PMI of %g can't be reached, the most is %.1f. "
                    "--bigrams N takes the N best, --bigram-min-pmi sets a lower bound",
                    f"{words:,}",
                    min_pmi,
                    math.log2(words),
                )


def _report(
    recipe: Recipe,
    metadata: Metadata,
    taken: Sequence[Taken],
    origins: Mapping[str, Origin],
) -> dict[str, Any]:
    """How metadata came about; the same inputs give the same report."""
    sources = []
    for one in taken:
        origin = origins.get(one.source, Origin())
        sources.append({**asdict(one), **asdict(origin)})
    return {
        "entries": len(metadata),
        "digest": metadata.digest,
        "never_match_in_mode_paper": describe_metadata(metadata)["never_match_in_mode_paper"],
        "limit": recipe.limit,
        "spaced": recipe.spaced,
        "drop_unmatchable": recipe.drop_unmatchable,
        "case_variants": recipe.case_variants,
        "sources": sources,
        "versions": versions("duckdb", "mwparserfromhell"),
    }


def read_report(path: Path, metadata: Metadata) -> dict[str, Any] | None:
    """The report of the build that made metadata, where it lies beside it.

    Args:
        path: the metadata's file. metadata: what it holds: a report of another list is not its own.

    Raises:
        InputError: when there is one that can't be read.
    """
    file = report_path(path)
    try:
        report: Any = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(str(file), f"can't be read: {first_line(error)}") from error
    own = isinstance(report, dict) and report.get("digest") == metadata.digest
    return report if own else None


def parse_size(text: str) -> int:
    """A number of bytes, as people write it: ``800MB``, ``4 GB``, ``1.5GiB``.

    Args:
        text: a number and perhaps a unit: kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB.

    Raises:
        UsageError: when it is none.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])(I?)B?|B)?\s*", text.upper())
    if found is None:
        raise UsageError(f"{text!r} is no size: give one as 800MB or 4GB")
    number, prefix, binary = found.groups()
    power = 0 if prefix is None else 1 + "KMGT".index(prefix)
    size = float(number) * (1024 if binary else 1000) ** power
    if size > MOST_MEMORY:
        raise UsageError(f"{text!r} is more memory than any machine has")
    return int(size)
