"""The compiled half of the matcher: build the tables, cut texts into words, walk the automaton.

Everything compiled for matching is in this one file, because Numba's cache does not notice a
change in a function that lives in another file. docs/design.md tells the method from the naive
algorithm on; in short, texts flow through three steps in blocks of a few thousand words:

1. `_cut` finds word ends 64 bytes at a time and asks for each word's table row to be fetched;
2. `_resolve` turns words into ids, and asks for the automaton's transition of each pair of
   neighbours that a bitmap does not rule out;
3. `_walk` runs Aho-Corasick over word ids and collects each text's entries once, ascending.

Words are numbered from 1. State 0 is the root, state w the word w seen as an entry's first word,
and states above the number of words are the longer prefixes of entries, called *deep*.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from metacurate.compiled import compiled, inlined, prefetch
from metacurate.matching.spacing import PUNCTUATION, WHITE_SPACE

U32 = np.uint32
U64 = np.uint64

BLOCK = 2048  # words in flight: enough to hide memory latency, few enough for the L2 cache
HEADROOM = 200  # more than one 64-byte step can add: 64 words, 64 punctuation marks, an end
CHUNK = U64(64)
INLINE = U64(16)  # words up to this many bytes are compared inside their table row
END = U32(0xFFFFFFFF)
UNKNOWN = U32(0xFFFFFFFE)
NONE = U64(0xFFFFFFFFFFFFFFFF)
LOW = U64(0xFFFFFFFF)
ZERO = U64(0)
ONE = U64(1)
LANES = U64(32)  # ids of a text that are sorted in registers; texts with more use a bitmap
SIX = U64(6)
THIRTY_TWO = U64(32)
K1 = U64(0x9E3779B97F4A7C15)
K2 = U64(0xC2B2AE3D27D4EB4F)
K3 = U64(0x165667B19E3779F9)

STARTS = U64(1)  # flag of a word: a longer entry begins with it
CONTINUES = U64(2)  # flag of a word: it stands inside an entry, behind the first word

KEEP_BYTES = np.zeros((17, 2), np.uint64)  # masks that keep the first n bytes of two 64-bit words
for _n in range(17):
    KEEP_BYTES[_n] = (1 << 8 * min(_n, 8)) - 1, (1 << 8 * max(0, _n - 8)) - 1

_byte, _int32, _int64, _int128 = (ir.IntType(bits) for bits in (8, 32, 64, 128))


@intrinsic  # type: ignore[untyped-decorator]
def load64(context: Any, address: Any) -> Any:
    """Read 8 bytes, little-endian, at an address of any alignment."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(builder.inttoptr(arguments[0], ir.PointerType(_int64)))
        value.align = 1
        return value

    return types.uint64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(context: Any, value: Any) -> Any:
    """Position of the lowest set bit of a number that is not zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def count_bits(context: Any, value: Any) -> Any:
    """Number of set bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def multiply_fold(context: Any, left: Any, right: Any) -> Any:
    """Multiply to 128 bits and xor the halves: a mixing step that depends on all input bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = [builder.zext(a, _int128) for a in arguments]
        product = builder.mul(*wide)
        high = builder.trunc(builder.lshr(product, ir.Constant(_int128, 64)), _int64)
        return builder.xor(builder.trunc(product, _int64), high)

    return types.uint64(types.uint64, types.uint64), generate


def _find_bytes(wanted: str) -> Any:
    """Make a function that tells, as 64 bits, which of the 64 bytes at an address are wanted."""
    vector = ir.VectorType(_byte, 64)

    @intrinsic  # type: ignore[untyped-decorator]
    def find(context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            chunk = builder.load(builder.inttoptr(arguments[0], ir.PointerType(vector)))
            chunk.align = 1
            found = ir.Constant(ir.VectorType(ir.IntType(1), 64), [0] * 64)
            for byte in wanted.encode():
                same = builder.icmp_unsigned("==", chunk, ir.Constant(vector, [byte] * 64))
                found = builder.or_(found, same)
            return builder.bitcast(found, _int64)

        return types.uint64(types.uint64), generate

    return find


def _compare_lanes(relation: str) -> Any:
    """Make a function that compares the 32 numbers at an address with one, as 32 bits."""
    vector = ir.VectorType(_int32, 32)

    @intrinsic  # type: ignore[untyped-decorator]
    def compare(context: Any, address: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            lanes = builder.load(builder.inttoptr(arguments[0], ir.PointerType(vector)))
            lanes.align = 4
            unset = ir.Constant(vector, ir.Undefined)
            first = builder.insert_element(unset, arguments[1], ir.Constant(_int32, 0))
            spread = builder.shuffle_vector(first, unset, ir.Constant(vector, [0] * 32))
            bits = builder.bitcast(builder.icmp_unsigned(relation, lanes, spread), _int32)
            return builder.zext(bits, _int64)

        return types.uint64(types.uint64, types.uint32), generate

    return compare


find_white_space = _find_bytes(" " + WHITE_SPACE)
find_punctuation = _find_bytes(PUNCTUATION)
lanes_below = _compare_lanes("<")
lanes_equal = _compare_lanes("==")


@inlined
def _hash_short(low: Any, high: Any, length: Any, seed: Any) -> Any:
    return multiply_fold(low ^ seed ^ K1, high ^ K2 ^ length) * K3


@compiled
def _hash_long(address: Any, length: Any, seed: Any) -> Any:
    """Hash a word of more than 16 bytes; the last step reads the last 16 bytes again."""
    value = seed ^ length
    last = address + length - INLINE
    while address < last:
        value = multiply_fold(load64(address) ^ K1 ^ value, load64(address + U64(8)) ^ K2)
        address += INLINE
    return multiply_fold(load64(last) ^ K1 ^ value, load64(last + U64(8)) ^ K2) * K3


@inlined
def _hash_pair(state: Any, word: Any, seed: Any) -> Any:
    return multiply_fold(((state << THIRTY_TWO) | word) ^ seed, K1) * K3


@inlined
def _load_short(data: Any, start: Any, length: Any) -> Any:
    """Two 64-bit words that hold the bytes of a short word, filled up with zeros."""
    address = U64(data.ctypes.data) + start
    if start + INLINE <= U64(data.size):
        low = load64(address) & KEEP_BYTES[length, 0]
        high = load64(address + U64(8)) & KEEP_BYTES[length, 1]
        return low, high
    low = ZERO
    high = ZERO
    for k in range(length):
        byte = U64(data[start + U64(k)])
        if k < 8:
            low |= byte << U64(8 * k)
        else:
            high |= byte << U64(8 * (k - 8))
    return low, high


@compiled
def fill_words(
    rows: Any, data: Any, offsets: Any, entry_of_word: Any, flags: Any, shift: Any, seed: Any
) -> Any:
    """Put all words into an empty word table.

    A row is four uint64: for short words their bytes (two), for long ones their hash and their
    place in `data`; id and length; the entry that is this very word (plus 1, or 0) and the flags.

    Returns:
        The longest run of rows that a look-up has to read.
    """
    last = U64(rows.shape[0] - 1)
    base = U64(data.ctypes.data)
    longest = 0
    for i in range(offsets.size - 1):
        start = U64(offsets[i])
        length = U64(offsets[i + 1]) - start
        if length <= INLINE:
            low, high = _load_short(data, start, length)
            row = _hash_short(low, high, length, seed) >> shift
        else:
            low, high = _hash_long(base + start, length, seed), start
            row = low >> shift
        steps = 1
        while rows[row, 2] != ZERO:
            row = (row + ONE) & last
            steps += 1
        rows[row, 0] = low
        rows[row, 1] = high
        rows[row, 2] = U64(i + 1) | (length << THIRTY_TWO)
        rows[row, 3] = U64(entry_of_word[i]) | (U64(flags[i]) << THIRTY_TWO)
        longest = max(longest, steps)
    return longest


@inlined
def _find_transition(transitions: Any, state: Any, word: Any, row: Any) -> Any:
    """Row of (state, word), or NONE where there is no such; `row` is where to look first."""
    last = U64(transitions.shape[0] - 1)
    key = (state << THIRTY_TWO) | word
    while transitions[row, 0] != key:
        if transitions[row, 0] == ZERO:
            return NONE
        row = (row + ONE) & last
    return row


@compiled
def grow_trie(
    words: Any,
    starts: Any,
    n_words: Any,
    transitions: Any,
    shift: Any,
    seed: Any,
    parents: Any,
    labels: Any,
    depths: Any,
    finals: Any,
) -> Any:
    """Add entries of two and more words to an empty transition table, as a trie of word ids.

    Args:
        words: uint32, word ids of all entries; entry i has words[starts[i]:starts[i + 1]].
        starts: int64[entries + 1].
        n_words: number of words; the first deep state is n_words + 1.
        transitions: uint64[rows, 4], zeros; filled with key (state, word) and target.
        shift: 64 less the bits of a row number.
        seed: of the hash.
        parents: uint32[deep states], filled: the state that a state extends.
        labels: uint32[deep states], filled: the word by which it does.
        depths: uint32[deep states], filled: number of words.
        finals: uint32[entries], filled: the state at which an entry ends.

    Returns:
        The number of deep states, and the longest run of rows that a look-up has to read.
    """
    last = U64(transitions.shape[0] - 1)
    n_deep = ZERO
    longest = 0
    for i in range(starts.size - 1):
        state = U64(words[starts[i]])
        for k in range(starts[i] + 1, starts[i + 1]):
            word = U64(words[k])
            row = _hash_pair(state, word, seed) >> shift
            key = (state << THIRTY_TWO) | word
            steps = 1
            while transitions[row, 0] != ZERO and transitions[row, 0] != key:
                row = (row + ONE) & last
                steps += 1
            longest = max(longest, steps)
            if transitions[row, 0] == ZERO:
                parents[n_deep] = U32(state)
                labels[n_deep] = U32(word)
                depths[n_deep] = U32(k - starts[i] + 1)
                n_deep += ONE
                transitions[row, 0] = key
                transitions[row, 1] = U64(n_words) + n_deep
            state = transitions[row, 1]
        finals[i] = U32(state)
    return n_deep, longest


@compiled
def link_states(
    order: Any,
    parents: Any,
    labels: Any,
    flags: Any,
    n_words: Any,
    transitions: Any,
    shift: Any,
    seed: Any,
    bitmap: Any,
    bitmap_shift: Any,
    first_own: Any,
    outputs: Any,
    next_output: Any,
    states: Any,
) -> None:
    """Compute the automaton's links, from short states to long ones (Aho and Corasick, 1975).

    Args:
        order: int64, deep states by depth.
        parents: uint32, labels: uint32: the trie.
        flags: uint8[words].
        n_words: number of words.
        transitions: the filled transition table; shift and seed as it was filled. A row gets
            what the walk needs of its target, so that it need not look elsewhere: its failure
            link above the target, the state to go on from, and the first output (plus 1, or
            0) below the node behind it.
        bitmap: uint64, zeros; filled: one bit for each transition, at its hash's upper bits.
        bitmap_shift: 64 less the bits of a position in it.
        first_own: uint32[deep states]: the first output node of a state's own entries, or 0.
        outputs: uint32[nodes + 1], a node's entry.
        next_output: uint32[nodes + 1]: nodes chained by state; the ends are tied to the chain
            of the longest proper suffix, so that all outputs of a state are one chain.
        states: uint32[deep states, 4], filled: the failure link, the state to go on from (the
            state itself, or where it has no children the first suffix that has), the head of
            the output chain, and 1 where the state has children.
    """
    for d in order:
        if U64(parents[d]) > n_words:
            states[U64(parents[d]) - n_words - ONE, 3] = U32(1)
    for d in order:
        parent = U64(parents[d])
        word = U64(labels[d])
        place = _hash_pair(parent, word, seed)
        bit = place >> bitmap_shift
        bitmap[bit >> SIX] |= ONE << (bit & U64(63))
        failure = ZERO
        state = parent
        while state > n_words and failure == ZERO:
            state = U64(states[state - n_words - ONE, 0])
            if state != ZERO:
                row = _hash_pair(state, word, seed) >> shift
                row = _find_transition(transitions, state, word, row)
                if row != NONE:
                    failure = transitions[row, 1]
        if failure == ZERO and flags[word - ONE] & STARTS:
            failure = word
        inherited = U32(0)
        onward = failure
        if failure > n_words:
            inherited = states[failure - n_words - ONE, 2]
            onward = U64(states[failure - n_words - ONE, 1])
        states[d, 0] = U32(failure)
        states[d, 1] = U32(n_words + ONE + U64(d)) if states[d, 3] else U32(onward)
        states[d, 2] = first_own[d] if first_own[d] else inherited
        node = first_own[d]
        if node:
            while next_output[node]:
                node = next_output[node]
            next_output[node] = inherited
    for row in range(transitions.shape[0]):
        if transitions[row, 0] != ZERO:
            d = transitions[row, 1] - n_words - ONE
            node = states[d, 2]
            transitions[row, 1] |= U64(states[d, 0]) << THIRTY_TWO
            transitions[row, 2] = U64(states[d, 1])
            if node:
                head = U64(outputs[node]) + ONE
                transitions[row, 3] = head | (U64(next_output[node]) << THIRTY_TWO)


@compiled
def _cut(
    data: Any,
    offsets: Any,
    stop: Any,
    cursor: Any,
    rows: Any,
    shift: Any,
    seed: Any,
    longest_word: Any,
    scratch: Any,
    tokens: Any,
    lengths: Any,
) -> Any:
    """Cut texts into words until the block is full; `cursor` says where to go on.

    Returns:
        The number of tokens: words, and an END behind each text.
    """
    base = U64(data.ctypes.data)
    size = U64(data.size)
    rows_at = U64(rows.ctypes.data)
    scratch_at = U64(scratch.ctypes.data)
    text, position, word_start = cursor[0], cursor[1], cursor[2]
    n = 0
    while text < stop and n < BLOCK - HEADROOM:
        text_end = U64(offsets[text + ONE])
        left = text_end - position
        last = left <= CHUNK
        address = base + position
        if position + CHUNK > size:  # never read behind the buffer
            for k in range(min(left, CHUNK)):
                scratch[k] = data[position + U64(k)]
            address = scratch_at
        marks = find_punctuation(address)
        ends = find_white_space(address) | marks
        if left < CHUNK:
            ends &= (ONE << left) - ONE
        while True:
            at_end = ends == ZERO
            if at_end and not last:
                break
            word_end = text_end if at_end else position + lowest_bit(ends)
            length = word_end - word_start
            if length <= INLINE:
                low, high = _load_short(data, word_start, length)
                row = _hash_short(low, high, length, seed) >> shift
                tokens[n, 0], tokens[n, 1], tokens[n, 2] = low, high, row
                lengths[n] = U32(length)
                prefetch(rows_at + (row << U64(5)))
            elif length <= longest_word:
                low = _hash_long(base + word_start, length, seed)
                row = low >> shift
                tokens[n, 0], tokens[n, 1], tokens[n, 2] = low, word_start, row
                lengths[n] = U32(length)
                prefetch(rows_at + (row << U64(5)))
            else:
                lengths[n] = UNKNOWN
            n += 1
            if at_end:
                break
            if (marks >> (word_end - position)) & ONE:
                low = U64(data[word_end])
                row = _hash_short(low, ZERO, ONE, seed) >> shift
                tokens[n, 0], tokens[n, 1], tokens[n, 2] = low, ZERO, row
                lengths[n] = U32(1)
                prefetch(rows_at + (row << U64(5)))
                n += 1
            word_start = word_end + ONE
            ends &= ends - ONE
        if last:
            lengths[n] = END
            n += 1
            text += ONE
            if text < stop:
                position = U64(offsets[text])
                word_start = position
        else:
            position += CHUNK
    cursor[0], cursor[1], cursor[2] = text, position, word_start
    return n


@compiled
def _same_bytes(left: Any, left_start: Any, right: Any, right_start: Any, length: Any) -> Any:
    for k in range(length):
        if left[left_start + U64(k)] != right[right_start + U64(k)]:
            return False
    return True


@compiled
def _resolve(
    data: Any,
    n: Any,
    tokens: Any,
    lengths: Any,
    rows: Any,
    long_words: Any,
    transitions: Any,
    transition_shift: Any,
    transition_seed: Any,
    bitmap: Any,
    bitmap_shift: Any,
    cursor: Any,
    singles: Any,
    pairs: Any,
    parts: Any,
    cells_at: Any,
    cell_size: Any,
) -> Any:
    """Look words up, and sort out what the walk needs to see.

    A token becomes its word id, the id of the word before it, and the hash of this pair, or 0
    where no entry begins with it: one bit of the bitmap rules out most pairs before the
    transition table is touched. What depends on the text is written without a branch: always
    stored, and counted only where it holds.

    Args:
        singles: uint32, filled: entries of one word, in the order of the texts.
        pairs: int64, filled: positions of the tokens with a pair that may begin an entry.
        parts: int64[texts + 1, 3], filled for each text that ends here, and for the open one:
            where its singles, its pairs and its tokens end.
        cells_at: address of the entries' cells, which are asked for too.
        cell_size: their size in bytes; 0 where there are none.

    Returns:
        The number of texts that end in the block.
    """
    last = U64(rows.shape[0] - 1)
    transitions_at = U64(transitions.ctypes.data)
    before, before_starts = cursor[3], cursor[4]
    n_singles = n_pairs = n_ends = 0
    for i in range(n):
        word = ZERO
        info = ZERO
        if lengths[i] < UNKNOWN:
            length = U64(lengths[i])
            low, high, row = tokens[i, 0], tokens[i, 1], tokens[i, 2]
            short = length <= INLINE
            while True:
                meta = rows[row, 2]
                if (rows[row, 0] == low) & ((meta >> THIRTY_TWO) == length) & (meta != ZERO):
                    if short:
                        same = rows[row, 1] == high
                    else:
                        same = _same_bytes(data, high, long_words, rows[row, 1], length)
                    if same:
                        word = meta & LOW
                        info = rows[row, 3]
                        break
                if meta == ZERO:
                    break
                row = (row + ONE) & last
        flags = info >> THIRTY_TWO
        place = _hash_pair(before, word, transition_seed)
        bit = place >> bitmap_shift
        known = bitmap[bit >> SIX] >> (bit & U64(63))
        pair = place * (known & before_starts & (flags >> ONE))
        prefetch(transitions_at + ((pair >> transition_shift) << U64(5)))
        tokens[i, 0], tokens[i, 1], tokens[i, 2] = word, before, pair
        entry = U32(info & LOW)
        singles[n_singles] = entry - U32(1)
        prefetch(cells_at + U64(entry) * cell_size)
        n_singles += entry != U32(0)
        pairs[n_pairs] = i
        n_pairs += pair != ZERO
        parts[n_ends, 0], parts[n_ends, 1], parts[n_ends, 2] = n_singles, n_pairs, i
        n_ends += lengths[i] == END
        before, before_starts = word, flags & STARTS
    parts[n_ends, 0], parts[n_ends, 1], parts[n_ends, 2] = n_singles, n_pairs, n
    pairs[n_pairs] = n
    cursor[3], cursor[4] = before, before_starts
    return n_ends


@inlined
def _next_output(output: Any, outputs: Any, next_output: Any) -> Any:
    """The output behind one: entry plus 1, and the node that comes next; 0 at the end."""
    node = output >> THIRTY_TWO
    if node == ZERO:
        return ZERO
    return (U64(outputs[node]) + ONE) | (U64(next_output[node]) << THIRTY_TWO)


@inlined
def _tally(cells: Any, entry: Any, text: Any) -> Any:
    """Count an entry once a text; a cell is the count and, below it, the last text's number."""
    cell = cells[entry]
    new = U64((cell & LOW) != text)
    cells[entry] = (((cell >> THIRTY_TWO) + new) << THIRTY_TWO) | text
    return new


@inlined
def _mark(entry: Any, marked: Any, summary: Any) -> Any:
    """Put an entry into the text's bitmap; tells whether it was there already."""
    block = U64(entry) >> SIX
    bit = ONE << (U64(entry) & U64(63))
    if marked[block] & bit:
        return True
    marked[block] |= bit
    summary[block >> SIX] |= ONE << (block & U64(63))
    return False


@compiled
def _drain(marked: Any, summary: Any, out: Any, n_out: Any) -> Any:
    """Empty a text's bitmap into `out`, ascending, as far as it has room; returns its size."""
    found = ZERO
    for s in range(summary.size):
        while summary[s]:
            block = (U64(s) << SIX) | lowest_bit(summary[s])
            summary[s] &= summary[s] - ONE
            while marked[block]:
                if n_out + found < U64(out.size):
                    out[n_out + found] = U32((block << SIX) | lowest_bit(marked[block]))
                marked[block] &= marked[block] - ONE
                found += ONE
    return found


@inlined
def _sort_lanes(lanes: Any, n_ids: Any, out: Any, n_out: Any) -> Any:
    """Write a text's at most 32 ids, each once, ascending; returns how many there were.

    Each id's place is the number of distinct smaller ones: no branch depends on the ids.
    """
    lanes_at = U64(lanes.ctypes.data)
    distinct = ZERO
    for k in range(n_ids):
        bit = ONE << U64(k)
        distinct |= bit * U64(lanes_equal(lanes_at, lanes[k]) & (bit - ONE) == ZERO)
    if n_out + LANES <= U64(out.size):
        for k in range(n_ids):
            out[n_out + count_bits(lanes_below(lanes_at, lanes[k]) & distinct)] = lanes[k]
    return count_bits(distinct)


@inlined
def _emit(
    output: Any,
    outputs: Any,
    next_output: Any,
    cursor: Any,
    counting: Any,
    cells: Any,
    text: Any,
    lanes: Any,
    marked: Any,
    summary: Any,
) -> None:
    """Count or list a chain of outputs, up to the first that the text is known to have.

    It has the rest then too, so a text visits a node once, which keeps time linear. In `lanes`
    an id may repeat: they are few.
    """
    while output:
        entry = (output & LOW) - ONE
        new = True
        if counting:
            added = _tally(cells, entry, text)
            cursor[9] += added
            cursor[6] = ONE
            new = added != ZERO
        elif cursor[7]:
            new = not _mark(entry, marked, summary)
        else:
            lanes[cursor[6]] = U32(entry)
            cursor[6] += ONE
            if cursor[6] > LANES:
                _mark_lanes(cursor, lanes, marked, summary)
        output = _next_output(output, outputs, next_output) if new else ZERO


@compiled
def _mark_lanes(cursor: Any, lanes: Any, marked: Any, summary: Any) -> None:
    """Move a text that has more than 32 ids from registers to the bitmap."""
    for k in range(cursor[6]):
        _mark(lanes[k], marked, summary)
    cursor[6], cursor[7] = ZERO, ONE


@compiled
def _run_deep(
    i: Any,
    n: Any,
    state: Any,
    tokens: Any,
    n_words: Any,
    transitions: Any,
    shift: Any,
    seed: Any,
    bitmap: Any,
    bitmap_shift: Any,
    states: Any,
    outputs: Any,
    next_output: Any,
    cursor: Any,
    counting: Any,
    cells: Any,
    text: Any,
    lanes: Any,
    marked: Any,
    summary: Any,
) -> Any:
    """Go on from a deep state at token i, for as long as the state stays deep.

    Returns:
        The first token that this run has not dealt with: where a new one may start. The state
        is left in the cursor; it is deep only where the block ends.
    """
    while i < n and state > n_words:
        word = tokens[i, 0]
        row = NONE
        while word != ZERO and state > n_words and row == NONE:
            place = _hash_pair(state, word, seed)
            bit = place >> bitmap_shift
            if (bitmap[bit >> SIX] >> (bit & U64(63))) & ONE:
                row = _find_transition(transitions, state, word, place >> shift)
            if row == NONE:
                state = U64(states[state - n_words - ONE, 0])
        if row == NONE:  # the pair that ends in this token is looked up on its own
            state = ZERO
            break
        state = transitions[row, 2]
        _emit(
            transitions[row, 3], outputs, next_output, cursor, counting, cells, text,
            lanes, marked, summary,
        )  # fmt: skip
        i += 1
    cursor[5] = state if state > n_words else ZERO
    return i


@compiled
def _walk(
    n: Any,
    n_ends: Any,
    tokens: Any,
    singles: Any,
    pairs: Any,
    parts: Any,
    n_words: Any,
    transitions: Any,
    shift: Any,
    seed: Any,
    bitmap: Any,
    bitmap_shift: Any,
    states: Any,
    outputs: Any,
    next_output: Any,
    cursor: Any,
    counting: Any,
    cells: Any,
    first_number: Any,
    lanes: Any,
    marked: Any,
    summary: Any,
    out: Any,
    ends: Any,
) -> Any:
    """Collect the entries of a block's texts: single words, pairs, and what is longer.

    Every pair that may begin an entry is looked up on its own; only where the next word goes on
    from it does the automaton run, and pairs inside such a run start no other one.

    Returns:
        False where `out` was too small: the text at hand is undone, to be matched again.
    """
    last = U64(transitions.shape[0] - 1)
    k = p = run_end = 0
    for j in range(n_ends + 1):
        text = first_number + cursor[8]
        if counting:
            cursor[6] |= U64(parts[j, 0] > k)
            added = ZERO
            while k < parts[j, 0]:
                added += _tally(cells, singles[k], text)
                k += 1
            cursor[9] += added
        else:
            if cursor[7] == ZERO and cursor[6] + U64(parts[j, 0] - k) > LANES:
                _mark_lanes(cursor, lanes, marked, summary)
            if cursor[7]:
                while k < parts[j, 0]:
                    _mark(singles[k], marked, summary)
                    k += 1
            n_ids = cursor[6]
            while k < parts[j, 0]:
                lanes[n_ids] = singles[k]
                n_ids += ONE
                k += 1
            cursor[6] = n_ids
        if cursor[5] != ZERO:  # a run that the end of the block before cut off
            run_end = _run_deep(
                0, n, cursor[5], tokens, n_words, transitions, shift, seed, bitmap,
                bitmap_shift, states, outputs, next_output, cursor, counting, cells, text,
                lanes, marked, summary,
            )  # fmt: skip
        while p < parts[j, 1]:
            i = pairs[p]
            p += 1
            key = (tokens[i, 1] << THIRTY_TWO) | tokens[i, 0]
            row = tokens[i, 2] >> shift
            while transitions[row, 0] != key and transitions[row, 0] != ZERO:
                row = (row + ONE) & last
            output = transitions[row, 3]  # a row without a key is all zeros
            if counting or cursor[7] or output > LOW or cursor[6] == LANES:
                _emit(
                    output, outputs, next_output, cursor, counting, cells, text,
                    lanes, marked, summary,
                )  # fmt: skip
            else:  # one output and room for it: no branch
                lanes[cursor[6]] = U32(output) - U32(1)
                cursor[6] += U64(output != ZERO)
            state = transitions[row, 2]
            place = _hash_pair(state, tokens[i + 1, 0], seed)
            bit = place >> bitmap_shift
            known = (bitmap[bit >> SIX] >> (bit & U64(63))) & ONE != ZERO
            if (state > n_words) & (i >= run_end) & (known | (i + 1 == n)):
                run_end = _run_deep(
                    i + 1, n, state, tokens, n_words, transitions, shift, seed, bitmap,
                    bitmap_shift, states, outputs, next_output, cursor, counting, cells, text,
                    lanes, marked, summary,
                )  # fmt: skip
        if j == n_ends:
            break
        found = cursor[6]
        if not counting:
            n_out = cursor[9]
            if cursor[7]:
                found = _drain(marked, summary, out, n_out)
                room = n_out + found <= U64(out.size)
            else:
                found = _sort_lanes(lanes, cursor[6], out, n_out)
                room = n_out + LANES <= U64(out.size)
            if not room:
                cursor[11] = found
                return False
            cursor[9] = n_out + found
            ends[cursor[8] + ONE] = n_out + found
        cursor[8] += ONE
        cursor[10] += U64(found != ZERO)
        cursor[5], cursor[6], cursor[7] = ZERO, ZERO, ZERO
    return True


@compiled
def _first_cursor(offsets: Any, start: Any, stop: Any, total: Any) -> Any:
    """Where a pass over texts stands, uint64[12].

    Text, position and word start (0 to 2); word before and its flag (3, 4); the state where it
    is deep (5), ids of the text at hand and whether they are in the bitmap (6, 7); texts done,
    ids made, texts matched, and ids that `out` had no room for (8 to 11).
    """
    cursor = np.zeros(12, np.uint64)
    cursor[0], cursor[8], cursor[9] = start, start, total
    if start < stop:
        cursor[1] = cursor[2] = offsets[start]
    return cursor


@compiled
def count_texts(
    data: Any,
    offsets: Any,
    n_texts: Any,
    rows: Any,
    long_words: Any,
    transitions: Any,
    bitmap: Any,
    states: Any,
    outputs: Any,
    next_output: Any,
    sizes: Any,
    cells: Any,
    first_number: Any,
) -> Any:
    """Count the texts of an Arrow string array that match each entry.

    Args:
        data: uint8, the array's value buffer, of any length and alignment.
        offsets: int32 or int64[n_texts + 1].
        n_texts: uint64.
        rows, long_words, transitions, bitmap, states, outputs, next_output, sizes: the
            automaton's arrays (`metacurate.matching.automaton.Automaton`).
        cells: uint64[entries]: an entry's count in the upper 32 bits, and in the lower ones the
            number of the last text that it was counted for; zeros at first.
        first_number: uint64, number of the first text; the texts are numbered on from it, at
            least 1, at most 2^32 - 1, and each number serves once.

    Returns:
        uint64[2]: counts added, and texts with a match.
    """
    n_words, word_shift, word_seed, longest_word = sizes[0], sizes[1], sizes[2], sizes[3]
    shift, seed, bitmap_shift = sizes[4], sizes[5], sizes[6]
    tokens = np.empty((BLOCK, 3), np.uint64)
    lengths = np.empty(BLOCK, np.uint32)
    scratch = np.zeros(64, np.uint8)
    singles = np.empty(BLOCK + 1, np.uint32)
    pairs = np.empty(BLOCK + 1, np.int64)
    parts = np.empty((BLOCK + 1, 3), np.int64)
    lanes = np.zeros(64, np.uint32)
    nothing = np.zeros(0, np.uint64)
    ends = np.zeros(0, np.int64)
    cursor = _first_cursor(offsets, ZERO, n_texts, ZERO)
    while cursor[8] < n_texts:
        n = _cut(
            data, offsets, n_texts, cursor, rows, word_shift, word_seed, longest_word,
            scratch, tokens, lengths,
        )  # fmt: skip
        n_ends = _resolve(
            data, n, tokens, lengths, rows, long_words, transitions, shift, seed,
            bitmap, bitmap_shift, cursor, singles, pairs, parts, U64(cells.ctypes.data), U64(8),
        )  # fmt: skip
        _walk(
            n, n_ends, tokens, singles, pairs, parts, n_words, transitions, shift, seed, bitmap,
            bitmap_shift, states, outputs, next_output, cursor, True, cells, first_number,
            lanes, nothing, nothing, lanes, ends,
        )  # fmt: skip
    return cursor[9:11]


@compiled
def match_texts(
    data: Any,
    offsets: Any,
    start: Any,
    stop: Any,
    rows: Any,
    long_words: Any,
    transitions: Any,
    bitmap: Any,
    states: Any,
    outputs: Any,
    next_output: Any,
    sizes: Any,
    n_entries: Any,
    out: Any,
    n_out: Any,
    ends: Any,
) -> Any:
    """List the entries of texts start..stop of an Arrow string array.

    Args:
        data, offsets, rows, long_words, transitions, bitmap, states, outputs, next_output,
            sizes: as for `count_texts`.
        start: first text, uint64. stop: behind the last one.
        n_entries: number of entries.
        out: uint32: the texts' ids, one text behind the other, each ascending.
        n_out: how much of `out` is in use.
        ends: int64[texts + 1]: ends[i + 1] is where text i's ids end in `out`.

    Returns:
        uint64[4]: texts done (the first one that is not), ids made, texts with a match, and the
        ids of the text that `out` had no room for.
    """
    n_words, word_shift, word_seed, longest_word = sizes[0], sizes[1], sizes[2], sizes[3]
    shift, seed, bitmap_shift = sizes[4], sizes[5], sizes[6]
    tokens = np.empty((BLOCK, 3), np.uint64)
    lengths = np.empty(BLOCK, np.uint32)
    scratch = np.zeros(64, np.uint8)
    singles = np.empty(BLOCK + 1, np.uint32)
    pairs = np.empty(BLOCK + 1, np.int64)
    parts = np.empty((BLOCK + 1, 3), np.int64)
    lanes = np.zeros(64, np.uint32)
    blocks = (n_entries + 63) // 64
    marked = np.zeros(blocks, np.uint64)
    summary = np.zeros((blocks + 63) // 64, np.uint64)
    nothing = np.zeros(0, np.uint64)
    cursor = _first_cursor(offsets, start, stop, n_out)
    while cursor[8] < stop:
        n = _cut(
            data, offsets, stop, cursor, rows, word_shift, word_seed, longest_word,
            scratch, tokens, lengths,
        )  # fmt: skip
        n_ends = _resolve(
            data, n, tokens, lengths, rows, long_words, transitions, shift, seed,
            bitmap, bitmap_shift, cursor, singles, pairs, parts, U64(transitions.ctypes.data), ZERO,
        )  # fmt: skip
        if not _walk(
            n, n_ends, tokens, singles, pairs, parts, n_words, transitions, shift, seed, bitmap,
            bitmap_shift, states, outputs, next_output, cursor, False, nothing, ZERO,
            lanes, marked, summary, out, ends,
        ):  # fmt: skip
            break
    return cursor[8:12]
