"""Counts of words and of pairs of neighbours, in running text."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metacurate.matching.matcher import Texts, string_arrays
from metacurate.metadata import kernel
from metacurate.metadata.buckets import BUCKETS, bucketed
from metacurate.metadata.words import class_table
from metacurate.schema import NGRAMS

FIRST_WORDS = 1 << 15  # room to begin with
FIRST_BYTES = 1 << 19
FIRST_PAIRS = 1 << 17
LOW = np.uint64(0xFFFFFFFF)
THIRTY_TWO = np.uint64(32)

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
        """Number of different bigrams so far."""
        return int(self._state[kernel.PAIRS])

    @property
    def word_bytes(self) -> int:
        """Size of all different words, in bytes."""
        return int(self._state[kernel.USED])

    @property
    def tokens(self) -> int:
        """Number of all words so far; no more than 2^32 - 1 should be counted in one counter."""
        return int(self._state[kernel.TOKENS])

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
        kernel.move_pairs(self._keys, self._pair_counts, self._seed, keys, counts)
        self._keys, self._pair_counts = keys, counts

    def to_table(self) -> pa.Table:
        """All counts, in buckets of their first words.

        Returns:
            A table of `metacurate.schema.NGRAMS` as `metacurate.metadata.buckets` makes it; a
            word's second is null.
        """
        n_words = self.words
        used = self.word_bytes
        words = pa.LargeStringArray.from_buffers(
            n_words, pa.py_buffer(self._ends[: n_words + 1]), pa.py_buffer(self._arena[:used])
        ).cast(pa.string())
        buckets = kernel.bucket_words(self._arena, self._ends, n_words, BUCKETS)
        word_order = np.argsort(buckets, kind="stable")
        rank = np.empty(n_words, np.uint64)
        rank[word_order] = np.arange(n_words, dtype=np.uint64)
        (places,) = np.nonzero(self._keys)
        ordered = rank[self._firsts(places)] << THIRTY_TWO
        ordered |= self._keys[places] & LOW
        order = np.argsort(ordered)  # alike beside alike: it compresses
        places, ordered = places[order], ordered[order]
        word_edges = np.searchsorted(buckets[word_order], np.arange(BUCKETS + 1))
        pair_edges = np.searchsorted(ordered, word_edges.astype(np.uint64) << THIRTY_TWO)
        batches, batch_buckets = [], []
        for bucket in range(BUCKETS):
            own = word_order[word_edges[bucket] : word_edges[bucket + 1]]
            pairs = places[pair_edges[bucket] : pair_edges[bucket + 1]]
            if not len(own):
                continue
            seconds = (self._keys[pairs] & LOW).astype(np.int32) - np.int32(1)
            first = words.take(pa.array(np.concatenate([own, self._firsts(pairs)])))
            no_second = np.arange(len(first)) < len(own)
            second = words.take(
                pa.array(np.concatenate([np.zeros(len(own), np.int32), seconds]), mask=no_second)
            )
            counts = [self._counts[own], self._pair_counts[pairs].astype(np.int64)]
            count = pa.array(np.concatenate(counts))
            batches.append(pa.record_batch([first, second, count], schema=NGRAMS))
            batch_buckets.append(bucket)
        return bucketed(batches, batch_buckets)

    def _firsts(self, places: Array) -> Array:
        """Numbers of bigrams' first words."""
        return (self._keys[places] >> THIRTY_TWO).astype(np.int32) - np.int32(1)


def _grown(array: Array, room: int) -> Array:
    larger = np.zeros(max(room, 2 * len(array)), array.dtype)
    larger[: len(array)] = array
    return larger


def least_association(min_pmi: float) -> float:
    """The association that a PMI asks for: c12 N / (c1 c2), whose logarithm to base 2 it is.

    Args:
        min_pmi: in bits.
    """
    return math.inf if min_pmi > 1023 else 2.0**min_pmi
