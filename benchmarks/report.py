"""Results as JSON, which is kept, and as Markdown, which is made of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import data, machine
from benchmarks.fresh import Figures

IDLE = 0.9  # the efficiency that a machine with nothing else to do reaches

CAVEATS = """\
# Benchmarks

Read these figures with care:

- They were made by metacurate's own authors, on the machine and day named below. Yours differs:
  run `make bench`.
- Ratios travel better than times. Runs alternate between the rivals, so that a busy machine is
  busy for all; each figure is a median. Differences below a tenth mean nothing.
- Before anything is timed, answers are compared: each list of ids with the others', a sample
  with a plain substring search, counts and kept pairs with a straightforward calculation.
- The rivals are general tools. They find any substring in any text and can be used for much
  that metacurate can't; only finding all metadata entries between spaces is measured here.
- They hand over Python lists and metacurate an Arrow array, as each is made to be used.
- All is warm: code is compiled, automata are built, files are in the page cache.
"""


@dataclass
class Table:
    """A table of a report: cells are text already."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""

    def markdown(self) -> str:
        """The table in Markdown, columns aligned so that it reads as plain text too."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[k]) for line in lines) for k in range(len(self.columns))]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

        def one(cells: Sequence[str]) -> str:
            first = cells[0].ljust(widths[0])
            rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
            return f"| {' | '.join([first, *rest])} |"

        table = "\n".join([one(self.columns), one(rule), *map(one, self.rows)])
        return "\n\n".join(part for part in (f"### {self.title}", self.note, table) if part)


@dataclass
class Section:
    """The results of one benchmark.

    Attributes:
        name: of the benchmark.
        tables: what is shown.
        figures: all that was measured, run by run.
        date, data, machine: when and on what; filled in when it is made.
    """

    name: str
    tables: list[Table]
    figures: Figures
    date: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))
    data: str = field(default_factory=data.describe)
    machine: dict[str, Any] = field(default_factory=machine.describe)

    def markdown(self) -> str:
        """The section in Markdown."""
        on = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        head = f"## {self.name}\n\n{self.date}. {self.data}\nMachine: {on}."
        return "\n\n".join([head, *(table.markdown() for table in self.tables)])


def save(sections: list[Section], folder: Path) -> None:
    """Write results.json and results.md; sections that were not run again stay as they are.

    Args:
        sections: new results.
        folder: of both files.
    """
    path = folder / "results.json"
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    known.update((section.name, asdict(section)) for section in sections)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
    everything = [_section(known[name]) for name in sorted(known)]
    text = "\n\n".join([CAVEATS.strip(), *(section.markdown() for section in everything)])
    (folder / "results.md").write_text(text + "\n", "utf-8")


def verdict(met: bool, possible: float = 1.0) -> str:
    """Whether a budget was met.

    Args:
        met: by the figures.
        possible: efficiency of two threads that share nothing (`machine.best_efficiency`);
            where others had the second core, a missed budget says nothing about metacurate.
    """
    if not met and possible < IDLE:
        return f"not judged, since the machine was busy: {possible:.0%} was possible"
    return "met" if met else "missed"


def _section(fields: Figures) -> Section:
    return Section(**{**fields, "tables": [Table(**table) for table in fields["tables"]]})
