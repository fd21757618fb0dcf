"""Put entries of several sources together: in order, each once, up to a limit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from metacurate.matching.automaton import unreachable
from metacurate.matching.spacing import space_entry
from metacurate.metadata.metadata import Metadata
from metacurate.metadata.totals import Ranking
from metacurate.metadata.words import is_punctuation
from metacurate.schema import METADATA, RANKED

CASE = "case"  # the source of variants
BEYOND_SIZE = "beyond the size asked for"
BEYOND_LIMIT = "beyond the limit"


@dataclass(frozen=True)
class Source:
    """Where entries come from.

    Attributes:
        name: of the source.
        rank: lists its candidates, the best first; takes how many are wanted.
        size: how many new entries to take; None for all.
    """

    name: str
    rank: Callable[[int], Ranking]
    size: int | None = None


@dataclass
class Taken:
    """What became of a source's candidates.

    Attributes:
        source: its name. read: how many candidates there were. kept: how many became entries.
        dropped: how many did not, by reason; read = kept + all of these.
    """

    source: str
    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str, n: int = 1) -> None:
        """Count candidates that become no entries.

        Args:
            reason: why. n: how many.
        """
        if n:
            self.dropped[reason] = self.dropped.get(reason, 0) + n


def listed(entries: Sequence[str], scores: Sequence[float | None] | None = None) -> Ranking:
    """A ranking of entries that are in their order already.

    Args:
        entries: the best first. scores: as many; None for none.
    """
    numbers = [None] * len(entries) if scores is None else list(scores)
    return Ranking(len(entries), {}, pa.table([list(entries), numbers], schema=RANKED))


def assemble(
    sources: Sequence[Source],
    limit: int,
    *,
    spaced: bool = False,
    drop_unmatchable: bool = False,
    case_variants: bool = False,
) -> tuple[Metadata, list[Taken]]:
    """Put metadata together (PAPER: arXiv 2309.16671, section 3.1; the authors' order and rules).

    Empty entries and single punctuation characters are left out, of entries that repeat the first
    counts, and the limit stops.

    Args:
        sources: in their order.
        limit: of entries in all.
        spaced: write entries as texts are spaced, so that those with inner punctuation can match.
        drop_unmatchable: leave out entries that can match no text in mode `paper`.
        case_variants: append the entries in lower case, with a capital, and with a capital on
            each word, as a source `case`.

    Returns:
        The metadata, and what became of each source.

    Raises:
        UsageError: when no entry is left.
    """
    columns: dict[str, list[str | float | None]] = {"entry": [], "source": [], "score": []}
    origins: dict[str, str] = {}  # of each entry: its source
    report = []

    def take(source: Source, *, spaced: bool = False) -> None:
        most = (limit - len(origins) if source.size is None else source.size) + len(origins)
        while True:
            taken, entries, complete = _choose(
                source, most, origins, limit, spaced=spaced, drop_unmatchable=drop_unmatchable
            )
            if complete:
                break
            most *= 2  # more were left out than could be foreseen
        for entry, score in entries.items():
            origins[entry] = source.name
            columns["entry"].append(entry)
            columns["source"].append(source.name)
            columns["score"].append(score)
        report.append(taken)

    for source in sources:
        take(source, spaced=spaced)
    if case_variants:
        forms = listed([form for entry in origins for form in variants(entry)])
        take(Source(CASE, lambda _: forms))  # of entries that are spaced already
    languages = pa.nulls(len(origins), pa.string())
    arrays = [pa.array(columns[name], METADATA.field(name).type) for name in columns]
    return Metadata.from_table(pa.table([*arrays, languages], schema=METADATA)), report


def variants(entry: str) -> Iterator[str]:
    """An entry in other cases: lower case, with a capital, with a capital on each word.

    Args:
        entry: any string; variants that it is itself are not left out.
    """
    yield entry.lower()
    yield entry[:1].upper() + entry[1:]
    yield " ".join(word[:1].upper() + word[1:] for word in entry.split(" "))


def _choose(
    source: Source,
    most: int,
    origins: dict[str, str],
    limit: int,
    *,
    spaced: bool,
    drop_unmatchable: bool,
) -> tuple[Taken, dict[str, float | None], bool]:
    """Choose among a source's best candidates; False where more have to be looked at."""
    ranking = source.rank(max(1, most))
    taken = Taken(source.name, ranking.read)
    for reason, n in ranking.dropped.items():
        taken.drop(reason, n)
    entries: dict[str, float | None] = {}
    names = ranking.listed["entry"].to_pylist()
    made = [space_entry(name, "spaced")[1:-1] for name in names] if spaced else names
    never = [False] * len(made)
    if drop_unmatchable:
        never = unreachable(pa.array(made, pa.string())).to_pylist()
    looked_at = 0
    full = None
    for name, entry, score, no_use in zip(
        names, made, ranking.listed["score"].to_pylist(), never, strict=True
    ):
        if len(entries) == source.size:
            full = BEYOND_SIZE
            break
        if len(origins) + len(entries) >= limit:
            full = BEYOND_LIMIT
            break
        looked_at += 1
        if not name.strip():
            taken.drop("empty")
        elif is_punctuation(name):
            taken.drop("punctuation")
        elif no_use:
            taken.drop("can never match")
        elif entry in origins:
            taken.drop(f"an entry already: {origins[entry]}")
        elif entry in entries:
            taken.drop("repeated")
        else:
            entries[entry] = score
    taken.kept = len(entries)
    unlisted = ranking.read - sum(ranking.dropped.values()) - looked_at
    if full is None and len(entries) == source.size:
        full = BEYOND_SIZE
    elif full is None and len(origins) + len(entries) >= limit:
        full = BEYOND_LIMIT
    if full is None and unlisted:
        return taken, {}, False
    taken.drop(full or "", unlisted)
    return taken, entries, True
