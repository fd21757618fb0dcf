"""DataComp's list of a subset: the 128-bit uids of its pairs, sorted, as a NumPy file."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.engine.storage import list_folder, write_atomically
from metacurate.engine.stores import Place, reaching
from metacurate.errors import InputError, UsageError
from metacurate.pool.tables import Pool, column_type, open_parquet
from metacurate.schema import is_text

COLUMN = "uid"
PATTERN = "^[0-9a-fA-F]{32}$"
UIDS = np.dtype("u8,u8")


def check_uids(pool: Pool) -> None:
    """Refuse a pool whose pairs have no uids.

    Args:
        pool: its columns are looked at.

    Raises:
        UsageError: naming the file that lacks them.
    """
    for file in pool.files:
        if file.schema is not None and file.problem is None:
            kind = column_type(file.schema, COLUMN)
            if kind is None or not is_text(kind):
                raise UsageError(
                    f"--uids: {file.path} has no column '{COLUMN}' of DataComp's uids, strings of "
                    "32 hexadecimal digits"
                )


def write_uids(folder: Place, place: Place) -> None:
    """Write the uids of all pairs in a folder of Parquet files, as DataComp's tools read them.

    An array of (u8, u8), the halves of each 128-bit uid, ascending; see DataComp's resharder
    (Gadre et al. 2023, appendix).

    Args:
        folder: of Parquet files with a column `uid`. place: of the .npy file.

    Raises:
        InputError: when a uid is none.
        MetacurateError: when the file can't be written.
    """
    parts = [np.empty(0, UIDS)]
    for name in sorted(list_folder(folder)):
        if name.endswith(".parquet"):
            path = str(folder / name)
            with reaching(folder / name):
                batches = open_parquet(path).iter_batches(columns=[COLUMN])
                parts += [parse_uids(batch.column(0), path) for batch in batches]
    uids = np.concatenate(parts)
    uids = uids[np.lexsort((uids["f1"], uids["f0"]))]

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.save(file, uids, allow_pickle=False)

    write_atomically(place, write)


def parse_uids(column: pa.Array, source: str) -> npt.NDArray[Any]:
    """Turn hexadecimal digits into numbers.

    Args:
        column: strings. source: their file, for errors.

    Returns:
        (u8, u8)[rows].

    Raises:
        InputError: naming a uid that is none.
    """
    texts = pc.cast(column, pa.large_string())
    good = pc.fill_null(pc.match_substring_regex(texts, PATTERN), False)
    if pc.any(pc.invert(good)).as_py():
        row = pc.index(good, False).as_py()
        raise InputError(source, f"uid {texts[row].as_py()!r} is not 32 hexadecimal digits")
    digits = bytes.fromhex("".join(texts.to_pylist()))
    return np.frombuffer(digits, ">u8").astype("u8").view(UIDS)
