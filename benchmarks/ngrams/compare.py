"""Compare counts and PMI with NLTK's, then the times; and hold a large corpus to its memory."""

from statistics import median

from benchmarks.fresh import Figures, agree, measure
from benchmarks.report import Section, Table, verdict
from benchmarks.sizes import Sizes

LEAST_RATIO = 10.0
MEMORY = 1_000_000_000  # bytes


def run(sizes: Sizes) -> Section:
    small, large = sizes.text
    ours: list[Figures] = []
    theirs: list[Figures] = []
    for _ in range(sizes.runs):
        theirs.append(measure("ngrams.nltk_finder", megabytes=small))
        ours.append(measure("ngrams.metacurate", megabytes=small))
        for what in ("counts", "pmi"):
            agree(what, {"nltk": theirs[-1][what], "metacurate": ours[-1][what]})
    whole = measure("ngrams.whole", megabytes=large, memory=MEMORY)
    tables = [_speed_table(ours, theirs, small), _memory_table(whole, large)]
    return Section("ngrams", tables, {"metacurate": ours, "nltk": theirs, "whole": whole})


def _speed_table(ours: list[Figures], theirs: list[Figures], megabytes: int) -> Table:
    def speed(runs: list[Figures]) -> float:
        return float(median(one["words"] / one["seconds"] for one in runs))

    ratio = speed(ours) / speed(theirs)
    note = (
        f"{megabytes} MB of generated text, one thread; equal counts, and PMI to 4 places.\n"
        "NLTK begins with words that were cut beforehand; metacurate with Arrow strings, which it "
        "cuts on the way.\n"
        f"Budget: {LEAST_RATIO:.0f} times NLTK: {verdict(ratio >= LEAST_RATIO)}."
    )
    rows = [
        [f"metacurate {ours[0]['version']}", f"{speed(ours):,.0f}", ""],
        [f"NLTK {theirs[0]['version']}", f"{speed(theirs):,.0f}", f"{ratio:.1f}"],
    ]
    columns = ["counter", "words/s", "metacurate is faster"]
    return Table("Counting words and bigrams", columns, rows, note)


def _memory_table(whole: Figures, megabytes: int) -> Table:
    note = (
        f"`metacurate metadata build --wikipedia TEXT.parquet --bigrams 100000 --memory 1GB` over "
        f"{megabytes:,} MB of generated text, all cores: count, add up with DuckDB, rank.\n"
        f"Budget: 1,000 MB of memory: {verdict(whole['memory'] <= MEMORY / 1e6)}."
    )
    row = [
        f"{whole['words']:,}", f"{whole['bigrams']:,}", f"{whole['seconds']:.0f}",
        f"{megabytes / whole['seconds']:.1f}", f"{whole['memory']:.0f}",
        f"{whole['disk'] / 1e6:,.0f}",
    ]  # fmt: skip
    columns = ["words", "different bigrams", "s", "MB of text/s", "memory MB", "disk MB"]
    return Table("Building from a large corpus", columns, [row], note)
