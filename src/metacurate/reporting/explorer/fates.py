"""What became of rows: matched, drawn and balanced as curation did it, for those of a page."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from metacurate.curation.balance import Balance, list_arrays
from metacurate.curation.sample import draws
from metacurate.curation.stages import Drawn, Sampling
from metacurate.hashing.pairs import hash_pairs
from metacurate.matching.matcher import Matcher
from metacurate.pool.reader import CorruptRows, Rows
from metacurate.reporting.explorer.shelf import Condition, Found, Place, Shelf
from metacurate.reporting.explorer.tables import Patience, TooSlowError

MOST_CAPTIONS = 1 << 20  # of the images of a page, in one file


@dataclass(frozen=True)
class Pair:
    """A row, and what became of it.

    Attributes:
        row: as it was found.
        fate: see `metacurate.reporting.explorer.addresses.FATES`.
        entry_ids: that it matches, ascending.
        probability: of being kept. draw: None where url or text is missing.
        min_threshold: the smallest threshold that keeps it; None where nothing matches, or there
            is no draw.
        chosen: the caption that its image keeps, where that is another one.
    """

    row: Found
    fate: str
    entry_ids: tuple[int, ...]
    probability: float
    draw: float | None
    min_threshold: float | None
    chosen: Found | None = None


@dataclass(frozen=True)
class Judge:
    """Tells fates.

    Attributes:
        shelf: the pool. matcher, balance, seed: as pairs were drawn with.
        one_caption: whether one caption per image was chosen first.
    """

    shelf: Shelf
    matcher: Matcher
    balance: Balance
    seed: int
    one_caption: bool

    def judge(
        self, rows: Sequence[Found], patience: Patience, entry_id: int | None = None
    ) -> list[Pair]:
        """Tell the fates of some rows of a file.

        Args:
            rows: of one file, in order. patience: breaks off what takes too long.
            entry_id: leaves out rows that don't match this entry.

        Raises:
            InputError: when the pool can't be read.
            TooSlowError: when other captions of the images are too long to be found.
        """
        if not rows:
            return []
        drawn = self._draw(rows)
        if entry_id is not None:
            holds = _which_hold(drawn.matches, entry_id)
            rows = [row for row, held in zip(rows, holds, strict=True) if held]
            if not rows:
                return []
            mask = pa.array(holds)
            drawn = Drawn(drawn.matches.filter(mask), drawn.lengths[holds], drawn.draws[holds])
        number = rows[0].place.file
        passes = self.shelf.passes(number, np.array([row.place.row for row in rows], np.int64))
        valid = ~np.isnan(drawn.draws)
        probabilities = self.balance.keep_probabilities(drawn.matches)
        mins = np.full(len(rows), np.inf)
        mins[valid] = self.balance.min_thresholds(
            drawn.matches.filter(pa.array(valid)), drawn.draws[valid]
        )
        matched = valid & (drawn.lengths > 0)
        chosen: dict[str, Found] = {}
        if self.one_caption:
            takes_part = (matched & passes).tolist()
            ids = (row.id for row, takes in zip(rows, takes_part, strict=True) if takes)
            chosen = self.choose(frozenset(id_ for id_ in ids if id_ is not None), patience)
        pairs = []
        for i, (row, entry_ids) in enumerate(zip(rows, drawn.matches.to_pylist(), strict=True)):
            choice = chosen.get(row.id) if matched[i] and row.id is not None else None
            other = None if choice is None or choice.place == row.place else choice
            if not passes[i]:
                fate = "filtered"
            elif other is not None:
                fate = "other_caption"
            elif not valid[i]:
                fate = "invalid"
            elif not matched[i]:
                fate = "unmatched"
            else:
                fate = "kept" if drawn.draws[i] < probabilities[i] else "balanced_away"
            pairs.append(
                Pair(
                    row,
                    fate,
                    tuple(entry_ids or ()),
                    float(probabilities[i]),
                    float(drawn.draws[i]) if valid[i] else None,
                    float(mins[i]) if matched[i] else None,
                    other if fate == "other_caption" else None,
                )
            )
        return pairs

    def choose(self, ids: frozenset[str], patience: Patience) -> dict[str, Found]:
        """Find the captions that some images keep, among all of the pool.

        Args:
            ids: of the images. patience: breaks it off.

        Returns:
            By id: of the matched captions that pass the pool's filter, the one with the smallest
            draw of purpose `caption`, and of equal ones the first.

        Raises:
            InputError, TooSlowError: as for `judge`.
        """
        best: dict[str, tuple[int, Found]] = {}
        for number, file in enumerate(self.shelf.pool.files):
            if not ids or file.problem is not None:
                continue
            every = Condition(ids=ids)
            found = self.shelf.find(Place(number, 0), file.rows, every, MOST_CAPTIONS, patience)
            if len(found) == MOST_CAPTIONS:
                raise TooSlowError("the images of this page have too many captions to look through")
            if not found:
                continue
            passes = self.shelf.passes(number, np.array([row.place.row for row in found]))
            texts = pa.array([row.text for row in found], pa.large_string())
            names = pa.array([row.id for row in found], pa.large_string())
            matched = np.diff(list_arrays(self.matcher.match(texts))[0]) > 0
            ranks = hash_pairs(names, texts, self.seed, "caption")
            for row, rank, takes in zip(found, ranks.tolist(), passes & matched, strict=True):
                assert row.id is not None
                if takes and (row.id not in best or rank < best[row.id][0]):
                    best[row.id] = rank, row
        return {id_: row for id_, (_, row) in best.items()}

    def _draw(self, rows: Sequence[Found]) -> Drawn:
        pool = self.shelf.pool
        batch = pa.record_batch(
            {
                pool.id_column: pa.array([row.id for row in rows], pa.large_string()),
                pool.text_column: pa.array([row.text for row in rows], pa.large_string()),
            }
        )
        positions = np.array([row.place.row for row in rows], np.int64)
        sampling = Sampling(pool, self.matcher, self.balance, self.seed)
        return sampling.draw(Rows(batch, positions), CorruptRows())


def kept_pairs(rows: Sequence[Found], seed: int, round_: int) -> list[Pair]:
    """Tell of kept pairs what was written beside them, and their draws.

    Args:
        rows: of curated/. seed, round_: of the draws.
    """
    if not rows:
        return []
    drawn = draws([row.id for row in rows], [row.text for row in rows], seed, "sample", round_)
    pairs = []
    for row, draw in zip(rows, drawn.tolist(), strict=True):
        assert row.drawn is not None
        entry_ids, probability, smallest = row.drawn
        pairs.append(Pair(row, "kept", tuple(entry_ids), probability, draw, smallest))
    return pairs


def _which_hold(matches: pa.ListArray, entry_id: int) -> np.ndarray:
    ends, ids = list_arrays(matches)
    hits = np.concatenate([[0], np.cumsum(ids == entry_id)])
    return np.asarray(np.diff(hits[ends]) > 0)
