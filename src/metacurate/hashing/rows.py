"""A hash of a whole row: of what its columns hold, however they are stored."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.errors import UsageError
from metacurate.hashing import kernel
from metacurate.hashing.pairs import Hashes, hash_columns, xxh64

WHOLE, FRACTION, TEXT, LIST, STRUCT = range(1, 6)  # seeds, so that kinds differ
NULL = xxh64(b"", 0)
NAN = 0x7FF8 << 48  # the bits that stand for every NaN

Test = Callable[[pa.DataType], bool]

_AS_WHOLE: tuple[Test, ...] = (
    pa.types.is_boolean, pa.types.is_integer, pa.types.is_date, pa.types.is_time,
    pa.types.is_timestamp, pa.types.is_duration,
)  # fmt: skip
_AS_TEXT: tuple[Test, ...] = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_binary,
    pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary,
    pa.types.is_decimal,
)  # fmt: skip
_AS_LIST: tuple[Test, ...] = (
    pa.types.is_list, pa.types.is_large_list, pa.types.is_list_view, pa.types.is_large_list_view,
    pa.types.is_fixed_size_list, pa.types.is_map,
)  # fmt: skip


def hash_rows(batch: pa.RecordBatch, seed: int) -> Hashes:
    """Hash rows by all their columns, in the order of the columns' names.

    Equal values hash alike in any layout: dictionaries, views, integers of any width. The exact
    definition is in docs/reproducibility.md.

    Args:
        batch: columns of any types that Parquet files hold. seed: uint64.

    Returns:
        uint64[rows].

    Raises:
        UsageError: for a column of another type.
    """
    hashes = np.full(len(batch), seed, np.uint64)
    _fold_columns(batch.schema.names, batch.columns, hashes)
    return hashes


def hash_values(array: pa.Array) -> Hashes:
    """Hash the values of a column.

    Args:
        array: of any type that Parquet files hold.

    Returns:
        uint64[rows].

    Raises:
        UsageError: for another type.
    """
    kind = array.type
    if pa.types.is_null(kind):
        return np.full(len(array), NULL, np.uint64)
    if isinstance(array, pa.ExtensionArray):
        return hash_values(array.storage)
    if pa.types.is_dictionary(kind):
        return _hash_dictionary(array)
    if _is(kind, _AS_WHOLE):
        hashes = _hash_words(_whole_numbers(array), WHOLE)
    elif pa.types.is_floating(kind):
        hashes = _hash_words(_float_bits(array), FRACTION)
    elif _is(kind, _AS_TEXT):
        hashes = hash_columns([_texts(array)], [TEXT])[0]
    elif _is(kind, _AS_LIST):
        hashes = _hash_lists(array)
    elif pa.types.is_struct(kind):
        hashes = np.full(len(array), STRUCT, np.uint64)
        names = [kind.field(i).name for i in range(kind.num_fields)]
        _fold_columns(names, [array.field(i) for i in range(kind.num_fields)], hashes)
    else:
        raise UsageError(f"values of type {kind} can't be compared")
    if array.null_count:
        hashes[array.is_null().to_numpy(zero_copy_only=False)] = NULL
    return hashes


def _is(kind: pa.DataType, tests: tuple[Test, ...]) -> bool:
    return any(test(kind) for test in tests)


def _fold_columns(names: list[str], columns: list[pa.Array], hashes: Hashes) -> None:
    """Take columns into the hashes of their rows, in the order of their names' bytes."""
    for name, column in sorted(zip(names, columns, strict=True), key=lambda c: c[0].encode()):
        kernel.fold_column(np.uint64(xxh64(name.encode(), 0)), hash_values(column), hashes)


def _hash_words(words: Hashes, seed: int) -> Hashes:
    hashes = np.empty(len(words), np.uint64)
    kernel.hash_words(words, np.uint64(seed), hashes)
    return hashes


def _whole_numbers(array: pa.Array) -> Hashes:
    """As 64 bits, those below 0 in two's complement; nulls as any number."""
    kind = array.type
    if pa.types.is_boolean(kind):
        array = array.cast(pa.uint8())
    elif not pa.types.is_integer(kind):
        array = array.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    numbers = pc.fill_null(array, 0).to_numpy()
    wide = np.uint64 if np.issubdtype(numbers.dtype, np.unsignedinteger) else np.int64
    words: Hashes = numbers.astype(wide).view(np.uint64)
    return words


def _float_bits(array: pa.Array) -> Hashes:
    numbers = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    bits: Hashes = numbers.view(np.uint64).copy()
    bits[np.isnan(numbers)] = NAN
    return bits


def _texts(array: pa.Array) -> pa.Array:
    """The values as strings, which may be no UTF-8; decimals as their digits."""
    kind = array.type
    if pa.types.is_decimal(kind):
        return array.cast(pa.string())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return array
    return array.cast(pa.large_binary()).view(pa.large_string())


def _hash_dictionary(array: pa.DictionaryArray) -> Hashes:
    values = hash_values(array.dictionary)
    places = pc.fill_null(array.indices.cast(pa.int64()), len(values)).to_numpy()
    hashes: Hashes = np.append(values, np.uint64(NULL))[places]
    return hashes


def _hash_lists(array: pa.Array) -> Hashes:
    """Fold each list's items; a map is a list of structs."""
    starts, stops, items = _list_items(array)
    first, last = (int(starts.min()), int(stops.max())) if len(starts) else (0, 0)
    hashes = np.full(len(array), LIST, np.uint64)
    folded = hash_values(items.slice(first, last - first))
    kernel.fold_items(folded, starts - first, stops - first, hashes)
    return hashes


def _list_items(
    array: pa.Array,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], pa.Array]:
    """Where each list begins and ends among the items, and the items."""
    kind = array.type
    if pa.types.is_fixed_size_list(kind):
        starts = kind.list_size * (array.offset + np.arange(len(array), dtype=np.int64))
        return starts, starts + kind.list_size, array.values
    offsets = array.offsets.to_numpy().astype(np.int64)
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return offsets, offsets + array.sizes.to_numpy().astype(np.int64), array.values
    if pa.types.is_map(kind):
        entries = pa.StructArray.from_arrays([array.keys, array.items], ["key", "value"])
        return offsets[:-1], offsets[1:], entries
    return offsets[:-1], offsets[1:], array.values
