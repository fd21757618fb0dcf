"""The candidates of each source of a recipe: what is read and counted, and how it is ranked."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from metacurate.engine.run import CorruptInputError, Outcome
from metacurate.engine.stage import UnitRecord
from metacurate.engine.storage import LocalCopies, arrow_batches, scratch
from metacurate.engine.workspace import Workspace
from metacurate.metadata.assemble import Source, listed
from metacurate.metadata.buckets import Part, cut
from metacurate.metadata.counted import read_counted
from metacurate.metadata.dump import DUMP_NAME, open_dump
from metacurate.metadata.inputs import hash_files, list_inputs, require_file
from metacurate.metadata.ngrams import least_association
from metacurate.metadata.recipe import (
    BIGRAM_MIN_PMI,
    TITLE_MIN_VIEWS,
    UNIGRAM_MIN_COUNT,
    Recipe,
)
from metacurate.metadata.titles import PageviewStage, TitleList
from metacurate.metadata.totals import FORMAT, NgramTotals, Ranking, Store
from metacurate.metadata.wikipedia import DumpStage, TextStage, open_texts
from metacurate.metadata.wordnet import read_wordnet

NUMBERS = 100  # "0" to "99"
BASE_MEMORY = 230 << 20  # bytes of the process itself
THREAD_MEMORY = 110 << 20  # of a worker, for the texts that it reads
PROCESS_MEMORY = 260 << 20  # of a worker that is a process of its own
LEAST_COUNTS = 40 << 20  # of a worker's counts
DUCKDB_SHARE = 0.6  # of the rest: it counts its memory, but not all of what the system gives it
BYTES_OF_ROW = 150  # of counts that are added up
DIGESTS = "digests.json"

WIKIPEDIA = (
    "CC-BY-SA-4.0, GFDL (if Wikipedia's)",
    "Text of Wikipedia, by its contributors, https://www.wikipedia.org",
)
PAGEVIEWS = ("CC0-1.0", "Page views, Wikimedia Foundation, https://dumps.wikimedia.org")
TITLES = ("CC-BY-SA-4.0, GFDL", "Titles of Wikipedia, https://dumps.wikimedia.org")
OTHERS = ("unknown: of who counted", "Counts of others: their licence is where they come from")


def affordable_workers(memory: int) -> int:
    """How many workers a limit of memory leaves room for; at least one.

    Args:
        memory: in all, in bytes.
    """
    return max(1, (memory - BASE_MEMORY) // (PROCESS_MEMORY + LEAST_COUNTS))


@dataclass
class Origin:
    """Where a source's candidates come from.

    Attributes:
        licence, attribution: of the inputs; None where nothing is read.
        inputs: name, size in bytes and SHA-256 of each file.
        counted: numbers of what was read: texts, words, lines.
        selection: thresholds and sizes in force.
        errors: what could not be read, and was to be skipped: a line each.
    """

    licence: str | None = None
    attribution: str | None = None
    inputs: list[dict[str, Any]] = field(default_factory=list)
    counted: dict[str, Any] = field(default_factory=dict)
    selection: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


class Candidates:
    """The sources of a recipe, counted in a workspace as far as they need to be.

    Attributes:
        origins: of each source, by its name; complete once all are ranked.
    """

    def __init__(
        self, recipe: Recipe, space: Workspace, memory: int, outputs: Sequence[Path]
    ) -> None:
        """Find all inputs; nothing is read yet.

        Args:
            recipe: what to read. space: where counts are kept. memory: in all, in bytes.
            outputs: files and folders that are no inputs, though they may lie among them.

        Raises:
            UsageError: when there are no such files.
        """
        self._recipe = recipe
        self._space = space
        self._memory = memory - BASE_MEMORY
        for_totals = int(self._memory * DUCKDB_SHARE)
        self._folder = scratch(space.folder)  # this machine's: tables are spilled and mapped
        self._store = Store(self._folder, for_totals, space.slots, space.progress)
        kinds = "text: .parquet, .xml, .xml.bz2"
        self._texts = list_inputs(recipe.wikipedia, _is_text, kinds, outputs)
        kinds = "page views: pageviews-*.gz"
        self._hours = list_inputs(recipe.pageviews, _is_pageviews, kinds, outputs)
        for path in (recipe.unigram_counts, recipe.bigram_counts, recipe.title_list):
            if path is not None:
                require_file(path)
        self.origins: dict[str, Origin] = {}

    def sources(self) -> list[Source]:
        """All that the recipe gives, in the order of the paper.

        Raises:
            CorruptInputError, InputError: when inputs are broken.
        """
        recipe = self._recipe
        self.origins["number"] = Origin()
        numbers = listed([str(number) for number in range(NUMBERS)])
        found = [Source("number", lambda _: numbers)]
        if recipe.wordnet is not None:
            found.append(self._wordnet(recipe.wordnet))
        if recipe.wikipedia:
            found += self._text()
        elif recipe.unigram_counts is not None:
            found += self._lists()
        if recipe.pageviews or recipe.title_list is not None:
            found.append(self._titles())
        return found

    def _wordnet(self, path: str) -> Source:
        wordnet = read_wordnet(path)
        inputs = [{"file": name, "sha256": digest} for name, digest in wordnet.files.items()]
        self.origins["wordnet"] = Origin(wordnet.licence, wordnet.release, inputs)
        synsets = listed(wordnet.names)
        return Source("wordnet", lambda _: synsets)

    def _text(self) -> list[Source]:
        """Count Wikipedia's text; rank its words and bigrams."""
        paths = self._texts
        tables = [path for path in paths if path.lower().endswith(".parquet")]
        dumps = [path for path in paths if not path.lower().endswith(".parquet")]
        each = self._memory // self._space.slots
        stages: list[TextStage | DumpStage] = []
        if tables:
            stages.append(TextStage(open_texts(tables), each - THREAD_MEMORY))
        if dumps:
            stages.append(DumpStage(tuple(map(open_dump, dumps)), each - PROCESS_MEMORY))
        origin = Origin(*WIKIPEDIA)
        partials: list[Path] = []
        records: list[UnitRecord] = []
        names: list[str] = []
        for stage in stages:
            outcome = self._space.run(stage)
            partials += LocalCopies(outcome.partials).paths
            names.append(stage.key)
            origin.errors += _errors(outcome)
            records += outcome.records
            for record in outcome.records:
                names.append(f"{record.unit} {record.failed} {record.error}")
                numbers = (record.rows_read, record.invalid, record.filtered)
                for key, number in zip(("texts", "invalid", "not_articles"), numbers, strict=True):
                    origin.counted[key] = origin.counted.get(key, 0) + number
        _refuse_nothing("text", records)
        origin.inputs = self._hash(paths)
        totals = self._add_up(names, cut(partials, self._store.memory // BYTES_OF_ROW))
        return self._rank(totals, origin, origin, with_bigrams=True)

    def _lists(self) -> list[Source]:
        """Add up lists that others counted; rank their words and bigrams."""
        lists = [CountedList(path, words) for path, words in self._recipe.counted_lists]
        origins = [Origin(*OTHERS, self._hash([one.path])) for one in lists]
        names = [f"{one.words} {origin.inputs}" for one, origin in zip(lists, origins, strict=True)]
        totals = self._add_up(names, [lambda: (b for one in lists for b in one.batches())])
        for one, origin in zip(lists, origins, strict=True):
            if not one.lines:  # an earlier run has added it up
                for _ in one.batches():
                    pass
            origin.counted = {"lines": one.lines, "malformed": one.malformed}
            if one.first_malformed is not None:
                origin.counted["first_malformed"] = one.first_malformed
        ranked = self._rank(totals, origins[0], origins[-1], with_bigrams=len(lists) > 1)
        return [one.with_left_out(source) for one, source in zip(lists, ranked, strict=True)]

    def _rank(
        self, totals: NgramTotals, words: Origin, bigrams: Origin, *, with_bigrams: bool
    ) -> list[Source]:
        recipe = self._recipe
        min_count = _threshold(recipe.unigram_min_count, recipe.unigrams, UNIGRAM_MIN_COUNT)
        self.origins["unigram"] = replace(
            words,
            counted={**words.counted, "all_words": totals.tokens},
            selection={"min_count": min_count, "size": recipe.unigrams},
        )
        found = [
            Source("unigram", lambda most: totals.rank_words(min_count or 0, most), recipe.unigrams)
        ]
        if with_bigrams:
            min_pmi = _threshold(recipe.bigram_min_pmi, recipe.bigrams, BIGRAM_MIN_PMI)
            least = 0.0 if min_pmi is None else least_association(min_pmi)
            often = recipe.bigram_min_count
            self.origins["bigram"] = replace(
                bigrams,
                counted={**bigrams.counted, "all_words": totals.tokens},
                selection={"min_pmi": min_pmi, "min_count": often, "size": recipe.bigrams},
            )
            found.append(
                Source(
                    "bigram", lambda most: totals.rank_bigrams(least, often, most), recipe.bigrams
                )
            )
        return found

    def _titles(self) -> Source:
        """Add up page views, read the list of titles, and rank titles."""
        recipe = self._recipe
        given = [PAGEVIEWS] if recipe.pageviews else []
        given += [TITLES] if recipe.title_list is not None else []
        licences, attributions = zip(*given, strict=True)
        origin = Origin("; ".join(licences), "; ".join(attributions))
        views: list[Path] | None = None
        if self._hours:
            stage = PageviewStage.open(self._hours, recipe.project, recipe.hour_min_views)
            outcome = self._space.run(stage)
            views = LocalCopies(outcome.partials).paths
            _refuse_nothing(stage.name, outcome.records)
            origin.errors = _errors(outcome)
            origin.counted = {
                "lines": sum(record.rows_read for record in outcome.records),
                "malformed": sum(record.invalid for record in outcome.records),
            }
        min_views = _threshold(recipe.title_min_views, recipe.titles, TITLE_MIN_VIEWS)
        if views is not None:
            origin.selection = {
                "project": recipe.project,
                "hour_min_views": recipe.hour_min_views,
                "min_views": min_views,
            }
        origin.selection["size"] = recipe.titles
        origin.inputs = self._hash([*self._hours, *filter(None, [recipe.title_list])])

        def rank(most: int) -> Ranking:
            titles = None if recipe.title_list is None else TitleList(recipe.title_list)
            viewed = None if views is None else (b for path in views for b in arrow_batches(path))
            entries = None if titles is None else titles.batches()
            ranking = self._store.rank_titles(viewed, entries, min_views or 0, most)
            if titles is not None:
                origin.counted["listed"] = titles.lines
                origin.counted["listed_malformed"] = titles.malformed
            return ranking

        self.origins["title"] = origin
        return Source("title", rank, recipe.titles)

    def _add_up(self, names: Sequence[str], parts: Sequence[Part]) -> NgramTotals:
        """Add up counts under a name that is theirs; drop those of other inputs."""
        name = hashlib.sha256("\n".join([f"format {FORMAT}", *names]).encode()).hexdigest()[:16]
        for kind in ("words", "bigrams"):
            for path in self._folder.glob(f"*.{kind}.parquet"):
                if not path.name.startswith(name):
                    path.unlink()
        return self._store.add_up(name, parts)

    def _hash(self, paths: Sequence[str]) -> list[dict[str, Any]]:
        space = self._space
        known, skip = scratch(space.work) / DIGESTS, space.on_error == "skip"
        return hash_files(paths, known, workers=space.slots, progress=space.progress, skip=skip)


@dataclass
class CountedList:
    """A list that others counted.

    Attributes:
        path: of the file. words: of an entry.
        lines: that were read. malformed, empty, punctuation: of these, that make no candidate.
        first_malformed: where it is, and why.
    """

    path: str
    words: Literal[1, 2]
    lines: int = 0
    malformed: int = 0
    empty: int = 0
    punctuation: int = 0
    first_malformed: str | None = None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read it.

        Yields:
            Batches of `metacurate.schema.NGRAMS`.

        Raises:
            InputError: when it is broken.
        """
        self.lines = self.malformed = self.empty = self.punctuation = 0
        for block in read_counted(self.path, self.words):
            self.lines += block.lines
            self.malformed += block.malformed
            self.empty += block.empty
            self.punctuation += block.punctuation
            self.first_malformed = self.first_malformed or block.first_malformed
            yield from block.table.to_batches()

    def with_left_out(self, source: Source) -> Source:
        """A source that tells of the entries which were left out when the list was read.

        Args:
            source: of the list.
        """
        left = {"empty": self.empty, "punctuation": self.punctuation}

        def rank(most: int) -> Ranking:
            ranking = source.rank(most)
            dropped = {**ranking.dropped, **left}
            return replace(ranking, read=ranking.read + sum(left.values()), dropped=dropped)

        return replace(source, rank=rank)


def _threshold(given: Any, size: int | None, default: Any) -> Any:
    """The threshold in force: a size alone does without."""
    return default if given is None and size is None else given


def _errors(outcome: Outcome) -> list[str]:
    lines = (f"{r.source.rsplit('/', 1)[-1]}: {r.error}" for r in outcome.errors)
    return list(dict.fromkeys(lines))


def _refuse_nothing(name: str, records: Sequence[UnitRecord]) -> None:
    """Refuse to go on with no input at all, whatever is to be skipped."""
    if all(record.failed for record in records):
        raise CorruptInputError(name, records)


def _is_text(path: str) -> bool:
    return path.lower().endswith(".parquet") or DUMP_NAME.search(path) is not None


def _is_pageviews(path: str) -> bool:
    return path.rsplit("/", 1)[-1].startswith("pageviews-")
