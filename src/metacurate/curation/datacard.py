"""What a curated set says of itself: datacard.json."""

import shlex
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metacurate.curation.balance import Balance
from metacurate.curation.census import Census
from metacurate.curation.count import Counts
from metacurate.engine.workspace import versions
from metacurate.metadata.metadata import Metadata

Values = npt.NDArray[np.uint64]

TOP = 20
QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0)


def make_datacard(
    metadata: Metadata,
    counts: Counts,
    kept: Values,
    balance: Balance,
    census: Census,
    totals: dict[str, Any],
    schema: pa.Schema,
    asked: dict[str, Any],
) -> dict[str, Any]:
    """Describe a curated set.

    Args:
        metadata: the entries. counts: over the pool. kept: uint64[entries], over the subset.
        balance: what it was drawn with. census: of all pairs.
        totals: rows by fate, seed and the like; they go first.
        schema: of the files of kept pairs.
        asked: the run's configuration, and `foreign_counts`.

    Returns:
        JSON: totals, threshold and tail share, head and tail, each source's totals, the 20
        most matched entries before and after, entries that match nothing, quantiles, the census
        (see `Census.to_card`), columns with their types, the command, versions.
    """
    values = counts.values
    head = values.astype(np.float64) >= balance.threshold
    entries, sources = metadata.entries, metadata.sources.to_numpy(zero_copy_only=False)
    order = np.lexsort((np.arange(len(values)), -values.astype(np.int64)))[:TOP]
    per_source = {}
    for source in metadata.per_source():
        of = sources == source
        per_source[source] = {
            "entries": int(of.sum()),
            "matched_entries": int(np.count_nonzero(values[of])),
            "matches": int(values[of].sum()),
            "kept_matches": int(kept[of].sum()),
        }
    return {
        **totals,
        "threshold": balance.threshold,
        "tail_share": balance.tail_share,
        "entries": len(values),
        "head_entries": int(head.sum()),
        "tail_entries": int((~head).sum()),
        "unmatched_entries": int(np.count_nonzero(values == 0)),
        "matches": counts.matches,
        "kept_matches": int(kept.sum()),
        "sources": per_source,
        "most_matched": [
            {
                "entry_id": int(i),
                "entry": entries[int(i)].as_py(),
                "source": str(sources[i]),
                "count": int(values[i]),
                "kept": int(kept[i]),
                "probability": float(balance.entry_probabilities[i]),
            }
            for i in order
            if values[i]
        ],
        "quantiles_of_matched_entries": {
            "quantile": list(QUANTILES),
            "count": _quantiles(values[values > 0]),
            "kept": _quantiles(kept[values > 0]),
        },
        "census": census.to_card(float(values.max(initial=0))),
        "metadata_digest": counts.metadata_digest,
        "mode": counts.mode,
        "pool": counts.pool,
        "columns": {field.name: str(field.type) for field in schema},
        "command": command_for(asked),
        "versions": versions(),
    }


def command_for(asked: dict[str, Any]) -> str:
    """The command that draws a set again; it names no files, which are others elsewhere.

    Args:
        asked: the run's configuration, and `foreign_counts`.

    Returns:
        One line for a shell, in which POOL, METADATA, COUNTS and OUT stand for files.
    """
    words = ["metacurate", asked["command"], "POOL", "--metadata", "METADATA"]
    if asked["command"] == "sample":
        words += ["--counts", "COUNTS", *(["--foreign-counts"] if asked["foreign_counts"] else [])]
    for name in _OPTIONS:
        value = asked[name]
        if isinstance(value, list):
            value = ",".join(value)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", _quote(str(value))]
    return " ".join([*words, "--out", "OUT"])


_OPTIONS = (
    "threshold", "tail_share", "budget", "seed", "mode", "where", "per_image", "round", "columns",
    "url_column", "text_column", "id_column",
)  # fmt: skip


def _quote(text: str) -> str:
    """A word for a shell, in which nothing is hidden and no line ends."""
    if text.isprintable():
        return shlex.quote(text)
    shown = "".join(
        char if char.isprintable() and char not in "\\'" else _shell_code(char) for char in text
    )
    return f"$'{shown}'"


def _shell_code(char: str) -> str:
    return f"\\U{ord(char):08x}" if ord(char) > 0x7F else f"\\x{ord(char):02x}"


def _quantiles(values: Values) -> list[float]:
    if not len(values):
        return []
    return [float(q) for q in np.quantile(values, QUANTILES, method="lower")]
