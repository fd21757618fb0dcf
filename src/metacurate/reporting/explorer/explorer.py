"""An open curated set: its entries at once, its matcher and pool as soon as they are there."""

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from metacurate.curation.explain import Explainer
from metacurate.curation.per_image import CaptionStage
from metacurate.errors import MetacurateError
from metacurate.matching.matcher import Matcher
from metacurate.matching.spacing import Mode
from metacurate.reporting.curated_set import CuratedSet
from metacurate.reporting.explorer.entries import Entries
from metacurate.reporting.explorer.fates import Judge
from metacurate.reporting.explorer.shelf import Shelf
from metacurate.reporting.explorer.tables import Patience
from metacurate.reporting.explorer.tar_pictures import TarPictures

Made = TypeVar("Made")

CHANGED = (
    "The pool's files are not what they were when the set was drawn: fates are told of what is "
    "there now."
)


class NotReadyError(MetacurateError):
    """Something is still being loaded."""


class Later(Generic[Made]):
    """Something that is made in the background, once."""

    def __init__(self, what: str, make: Callable[[], Made]) -> None:
        """Begin to make it.

        Args:
            what: to call it. make: makes it.
        """
        self._what = what
        self._make = make
        self._done = threading.Event()
        self._made: Made | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._run, name=what, daemon=True).start()

    def _run(self) -> None:
        try:
            self._made = self._make()
        except Exception as error:  # noqa: BLE001 - whoever asks for it is told
            self._error = error
        finally:
            self._done.set()

    def get(self, patience: Patience) -> Made:
        """What was made, waiting for it.

        Args:
            patience: for how long.

        Raises:
            NotReadyError: when it is not there yet. What making it raised.
        """
        if not self._done.wait(patience.left / 2):
            raise NotReadyError(f"{self._what} is still being loaded: try again in a moment")
        if self._error is not None:
            raise self._error
        return self._made  # type: ignore[return-value]


class Explorer:
    """What pages are made of.

    Attributes:
        curated: the set. entries: of it. pictures: of its pairs, where they lie in tars.
    """

    def __init__(self, curated: CuratedSet) -> None:
        """Open a set; what takes its time is loaded in the background.

        Args:
            curated: the set.
        """
        self.curated = curated
        self.entries = Entries(curated)
        self.pictures = TarPictures(curated)
        self._matcher = Later("the matcher", self._load_matcher)
        self._kept = Later("the list of kept pairs", self._open_kept)
        self._pool = Later("the pool", lambda: Shelf(curated.pool, kept=False))
        self._changed: bool | None = None

    @property
    def mode(self) -> Mode:
        """How entries are spaced."""
        mode: Mode = self.curated.card["mode"]
        return mode

    @property
    def configuration(self) -> dict[str, Any]:
        """What the run was asked for."""
        configuration: dict[str, Any] = self.curated.manifest["configuration"]
        return configuration

    @property
    def one_caption(self) -> bool:
        """Whether one caption per image was chosen."""
        return bool(self.configuration["per_image"] == "one")

    def matcher(self, patience: Patience) -> Matcher:
        """The matcher. Raises NotReadyError while it is being compiled."""
        return self._matcher.get(patience)

    def kept(self, patience: Patience) -> Shelf | None:
        """The kept pairs; None where none was kept.

        Args:
            patience: for how long to wait.

        Raises:
            MetacurateError: when they can't be read, or not yet.
        """
        return self._kept.get(patience)

    def pool(self, patience: Patience) -> Shelf:
        """The pool.

        Args:
            patience: for how long to wait.

        Raises:
            MetacurateError: when it is gone, can't be read, or not yet.
        """
        return self._pool.get(patience)

    def judge(self, patience: Patience) -> Judge:
        """What tells the fates of the pool's rows.

        Args:
            patience: for how long to wait.

        Raises:
            MetacurateError: as for `pool`.
        """
        curated = self.curated
        matcher = self.matcher(patience)
        pool = self.pool(patience)
        return Judge(pool, matcher, curated.balance, curated.seed, self.one_caption)

    def explain(self, text: str, url: str | None, patience: Patience) -> dict[str, Any]:
        """What becomes of a text, see `Explainer`.

        Args:
            text: any. url: of its image, or None. patience: for how long to wait.

        Raises:
            NotReadyError: while the matcher is being compiled.
        """
        curated = self.curated
        matcher = self.matcher(patience)
        explainer = Explainer(matcher, curated.balance, url, curated.seed, curated.round)
        return explainer.explain([text])[0]

    def pool_changed(self, patience: Patience) -> bool:
        """Whether the pool is known to be another one than when the set was drawn.

        Of counts that were made elsewhere, and of pools that could not be read as a whole, it
        can't be told.

        Args:
            patience: for how long to wait.
        """
        if self._changed is None:
            pool, curated = self.pool(patience).pool, self.curated
            told = curated.manifest["totals"]
            if self.configuration["counts"] is not None or told["failed_units"]:
                self._changed = False
            elif self.one_caption:
                stage = CaptionStage(pool, self.matcher(patience), curated.seed)
                self._changed = stage.choice_key != curated.counts.pool
            else:
                self._changed = pool.identity != curated.counts.pool
        return self._changed

    def _load_matcher(self) -> Matcher:
        curated = self.curated
        matcher = Matcher(curated.metadata, self.mode)
        explainer = Explainer(matcher, curated.balance, "", curated.seed, curated.round)
        explainer.explain([""])  # so that what is compiled is compiled before someone waits for it
        return matcher

    def _open_kept(self) -> Shelf | None:
        curated = self.curated
        if not curated.tables:
            return None
        return Shelf(curated.open_kept(curated.tables), kept=True)
