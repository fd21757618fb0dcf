"""Texts in, entry ids out: the seam between matching and all that builds on it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

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

Texts: TypeAlias = pa.Array | pa.ChunkedArray | Sequence[str | None]


@dataclass(frozen=True)
class MatchCounts:
    """What counting the matches of some texts gives.

    Attributes:
        values: uint64[entries], number of texts that match each entry (added to what was there).
        texts: number of texts, without null ones.
        matched_texts: number of texts that match at least one entry.
        matches: sum over these texts of their number of entries.
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
        automaton = load_automaton(path)
        if automaton is None:
            automaton = build_automaton(metadata.entries, mode)
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

    def count(self, texts: Texts, values: npt.NDArray[np.uint64] | None = None) -> MatchCounts:
        """Count how many texts match each entry.

        Args:
            texts: as for `match`.
            values: uint64[entries] to add to, zeros where none are given.

        Returns:
            The counts.

        Raises:
            UsageError: when `texts` holds no strings.
        """
        if values is None:
            values = np.zeros(len(self.metadata), np.uint64)
        seen = matched = matches = 0
        for array in string_arrays(texts):
            _, n_matches, n_matched, _ = self._run(array, counts=values)
            seen += len(array) - array.null_count
            matched += int(n_matched)
            matches += int(n_matches)
        return MatchCounts(values, seen, matched, matches)

    def _match_array(self, array: pa.Array) -> pa.ListArray:
        ends = np.zeros(len(array) + 1, np.int64)
        out = np.empty(64 + 10 * len(array), np.uint32)
        done = n_out = 0
        while True:
            progress = self._run(array, start=done, out=out, n_out=n_out, ends=ends)
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

    def _run(
        self,
        array: pa.Array,
        *,
        start: int = 0,
        counts: npt.NDArray[np.uint64] | None = None,
        out: npt.NDArray[np.uint32] | None = None,
        n_out: int = 0,
        ends: npt.NDArray[np.int64] | None = None,
    ) -> Any:
        # a null's bytes may be anything; as an empty text it matches nothing
        plain = pc.fill_null(array, "") if array.null_count else array
        data, offsets = string_buffers(plain)
        a = self.automaton
        return kernel.match_texts(
            data, offsets, np.uint64(start), np.uint64(len(array)),
            a.words, a.vocabulary, a.transitions, a.bitmap, a.states, a.outputs, a.next_output,
            a.sizes, len(self.metadata), counts is not None,
            np.empty(0, np.uint64) if counts is None else counts,
            np.empty(0, np.uint32) if out is None else out,
            np.uint64(n_out),
            np.empty(0, np.int64) if ends is None else ends,
        )  # fmt: skip


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
    if isinstance(texts, pa.ChunkedArray):
        for chunk in texts.chunks:
            yield from string_arrays(chunk)
        return
    try:
        array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError) as error:
        raise UsageError(f"texts are not strings: {error}") from error
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from string_arrays(array.dictionary_decode())
    elif pa.types.is_string_view(kind):
        yield array.cast(pa.large_string())
    elif pa.types.is_null(kind):
        yield array.cast(pa.string())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield array
    else:
        raise UsageError(f"texts are of type {kind}, not strings")
