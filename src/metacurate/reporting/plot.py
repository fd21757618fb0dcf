"""What plots are made of: their colours, axes, names of bars, and what goes with each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from metacurate.reporting.visible import shorten

# Okabe and Ito's colours, of which colour-blind people tell any two apart: those that are seen
# well on white and on black.
KEPT, THRESHOLD, POOL = "#0072B2", "#D55E00", "#7F7F7F"
OTHERS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")
WIDTH, HEIGHT = 640, 320  # pixels
CHOSEN = "chosen"  # data that the page's slider sets
ZERO = 0.4  # where a logarithmic axis shows what is none
NO_MATCH = "No entry matches"
FEW = 3  # ticks of an axis
LABEL = 28  # characters of a name at an axis
TICKS = "datum.value < 0.7 ? '0' : format(datum.value, '~s')"
WHOLE = "datum.value < 1 ? format(datum.value, '~g') : format(datum.value, '~s')"

WHOLE_ONLY = "datum.value % 1 ? '' : format(datum.value, '~s')"  # halves come despite tickMinStep


@dataclass(frozen=True)
class Plot:
    """A plot, what it says, and the numbers that it is drawn from.

    Attributes:
        name: of the picture, and of the data within the chart.
        title: a sentence that says what it shows.
        about: the same at length, for those who can't see it.
        columns: of its table: the field in the chart's data, and the heading.
        rows: of its table: values by field.
        chart: an Altair chart, with all of its data.
    """

    name: str
    title: str
    about: str
    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]
    chart: Any


def shown(number: float) -> str:
    """A number as people read it.

    Args:
        number: any.
    """
    return f"{int(number):,}" if number == int(number) else f"{number:,.6g}"


def data_of(name: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as the data of a chart.

    Args:
        name: of the plot. rows: values by field.
    """
    return alt.InlineData(values=[dict(row) for row in rows], name=name)


def whole_axis(ticks: int) -> Any:
    """An axis of whole numbers.

    Args:
        ticks: about how many.
    """
    return alt.Axis(labelExpr=WHOLE_ONLY, tickCount=ticks, tickMinStep=1)


def log_axis(lowest: float, highest: float) -> Any:
    """A logarithmic axis with few ticks: those of all digits would run into one another.

    Args:
        lowest, highest: what it shows; `ZERO` for none.
    """
    for digits in ((1,), (1, 3), (1, 2, 5)):
        ticks = [d * 10.0**power for power in range(-20, 20) for d in digits]
        ticks = [tick for tick in ticks if lowest <= tick <= highest]
        if len(ticks) >= FEW:
            break
    zero = [ZERO] if lowest == ZERO else []
    return alt.Axis(values=zero + ticks, labelExpr=TICKS if zero else WHOLE, labelOverlap=True)


def part_colour() -> Any:
    """The colours of the pool and of what was kept of it, by the field `part`."""
    scale = alt.Scale(domain=["pool", "kept"], range=[POOL, KEPT])
    return alt.Color("part:N", scale=scale, title=None, legend=alt.Legend(orient="bottom"))


def labelled(rows: Sequence[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Rows with a `label`, as `labels_of` makes them.

    Args:
        rows: values by field. key: the field of the name.
    """
    labels = labels_of([row[key] for row in rows])
    return [{**row, "label": label} for row, label in zip(rows, labels, strict=True)]


def labels_of(names: Sequence[str]) -> list[str]:
    """Short names that can be seen, no two alike: bars of one name would be drawn as one.

    Args:
        names: from data.
    """
    labels: dict[str, None] = {}
    for name in names:
        label = short = shorten(name, LABEL) or "(empty)"
        number = 1
        while label in labels:
            number += 1
            label = f"{short} ({number})"
        labels[label] = None
    return list(labels)
