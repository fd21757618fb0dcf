"""The same questions answered by a plain scan: pyarrow to read, Python to decide."""

from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.explore.case import Request
from metacurate.matching.oracle import match_by_substring
from metacurate.matching.spacing import space_entry, space_text
from metacurate.reporting.curated_set import CuratedSet

ENTRIES_PAGE = 50
PAIRS_PAGE = 25

Rows = list[tuple[int, ...]]


class Scan:
    """A curated set in memory."""

    def __init__(self, out: Path) -> None:
        """Read all of it.

        Args:
            out: its folder.
        """
        self.curated = CuratedSet.read(out)
        self.names = self.curated.entries.to_pylist()
        self.kept = [
            pq.read_table(path, columns=["url", "entries"]) for path in self.curated.tables
        ]
        self.pool = [pq.read_table(file.table) for file in self.curated.pool.files]
        self.kept_urls = {url for table in self.kept for url in table["url"].to_pylist()}

    def answer(self, request: Request) -> Rows:
        """The rows of the first page: entry ids, or files and rows of pairs; all of a sentence.

        Args:
            request: what is asked.
        """
        asked = request.asked
        if request.path.startswith("/?"):
            found = [i for i, name in enumerate(self.names) if str(asked) in name.lower()]
            found.sort(key=lambda i: (-int(self.curated.counts.values[i]), i))
            return [(i,) for i in found[:ENTRIES_PAGE]]
        if request.path.startswith("/try"):
            return [(i,) for i in match_by_substring(str(asked), self.names)]
        rows: Rows = []
        if isinstance(asked, str):
            for number, table in enumerate(self.pool):
                for row, url in enumerate(table["url"].to_pylist()):
                    if urlsplit(url).hostname == asked:
                        rows.append((number, row))
                        if len(rows) == PAIRS_PAGE:
                            return rows
            return rows
        if "balanced_away" not in request.path:
            for number, table in enumerate(self.kept):
                lists = table["entries"].combine_chunks()
                parents = pc.list_parent_indices(lists).to_numpy()
                holding = parents[lists.flatten().to_numpy() == asked]
                rows += [(number, int(row)) for row in np.unique(holding)]
            return rows[:PAIRS_PAGE]
        needle = space_entry(self.names[asked], self.curated.card["mode"])
        for number, table in enumerate(self.pool):
            pairs = zip(table["url"].to_pylist(), table["text"].to_pylist(), strict=True)
            for row, (url, text) in enumerate(pairs):
                if needle in space_text(text) and url not in self.kept_urls:
                    rows.append((number, row))
                    if len(rows) == PAIRS_PAGE:
                        return rows
        return rows
