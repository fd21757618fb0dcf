"""Curated sets for tests of the report: an ordinary one, one of hostile texts, empty ones."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import metacurate as mc

from ..curation.pools import ENTRIES, zipf_pool

THRESHOLD = 20.0
SEED = 3
LANGUAGES = ("en", "de", "fr", None)
WHERE = "width > 9"

SCRIPT = "<script>alert(1)</script>"
BREAKOUT = "</script><img src=x onerror=alert(2)>"
REVERSED = "abc\u202egnp.exe"
LONG = "long" * 25_000
HOSTILE = [
    SCRIPT,
    BREAKOUT,
    "<!--",
    "]]>",
    REVERSED,
    "{{7*7}}",
    "javascript:alert(3)",
    "=HYPERLINK(1)",
    "| a | b |",
    "[a](javascript:alert(4))",
    "nul\x00inside",
    "\u2066isolated",
    "line\u2028separator",
    "' onmouseover='alert(5)",
    '" onmouseover="alert(6)',
    "👩\u200d👩\u200d👧",
    LONG,
]
UNMATCHED = [f"{entry} never" for entry in HOSTILE]


def make_small_set(folder: Path) -> Path:
    """A set with sources, a filter, few languages, and an attribute of too many values."""
    rows = 3_000
    pool = zipf_pool(rows)
    columns = {
        "width": pa.array(np.arange(rows) % 100),
        "language": pa.array([LANGUAGES[i % 7 % 4] for i in range(rows)]),
        "attribute": pa.array([f"a{i}" for i in range(rows)]),
    }
    for name, column in columns.items():
        pool = pool.append_column(name, column)
    sources = [("number", "unigram", "bigram", "mine")[i % 7 % 4] for i in range(len(ENTRIES))]
    metadata = mc.Metadata.from_table(pa.table({"entry": ENTRIES, "source": sources}))
    return make_set(folder, pool, metadata, where=WHERE)


def make_hostile_set(folder: Path) -> Path:
    """Whatever could be markup, code or a trick is markup, code or a trick: its path, too."""
    texts = [f"{entry} {HOSTILE[i % 3]}" for i, entry in enumerate(HOSTILE)] * 4
    urls = [
        f"https://u{i}:p@{'<b>x</b>' if i % 5 == 0 else 'h' * (i % 3 + 1)}.example:80\\/{i}"
        if i % 4
        else f"javascript:alert({i})"
        for i in range(len(texts))
    ]
    values = [HOSTILE[i % 7] for i in range(len(texts))]
    pool = pa.table({"url": urls, "text": texts, "language": values, SCRIPT: values})
    entries = [*HOSTILE, *UNMATCHED]
    sources = [HOSTILE[i % 5] for i in range(len(entries))]
    metadata = mc.Metadata.from_table(pa.table({"entry": entries, "source": sources}))
    return make_set(folder / "<img src=x onerror=alert(7)>", pool, metadata, threshold=3.0)


def make_set(
    folder: Path,
    pool: pa.Table,
    metadata: mc.Metadata,
    threshold: float = THRESHOLD,
    where: str | None = None,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pool, folder / "pool.parquet")
    out = folder / "out"
    mc.curate(
        folder / "pool.parquet", metadata, threshold=threshold, out=out, seed=SEED, where=where
    )
    return out


def make_unmatched_set(folder: Path) -> Path:
    pool = pa.table({"url": ["a", "b"], "text": ["nothing", "here"]})
    return make_set(folder, pool, mc.Metadata.from_entries(["absent"]))


def make_filtered_set(folder: Path) -> Path:
    """All rows are left out by the filter."""
    pool = pa.table({"url": ["a", "b"], "text": ["some", "words"], "width": [1, 2]})
    return make_set(folder, pool, mc.Metadata.from_entries(["some"]), where="width > 9")


def make_discarded_set(folder: Path) -> Path:
    """Pairs match, and the threshold is so low that none of them is kept."""
    pool = pa.table({"url": [f"https://e.org/{i}" for i in range(99)], "text": ["some words"] * 99})
    return make_set(folder, pool, mc.Metadata.from_entries(["some"]), threshold=1e-9)
