"""The compiled automaton: what the kernel reads, as a few plain arrays."""

from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.matching import kernel
from metacurate.matching.spacing import PUNCTUATION, WHITE_SPACE, Mode

Array: TypeAlias = npt.NDArray[Any]

FORMAT = 4  # of arrays, hashes that place rows in them, and file: raise it with every change
LONGEST_RUN = 48  # rows a look-up may have to read before another seed is tried
SEEDS = 8
MARKS, BLANKS = f"[{PUNCTUATION}]", f"[{WHITE_SPACE}]"


@dataclass(frozen=True)
class Automaton:
    """Aho-Corasick over words. All arrays are read-only, and may be mapped from a file.

    Attributes:
        sizes: uint64[7]: words, shift and seed of the word table, longest word in bytes, shift
            and seed of the transition table, shift of the bitmap. A shift is 64 less the bits
            of a row number.
        words: uint64[rows, 4], the word table (`kernel.fill_words`).
        vocabulary: uint8, the words' bytes one behind the other.
        transitions: uint64[rows, 4]: key (state, word), target and its failure link, the state to
            go on from, and the first output (`kernel.link_states`).
        bitmap: uint64, one bit for each transition's hash.
        states: uint32[deep states, 4] (`kernel.link_states`).
        outputs: uint32[nodes + 1], a node's entry.
        next_output: uint32[nodes + 1], the node behind it, or 0.
    """

    sizes: Array
    words: Array
    vocabulary: Array
    transitions: Array
    bitmap: Array
    states: Array
    outputs: Array
    next_output: Array

    def __post_init__(self) -> None:
        """Make the arrays read-only: one compiled signature, whether built or mapped."""
        for field in fields(self):
            getattr(self, field.name).flags.writeable = False

    def __reduce__(self) -> tuple[type["Automaton"], tuple[Array, ...]]:
        """Rebuild from the arrays in another process, where they are to be read-only, too."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    @property
    def tables(self) -> tuple[Array, ...]:
        """The arrays in the order in which the kernel takes them."""
        return (
            self.words, self.vocabulary, self.transitions, self.bitmap, self.states,
            self.outputs, self.next_output, self.sizes,
        )  # fmt: skip


def build_automaton(entries: pa.StringArray, mode: Mode) -> Automaton:
    """Compile metadata entries.

    Args:
        entries: unique strings; an entry's position is its id.
        mode: how entries are spaced, see `metacurate.matching.spacing`.

    Returns:
        The automaton, the same for the same entries on every machine.
    """
    ids, words = _split_entries(entries, mode)
    starts = words.offsets.to_numpy().astype(np.int64)
    encoded = words.flatten().dictionary_encode()
    word_ids = encoded.indices.to_numpy(zero_copy_only=False).astype(np.uint32) + np.uint32(1)
    vocabulary: pa.StringArray = encoded.dictionary.cast(pa.large_string())
    n_words = len(vocabulary)
    single = np.diff(starts) == 1

    entry_of_word = np.zeros(n_words, np.uint32)
    entry_of_word[word_ids[starts[:-1][single]] - 1] = ids[single] + 1
    first = np.zeros(len(word_ids), bool)
    first[starts[:-1]] = True
    flags = np.zeros(n_words, np.uint8)
    flags[word_ids[~first] - 1] |= np.uint8(kernel.CONTINUES)
    flags[word_ids[starts[:-1][~single]] - 1] |= np.uint8(kernel.STARTS)

    vocabulary_bytes, vocabulary_offsets = string_buffers(vocabulary)
    rows = np.zeros((_power_of_two(3.2 * n_words), 4), np.uint64)
    word_shift = _shift(len(rows))
    for word_seed in range(SEEDS):
        rows.fill(0)
        run = kernel.fill_words(
            rows, vocabulary_bytes, vocabulary_offsets, entry_of_word, flags,
            word_shift, np.uint64(word_seed),
        )  # fmt: skip
        if run <= LONGEST_RUN:
            break

    most_states = int(np.count_nonzero(~first))
    transitions = np.zeros((_power_of_two(2.0 * most_states), 4), np.uint64)
    shift = _shift(len(transitions))
    parents, labels, depths = (np.zeros(most_states, np.uint32) for _ in range(3))
    finals = np.zeros(len(ids), np.uint32)
    for seed in range(SEEDS):
        transitions.fill(0)
        n_deep, run = kernel.grow_trie(
            word_ids, starts, n_words, transitions, shift, np.uint64(seed),
            parents, labels, depths, finals,
        )  # fmt: skip
        if run <= LONGEST_RUN:
            break

    n_deep = int(n_deep)
    first_own, outputs, next_output = _chain_outputs(
        finals[~single].astype(np.int64) - n_words - 1, ids[~single], n_deep
    )
    bitmap = np.zeros(_power_of_two(16.0 * n_deep) // 64, np.uint64)
    bitmap_shift = _shift(len(bitmap) * 64)
    states = np.zeros((n_deep, 4), np.uint32)
    kernel.link_states(
        np.argsort(depths[:n_deep], kind="stable"), parents, labels, flags, np.uint64(n_words),
        transitions, shift, np.uint64(seed), bitmap, bitmap_shift, first_own, outputs,
        next_output, states,
    )  # fmt: skip
    longest_word = int(np.diff(vocabulary_offsets).max(initial=0))
    sizes = [n_words, word_shift, word_seed, longest_word, shift, seed, bitmap_shift]
    return Automaton(
        sizes=np.array(sizes, np.uint64),
        words=rows,
        vocabulary=vocabulary_bytes,
        transitions=transitions,
        bitmap=bitmap,
        states=states,
        outputs=outputs,
        next_output=next_output,
    )


def string_buffers(texts: pa.Array) -> tuple[Array, Array]:
    """Look at the bytes and offsets of an Arrow array as NumPy arrays, without copying.

    Args:
        texts: a string or large_string array, sliced or not.

    Returns:
        The value buffer, uint8; and the offsets into it, int32 or int64[texts + 1].
    """
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    _, offsets, values = texts.buffers()
    if offsets is None or offsets.size == 0:  # Arrow allows it for arrays of no rows
        return np.frombuffer(b"", np.uint8), np.frombuffer(bytes(8), width)[: len(texts) + 1]
    view = np.frombuffer(offsets, width)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(b"" if values is None else values, np.uint8), view


def unreachable(entries: pa.StringArray) -> pa.BooleanArray:
    """Tell which entries no text can match in mode `paper`.

    A text's word holds no tab or line break, a punctuation mark is a word of its own, and two
    of them are two spaces apart.

    Args:
        entries: the metadata.
    """
    return pc.match_substring_regex(entries, f"{BLANKS}|[^ ]{MARKS}|{MARKS}[^ ]|{MARKS} {MARKS}")


def _split_entries(entries: pa.StringArray, mode: Mode) -> tuple[Array, pa.ListArray]:
    """Ids (uint32) and words of the entries that can match some text."""
    ids = np.arange(len(entries), dtype=np.uint32)
    if mode == "spaced":
        entries = pc.replace_substring_regex(entries, f"({MARKS})", r" \1 ")
        entries = pc.replace_substring_regex(entries, BLANKS, " ")
    else:
        ids = ids[~unreachable(entries).to_numpy(zero_copy_only=False)]
        entries = entries.take(pa.array(ids))
    return ids, pc.split_pattern(entries, " ")


def _chain_outputs(finals: Array, ids: Array, n_deep: int) -> tuple[Array, Array, Array]:
    """Give each entry of several words a node; entries that end at one state form a chain.

    Two entries share a state only in mode `spaced` ("a b" and "a<tab>b").
    """
    order = np.argsort(finals, kind="stable")
    at = finals[order]
    nodes = np.arange(1, len(ids) + 1, dtype=np.uint32)
    outputs = np.concatenate([np.zeros(1, np.uint32), ids[order].astype(np.uint32)])
    next_output = np.zeros(len(ids) + 1, np.uint32)
    same = at[1:] == at[:-1]
    next_output[nodes[:-1][same]] = nodes[1:][same]
    first_own = np.zeros(n_deep, np.uint32)
    heads = np.concatenate([np.ones(min(1, len(at)), bool), ~same])
    first_own[at[heads]] = nodes[heads]
    return first_own, outputs, next_output


def _power_of_two(least: float) -> int:
    return 1 << max(6, int(np.ceil(np.log2(max(least, 1.0)))))


def _shift(size: int) -> np.uint64:
    return np.uint64(64 - (size.bit_length() - 1))
