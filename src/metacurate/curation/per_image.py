"""One caption per image: which of an image's matched captions is chosen, over all shards."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from metacurate.curation.balance import list_arrays
from metacurate.engine.stage import Stage, Unit, UnitRecord, Watch
from metacurate.engine.stores import Place
from metacurate.engine.workspace import Workspace
from metacurate.hashing.pairs import hash_pairs
from metacurate.matching.automaton import FORMAT
from metacurate.matching.matcher import Matcher
from metacurate.pool.reader import Reader, id_texts, valid_texts
from metacurate.pool.tables import Pool
from metacurate.pool.winners import KEY_FORMAT, Fates, Keyed, KeyTask, decide, hash_keys


@dataclass(frozen=True)
class CaptionStage(Stage):
    """One pass over ids and texts: which captions match, and what each of them draws.

    Attributes:
        pool: what to read. matcher: what to look for. seed: of the draws, uint64.
    """

    pool: Pool
    matcher: Matcher
    seed: int
    name = "captions"

    def configuration(self) -> dict[str, Any]:
        """All that decides what a caption draws, and whether it takes part."""
        return {
            "id_column": self.pool.id_column,
            "text_column": self.pool.text_column,
            "where": self.pool.where and self.pool.where.text,
            "metadata": self.matcher.metadata.digest,
            "mode": self.matcher.mode,
            "seed": self.seed,
            "format": FORMAT,
            "key_format": KEY_FORMAT,
        }

    @cached_property
    def choice_key(self) -> str:
        """Names the choice: it depends on all files, not on one unit."""
        text = json.dumps([self.configuration(), self.pool.identity], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def units(self) -> Sequence[Unit]:
        """The pool's."""
        return self.pool.units

    def task(self, outputs: Place, watch: Watch) -> "CaptionTask":  # noqa: ARG002
        """Begin to draw; nothing is written into `outputs`."""
        return CaptionTask(self, watch)


class CaptionTask(KeyTask):
    """Draws for the captions of several units."""

    def __init__(self, stage: CaptionStage, watch: Watch) -> None:
        """Start with no captions."""
        super().__init__()
        self._stage = stage
        pool = stage.pool
        self._reader = Reader(pool, [pool.id_column, pool.text_column], watch)

    def process(self, unit: Unit) -> UnitRecord:
        """Draw for a unit's matched captions.

        Raises:
            InputError: when the file is broken.
            StoppedError: when the run is to end.
        """
        began = time.monotonic()
        stage, captions = self._stage, []
        for rows in self._reader.batches(unit):
            ids, _ = valid_texts(id_texts(rows.batch.column(stage.pool.id_column)))
            texts, _ = valid_texts(rows.batch.column(stage.pool.text_column))
            matched = np.diff(list_arrays(stage.matcher.match(texts))[0]) > 0
            for array in (ids, texts):
                matched &= array.is_valid().to_numpy(zero_copy_only=False)
            mask = pa.array(matched)
            ids, texts = ids.filter(mask), texts.filter(mask)
            draws = hash_pairs(ids, texts, stage.seed, "caption")
            captions.append(Keyed(rows.positions[matched], hash_keys([ids]), (draws,)))
        self.collect(unit, captions)
        return UnitRecord.of(unit, began, rows_read=unit.rows, invalid=0)


def choose_captions(space: Workspace, stage: CaptionStage) -> Fates:
    """Choose one of each image's matched captions (Meta CLIP 2's order: caption, then pair).

    The caption with the smallest draw of purpose `caption` wins, wherever its row is; of rows
    that are equal in url and text the first in the order of files. An image is a url, compared
    by two XXH64 of it.

    Args:
        space: where what was drawn is kept. stage: what draws.

    Returns:
        The fates of all rows; captions that take no part are not left out.
    """
    outcome = space.run(stage)
    key = outcome.identity(stage.choice_key)  # what could not be read had no say
    return decide(space.work, key, stage.pool, outcome.partials)
