"""Compare the matchers' answers, then their times."""

import tempfile
from pathlib import Path
from statistics import median

from benchmarks.fresh import Figures, agree, measure
from benchmarks.matching.rivals import NAMES
from benchmarks.report import Section, Table, verdict
from benchmarks.sizes import Sizes

LEAST_RATIO = 12.0
MOST_BUILD = 3.0


def run(sizes: Sizes) -> Section:
    oracle = _measure("oracle", 0)
    agree("sample", {"oracle": oracle["sample"], "metacurate": _measure("metacurate", 0)["sample"]})
    runs: dict[str, list[Figures]] = {name: [] for name in (*NAMES, "all")}
    for _ in range(sizes.runs):
        for name in NAMES:
            runs[name].append(_measure(name, sizes.texts))
        runs["all"].append(_measure("metacurate", None))
        # the answers of this round, before any of its times is used
        agree("sample", {"oracle": oracle["sample"]} | _column(runs, "sample", ("all", *NAMES)))
        agree("texts", _column(runs, "answer", NAMES))
    automata = [measure("matching.automaton") for _ in range(sizes.runs)]
    tables = [_speed_table(runs, sizes), _automaton_table(automata)]
    return Section("matching", tables, {"runs": runs, "automaton": automata})


def _measure(rival: str, texts: int | None) -> Figures:
    """Measure with an empty cache, so that each builds what it searches with."""
    with tempfile.TemporaryDirectory() as folder:
        return measure("matching.case", cache=Path(folder), rival=rival, texts=texts)


def _column(runs: dict[str, list[Figures]], key: str, names: tuple[str, ...]) -> dict[str, str]:
    return {name: runs[name][-1][key] for name in names}


def _speed_table(runs: dict[str, list[Figures]], sizes: Sizes) -> Table:
    def speed(name: str, key: str) -> float:
        return float(median(one["texts"] / one[key] for one in runs[name]))

    own, own_texts = speed("metacurate", "spaced"), speed("metacurate", "texts_only")
    rows = []
    for name in (*NAMES, "all"):
        known = runs[name][0]
        spaced, texts = speed(name, "spaced"), speed(name, "texts_only")
        label = f"{'metacurate' if name == 'all' else name} {known['version']}"
        own_row = name in ("metacurate", "all")
        rows.append(
            [
                f"{label}, {known['texts']:,} texts" if name == "all" else label,
                f"{texts:,.0f}", "" if own_row else f"{own / texts:.1f}",
                f"{spaced:,.0f}", "" if own_row else f"{own / spaced:.1f}",
                f"{median(one['build'] for one in runs[name]):.2f}",
                f"{median(one['memory'] for one in runs[name]):.0f}",
            ]
        )  # fmt: skip
    rivals = [name for name in NAMES if name != "metacurate"]
    fastest = max(rivals, key=lambda name: speed(name, "texts_only"))
    with_spacing = own / speed(fastest, "texts_only")
    alone = own / max(speed(name, "spaced") for name in rivals)
    matches = runs["metacurate"][0]["matches"]
    note = (
        f"{sizes.texts:,} captions, {matches / sizes.texts:.2f} matches each; one thread; every "
        "matcher finds the same ids, ascending, each once.\n"
        "*From texts* begins with Python strings and spaces them in Python (metacurate: makes an "
        "Arrow array of them); *spaced* begins with what the matcher searches (metacurate: an "
        "Arrow array of plain texts, which it spaces itself).\n"
        "*Times* is how many times as fast metacurate is, from its Arrow array, each time.\n"
        f"Budget: {LEAST_RATIO:.0f} times the fastest rival, which is {fastest}: "
        f"{with_spacing:.1f} with its spacing ({verdict(with_spacing >= LEAST_RATIO)}), "
        f"{alone:.1f} without ({verdict(alone >= LEAST_RATIO)}). "
        f"From Python strings metacurate makes {own_texts / speed(fastest, 'texts_only'):.1f}."
    )
    columns = ["matcher", "from texts/s", "times", "spaced/s", "times", "build s", "peak MB"]
    return Table("All entries of each text", columns, rows, note)


def _automaton_table(automata: list[Figures]) -> Table:
    build = median(one["build"] for one in automata)
    load = median(one["load"] for one in automata)
    memory = median(one["memory"] for one in automata)
    rows = [
        ["built from scratch", f"{build:.2f}", f"{memory:.0f}"],
        ["out of the cache (digest, checksum, map)", f"{load:.2f}", ""],
    ]
    met = verdict(build < MOST_BUILD)
    note = f"{automata[0]['entries']:,} entries. Budget: {MOST_BUILD:.0f} s, {met}."
    return Table("The automaton", ["", "seconds", "peak MB"], rows, note)
