"""One pass over shards: what stays of each is written anew, or listed by its keys."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pyarrow as pa

from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.storage import write_parquet
from metacurate.engine.stores import Place
from metacurate.engine.workspace import versions
from metacurate.errors import InputError, MetacurateError, first_line
from metacurate.images.filters.faces import blur_faces
from metacurate.images.filters.measure import MAX_PIXELS
from metacurate.images.selection.choice import (
    CURATED_PAIRS,
    Choice,
    Matched,
    error_of,
    match_curated,
    read_rows,
    reasons,
)
from metacurate.images.selection.curated_pairs import CuratedPairs
from metacurate.images.selection.judged import Judged
from metacurate.images.shards import (
    Sample,
    Shard,
    read_samples,
    write_beside,
    write_tar,
)
from metacurate.pool.where import Where

FORMAT = 1  # raise with each change of what is written
KEYS = "keys"  # the folder of lists of keys


@dataclass(frozen=True)
class SelectStage(Stage):
    """One pass over shards: each is written anew with what stays, or the keys of that.

    Attributes:
        shards: to select from. judged: verdicts on them, or None.
        drop: verdicts for which an image goes. where: what a pair must meet, or None.
        pairs: those that may stay; None for all.
        keys: whether only keys are written. blur: whether to blur faces.
    """

    shards: tuple[Shard, ...]
    judged: Judged | None
    drop: tuple[str, ...]
    where: Where | None
    pairs: CuratedPairs | None
    keys: bool
    blur: bool
    name = "select"
    runs_in: Literal["threads", "processes"] = "processes"
    outputs: ClassVar[str | None] = "."

    def configuration(self) -> dict[str, Any]:
        """All that decides about the new shards, besides the shards and verdicts."""
        return {
            "drop": list(self.drop),
            "where": self.where and self.where.text,
            "pairs": self.pairs and self.pairs.identity,
            "keys": self.keys,
            "blur": versions("pillow").get("pillow") if self.blur else None,
            "format": FORMAT,
        }

    def units(self) -> Sequence[Unit]:
        """A unit for each shard and the verdicts on it."""
        told = {} if self.judged is None else self.judged.identities
        return [
            Unit(s.tar, f"{s.identity} {told.get(s.name, '')}".rstrip(), 0, s.rows, 0)
            for s in self.shards
        ]

    def task(self, outputs: Place, watch: Watch) -> "SelectTask":
        """Begin to write into the folder `outputs`."""
        return SelectTask(self, outputs, watch)


class SelectTask(Task):
    """Selects from several shards, and counts images and pairs by what became of them."""

    def __init__(self, stage: SelectStage, outputs: Place, watch: Watch) -> None:
        """Prepare to select."""
        self._stage, self._outputs, self._watch = stage, outputs, watch
        self._shards = {shard.tar: shard for shard in stage.shards}
        self.clear()

    def clear(self) -> None:
        """Begin again with nothing counted."""
        self._counts: Counter[tuple[str, str]] = Counter()

    def process(self, unit: Unit) -> UnitRecord:
        """Select from a shard.

        Raises:
            InputError: when it is broken, or verdicts on it do not fit.
            StoppedError: when the run is to end.
        """
        began = time.monotonic()
        stage, shard = self._stage, self._shards[unit.source]
        rows = read_rows(shard)
        verdicts = None if stage.judged is None else stage.judged.read(shard)
        matched: Matched | None = None
        if stage.pairs is not None:
            matched = match_curated(rows, stage.pairs.of(shard, rows.keys))
            self._counts[CURATED_PAIRS, ""] += sum(one is not None for one in matched)
        try:
            gone = reasons(rows, verdicts, stage.drop, stage.where, matched)
        except pa.ArrowException as error:
            assert stage.where is not None
            raise InputError(shard.table or shard.tar, error_of(stage.where, error)) from error
        choice = Choice(rows, gone, matched)
        if stage.keys:
            output = f"{shard.name}.parquet"
            write_parquet(
                self._outputs / output, pa.table({"key": pa.array(choice.keys, pa.string())})
            )
        else:
            output = f"{shard.name}.tar"
            self._write(shard, unit, choice, verdicts)
        counts = choice.counts()
        self._counts.update(counts)
        images = {why: n for (what, why), n in counts.items() if what == "images"}
        return UnitRecord.of(
            unit,
            began,
            rows_read=sum(images.values()),
            kept=images.pop("", 0),
            invalid=0,
            filtered=sum(images.values()),
            output=output,
        )

    def _write(self, shard: Shard, unit: Unit, choice: Choice, verdicts: pa.Table | None) -> None:
        faces: dict[str, Any] = {}
        if self._stage.blur:
            assert verdicts is not None
            names = (verdicts[name].to_pylist() for name in ("key", "faces"))
            faces = {key: found for key, found in zip(*names, strict=True) if found}
        write_tar(self._outputs, shard.name, self._samples(shard, unit, choice, faces))
        counts = choice.counts()
        stats = {
            what: {
                "read": sum(n for (of, _), n in counts.items() if of == what),
                "kept": counts[what, ""],
                "dropped": {
                    why: n for (of, why), n in sorted(counts.items()) if of == what and why
                },
            }
            for what in ("images", "pairs")
        }
        metadata = {} if self._stage.pairs is None else self._stage.pairs.metadata
        write_beside(self._outputs, shard.name, choice.table(metadata), stats)

    def _samples(
        self, shard: Shard, unit: Unit, choice: Choice, faces: dict[str, Any]
    ) -> Iterator[Sample]:
        """The samples that stay; when all are read, it is known which are missing."""
        seen: set[str] = set()
        for sample in read_samples(shard.tar):
            seen.add(sample.key)
            self._watch.advance(1 if len(seen) <= unit.work else 0)
            new = choice.sample(sample, shard)
            if new is not None and new.image is not None:
                yield _blurred(new, faces[sample.key], shard) if sample.key in faces else new
            elif new is not None:
                seen.discard(sample.key)
        choice.miss(seen)

    def partial(self) -> pa.Table:
        """Numbers of images and pairs, by reason."""
        what, why = zip(*self._counts, strict=True) if self._counts else ((), ())
        return pa.table(
            {
                "what": pa.array(what, pa.string()),
                "why": pa.array(why, pa.string()),
                "count": pa.array(self._counts.values(), pa.int64()),
            }
        )


def _blurred(sample: Sample, faces: Any, shard: Shard) -> Sample:
    assert sample.image is not None
    try:
        image, ending = blur_faces(sample.image, faces, MAX_PIXELS)
    except MetacurateError as error:
        raise InputError(
            shard.tar, f"sample {sample.key!r}: faces can't be blurred: {first_line(error)}"
        ) from error
    return Sample(sample.key, image, ending, sample.text, sample.fields)


@dataclass(frozen=True)
class KeysStage(SelectStage):
    """The same, for lists of keys, which have a folder of their own."""

    outputs: ClassVar[str | None] = KEYS
