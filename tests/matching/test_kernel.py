"""Texts and entries made to break the kernel: every border and collision that it could miss."""

import ctypes
import mmap
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count, islice

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metacurate.matching import kernel
from metacurate.matching.automaton import LONGEST_RUN, SEEDS
from metacurate.matching.matcher import Matcher
from metacurate.matching.oracle import match_by_substring
from metacurate.matching.spacing import MODES, PUNCTUATION, WHITE_SPACE, Mode, words_of
from metacurate.metadata.metadata import Metadata

in_both_modes = pytest.mark.parametrize("mode", MODES)

MASK = 2**64 - 1
K1, K2 = int(kernel.K1), int(kernel.K2)
SEPARATORS = set(" " + WHITE_SPACE + PUNCTUATION)
BLOCK_ENDS = kernel.BLOCK - kernel.HEADROOM  # after about as many words


def unpadded(text: bytes) -> pa.Array:
    """One text in a buffer that ends with its last byte."""
    offsets = pa.py_buffer(np.array([0, len(text)], np.int32))
    return pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(text)])


def agrees(entries: Sequence[str], texts: Sequence[str], mode: Mode) -> Matcher:
    """Check all texts in one array and each in its own, by match and by count."""
    matcher = Matcher(Metadata.from_entries(entries), mode)
    expected = [match_by_substring(text, entries, mode) for text in texts]
    assert matcher.match(texts).to_pylist() == expected
    assert [matcher.match(unpadded(text.encode())).to_pylist() for text in texts] == [
        [ids] for ids in expected
    ]
    counted = np.bincount([i for ids in expected for i in ids], minlength=len(entries))
    assert matcher.count(texts).values.tolist() == counted.tolist()
    return matcher


# ---- words


@in_both_modes
@pytest.mark.parametrize("length", [1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 63, 64, 65])
def test_words_of_critical_lengths(length: int, mode: Mode) -> None:
    word = "abcdefghijklmnopqrstuvwxyz0123456789" * 2
    word = word[:length]
    near = [word[:-1] + "#", "#" + word[1:], word[: length // 2] + "#" + word[length // 2 + 1 :]]
    others = [word + "#", "#" + word, *(w for w in [word[:-1]] if w)]
    texts = [
        f"{'x' * before} {some}{behind}"
        for some in (word, *near, *others)
        for before in range(66)
        for behind in ("", " ", ",", " y")
    ]
    agrees([word, f"{word} y"], texts, mode)


@in_both_modes
def test_word_at_every_distance_from_a_64_byte_border(mode: Mode) -> None:
    entries = ["hot", "hot dog", "a word of more than-sixteen-bytes", "than-sixteen-bytes", "."]
    texts = [
        f"{'x' * before} {text}"
        for before in range(130)
        for text in ("hot dog.", "hot,dog", "a word of more than-sixteen-bytes")
    ]
    agrees(entries, texts, mode)


@in_both_modes
def test_zero_bytes_belong_to_words(mode: Mode) -> None:
    entries = ["a", "a\0", "\0a", "\0", "\0\0", "a\0 b", "b\0" * 9, "b\0" * 8 + "b"]
    agrees(entries, [*entries, "a b", "a\0 b\0", "\0 a", "\0\0\0", "b" * 17, ""], mode)


@in_both_modes
def test_long_words_that_differ_in_one_byte(mode: Mode) -> None:
    word = "Donaudampfschifffahrtsgesellschaft"
    changed = [word[:i] + "#" + word[i + 1 :] for i in range(len(word))]
    agrees([word, f"a {word}"], [word, f"a {word}", *changed, " ".join(changed)], mode)


# ---- collisions


def fold(left: int, right: int) -> int:
    product = left * right
    return (product & MASK) ^ (product >> 64)


def words_without_hash(seed: int) -> Iterator[str]:
    """Words of 32 bytes that all have the hash 0, as bytes 16..23 make a factor 0."""
    for number in count():
        head = f"{number:016d}".encode()
        low, high = (int.from_bytes(head[i : i + 8], "little") for i in (0, 8))
        middle = (K1 ^ fold(low ^ K1 ^ seed ^ 32, high ^ K2)).to_bytes(8, "little")
        try:
            stem = (head + middle).decode()
        except UnicodeDecodeError:
            continue
        if not SEPARATORS & set(stem):
            break
    for number in count():
        yield f"{stem}{number:08d}"


def hash_of(word: bytes, seed: int) -> int:
    buffer = np.frombuffer(word, np.uint8)
    at, length = np.uint64(buffer.ctypes.data), np.uint64(len(word))
    return int(kernel._hash_long(at, length, np.uint64(seed)))


@in_both_modes
def test_words_of_the_same_64_bit_hash(mode: Mode) -> None:
    words = list(islice(words_without_hash(seed=0), 12))
    assert {hash_of(word.encode(), 0) for word in words} == {0}
    entries = [*words[:4], f"{words[0]} {words[1]}", f"{words[1]} {words[5]}"]
    agrees(entries, [*words, " ".join(words), " ".join(reversed(words))], mode)


def test_word_whose_hash_is_an_empty_row() -> None:
    unknown = next(words_without_hash(seed=0))
    agrees(
        ["an entry", "0123456789" * 4], [unknown, f"an {unknown}", f"{unknown} an entry"], "paper"
    )


def test_words_of_the_same_hash_for_every_seed() -> None:
    known = next(words_without_hash(seed=0))
    other = b"#" * 24 + K2.to_bytes(8, "little")  # no UTF-8, as a damaged file may hold
    assert {hash_of(other, seed) for seed in range(SEEDS)} == {hash_of(known.encode(), 0)} == {0}
    matcher = Matcher(Metadata.from_entries([known]))
    for text, ids in [(other, []), (other + b" " + known.encode(), [0]), (b"a " + other, [])]:
        assert matcher.match(unpadded(text)).flatten().to_pylist() == ids


@in_both_modes
@pytest.mark.parametrize("seeds", [1, SEEDS], ids=["another seed helps", "no seed helps"])
def test_entries_that_all_have_the_same_hash(seeds: int, mode: Mode) -> None:
    words = [w for seed in range(seeds) for w in islice(words_without_hash(seed), 2 * LONGEST_RUN)]
    entries = [word for i, word in enumerate(words) if i % 7]
    matcher = agrees(entries, [*words[:20], " ".join(words), " ".join(words[::-1])], mode)
    assert matcher.automaton.sizes[2] == min(seeds, SEEDS - 1)


@in_both_modes
@pytest.mark.parametrize("other", [b"12345678", b"\0", b"\0\0\0"], ids=["bytes", "zero", "zeros"])
def test_short_words_that_share_a_table_row(other: bytes, mode: Mode) -> None:
    """Words that begin alike, or differ by zero bytes only, so that a part of a row is equal."""

    def row(word: bytes) -> int:
        low, high = (int.from_bytes(word[i : i + 8], "little") for i in (0, 8))
        numbers = (np.uint64(n) for n in (low, high, len(word), 0))
        return int(kernel._hash_short(*numbers)) >> 58  # the smallest table has 64 rows

    stems = (f"{i:08d}".encode() if len(other) == 8 else f"{i:05d}".encode() for i in count())
    change = b"abcdefgh" if len(other) == 8 else b""
    pairs = ((stem + change, stem + other) for stem in stems)
    alike = list(islice((pair for pair in pairs if row(pair[0]) == row(pair[1])), 9))
    known, unknown = ([word.decode() for word in words] for words in zip(*alike, strict=True))
    agrees(known, [*known, *unknown], mode)
    agrees(unknown, [*known, *unknown], mode)


@in_both_modes
def test_long_words_that_share_a_table_row(mode: Mode) -> None:
    candidates = (f"a-word-of-more-than-16-bytes-{i}" for i in count())
    top = 2**64 // 64  # rows of the smallest table
    words = list(islice((w for w in candidates if hash_of(w.encode(), 0) < top), 20))
    matcher = agrees(words[:10], [*words, " ".join(words)], mode)
    assert len(matcher.automaton.words) == 64


@in_both_modes
def test_transitions_that_share_a_table_row(mode: Mode) -> None:
    n_words, n_pairs = 200, LONGEST_RUN + 9
    words = [f"w{i}" for i in range(n_words)]  # word i gets the id i + 1
    rows = defaultdict(list)
    for left in range(n_words):
        for right in range(n_words):
            place = kernel._hash_pair(np.uint64(left + 1), np.uint64(right + 1), np.uint64(0))
            rows[int(place) >> 57].append(f"{words[left]} {words[right]}")  # a table of 128 rows
    same_row = max(rows.values(), key=len)
    entries = [*words, *same_row[:n_pairs]]
    matcher = agrees(entries, [" ".join(same_row), *same_row[: 2 * n_pairs]], mode)
    assert len(matcher.automaton.transitions) == 128
    assert matcher.automaton.sizes[5] != 0  # seed 0 was given up


# ---- entries inside entries


@in_both_modes
def test_entries_that_repeat_a_word(mode: Mode) -> None:
    entries = [" ".join("a" * n) for n in range(1, 70)] + ["a b", "b a a a", "a a b", "c a"]
    texts = [" ".join("a" * n) for n in (1, 2, 31, 32, 33, 34, 68, 69, 70, 300)]
    texts += ["a a b a a a", "b " * 40 + "a a a", " ".join("a" * 40) + " b", "a, a a, a a a"]
    agrees(entries, texts, mode)


@in_both_modes
def test_all_runs_of_a_sentence(mode: Mode) -> None:
    words = words_of(" the quick brown fox jumps over the lazy dog and the quick cat ")
    runs = {" ".join(words[i:j]): None for i in range(len(words)) for j in range(i + 1, 14)}
    texts = [" ".join(words[i:] + words[:i]) for i in range(len(words))]
    texts += [" ".join(words[:i] + ["slow"] + words[i:]) for i in range(len(words))]
    agrees(list(runs), texts, mode)


def sentences(longest: int) -> st.SearchStrategy[str]:
    words = st.sampled_from(["a", "a", "b", "c", "", ","])
    return st.lists(words, min_size=1, max_size=longest).map(" ".join)


@in_both_modes
@settings(max_examples=500)
@given(
    entries=st.lists(sentences(7).filter(bool), min_size=1, max_size=25, unique=True),
    texts=st.lists(sentences(40), max_size=5),
    filler=st.just(0) | st.integers(BLOCK_ENDS - 80, BLOCK_ENDS + 20),
)
def test_overlapping_entries(mode: Mode, entries: list[str], texts: list[str], filler: int) -> None:
    if texts:
        texts[0] = "x " * filler + texts[0]
    agrees(entries, texts, mode)


@in_both_modes
def test_entries_with_the_same_words_are_all_found(mode: Mode) -> None:
    entries = ["a b", "a\tb", "a\nb", "x a b", "b", "x a\rb", " ", "\t", "a,", "a, ", "a,\n"]
    agrees(entries, ["a b", "x a b", "a\tb x a b", "", " ", "a,", "a, ", "a,  "], mode)


@in_both_modes
@pytest.mark.parametrize("word", ["b", "a"], ids=["of two words", "of one word"])
def test_entry_of_5000_words(word: str, mode: Mode) -> None:
    words = ["a", word] * 2500
    words[-1] = "end"
    entry, beginning = " ".join(words), " ".join(words[:-1])
    entries = [entry, " ".join(words[2500:]), " ".join(words[-2:]), f"{word} a {word}"]
    texts = [
        entry,
        beginning,
        f"{beginning} {beginning}",
        f"{beginning} {entry}",
        f"a {beginning} x {' '.join(words[1:])}",
    ]
    agrees(entries, texts, mode)


# ---- texts


SENTENCE = "a hot dog, a dog; hötdog!  a-word-of-more-than-16-bytes\thot 🌭 dog "


@in_both_modes
@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(SENTENCE, id="sentence"),
        pytest.param("a", id="one word"),
        pytest.param(" ", id="spaces"),
        pytest.param(",", id="marks"),
        pytest.param("a ", id="short words"),
        pytest.param("a\n\nhot,dog ", id="lines"),
    ],
)
def test_every_length_up_to_200(pattern: str, mode: Mode) -> None:
    text = (pattern * 200)[:200]
    entries = ["a", "hot", "dog", "hot dog", "hot 🌭 dog", "a-word-of-more-than-16-bytes", ",", " "]
    entries += ["a  hot", " , ", " " * 64, ",  ,", *("a" * n for n in (16, 17, 63, 64, 65, 128))]
    agrees(entries, [text[:length] for length in range(len(text) + 1)], mode)


def test_bytes_behind_a_text_do_not_belong_to_it() -> None:
    content = b"a hot dog a-word-of-more-than-16-bytes dog"
    matcher = Matcher(Metadata.from_entries(entries := content.decode().split()[:-1]))
    for end in range(len(content)):
        offsets = pa.py_buffer(np.array([0, end], np.int32))
        texts = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(content)])
        expected = match_by_substring(content[:end].decode(), entries)
        assert matcher.match(texts).to_pylist() == [expected]


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
def test_nothing_is_read_behind_the_buffer() -> None:
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * page)
    view = np.frombuffer(memory, np.uint8)
    address = view.ctypes.data
    text = (SENTENCE.encode() * 4)[:256]
    view[page - len(text) : page] = np.frombuffer(text, np.uint8)
    mprotect = ctypes.CDLL(None).mprotect
    mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    assert mprotect(address + page, page, 0) == 0  # PROT_NONE
    matcher = Matcher(Metadata.from_entries(["dog", "a-word-of-more-than-16-bytes"]))
    for length in range(len(text) + 1):  # a read behind the text would end the process
        values = pa.foreign_buffer(address + page - length, length, memory)
        offsets = pa.py_buffer(np.array([0, length], np.int32))
        texts = pa.Array.from_buffers(pa.string(), 1, [None, offsets, values])
        expected = matcher.match(unpadded(text[len(text) - length :]))
        assert matcher.match(texts).equals(expected)


@in_both_modes
@pytest.mark.parametrize("width", [1, 2, 16, 17], ids="words of {} bytes".format)
def test_entry_across_blocks_of_words(width: int, mode: Mode) -> None:
    filler = "x" * width
    entries = ["hot dog", "a very hot dog", "dog today", filler, f"{filler} a", "dog"]
    fillers = [0, 1, *range(BLOCK_ENDS - 100, BLOCK_ENDS + 100)]
    texts = [f"{filler} " * n + "a very hot dog today" for n in fillers]
    agrees(entries, texts, mode)


@in_both_modes
@pytest.mark.parametrize("between", ["unknown", "hot", ",", "", "unknown" * 9])
def test_entry_broken_off_blocks_ago(between: str, mode: Mode) -> None:
    entries = ["a very hot dog", "very hot dog", "hot dog dog", "dog", "hot ,"]
    agrees(entries, [f"a very hot {between} " + "dog " * (3 * kernel.BLOCK)], mode)


@in_both_modes
@pytest.mark.parametrize(
    ("part", "times"),
    [
        pytest.param(SENTENCE, 150_000, id="sentences"),
        pytest.param("x", 10_000_000, id="one word"),
        pytest.param(" ", 10_000_000, id="spaces"),
        pytest.param("?!", 5_000_000, id="marks"),
        pytest.param("hot ", 2_500_000, id="the beginning of an entry"),
    ],
)
def test_text_of_10_megabytes(part: str, times: int, mode: Mode) -> None:
    text = f"start {part * times} hot dog end"
    entries = [
        "start",
        "hot dog",
        "hot dog end",
        "dog end x",
        "hot hot hot dog end",
        "end",
        "x" * 20,
    ]
    entries += ["x" * 10_000_000, "🌭 dog  a hot", " ! ", "!  ?", " " * 50]
    matcher = Matcher(Metadata.from_entries(entries), mode)
    assert matcher.match([text, "dog end"]).to_pylist() == [
        match_by_substring(t, entries, mode) for t in (text, "dog end")
    ]


# ---- many matches


@in_both_modes
@pytest.mark.parametrize("distinct", [1, 16, 17, 31, 32, 33, 34, 64, 65, 500])
def test_number_of_distinct_matches(distinct: int, mode: Mode) -> None:
    words = [f"w{i}" for i in range(distinct)]
    backwards = " ".join(reversed(words))
    entries = [*(f"{a} {b}" for a, b in zip(words[1:], words, strict=False)), *words]
    texts = [
        " ".join(words),
        backwards,
        f"{words[0]} {words[0]} " * 20 + backwards,
        f"{backwards} {backwards}",
    ]
    agrees(entries, [*texts, "w0", *texts], mode)


@pytest.mark.parametrize(
    "matches",
    [
        pytest.param([300], id="one text"),
        pytest.param([5000], id="one text, far too many"),
        pytest.param([300] * 50, id="many each"),
        pytest.param([31] * 100, id="31 each"),
        pytest.param([32] * 100, id="32 each"),
        pytest.param([33] * 100, id="33 each"),
        pytest.param(list(range(80)), id="more and more"),
        pytest.param([*range(80, 0, -1), 0], id="fewer and fewer"),
        pytest.param([1] * 500 + [2000] + [0, 1] * 500, id="one outlier"),
    ],
)
def test_more_matches_than_room_was_made_for(matches: list[int]) -> None:
    words = [f"w{i}" for i in range(max(matches))]
    matcher = Matcher(Metadata.from_entries(words))
    texts = [" ".join(reversed(words[:n])) for n in matches]
    assert matcher.match(texts).to_pylist() == [list(range(n)) for n in matches]
    assert matcher.count(texts).matches == sum(matches)
