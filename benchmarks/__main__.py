"""Run the benchmarks: `python -m benchmarks --help`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    count,
    curate,
    dedup,
    download,
    entries,
    explore,
    extract,
    matching,
    ngrams,
    online,
    scale,
    train,
)
from benchmarks.data import ROOT, WORK
from benchmarks.fresh import MeasurementError
from benchmarks.report import Section, save
from benchmarks.sizes import FULL, QUICK, Sizes

BENCHMARKS: dict[str, Callable[[Sizes], Section]] = {
    "matching": matching.run,
    "count": count.run,
    "curate": curate.run,
    "extract": extract.run,
    "dedup": dedup.run,
    "ngrams": ngrams.run,
    "entries": entries.run,
    "scale": scale.run,
    "explore": explore.run,
    "download": download.run,
    "online": online.run,
    "train": train.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=BENCHMARKS, action="append", help="may be repeated")
    parser.add_argument("--quick", action="store_true", help="small sizes, into build/bench")
    parser.add_argument("--into", type=Path, help="folder of results.json and results.md")
    options = parser.parse_args()
    sizes = QUICK if options.quick else FULL
    folder = options.into or (WORK if options.quick else ROOT / "benchmarks")
    for name in options.only or BENCHMARKS:
        try:
            section = BENCHMARKS[name](sizes)
        except MeasurementError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        print(section.markdown(), end="\n\n", flush=True)
        save([section], folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
