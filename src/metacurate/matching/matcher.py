"""Texts in, entry ids out: the seam between matching and all that builds on it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.errors import UsageError
from metacurate.matching import kernel
from metacurate.matching.automaton import Automaton, build_automaton, string_buffers
from metacurate.matching.cache import cache_path, load_automaton, save_automaton
from metacurate.matching.spacing import MODES, Mode
from metacurate.metadata.metadata import Metadata
from metacurate.schema import ENTRIES

LAST_NUMBER = 2**32 - 1  # of a text, in the kernel's cells
TEXTS_AT_ONCE = 2**30

Texts: TypeAlias = pa.Array | pa.ChunkedArray | Sequence[str | None]


@dataclass(frozen=True)
class MatchCounts:
    """What counting the matches of some texts gives.

    Attributes:
        values: uint64[entries], number of texts that match each entry.
        texts: number of texts, without null ones.
        matched_texts: number of texts that match at least one entry.
        matches: sum of `values`.
    """

    values: npt.NDArray[np.uint64]
    texts: int
    matched_texts: int
    matches: int


class Matcher:
    """Finds a text's metadata entries, exactly as the oracle does, in time linear in the text.

    The automaton comes from the user's cache folder where it was compiled before. A matcher can
    be used by many threads at once.
    """

    def __init__(self, metadata: Metadata, mode: Mode = "paper") -> None:
        """Compile metadata, or load what was compiled before.

        Args:
            metadata: the entries.
            mode: ``paper`` (entries as they are) or ``spaced`` (entries spaced like texts).

        Raises:
            UsageError: for another mode.
        """
        if mode not in MODES:
            raise UsageError(f"mode {mode!r} is none of: {', '.join(MODES)}")
        self.metadata = metadata
        self.mode: Mode = mode
        path = cache_path(metadata.digest, mode)
        automaton = None if path is None else load_automaton(path)
        if automaton is None:
            automaton = build_automaton(metadata.entries, mode)
            if path is not None:
                save_automaton(automaton, path)
        self.automaton: Automaton = automaton

    def match(self, texts: Texts) -> pa.ListArray:
        """Find the entries of each text.

        Args:
            texts: an Arrow array or chunked array of string, large_string or string_view, plain
                or dictionary-encoded; or a sequence of str and None.

        Returns:
            list<uint32>[texts]: each text's entry ids, ascending, each once; null for null.

        Raises:
            UsageError: when `texts` holds no strings, or there are more than 2^31 - 1 matches.
        """
        parts = [self._match_array(array) for array in string_arrays(texts)]
        if len(parts) == 1:
            return parts[0]
        if sum(len(part.values) for part in parts) >= 2**31:
            raise UsageError("more than 2^31 - 1 matches at once: match fewer texts at a time")
        return pa.concat_arrays(parts) if parts else pa.array([], ENTRIES)

    def count(self, texts: Texts) -> MatchCounts:
        """Count how many texts match each entry.

        Args:
            texts: as for `match`.

        Returns:
            The counts.

        Raises:
            UsageError: when `texts` holds no strings.
        """
        counter = Counter(self)
        counter.add(texts)
        return counter.total()

    def _match_array(self, array: pa.Array) -> pa.ListArray:
        ends = np.zeros(len(array) + 1, np.int64)
        out = np.empty(64 + 10 * len(array), np.uint32)
        data, offsets = string_buffers(without_nulls(array))
        done = n_out = 0
        while True:
            progress = kernel.match_texts(
                data, offsets, np.uint64(done), np.uint64(len(array)), *self.automaton.tables,
                len(self.metadata), out, np.uint64(n_out), ends,
            )  # fmt: skip
            done, n_out, missing = int(progress[0]), int(progress[1]), int(progress[3])
            if done == len(array):
                break
            larger = np.empty(max(2 * len(out), n_out + missing + 64), np.uint32)
            larger[:n_out] = out[:n_out]
            out = larger
        if n_out >= 2**31:
            raise UsageError("more than 2^31 - 1 matches at once: match fewer texts at a time")
        ids = pa.array(out[:n_out])
        mask = array.is_null() if array.null_count else None
        return pa.ListArray.from_arrays(
            pa.array(ends.astype(np.int32)), ids, type=ENTRIES, mask=mask
        )


class Counter:
    """Counts matches over texts that come bit by bit; for one thread."""

    def __init__(self, matcher: Matcher) -> None:
        """Start at zero.

        Args:
            matcher: finds the entries.
        """
        self._matcher = matcher
        self._values = np.zeros(len(matcher.metadata), np.uint64)
        self._cells = np.zeros(len(matcher.metadata), np.uint64)
        self._next_number = 1
        self._texts = self._matched = self._matches = 0

    def add(self, texts: Texts) -> None:
        """Count some more texts.

        Args:
            texts: as for `Matcher.match`.

        Raises:
            UsageError: when `texts` holds no strings.
        """
        for array in string_arrays(texts):
            for start in range(0, len(array), TEXTS_AT_ONCE):
                self._add(array.slice(start, TEXTS_AT_ONCE))

    def total(self) -> MatchCounts:
        """The counts over all texts so far."""
        self._flush()
        return MatchCounts(self._values.copy(), self._texts, self._matched, self._matches)

    def _add(self, array: pa.Array) -> None:
        if self._next_number + len(array) > LAST_NUMBER:
            self._flush()
        matches, matched = kernel.count_texts(
            *string_buffers(without_nulls(array)), np.uint64(len(array)),
            *self._matcher.automaton.tables, self._cells, np.uint64(self._next_number),
        )  # fmt: skip
        self._next_number += len(array)
        self._texts += len(array) - array.null_count
        self._matched += int(matched)
        self._matches += int(matches)

    def _flush(self) -> None:
        self._values += self._cells >> np.uint64(32)
        self._cells.fill(0)
        self._next_number = 1


def without_nulls(array: pa.Array) -> pa.Array:
    """Replace null by the empty text, which matches nothing: a null's bytes may be anything.

    Args:
        array: string or large_string.
    """
    return pc.fill_null(array, "") if array.null_count else array


def string_arrays(texts: Texts) -> Iterator[pa.Array]:
    """Bring texts of any string type into string or large_string arrays.

    Both of these pass as they are, sliced or not; string_view and dictionaries are decoded.

    Args:
        texts: as for `Matcher.match`.

    Yields:
        An array for each chunk; one for an array or a sequence.

    Raises:
        UsageError: for any other type.
    """
    if isinstance(texts, str):
        raise UsageError("one string is no list of texts")
    if isinstance(texts, pa.ChunkedArray):
        for chunk in texts.chunks:
            yield from string_arrays(chunk)
        return
    try:
        array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())
    except (ValueError, TypeError) as error:  # a lone surrogate, too, has no UTF-8
        raise UsageError(f"texts are not strings: {error}") from error
    kind = array.type
    if pa.types.is_dictionary(kind):
        values = list(string_arrays(array.dictionary))
        plain = pa.DictionaryArray.from_arrays(array.indices, values[0])
        yield plain.dictionary_decode()
    elif pa.types.is_string_view(kind):
        yield array.cast(pa.large_string())
    elif pa.types.is_null(kind):
        yield array.cast(pa.string())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield array
    else:
        raise UsageError(f"texts are of type {kind}, not strings")
