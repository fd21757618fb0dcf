"""Build the list with each option, and tell what it matches."""

from benchmarks import data
from benchmarks.fresh import Figures, measure
from benchmarks.report import Section, Table
from benchmarks.sizes import Sizes

OPTIONS: dict[str, dict[str, bool]] = {
    "as the paper does": {},
    "--drop-unmatchable": {"drop_unmatchable": True},
    "--spaced": {"spaced": True},
    "--case-variants": {"case_variants": True},
    "--spaced --case-variants": {"spaced": True, "case_variants": True},
}


CAPTIONS = {"redcaps.parquet": "RedCaps, lower case", "coco_val2017.parquet": "COCO, as written"}


def run(_sizes: Sizes) -> Section:
    figures: dict[str, dict[str, Figures]] = {}
    for captions in CAPTIONS:
        if (data.metadata_path().parent / captions).exists():
            figures[captions] = {
                name: measure("entries.variant", cache=None, captions=captions, **options)
                for name, options in OPTIONS.items()
            }
    tables = [_table(captions, runs) for captions, runs in figures.items()]
    paper = next(iter(next(iter(figures.values())).values()))
    return Section("entries", [*tables, _never_table(paper)], figures)


def _table(captions: str, runs: dict[str, Figures]) -> Table:
    paper = next(iter(runs.values()))
    rows = [
        [
            name, f"{one['entries']:,}", f"{sum(one['never'].values()):,}", f"{one['found']:,}",
            f"{one['matched'] / one['texts']:.2%}", f"{one['matches']:,}",
            f"{one['matches'] / paper['matches'] - 1:+.1%}",
        ]
        for name, one in runs.items()
    ]  # fmt: skip
    columns = [
        "options", "entries", "can never match", "found in a caption", "captions matched",
        "matches", "more",
    ]  # fmt: skip
    note = f"Matches in {paper['texts']:,} captions, in mode `paper`, without a limit of entries."
    return Table(f"Options of `metadata build`: {CAPTIONS[captions]}", columns, rows, note)


def _never_table(paper: Figures) -> Table:
    never = paper["never"]
    rows = [
        [name, f"{n:,}", f"{never.get(name, 0):,}", f"{never.get(name, 0) / n:.2%}"]
        for name, n in paper["sources"].items()
    ]
    note = "Entries with punctuation inside, which captions are spaced around, by source."
    return Table(
        "Entries that can never match", ["source", "entries", "never", "share"], rows, note
    )
