"""A comparison of curated sets as one page of HTML, which needs nothing besides."""

from typing import Any

from metacurate.reporting.compare import label_of
from metacurate.reporting.standalone import make_standalone, page_file
from metacurate.reporting.visible import SHOWN

BAR = 200  # units of a bar's width


def make_page(found: dict[str, Any]) -> str:
    """Show what `compare` found.

    Args:
        found: its result.

    Returns:
        HTML. It asks for nothing, runs no script but its own, and shows what comes from data as
        text.

    Raises:
        MetacurateError: when Jinja, of the extra `report`, is missing.
    """
    sets = found["sets"]
    return make_standalone(
        "compare.html.jinja",
        page_file("compare.css"),
        [page_file("compare.js")],
        {"number": _number, "change": _change, "name": _name},
        found=found,
        labels=[label_of(place) for place in range(len(sets))],
        totals=list(dict.fromkeys(name for one in sets for name in one["totals"])),
        same=[name for name in sets[0]["settings"] if name not in found["differ"]],
        sources=list(dict.fromkeys(name for one in sets for name in one["sources"])),
        pairs=_pairs(found),
        kinds=KINDS,
        limit=SHOWN,
        bar=BAR,
    )


KINDS = (
    ("gained", "Gained most kept pairs", "kept"),
    ("lost", "Lost most kept pairs", "kept"),
    ("gained_share", "Gained most of their share of all matches", "share"),
    ("lost_share", "Lost most of their share of all matches", "share"),
)


def _pairs(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Each two sets, with the parts of a bar: only in the first, in both, only in the second."""
    both = found["overlap"]["both"]
    told = []
    for one in range(len(both)):
        for other in range(one + 1, len(both)):
            shared = both[one][other]
            numbers = [both[one][one] - shared, shared, both[other][other] - shared]
            whole = sum(numbers)
            ends = [BAR * sum(numbers[:part]) / max(1, whole) for part in range(4)]
            told.append(
                {
                    "one": one,
                    "other": other,
                    "numbers": numbers,
                    "jaccard": found["overlap"]["jaccard"][one][other],
                    "bars": [
                        (round(ends[part], 3), round(ends[part + 1] - ends[part], 3))
                        for part in range(3)
                    ],
                }
            )
    return told


def _number(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{int(value):,}" if value == int(value) else f"{value:,.6g}"


def _change(value: float) -> str:
    return ("+" if value > 0 else "") + _number(value)


def _name(name: str) -> str:
    return name.replace("_", " ")
