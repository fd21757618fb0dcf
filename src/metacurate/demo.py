"""The demo: a made pool with a long tail of concepts, balanced, as a table and a picture."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from metacurate.curation.curate import curate
from metacurate.engine.progress import Progress
from metacurate.engine.storage import write_parquet, write_text
from metacurate.engine.stores import here
from metacurate.errors import MetacurateError
from metacurate.metadata.build import build_metadata
from metacurate.metadata.metadata import Metadata
from metacurate.metadata.recipe import Recipe
from metacurate.pool.files import COUNTS_FILE
from metacurate.schema import KEPT

log = logging.getLogger(__name__)

PAIRS = 200_000
CONCEPTS = 20_000
COUNTED = 10**9  # words that the frequencies are counts of
PARTS = 4  # files of the pool
WORDS = (1, 5)  # words of a caption, from and below
SHOWN = 5  # head and tail concepts in the table
SEED = 0


@dataclass(frozen=True)
class DemoResult:
    """What the demo shows.

    Attributes:
        title, columns, rows: a table of concepts before and after.
        story: a few lines that tell what happened.
        summary: totals of the run, JSON, with the picture's path.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    story: str
    summary: dict[str, Any]


def run_demo(out: str | Path, progress: Progress) -> DemoResult:
    """Make a pool, balance it, and draw counts before and after.

    Args:
        out: folder for pool/, words.tsv, metadata.parquet, balanced/ and counts.svg; a pool that
            lies there already is used again.
        progress: told of rows that are done.

    Returns:
        A table and a story.

    Raises:
        UsageError: for a URI.
        MetacurateError: when the extra `demo` is not installed, or nothing can be written.
    """
    began = time.monotonic()
    folder = here(out)
    words, frequencies = _concepts()
    pool = folder / "pool"
    _make_pool(pool, words, frequencies)
    metadata = _build_metadata(folder, words, frequencies, progress)
    result = curate(pool, metadata, out=folder / "balanced", seed=SEED, progress=progress)
    counts = pq.read_table(folder / "balanced" / COUNTS_FILE)
    before, after = counts["count"].to_numpy(), counts[KEPT.name].to_numpy()
    picture = folder / "counts.svg"
    summary = result.summary
    threshold = summary["threshold"]
    write_text(picture, _draw(before, after, threshold))
    seconds = time.monotonic() - began
    return DemoResult(
        title=f"{summary['rows_read']:,} pairs, {summary['kept']:,} kept",
        columns=("concept", "captions before", "after", "kept"),
        rows=_rows(metadata.entries.to_pylist(), before, after),
        story=_story(summary, before, after, seconds, picture),
        summary={**summary, "picture": str(picture), "seconds": round(seconds, 3)},
    )


def _concepts() -> tuple[list[str], npt.NDArray[np.float64]]:
    """The most frequent English words and their frequencies."""
    try:
        from wordfreq import get_frequency_dict
    except ImportError as error:
        raise MetacurateError(
            'the demo takes its words from wordfreq: pip install "metacurate[demo]"'
        ) from error
    known = get_frequency_dict("en")
    words = sorted((w for w in known if w.isalpha()), key=lambda w: (-known[w], w))[:CONCEPTS]
    return words, np.array([known[w] for w in words])


def _build_metadata(
    out: Path, words: list[str], frequencies: npt.NDArray[np.float64], progress: Progress
) -> Metadata:
    """Build the list of concepts from a list of counted words, as from Wikipedia's."""
    counts, path = out / "words.tsv", out / "metadata.parquet"
    lines = (
        f"{word}\t{round(frequency * COUNTED)}\n"
        for word, frequency in zip(words, frequencies.tolist(), strict=True)
    )
    write_text(counts, "".join(lines))
    recipe = Recipe(unigram_counts=str(counts), unigrams=CONCEPTS)
    build_metadata(recipe, path, progress=progress)
    return Metadata.read(path)


def _make_pool(folder: Path, words: list[str], frequencies: npt.NDArray[np.float64]) -> None:
    """Write a pool whose captions draw words by their frequency, where it is not there."""
    paths = [folder / f"part-{part}.parquet" for part in range(PARTS)]
    if all(path.exists() for path in paths):
        return
    random = np.random.default_rng(SEED)
    vocabulary = np.array(words, dtype=object)
    upto = np.cumsum(frequencies / frequencies.sum())
    for part, path in enumerate(paths):
        n = PAIRS // PARTS
        lengths = WORDS[0] + (random.random(n) * (WORDS[1] - WORDS[0])).astype(np.int64)
        drawn = np.searchsorted(upto, random.random(int(lengths.sum())), side="right")
        chosen = vocabulary[np.minimum(drawn, len(words) - 1)]
        stops = np.cumsum(lengths)
        captions = [
            " ".join(chosen[stop - length : stop])
            for stop, length in zip(stops.tolist(), lengths.tolist(), strict=True)
        ]
        first = part * n
        urls = [f"https://images.example/{first + i:06d}.jpg" for i in range(n)]
        write_parquet(path, pa.table({"url": urls, "text": captions}))


def _rows(
    words: list[str], before: npt.NDArray[Any], after: npt.NDArray[Any]
) -> list[tuple[str, ...]]:
    order = np.argsort(-before.astype(np.int64), kind="stable")
    matched = int(np.count_nonzero(before))
    places = [*range(SHOWN), *np.geomspace(20, matched - 1, 2 * SHOWN).astype(int).tolist()]
    return [
        (words[i], f"{before[i]:,}", f"{after[i]:,}", f"{after[i] / before[i]:.0%}")
        for i in (int(order[place]) for place in places)
    ]


def _story(
    summary: dict[str, Any],
    before: npt.NDArray[Any],
    after: npt.NDArray[Any],
    seconds: float,
    picture: Path,
) -> str:
    top = np.argsort(-before.astype(np.int64), kind="stable")[:100]
    share_before = before[top].sum() / before.sum()
    share_after = after[top].sum() / after.sum()
    tail = before < summary["threshold"]
    whole = after[tail].sum() / max(1, before[tail].sum())
    return (
        f"The 100 most frequent concepts held {share_before:.0%} of all matches; now they hold "
        f"{share_after:.0%}.\n"
        f"Of what the {int(np.count_nonzero(tail & (before > 0))):,} rare concepts matched "
        f"(fewer than {summary['threshold']:,.0f} captions each), {whole:.0%} was kept.\n"
        f"{seconds:.1f} s. Picture: {picture}. Data card: {picture.parent}/balanced/README.md"
    )


def _draw(before: npt.NDArray[Any], after: npt.NDArray[Any], threshold: float) -> str:
    """Counts of concepts by rank, before and after, on log axes, as SVG."""
    try:
        import altair as alt
        import vl_convert
    except ImportError as error:
        raise MetacurateError(
            'the picture is drawn by altair: pip install "metacurate[demo]"'
        ) from error
    order = np.argsort(-before.astype(np.int64), kind="stable")[: np.count_nonzero(before)]
    edges = np.unique(np.geomspace(1, len(order), 160).astype(int))
    spans = list(zip(edges - 1, np.append(edges[1:] - 1, len(order)), strict=True))
    points = [
        {"rank": int(start + 1), "pairs": float(counts[order[start:stop]].mean()), "set": name}
        for name, counts in (("pool", before), ("balanced", after))
        for start, stop in spans
    ]
    scale = alt.Scale(domain=["pool", "balanced"], range=["#8da0b3", "#d95f02"])
    log_axis = {"tickCount": 6, "format": "~s", "grid": False}
    lines = (
        alt.Chart(alt.Data(values=points))
        .mark_line(strokeWidth=2.5)
        .encode(
            x=alt.X("rank:Q", title="concept, by rank", axis=alt.Axis(**log_axis)).scale(
                type="log", nice=False
            ),
            y=alt.Y("pairs:Q", title="pairs that hold it", axis=alt.Axis(**log_axis)).scale(
                type="log"
            ),
            color=alt.Color("set:N", title=None, scale=scale, legend=alt.Legend(orient="top")),
        )
    )
    rule = (
        alt.Chart(alt.Data(values=[{"y": threshold, "label": f"threshold {threshold:,.0f}"}]))
        .encode(y="y:Q")
    )  # fmt: skip
    chart = (
        rule.mark_rule(strokeDash=[4, 4], color="#555555")
        + rule.mark_text(align="right", dy=-6, color="#555555").encode(
            x=alt.value(560), text="label:N"
        )
        + lines
    ).properties(
        width=560,
        height=280,
        title="Balancing thins frequent concepts and keeps rare ones whole",
    )
    svg: str = vl_convert.vegalite_to_svg(chart.to_json())
    return svg
