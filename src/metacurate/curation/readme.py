"""README.md of a curated set: a dataset card in Hugging Face's form."""

import re
from typing import Any

REPORT_FILE = "report.html"  # which may lie beside a README, and the picture that it shows
PICTURE_FILE = "report/balance.png"
LANGUAGE = re.compile("[a-z]{2,3}")  # codes of ISO 639
LEAST_LANGUAGE = 100  # of so many kept pairs, one is in it
MARKUP = frozenset("\\`*_[]|~#&<>:@")  # what Markdown, HTML, or a link could be made of
SIZE_CATEGORIES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"),
)  # fmt: skip


_SOMETIMES = {
    "other_caption": "left for another caption of their image",
    "filtered": "left out by the filter",
}


def make_readme(card: dict[str, Any], picture: str | None = None, report: str | None = None) -> str:
    """Write the dataset card that Hugging Face shows (its YAML header, then Markdown).

    Entries and names come from data, so they are escaped.

    Args:
        card: from `make_datacard`.
        picture: path in the folder of one that shows the set, where there is one.
        report: path in the folder of the report, where there is one.

    Returns:
        Markdown.
    """
    kept, read = card["kept"], card["rows_read"]
    threshold, half = f"{card['threshold']:,.6g}", repr(card["threshold"] / 2)
    fates = [
        ("read", read),
        ("kept", kept),
        ("balanced away", card["balanced_away"]),
        ("unmatched", card["unmatched"]),
        ("invalid", card["invalid"]),
        *((name, card[key]) for key, name in _SOMETIMES.items() if key in card),
    ]
    sources = [
        f"| {escape_markdown(name)} | {s['entries']:,} | {s['matched_entries']:,} "
        f"| {s['matches']:,} | {s['kept_matches']:,} |"
        for name, s in card["sources"].items()
    ]
    top = [
        f"| {escape_markdown(e['entry'])} | {escape_markdown(e['source'])} | {e['count']:,} "
        f"| {e['kept']:,} | {e['probability']:.3g} |"
        for e in card["most_matched"]
    ]
    columns = [
        f"| {escape_markdown(name)} | {escape_markdown(kind)} | {_COLUMNS.get(name, _POOLS_OWN)} |"
        for name, kind in card["columns"].items()
    ]
    command = card["command"]
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", command)), default=0))
    shown = f"![Counts of the entries before and after balancing]({picture})\n\n" if picture else ""
    pointer = f"Figures and plots of the whole set: [{report}]({report}).\n\n" if report else ""
    return f"""{_header(card)}
# A balanced set of {kept:,} image-text pairs

| | before | after |
|---|---:|---:|
| pairs | {read:,} | {kept:,} |
| matches of entries | {card["matches"]:,} | {card["kept_matches"]:,} |

{shown}Drawn from {read:,} pairs by the method of
[Demystifying CLIP Data](https://arxiv.org/abs/2309.16671) with metacurate
{card["versions"]["metacurate"]}: concepts are looked up in the captions, and pairs are sampled so
that a match of a concept that more than {threshold} captions hold keeps its pair with
probability threshold / count only, while rarer concepts stay whole, with all else that their
captions hold.

{pointer}## Rows

Each row that was read has one fate.

| pairs | number |
|---|---:|
{chr(10).join(f"| {name} | {number:,} |" for name, number in fates)}

## How to load it

```python
from datasets import load_dataset

pairs = load_dataset("OUT", split="train")  # OUT: this folder, or its name on the Hub
```

```python
import pyarrow.dataset

pairs = pyarrow.dataset.dataset("OUT/curated", format="parquet").to_table()
```

```python
import duckdb  # {half} is a smaller threshold: its subset

pairs = duckdb.sql("FROM 'OUT/curated/*.parquet' WHERE min_threshold <= {half}")
```

## How it was made

{fence}sh
{command}
{fence}

- threshold: {threshold}; {card["tail_share"]:.2%} of the matches fall to tail entries
- {card["entries"]:,} entries: {card["head_entries"]:,} in the head, {card["tail_entries"]:,} in
  the tail, of which {card["unmatched_entries"]:,} match nothing
- seed {card["seed"]}, round {card["round"]}, matching mode `{card["mode"]}`, digest of the
  metadata `{card["metadata_digest"]}`

The same pairs, metadata, mode, threshold, seed and round give the same set on any machine.
`manifest.json` has the configuration in full, `counts.parquet` the numbers of each entry before and
after, `shards.parquet` what became of each part of the input, and `croissant.json` a description
for machines.

## Columns

| column | type | what it holds |
|---|---|---|
{chr(10).join(columns)}

## Matches by source of the entry

| source | entries | that match | matches before | after |
|---|---:|---:|---:|---:|
{chr(10).join(sources)}

## The most matched entries

| entry | source | pairs before | after | keep probability |
|---|---|---:|---:|---:|
{chr(10).join(top)}

## Known limitations

- Images were not looked at: a caption that does not tell what its image shows is kept like any
  other, and so is an address that leads nowhere any more.
- An entry is found where it stands in a caption as it is spelled, between spaces: no other case,
  plural, synonym or translation of it. Of a word with several senses, all count as one.
- Captions that match nothing ({card["unmatched"]:,}) are left out, whatever they are worth: what
  the metadata have no entry for can't be balanced, and languages that write no spaces are seen
  hardly at all.
- Balance is over entries, not over people, places, or what images show. Tail entries are kept with
  all that their captions hold, and a pair that matches several entries is kept if any one of them
  keeps it: frequent entries stay more frequent than the threshold.
- Curation itself filters nothing for quality, safety, private data, or the rights of those who own
  captions and images. Repeated pairs share their fate, and are not removed.
"""


_COLUMNS = {
    "entries": "ids of the metadata entries that the caption matches, ascending",
    "probability": "the probability with which the pair was kept",
    "min_threshold": "the smallest threshold at which it is kept; filtering by it gives exactly "
    "the subset of a smaller threshold for these counts",
}
_POOLS_OWN = "the pool's own"


def _header(card: dict[str, Any]) -> str:
    """YAML; of what is not known, as a license, nothing is told."""
    size = next((name for limit, name in SIZE_CATEGORIES if card["kept"] < limit), "n>10B")
    languages = _languages(card)
    return "\n".join(
        [
            "---",
            f"pretty_name: Balanced image-text pairs (threshold {card['threshold']:.6g})",
            *(["language:"] if languages else []),
            *(f'- "{language}"' for language in languages),  # no is Norwegian, not false
            "configs:",
            "- config_name: default",
            "  data_files: curated/*.parquet",
            "size_categories:",
            f"- {size}",
            "tags:",
            "- image-text pairs",
            "- CLIP",
            "- MetaCLIP",
            "- metacurate",
            "---",
            "",
        ]
    )


def _languages(card: dict[str, Any]) -> list[str]:
    """Codes of the languages that one kept pair in a hundred is in, where a column tells."""
    found = card["census"]["values"].get("language") or {}
    return sorted(
        name
        for name, (_, kept) in found.items()
        if LANGUAGE.fullmatch(name) and kept and kept * LEAST_LANGUAGE >= card["kept"]
    )


def escape_markdown(text: str) -> str:
    """Make a text from data harmless in a Markdown table.

    Args:
        text: any.
    """
    shown = (char if char.isprintable() else "\ufffd" for char in text)
    return "".join(f"&#{ord(char)};" if char in MARKUP else char for char in shown)
