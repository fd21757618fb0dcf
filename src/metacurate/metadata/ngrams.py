"""Counts of words and of pairs of neighbours, in running text."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metacurate.matching.matcher import Texts, string_arrays
from metacurate.metadata import kernel
from metacurate.metadata.words import class_table
from metacurate.schema import NGRAMS

FIRST_WORDS = 1 << 15  # room to begin with
FIRST_BYTES = 1 << 19
FIRST_PAIRS = 1 << 17
CHUNK_ROWS = 1 << 17  # of a table of counts

Array = npt.NDArray[Any]


class NgramCounter:
    """Counts words and bigrams as `metacurate.metadata.words.cut_words` cuts them, in memory.

    Attributes:
        texts: number of texts that were added, nulls left out.
    """

    def __init__(self, seed: int = 0) -> None:
        """Start at zero.

        Args:
            seed: of the hash table, uint64: where texts may be made to collide, one that their
                maker does not know. Counts do not depend on it.
        """
        self.texts = 0
        self._seed = np.uint64(seed)
        self._state = np.zeros(kernel.STATE_SIZE, np.int64)
        self._slots = np.zeros(2 * FIRST_WORDS, np.uint32)
        self._hashes = np.zeros(FIRST_WORDS, np.uint64)
        self._ends = np.zeros(FIRST_WORDS + 1, np.int64)
        self._counts = np.zeros(FIRST_WORDS, np.int64)
        self._arena = np.zeros(FIRST_BYTES, np.uint8)
        self._keys = np.zeros(2 * FIRST_PAIRS, np.uint64)
        self._pair_counts = np.zeros(2 * FIRST_PAIRS, np.uint32)

    @property
    def words(self) -> int:
        """Number of different words so far."""
        return int(self._state[kernel.WORDS])

    @property
    def bigrams(self) -> int:
        """Number of different bigrams so far; fewer than 2^32 in all may be counted."""
        return int(self._state[kernel.PAIRS])

    @property
    def nbytes(self) -> int:
        """Size of all tables, in bytes."""
        tables = (self._slots, self._hashes, self._ends, self._counts, self._arena)
        return sum(table.nbytes for table in (*tables, self._keys, self._pair_counts))

    def add(self, texts: Texts) -> None:
        """Count texts; nulls are passed over.

        Args:
            texts: strings in valid UTF-8: an Arrow array of any string type, or a sequence.
        """
        for array in string_arrays(texts):
            valid = array.drop_null()
            self.texts += len(valid)
            if len(valid):
                self._add(valid)

    def _add(self, array: pa.Array) -> None:
        offset_type = np.int64 if pa.types.is_large_string(array.type) else np.int32
        _, offsets, content = array.buffers()
        if content is None:  # empty texts only
            return
        first = array.offset
        bounds = np.frombuffer(offsets, offset_type)[first : first + len(array) + 1]
        data = np.frombuffer(content, np.uint8)
        state, bounds = self._state, bounds.astype(np.int64)
        state[kernel.TEXT], state[kernel.AT], state[kernel.PREVIOUS] = 0, bounds[0], -1
        while True:
            status = kernel.count_texts(
                data, bounds, class_table(), self._seed, state, self._slots, self._hashes,
                self._ends, self._arena, self._counts, self._keys, self._pair_counts,
            )  # fmt: skip
            if status == kernel.DONE:
                return
            if status == kernel.WORDS_FULL:
                self._grow_words()
            elif status == kernel.BYTES_FULL:
                longest = int(np.diff(bounds).max())  # a word is no longer than its text
                self._arena = _grown(self._arena, len(self._arena) + longest)
            else:
                self._grow_pairs()

    def _grow_words(self) -> None:
        room = 2 * len(self._hashes)
        self._hashes = _grown(self._hashes, room)
        self._counts = _grown(self._counts, room)
        self._ends = _grown(self._ends, room + 1)
        self._slots = np.zeros(2 * room, np.uint32)
        kernel.fill_slots(self._slots, self._hashes, self.words)

    def _grow_pairs(self) -> None:
        keys = np.zeros(2 * len(self._keys), np.uint64)
        counts = np.zeros(len(keys), np.uint32)
        kernel.move_pairs(self._keys, self._pair_counts, keys, counts)
        self._keys, self._pair_counts = keys, counts

    def to_table(self) -> pa.Table:
        """All counts, in no certain order.

        Returns:
            A table of `metacurate.schema.NGRAMS`: a row for each word, whose second is null, then
            one for each bigram; in chunks of at most 131,072 rows.
        """
        n_words = self.words
        used = int(self._state[kernel.USED])
        words = pa.LargeStringArray.from_buffers(
            n_words, pa.py_buffer(self._ends[: n_words + 1]), pa.py_buffer(self._arena[:used])
        ).cast(pa.string())
        (places,) = np.nonzero(self._keys)
        places = places[np.argsort(self._keys[places])]  # alike beside alike: it compresses well
        keys = self._keys[places]
        batches = [
            pa.record_batch(
                [words.slice(start, CHUNK_ROWS), pa.nulls(size, pa.string()), counts],
                schema=NGRAMS,
            )
            for start, size, counts in _chunks(self._counts[:n_words])
        ]
        for start, size, counts in _chunks(self._pair_counts[places]):
            chunk = keys[start : start + size]
            first = words.take(pa.array((chunk >> np.uint64(32)) - np.uint64(1)))
            second = words.take(pa.array((chunk & np.uint64(0xFFFFFFFF)) - np.uint64(1)))
            batches.append(pa.record_batch([first, second, counts], schema=NGRAMS))
        return pa.Table.from_batches(batches, NGRAMS)


def _chunks(counts: Array) -> Iterator[tuple[int, int, pa.Array]]:
    for start in range(0, len(counts), CHUNK_ROWS):
        chunk = pa.array(counts[start : start + CHUNK_ROWS].astype(np.int64))
        yield start, len(chunk), chunk


def _grown(array: Array, room: int) -> Array:
    larger = np.zeros(max(room, 2 * len(array)), array.dtype)
    larger[: len(array)] = array
    return larger


def pointwise_mutual_information(
    pairs: Sequence[int] | Array, firsts: Sequence[int] | Array, seconds: Sequence[int] | Array,
    total: int,
) -> npt.NDArray[np.float64]:  # fmt: skip
    """PMI of bigrams, in bits: log2(c12 N / (c1 c2)) (Church and Hanks, 1990).

    Args:
        pairs: counts of the bigrams. firsts, seconds: of their words. total: N, of all words.

    Returns:
        float64[bigrams].
    """
    return np.log2(association(pairs, firsts, seconds, total))


def association(
    pairs: Sequence[int] | Array, firsts: Sequence[int] | Array, seconds: Sequence[int] | Array,
    total: int,
) -> npt.NDArray[np.float64]:  # fmt: skip
    """c12 N / (c1 c2), whose logarithm is the PMI: multiplied and divided, so that every machine
    ranks bigrams in the same order, which logarithms do not promise.

    Args:
        pairs: counts of the bigrams. firsts, seconds: of their words. total: N, of all words.

    Returns:
        float64[bigrams].
    """  # noqa: D205
    c12, c1, c2 = (np.asarray(counts, np.float64) for counts in (pairs, firsts, seconds))
    return (c12 * float(total)) / (c1 * c2)


def least_association(min_pmi: float) -> float:
    """The association that a PMI asks for.

    Args:
        min_pmi: in bits.
    """
    return math.inf if min_pmi > 1023 else 2.0**min_pmi
