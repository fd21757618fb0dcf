"""The plots of a report: they can be drawn, say what they show, and hold the figures."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import vl_convert
from hypothesis import example, given
from hypothesis import strategies as st

import metacurate as mc
from metacurate.reporting.charts import make_plots
from metacurate.reporting.plot import LABEL, Plot, labels_of, log_axis
from metacurate.reporting.report import Report
from metacurate.reporting.visible import FILLERS, JOINERS, cut, shorten, visible

from .report_sets import (
    make_discarded_set,
    make_hostile_set,
    make_set,
    make_small_set,
    make_unmatched_set,
)

PNG = b"\x89PNG\r\n\x1a\n"
ALWAYS = [
    "flow", "cumulative", "thresholds", "balance", "sources", "most_matched", "matches_per_text",
]  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return Report(str(make_small_set(tmp_path_factory.mktemp("charts"))))


@pytest.fixture(scope="module")
def plots(report: Report) -> list[Plot]:
    return make_plots(report.figures)


def test_which_there_are(report: Report, plots: list[Plot]) -> None:
    assert list(report.charts) == [plot.name for plot in plots] == [*ALWAYS, "language", "hosts"]
    for plot in plots:
        assert report.charts[plot.name].to_dict()["title"] == plot.title
        assert len(plot.about) > len("A plot.")


def test_they_hold_their_tables(plots: list[Plot]) -> None:
    """What is drawn is what the table behind the plot tells."""
    for plot in plots:
        specification = plot.chart.to_dict()
        told = [values for name, values in inline_data(specification) if name == plot.name]
        assert told
        assert all(values == json.loads(json.dumps(plot.rows)) for values in told)
        assert all(set(plot.columns) <= set(row) for row in plot.rows)


def inline_data(specification: Any) -> list[tuple[str, Any]]:
    found = []
    if isinstance(specification, dict):
        data = specification.get("data")
        if isinstance(data, dict) and "values" in data:
            found.append((data.get("name", ""), data["values"]))
        found += [one for value in specification.values() for one in inline_data(value)]
    elif isinstance(specification, list):
        found += [one for value in specification for one in inline_data(value)]
    return found


def test_titles_tell_the_figures(report: Report, plots: list[Plot]) -> None:
    figures = report.figures
    titles = {plot.name: plot.title for plot in plots}
    flow = figures["flow"]
    for number in (flow["read"], flow["matched"], flow["fates"]["kept"]):
        assert f"{number:,}" in titles["flow"]
    assert f"{figures['head']['share']:.1%}" in titles["cumulative"]
    assert f"{figures['most_matched'][0]['count']:,}" in titles["most_matched"]
    assert "t = 20" in titles["balance"]


@pytest.mark.parametrize("make", [make_hostile_set, make_unmatched_set, make_discarded_set])
def test_odd_sets_can_be_drawn(make: Any, tmp_path: Path) -> None:
    report = Report(str(make(tmp_path)))
    for name in ("balance", "most_matched"):
        assert report.picture(name).startswith(PNG)


def test_axes_of_pairs_have_whole_numbers(tmp_path: Path) -> None:
    pool = pa.table({"url": ["https://e.org/1"], "text": ["some words"]})
    report = Report(str(make_set(tmp_path, pool, mc.Metadata.from_entries(["some"]))))
    for name in ("flow", "sources", "matches_per_text"):
        drawn = vl_convert.vegalite_to_svg(report.charts[name].to_dict())
        assert ">1</text>" in drawn
        assert ">0.5</text>" not in drawn


@given(st.lists(st.text(max_size=40), max_size=30))
@example(["a (2)", "a", "a"])
@example(["x" * 100, "x" * 101, ""])
def test_no_two_bars_share_a_name(names: list[str]) -> None:
    labels = labels_of(names)
    assert len(set(labels)) == len(labels) == len(names)
    assert all(visible(label) == label != "" for label in labels)


@given(st.text(st.characters(exclude_categories=[])))
@example("a\u202eb\u2066c\ud800\x00\u2028\u200b\ufeff")
def test_all_characters_can_be_seen(text: str) -> None:
    shown = visible(text)
    assert all(char.isprintable() or char in JOINERS or char.isspace() for char in shown)
    assert not set(shown) & set(
        "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )
    assert visible(shown) == shown
    if text.isprintable() and not set(text) & set(FILLERS):
        assert shown == text


def test_long_texts_are_cut() -> None:
    assert shorten("x" * LABEL, LABEL) == "x" * LABEL
    assert shorten("x" * 99, LABEL) == "x" * (LABEL - 1) + "…"
    assert cut("x" * 99, 100) == "x" * 99
    assert cut("x" * 1_100, 100) == "x" * 100 + " … and 1,000 more characters"
    assert visible("a\tb") == "a⟨U+0009⟩b"


@given(st.floats(0.01, 1e9), st.floats(1, 1e9))
def test_logarithmic_axes_have_few_ticks(lowest: float, ratio: float) -> None:
    values = log_axis(lowest, lowest * ratio).to_dict()["values"]
    assert values == sorted(set(values))
    assert len(values) <= 12
    assert all(lowest <= value <= lowest * ratio for value in values)


def test_colours_can_be_told_apart(plots: list[Plot]) -> None:
    """Each two colours of one legend differ in lightness or hue for colour-blind people, too."""
    for plot in plots:
        for colours in scales(plot.chart.to_dict()):
            for one, other in combinations(map(seen_without_red, colours), 2):
                assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) > 0.01


def scales(specification: Any) -> list[list[str]]:
    if isinstance(specification, dict):
        of = specification.get("range")
        found = [of] if isinstance(of, list) and str(of[0]).startswith("#") else []
        return found + [one for value in specification.values() for one in scales(value)]
    if isinstance(specification, list):
        return [one for value in specification for one in scales(value)]
    return []


def seen_without_red(colour: str) -> tuple[float, float, float]:
    """A colour as protanopes see it (Viénot, Brettel and Mollon, 1999), in linear light."""
    red, green, blue = ((int(colour[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5))
    return (
        0.11238 * red + 0.88762 * green,
        0.11238 * red + 0.88762 * green,
        0.00401 * red - 0.00401 * green + blue,
    )
