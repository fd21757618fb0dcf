"""The report of a curated set: its figures, its plots, and a page that needs nothing else."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from html import escape
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from metacurate.curation.readme import PICTURE_FILE, REPORT_FILE, make_readme
from metacurate.engine.storage import write_atomically, write_json, write_text
from metacurate.engine.stores import Place, place_of
from metacurate.errors import MetacurateError, UsageError
from metacurate.reporting.curated_set import CuratedSet

Format: TypeAlias = Literal["html", "json", "md", "png"]

NAME = "report"
SCALE = 2  # pixels of a picture for one of the plot


@dataclass(frozen=True)
class Report:
    """What a curated set looks like.

    Attributes:
        out: the output folder of a finished run of `curate` or `sample`.
        thresholds: for which cumulative counts are drawn besides the run's own; without any, a
            tenth and ten times that one.
    """

    out: str | Place
    thresholds: Sequence[float] = ()

    @cached_property
    def curated(self) -> CuratedSet:
        """The set itself.

        Raises:
            UsageError: when no finished curated set is there.
            InputError: when one of its files is broken.
        """
        return CuratedSet.read(self.out)

    @cached_property
    def figures(self) -> dict[str, Any]:
        """All of its numbers, JSON: see `metacurate.reporting.figures.make_figures`.

        Raises:
            MetacurateError: see there.
        """
        from metacurate.reporting.figures import make_figures

        return make_figures(self.curated, self.thresholds)

    @cached_property
    def _plots(self) -> list[Any]:
        with _extra():
            from metacurate.reporting.charts import make_plots
        return make_plots(self.figures)

    @cached_property
    def charts(self) -> dict[str, Any]:
        """Its plots by name, charts of Altair; `balance` shows best what balancing does.

        Raises:
            MetacurateError: when a package of the extra `report` is missing.
        """
        return {plot.name: plot.chart.properties(title=plot.title) for plot in self._plots}

    @property
    def html(self) -> str:
        """The page, in one piece: it opens from a disk, without a network.

        Raises:
            MetacurateError: when a package of the extra `report` is missing.
        """
        with _extra():
            from metacurate.reporting.page import make_page
        return make_page(self.figures, self._plots)

    @property
    def markdown(self) -> str:
        """The figures as text and tables."""
        from metacurate.reporting.markdown import make_markdown

        return make_markdown(self.figures)

    def picture(self, name: str = "balance") -> bytes:
        """One plot as a picture.

        Args:
            name: one of `charts`.

        Returns:
            PNG.

        Raises:
            UsageError: for another name.
            MetacurateError: when a package of the extra `report` is missing.
        """
        if name not in self.charts:
            raise UsageError(f"no plot is named {name!r}; there are {', '.join(self.charts)}")
        with _extra():
            from metacurate.reporting.page import make_picture
        return make_picture(self.charts[name], SCALE)

    def write(
        self,
        format: Format = "html",  # noqa: A002
        to: str | Place | None = None,
    ) -> list[Place]:
        """Write the report.

        Args:
            format: ``html``, one page; ``json``, the figures; ``md``, Markdown; ``png``, a
                picture of each plot.
            to: the file; of pictures, the folder. Without it, report.html and the like, or
                report/, in the output folder.

        Returns:
            What was written.

        Raises:
            UsageError: for another format, or a threshold that is no number above 0.
            MetacurateError: when the set can't be read, the report can't be written, or a
                package of the extra `report` is missing.
        """
        if format not in get_args(Format):
            raise UsageError(f"format {format!r} is none of: {', '.join(get_args(Format))}")
        place = self._place(format) if to is None else place_of(to)
        if format == "png":
            return self._write_pictures(place)
        if format == "json":
            write_json(place, self.figures)
        else:
            write_text(place, self.html if format == "html" else self.markdown)
        return [place]

    def describe(self) -> Place:
        """Write what comes with a set: report.html, a picture, and a README.md that shows it.

        Returns:
            The page.

        Raises:
            MetacurateError: as for `write`.
        """
        folder = self.curated.folder
        content = self.picture()
        write_atomically(folder / PICTURE_FILE, partial(Path.write_bytes, data=content))
        (page,) = self.write(to=folder / REPORT_FILE)
        write_text(folder / "README.md", make_readme(self.curated.card, PICTURE_FILE, REPORT_FILE))
        return page

    def _write_pictures(self, folder: Place) -> list[Place]:
        places: list[Place] = []
        for name in self.charts:
            places.append(folder / f"{name}.png")
            write_atomically(places[-1], partial(Path.write_bytes, data=self.picture(name)))
        return places

    def _place(self, format_: Format) -> Place:
        return self.curated.folder / (NAME if format_ == "png" else f"{NAME}.{format_}")

    def _repr_html_(self) -> str:
        """The page within a frame, for notebooks.

        A notebook's own page has other styles and scripts, which ours must not meet, and the
        notebook's policy may allow no scripts from it; the frame has a policy of its own, and no
        access to the notebook.
        """
        return (
            f'<iframe title="report" sandbox="allow-scripts allow-downloads" width="100%" '
            f'height="800" style="border: 0" srcdoc="{escape(self.html)}"></iframe>'
        )


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MetacurateError(
            f'reports need more packages ({error}): pip install "metacurate[report]"'
        ) from error
