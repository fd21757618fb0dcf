"""The explorer's pages: what each address shows, as HTML."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from metacurate.errors import InputError, MetacurateError
from metacurate.reporting.explorer import entries as entries_module
from metacurate.reporting.explorer.addresses import (
    ALL,
    EntriesView,
    ImageView,
    PairsView,
    PairView,
    SentenceView,
)
from metacurate.reporting.explorer.entries import Entry
from metacurate.reporting.explorer.explorer import CHANGED, Explorer, NotReadyError
from metacurate.reporting.explorer.fates import Pair, kept_pairs
from metacurate.reporting.explorer.marks import needed_words
from metacurate.reporting.explorer.paging import Page, Search
from metacurate.reporting.explorer.shelf import Condition, Found, Place, Shelf
from metacurate.reporting.explorer.showing import has_domain, joined, show, small_letters
from metacurate.reporting.explorer.shown import (
    FATE_NAMES,
    near,
    sentence,
    show_pair,
    show_text,
)
from metacurate.reporting.explorer.tables import Patience, TooSlowError

LIST_TEXT = 600  # characters of a text in a list
PAIR_TEXT = 20_000  # on a pair's own page
OFFERED = 200  # values of a column that a filter offers
MOST_VALUE = 500  # characters of other columns' values
FATE_HELP = {
    "kept": "drawn for the set",
    "balanced_away": "matched, but not drawn",
    "other_caption": "another caption of the image was chosen",
    "unmatched": "matches no entry",
    "invalid": "has no url or no text",
    "filtered": "the pool's filter leaves it out",
}


class NotFoundError(MetacurateError):
    """There is no such page."""


@dataclass(frozen=True)
class Answer:
    """A page.

    Attributes:
        html: of it. status: of HTTP. images: whether it shows images from the web.
    """

    html: str
    status: int = 200
    images: bool = False


@dataclass(frozen=True)
class Picture:
    """An image of this machine.

    Attributes:
        content: of its file. media_type: of the content.
    """

    content: bytes
    media_type: str


class Pages:
    """Makes pages."""

    def __init__(self, explorer: Explorer) -> None:
        """Prepare the templates.

        Args:
            explorer: what to show.
        """
        self._explorer = explorer
        self._templates = Environment(
            loader=PackageLoader("metacurate.reporting.explorer"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            show=show, joined=joined, near=near, FATE_NAMES=FATE_NAMES, curated=explorer.curated,
            EntriesView=EntriesView, PairsView=PairsView, SentenceView=SentenceView,
        )  # fmt: skip

    def entries(self, view: EntriesView, _: Patience) -> Answer:
        """Entries that hold some characters, with their numbers.

        Args:
            view: what is asked.
        """
        found, total = self._explorer.entries.search(view)
        pages = max(1, math.ceil(total / entries_module.PAGE))
        return self._render(
            "entries.html",
            view=view,
            found=found,
            total=total,
            pages=pages,
            sources=self._explorer.entries.sources,
            previous=view.address(page=view.page - 1) if 0 < view.page <= pages else None,
            next=view.address(page=view.page + 1) if view.page + 1 < pages else None,
        )

    def pairs(self, view: PairsView, patience: Patience) -> Answer:
        """Pairs, of an entry or of all, of one fate or any.

        Args:
            view: what is asked. patience: for how long.

        Raises:
            NotFoundError: when there is no such entry.
            NotReadyError, TooSlowError: when it can't be answered yet, or in time.
        """
        explorer = self._explorer
        entry = self._entry(view.entry)
        problem, page = None, Page()
        try:
            page = self._find(view, entry, patience)
        except (NotReadyError, TooSlowError):
            raise
        except MetacurateError as error:
            problem = str(error)
        notices = list(page.notices)
        if problem is None and view.fate != "kept" and explorer.pool_changed(patience):
            notices.append(CHANGED)
        prepare = partial(self._show, view=view, length=LIST_TEXT, patience=patience)
        shown = [prepare(pair, number) for number, pair in enumerate(page.pairs)]
        after = page.after
        return self._render(
            "pairs.html",
            images=any(pair.shows_image for pair in shown),
            view=view,
            entry=entry,
            pairs=shown,
            page=page,
            notices=notices,
            problem=problem,
            fates=self._fates(view),
            fate_help=FATE_HELP,
            choices=self._choices(view),
            next=None if after is None else view.address(file=after.file, row=after.row, images=""),
            begins=(view.file, view.row) == (0, 0),
        )

    def pair(self, view: PairView, patience: Patience) -> Answer:
        """One pair.

        Args:
            view: where it stands. patience: for how long.

        Raises:
            NotFoundError: when there is no such row.
            MetacurateError: when it can't be read.
        """
        explorer = self._explorer
        shelf = self._shelf(view, patience)
        place = Place(view.file, view.row)
        found = shelf.find(place, view.row + 1, Condition(), 1, patience)
        if not found:
            raise NotFoundError("There is no such row.")
        if view.shelf == "kept":
            (pair,) = kept_pairs(found, explorer.curated.seed, explorer.curated.round)
        else:
            (pair,) = explorer.judge(patience).judge(found, patience)
        shown = self._show(pair, 0, view, PAIR_TEXT, patience)
        own = {shelf.pool.id_column, shelf.pool.text_column, "entries"}
        notices = [CHANGED] if view.shelf == "pool" and explorer.pool_changed(patience) else []
        try:
            row = shelf.whole_row(place, patience)
        except InputError as error:  # of columns that make no pair
            row = {}
            notices.append(str(error))
        others = {name: _told(value) for name, value in row.items() if name not in own}
        text = shown.text
        goes_on = text is not None and text.stop < text.length
        return self._render(
            "pair.html",
            images=shown.shows_image,
            view=view,
            pair=shown,
            others=others,
            path=shelf.pool.files[view.file].path,
            earlier=view.address(at=max(0, view.at - PAIR_TEXT)) if view.at else None,
            later=view.address(at=view.at + PAIR_TEXT) if goes_on else None,
            notices=notices,
        )

    def image(self, view: ImageView, patience: Patience) -> Picture:
        """The image of a pair, out of a tar on this machine.

        Args:
            view: where the pair stands. patience: for how long.

        Raises:
            NotFoundError: when there is none.
            MetacurateError: when it can't be read.
        """
        shelf = self._shelf(view, patience)
        tar = self._explorer.pictures.tar_of(shelf.file(view.file), view.shelf == "kept")
        row = {} if tar is None else shelf.whole_row(Place(view.file, view.row), patience)
        found = None if tar is None else self._explorer.pictures.read(tar, row)
        if found is None:
            raise NotFoundError("There is no such image.")
        return Picture(*found)

    def _shelf(self, view: PairView | ImageView, patience: Patience) -> Shelf:
        explorer = self._explorer
        shelf = explorer.kept(patience) if view.shelf == "kept" else explorer.pool(patience)
        if shelf is None or view.file >= len(shelf.pool.files):
            raise NotFoundError("There is no such file.")
        return shelf

    def sentence(self, view: SentenceView, patience: Patience) -> Answer:
        """What becomes of a text of one's own.

        Args:
            view: the text. patience: for how long.

        Raises:
            NotReadyError: when it can't be told yet.
        """
        explorer = self._explorer
        told, shown, matched = None, None, list[Entry]()
        if view.text:
            told = explorer.explain(view.text, view.url or None, patience)
            matched = [explorer.entries[entry["id"]] for entry in told["entries"]]
            matched.sort(key=lambda one: (one.count, one.id))
            shown = show_text(view.text, matched, explorer.mode, 0, len(view.text))
        return self._render(
            "sentence.html",
            view=view,
            told=told,
            text=shown,
            entries=matched,
            reason=None if told is None else self._sentence(told),
        )

    def problem(self, status: int, reason: str, again: bool = False) -> Answer:
        """A page that tells what went wrong.

        Args:
            status: of HTTP. reason: a sentence. again: whether to try again in a moment.
        """
        return self._render("problem.html", status=status, reason=reason, again=again)

    def _render(
        self, template: str, *, status: int = 200, images: bool = False, **values: Any
    ) -> Answer:
        html = self._templates.get_template(template).render(status=status, **values)
        return Answer(html, status, images)

    def _sentence(self, told: dict[str, Any]) -> str:
        numbers = {**told, "probability": told["keep_probability"]}
        return sentence(numbers, self._explorer.curated.threshold)

    def _entry(self, entry_id: int) -> Entry | None:
        if entry_id < 0:
            return None
        if entry_id >= len(self._explorer.entries):
            raise NotFoundError(f"There is no entry {entry_id}.")
        return self._explorer.entries[entry_id]

    def _show(
        self, pair: Pair, number: int, view: PairsView | PairView, length: int, patience: Patience
    ) -> Any:
        explorer = self._explorer
        condition = explorer.configuration["where"]
        kept = pair.row.drawn is not None
        shelf = explorer.kept(patience) if kept else explorer.pool(patience)
        assert shelf is not None
        file = shelf.pool.files[pair.row.place.file]
        in_tar = explorer.pictures.tar_of(file, kept) is not None
        return show_pair(
            pair, number, explorer.entries, explorer.mode, view, length, condition, in_tar
        )

    def _fates(self, view: PairsView) -> list[tuple[str, str, str]]:
        """Fates to choose from: name, what it is called, and the address."""
        card = self._explorer.curated.card
        names = ["kept", "balanced_away"]
        names += [name for name in ("other_caption", "filtered") if name in card]
        if view.entry < 0:
            names[2:2] = ["unmatched", "invalid"]
        names += [ALL, *({view.fate} - {*names, ALL})]
        titles = {**FATE_NAMES, ALL: "all of the pool"}
        return [(name, titles[name], view.first.address(fate=name)) for name in names]

    def _choices(self, view: PairsView) -> dict[str, list[str] | None]:
        """Columns that pairs can be filtered by, with their commonest values where known."""
        values = self._explorer.curated.card["census"]["values"]
        known: dict[str, list[str] | None] = {}
        for name, numbers in values.items():
            offered = [value for value in numbers or () if value][:OFFERED]
            chosen = getattr(view, name)
            if chosen and chosen not in offered:
                offered.insert(0, chosen)
            known[name] = None if numbers is None else offered
        return known

    def _find(self, view: PairsView, entry: Entry | None, patience: Patience) -> Page:
        explorer = self._explorer
        domain = small_letters(view.domain)
        values = {
            name: value
            for name, value in (("language", view.language), ("attribute", view.attribute))
            if value
        }
        condition = Condition(domain=domain, values=values)

        def wanted(pair: Pair) -> bool:
            if view.fate not in (ALL, pair.fate):
                return False
            return not domain or has_domain(pair.row.id or "", domain)

        start = Place(view.file, view.row)
        if view.fate == "kept":
            shelf: Shelf | None = explorer.kept(patience)
            if shelf is None:
                return Page()
            condition = replace(condition, entry_id=None if entry is None else entry.id)

            def tell(rows: Sequence[Found]) -> list[Pair]:
                return kept_pairs(rows, explorer.curated.seed, explorer.curated.round)

            return Search(shelf, condition, tell, wanted).page(start, patience)
        judge = explorer.judge(patience)
        if entry is not None:
            condition = replace(condition, words=needed_words(entry.entry, explorer.mode))
        if view.fate == "invalid":
            condition = replace(condition, incomplete=True)
        entry_id = None if entry is None else entry.id

        def judged(rows: Sequence[Found]) -> list[Pair]:
            return judge.judge(rows, patience, entry_id)

        return Search(judge.shelf, condition, judged, wanted).page(start, patience)


def _told(value: Any) -> str:
    """A value of another column, as text."""
    text = "\u2013" if value is None else str(value)
    return text if len(text) <= MOST_VALUE else f"{text[:MOST_VALUE]}\u2026"
