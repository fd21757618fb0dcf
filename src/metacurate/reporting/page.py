"""The report as one page of HTML: styles, scripts and numbers within it, and nothing besides."""

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup

from metacurate.reporting.bundle import vega_bundle
from metacurate.reporting.charts import SLIDER
from metacurate.reporting.figures import FATES
from metacurate.reporting.plot import Plot, shown
from metacurate.reporting.standalone import make_standalone, page_file
from metacurate.reporting.visible import SHOWN, cut

ANSWERS = ("kept", "share", "kept_matches", "tail_share", "head_entries", "tail_entries")
VERSION = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])  # of Vega-Lite
# What would end a script, or begin a comment, or, in scripts of old, a line.
ESCAPED = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


def make_page(figures: dict[str, Any], plots: Sequence[Plot]) -> str:
    """Put a report's page together.

    Args:
        figures: from `make_figures`. plots: of them.

    Returns:
        HTML. It asks for nothing, runs no scripts but its own, and shows what comes from data as
        text.

    Raises:
        MetacurateError: when vl-convert is missing.
    """
    data = {
        "plots": [_embedded(plot) for plot in plots],
        "unmatched": figures["cumulative"]["unmatched"],
    }
    return make_standalone(
        "report.html.jinja",
        page_file("report.css"),
        [vega_bundle(), page_file("report.js")],
        {"number": shown, "share": "{:.2%}".format},
        pictures=True,
        figures=figures,
        fates=FATES,
        plots={plot.name: plot for plot in plots},
        limit=SHOWN,
        chosen=figures["slider"]["thresholds"].index(figures["threshold"]),
        answers={name: SLIDER[name] for name in ANSWERS},
        settings=_settings(figures["run"]),
        data=Markup(to_script(data)),  # noqa: S704
    )


def make_picture(chart: Any, scale: float) -> bytes:
    """Draw a chart.

    Args:
        chart: of Altair. scale: pixels of the picture for one of the chart.

    Returns:
        PNG.
    """
    specification = {**chart.to_dict(), "background": "white", "padding": 16}
    picture: bytes = vl_convert.vegalite_to_png(
        specification, vl_version=VERSION, scale=scale, config=PICTURE, allowed_base_urls=[]
    )
    return picture


PICTURE = {
    "font": "sans-serif",
    "title": {"anchor": "start", "fontSize": 14, "offset": 12},
    "axisY": {"labelLimit": 220},
    "legend": {"columns": 3, "labelLimit": 260},
}


def to_script(value: Any) -> str:
    """JSON that can stand within a script of HTML.

    Args:
        value: of JSON's types.
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(ESCAPED)


def _embedded(plot: Plot) -> dict[str, Any]:
    """A plot for the page's script: its data once, for the chart and for the table."""
    with alt.data_transformers.enable(consolidate_datasets=False):
        specification = plot.chart.to_dict()
    specification.pop("config", None)  # the page's own follows its colours
    layers = [specification, *specification.get("layer", ())]
    for layer in layers:
        data = layer.get("data", {})
        if data.get("name") == plot.name:
            layer["data"] = {"name": plot.name}
    fields = list(dict.fromkeys([*plot.columns, *(field for row in plot.rows for field in row)]))
    return {
        "name": plot.name,
        "about": plot.about,
        "headings": list(plot.columns.values()),
        "fields": fields,
        "rows": [[_value(row.get(field)) for field in fields] for row in plot.rows],
        "specification": {
            **specification,
            "width": "container",
            "autosize": {"type": "fit-x", "contains": "padding"},
        },
    }


def _value(value: Any) -> Any:
    return cut(value) if isinstance(value, str) else value


def _settings(run: dict[str, Any]) -> list[tuple[str, str]]:
    """What the run was told, and made with: names and values, as texts."""
    told = {
        **{name.replace("_", " "): value for name, value in run["configuration"].items()},
        "matching mode": run["mode"],
        "seed": run["seed"],
        "round": run["round"],
        **{f"digest of the {name}": value for name, value in run["digests"].items()},
        **{f"version of {name}": value for name, value in run["versions"].items()},
    }
    told.pop("mode", None)
    told.pop("metadata", None)
    return [
        (name, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in told.items()
        if value is not None
    ]
