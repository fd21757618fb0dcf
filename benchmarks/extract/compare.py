"""Compare the pairs that are found, then the times."""

from statistics import median

from benchmarks.extract.archives import describe
from benchmarks.fresh import Figures, agree, measure
from benchmarks.report import Section, Table, verdict
from benchmarks.sizes import Sizes

LEAST_RATIO = 3.0  # of cc2dataset's method
MOST_RATIO = 2.5  # of only going through the records: an aim
Cases = dict[str, tuple[str, Figures]]
Measured = dict[str, list[Figures]]

WAT: Cases = {
    "metacurate": ("extract.metacurate", {"kind": "wat"}),
    "cc2dataset's method": ("extract.rivals.cc2dataset_method", {"join_each": False}),
    "the same, each link joined": ("extract.rivals.cc2dataset_method", {"join_each": True}),
    "records alone": ("extract.rivals.only_records", {"kind": "wat"}),
}
WARC: Cases = {
    "metacurate": ("extract.metacurate", {"kind": "warc", "process": True}),
    "metacurate in one process": ("extract.metacurate", {"kind": "warc"}),
    "selectolax alone": ("extract.rivals.parsers", {"parser": "alone"}),
    "records alone": ("extract.rivals.only_records", {"kind": "warc"}),
}
PARSERS: Cases = {
    "selectolax": ("extract.rivals.parsers", {"parser": "selectolax"}),
    "resiliparse": ("extract.rivals.parsers", {"parser": "resiliparse"}),
}


def run(sizes: Sizes) -> Section:
    wat, warc, parsers = (_measure(cases, sizes.runs) for cases in (WAT, WARC, PARSERS))
    language = [measure("extract.language", texts=sizes.texts) for _ in range(sizes.runs)]
    tables = [_wat_table(wat), _warc_table(warc), _parser_table(parsers), _language_table(language)]
    figures = {"wat": wat, "warc": warc, "parsers": parsers, "language": language}
    return Section("extract", tables, figures)


def _measure(cases: Cases, runs: int) -> Measured:
    found: Measured = {name: [] for name in cases}
    for turn in range(runs):
        for name, (module, options) in cases.items():
            found[name].append(measure(module, **options))
        if turn == 0:
            agree("pairs", {n: one[0]["answer"] for n, one in found.items() if _answers(n, one)})
    return found


def _answers(name: str, runs: list[Figures]) -> bool:
    return "answer" in runs[0] and name != "selectolax alone"


def _wat_table(measured: Measured) -> Table:
    ours = _median(measured["metacurate"])
    rivals = {name: _median(runs) for name, runs in measured.items()}
    ratio = rivals["cc2dataset's method"] / ours
    above = ours / rivals["records alone"]
    note = (
        f"{describe('wat')}. One core; the same pairs are found. metacurate reads alt and "
        "title and makes uids; cc2dataset's method is a twin of its parser, which reads alt only: "
        "FastWARC, pysimdjson, urljoin, MD5.\n"
        f"Budget: {LEAST_RATIO:.0f} times cc2dataset's method: {verdict(ratio >= LEAST_RATIO)}. "
        f"Aim: {MOST_RATIO} times the records alone: {verdict(above <= MOST_RATIO)} ({above:.1f})."
    )
    rows = []
    for name, time in rivals.items():
        pairs = measured[name][0].get("rows")
        cells = [name, f"{time:.3f}", f"{time / ours:.2f}", f"{pairs:,}" if pairs else ""]
        rows.append(cells)
    return Table("WAT", ["reader", "s", "of metacurate's time", "pairs"], rows, note)


def _warc_table(measured: Measured) -> Table:
    pages = measured["metacurate"][0]["pages"]
    note = (
        f"{describe('warc')}. metacurate parses pages in a process of their own, which a page may "
        "cost; in one process it would be as in the second row. selectolax alone parses pages "
        "that lie in memory, and finds the images."
    )
    rows = [
        [name, f"{_median(runs):.3f}", f"{pages / _median(runs):,.0f}"]
        for name, runs in measured.items()
    ]
    return Table("WARC", ["reader", "s", "pages/s"], rows, note)


def _parser_table(measured: Measured) -> Table:
    note = "Parse each page and read src, alt and title of its images; the same numbers of alts."
    rows = [
        [f"{name} {runs[0]['version']}", f"{runs[0]['pages'] / _median(runs):,.0f}"]
        for name, runs in measured.items()
    ]
    return Table("Parsers of HTML", ["parser", "pages/s"], rows, note)


def _language_table(measured: list[Figures]) -> Table:
    rows = [["lid.176.ftz", f"{measured[0]['rows'] / _median(measured):,.0f}"]]
    return Table("Languages", ["model", "texts/s"], rows, "One core, captions.")


def _median(runs: list[Figures]) -> float:
    return float(median(one["seconds"] for one in runs))
