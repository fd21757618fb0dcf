"""What a curated set says of itself: datacard.json, and a README in Hugging Face's form."""

from typing import Any

import numpy as np
import numpy.typing as npt

from metacurate.curation.balance import Balance
from metacurate.curation.census import Census
from metacurate.curation.count import Counts
from metacurate.engine.workspace import versions
from metacurate.metadata.metadata import Metadata

Values = npt.NDArray[np.uint64]

TOP = 20
MARKUP = frozenset("\\`*_[]|~#&<>:@")  # what Markdown, HTML, or a link could be made of
QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0)
SIZE_CATEGORIES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"),
)  # fmt: skip


_SOMETIMES = {
    "other_caption": "left for another caption of their image",
    "filtered": "left out by the filter",
}


def make_datacard(
    metadata: Metadata,
    counts: Counts,
    kept: Values,
    balance: Balance,
    census: Census,
    totals: dict[str, Any],
) -> dict[str, Any]:
    """Describe a curated set.

    Args:
        metadata: the entries. counts: over the pool. kept: uint64[entries], over the subset.
        balance: what it was drawn with. census: of all pairs.
        totals: rows by fate, seed and the like; they go first.

    Returns:
        JSON: totals, threshold and tail share, head and tail, each source's totals, the 20
        most matched entries before and after, entries that match nothing, quantiles, the census
        (see `Census.to_card`), versions.
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
        "versions": versions(),
    }


def make_readme(card: dict[str, Any]) -> str:
    """Write the dataset card that Hugging Face shows (its YAML header, then Markdown).

    Entries and names come from data, so they are escaped.

    Args:
        card: from `make_datacard`.

    Returns:
        Markdown.
    """
    kept = card["kept"]
    size = next((name for limit, name in SIZE_CATEGORIES if kept < limit), "n>10B")
    fates = [
        ("read", card["rows_read"]),
        ("kept", kept),
        ("balanced away", card["balanced_away"]),
        ("unmatched", card["unmatched"]),
        ("invalid", card["invalid"]),
        *((name, card[key]) for key, name in _SOMETIMES.items() if key in card),
    ]
    sources = [
        f"| {_escape(name)} | {s['entries']:,} | {s['matched_entries']:,} | {s['matches']:,} "
        f"| {s['kept_matches']:,} |"
        for name, s in card["sources"].items()
    ]
    top = [
        f"| {_escape(e['entry'])} | {_escape(e['source'])} | {e['count']:,} | {e['kept']:,} "
        f"| {e['probability']:.3g} |"
        for e in card["most_matched"]
    ]
    return f"""---
configs:
- config_name: default
  data_files: curated/*.parquet
size_categories:
- {size}
tags:
- image-text pairs
- CLIP
- MetaCLIP
- metacurate
---

# A balanced set of {kept:,} image-text pairs

Drawn from {card["rows_read"]:,} pairs by the method of
[Demystifying CLIP Data](https://arxiv.org/abs/2309.16671) with metacurate
{card["versions"]["metacurate"]}: concepts are looked up in the captions, and pairs are sampled so
that a match of a concept that more than {card["threshold"]:,.6g} captions hold keeps its pair with
probability threshold / count only, while rarer concepts stay whole, with all else that their
captions hold.

| pairs | number |
|---|---:|
{chr(10).join(f"| {name} | {number:,} |" for name, number in fates)}

- threshold: {card["threshold"]:,.6g}; {card["tail_share"]:.2%} of the matches fall to tail entries
- {card["entries"]:,} entries: {card["head_entries"]:,} in the head, {card["tail_entries"]:,} in
  the tail, of which {card["unmatched_entries"]:,} match nothing
- matches: {card["matches"]:,} before, {card["kept_matches"]:,} after
- seed {card["seed"]}, round {card["round"]}, matching mode `{card["mode"]}`, digest of the
  metadata `{card["metadata_digest"]}`

## Columns

The pool's own columns, and:

- `entries`: ids of the metadata entries that the caption matches, ascending
- `probability`: the probability with which the pair was kept
- `min_threshold`: the smallest threshold at which it is kept; filtering by it gives exactly the
  subset of a smaller threshold for these counts

## Matches by source of the entry

| source | entries | that match | matches before | after |
|---|---:|---:|---:|---:|
{chr(10).join(sources)}

## The most matched entries

| entry | source | pairs before | after | keep probability |
|---|---|---:|---:|---:|
{chr(10).join(top)}
"""


def _quantiles(values: Values) -> list[float]:
    if not len(values):
        return []
    return [float(q) for q in np.quantile(values, QUANTILES, method="lower")]


def _escape(text: str) -> str:
    """Make a text from data harmless in a Markdown table."""
    shown = (char if char.isprintable() else "\ufffd" for char in text)
    return "".join(f"&#{ord(char)};" if char in MARKUP else char for char in shown)
