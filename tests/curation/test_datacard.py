"""The data card agrees with the files that it describes, and nothing in it can do harm."""

import html
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import metacurate as mc
from metacurate.curation.datacard import command_for
from metacurate.curation.readme import make_readme

from .pools import ENTRIES, read_curated, read_kept, write_pool, zipf_pool
from .twin import count

T = 20.0
FATES = ["kept", "balanced_away", "unmatched", "invalid"]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("datacard")
    sources = [("number", "unigram", "bigram")[i % 7 % 3] for i in range(len(ENTRIES))]
    pq.write_table(pa.table({"entry": ENTRIES, "source": sources}), folder / "metadata.parquet")
    pool = zipf_pool(20_000)
    write_pool(folder / "pool", [pool.slice(0, 9_000), pool.slice(9_000)])
    metadata = mc.Metadata.read(folder / "metadata.parquet")
    mc.curate(folder / "pool", metadata, threshold=T, out=folder / "out", seed=3)
    return folder / "out"


@pytest.fixture(scope="module")
def card(out: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((out / "datacard.json").read_text("utf-8"))
    return read


def test_totals(out: Path, card: dict[str, Any]) -> None:
    shards = pq.read_table(out / "shards.parquet")
    for fate in ("rows_read", *FATES):
        assert card[fate] == sum(shards[fate].to_pylist())
    assert card["rows_read"] == 20_000 == sum(card[fate] for fate in FATES)
    assert card["kept"] == len(read_curated(out))
    counts = pq.read_table(out / "counts.parquet")["count"].to_pylist()
    kept = read_kept(out)
    expected = {
        "matches": sum(counts),
        "kept_matches": sum(len(pair.entries) for pair in kept),
        "threshold": T,
        "tail_share": sum(n for n in counts if n < T) / sum(counts),
        "entries": len(ENTRIES),
        "head_entries": sum(n >= T for n in counts),
        "tail_entries": sum(n < T for n in counts),
        "unmatched_entries": counts.count(0),
        "seed": 3,
        "round": 0,
        "mode": "paper",
    }
    assert {name: card[name] for name in expected} == expected
    totals = json.loads((out / "manifest.json").read_text())["totals"]
    shared = card.keys() & totals.keys()
    assert shared >= {*FATES, *expected}
    assert {name: card[name] for name in shared} == {name: totals[name] for name in shared}


def test_entries(out: Path, card: dict[str, Any]) -> None:
    table = pq.read_table(out / "counts.parquet").to_pylist()
    kept = count(pair.entries for pair in read_kept(out))
    per_source: dict[str, dict[str, int]] = {}
    for row in table:
        of = per_source.setdefault(
            row["source"], {"entries": 0, "matched_entries": 0, "matches": 0, "kept_matches": 0}
        )
        of["entries"] += 1
        of["matched_entries"] += row["count"] > 0
        of["matches"] += row["count"]
        of["kept_matches"] += kept[row["entry_id"]]
    assert card["sources"] == per_source
    assert len(per_source) == 3
    top = sorted(table, key=lambda row: (-row["count"], row["entry_id"]))[:20]
    assert card["most_matched"] == [
        {**row, "kept": kept[row["entry_id"]], "probability": T / max(row["count"], T)}
        for row in top
    ]


def test_quantiles(out: Path, card: dict[str, Any]) -> None:
    counts = pq.read_table(out / "counts.parquet")["count"].to_pylist()
    kept = count(pair.entries for pair in read_kept(out))
    quantiles = card["quantiles_of_matched_entries"]
    matched = [i for i, n in enumerate(counts) if n]
    for name, values in (
        ("count", [counts[i] for i in matched]),
        ("kept", [kept[i] for i in matched]),
    ):
        values.sort()
        at = [int(q * (len(values) - 1)) for q in quantiles["quantile"]]
        assert quantiles[name] == [values[i] for i in at]
    assert (quantiles["quantile"][0], quantiles["quantile"][-1]) == (0, 1)


def test_digests_and_versions(out: Path, card: dict[str, Any]) -> None:
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["digests"] == {"metadata": card["metadata_digest"], "pool": card["pool"]}
    assert card["versions"]["metacurate"] == mc.__version__
    assert card["versions"]["numpy"] == np.__version__
    assert manifest["versions"] == card["versions"]


def test_nothing_matched(tmp_path: Path) -> None:
    pool = pa.table({"url": ["a"], "text": ["b"]})
    source = write_pool(tmp_path / "pool", [pool])
    mc.curate(source, mc.Metadata.from_entries(["x"]), out=tmp_path / "out")
    text = (tmp_path / "out" / "datacard.json").read_text()
    assert "NaN" not in text
    card = json.loads(text)
    assert (card["kept"], card["most_matched"], card["tail_share"]) == (0, [], 0)
    assert make_readme(card) == (tmp_path / "out" / "README.md").read_text("utf-8")


# ---- README.md


def header_of(readme: str) -> dict[str, Any]:
    """The YAML header as Hugging Face reads it; all of it is plain, whatever the data hold."""
    header: dict[str, Any] = huggingface_hub.DatasetCard(readme).data.to_dict()
    assert header["configs"] == [{"config_name": "default", "data_files": "curated/*.parquet"}]
    assert header["tags"] == ["image-text pairs", "CLIP", "MetaCLIP", "metacurate"]
    assert header.keys() <= {"pretty_name", "configs", "size_categories", "tags", "language"}
    return header


def test_header(out: Path) -> None:
    header = header_of((out / "README.md").read_text("utf-8"))
    assert header["size_categories"] == ["1K<n<10K"]
    assert header["pretty_name"] == "Balanced image-text pairs (threshold 20)"
    assert "language" not in header  # of what is not known, nothing is told


def test_languages(card: dict[str, Any]) -> None:
    kept = card["kept"]
    found = {"no": [kept, kept], "de": [9, kept // 100 + 1], "fr": [9, 1], "x: y": [kept, kept]}
    census = {**card["census"], "values": {"language": {**found, "": [kept, kept], "zz": [9, 0]}}}
    assert header_of(make_readme(card | {"census": census}))["language"] == ["de", "no"]
    census["values"] = {"language": None}
    assert "language" not in header_of(make_readme(card | {"census": census}))


@pytest.mark.parametrize(
    ("kept", "size"),
    [
        (0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"),
        (10**9 - 1, "100M<n<1B"), (10**10, "n>10B"), (10**12, "n>10B"),
    ],
)  # fmt: skip
def test_size_category(card: dict[str, Any], kept: int, size: str) -> None:
    assert header_of(make_readme(card | {"kept": kept}))["size_categories"] == [size]


def test_numbers_are_shown(out: Path, card: dict[str, Any]) -> None:
    readme = (out / "README.md").read_text("utf-8")
    for name in ("rows_read", *FATES, "matches", "kept_matches", "head_entries"):
        assert f"{card[name]:,}" in readme, name
    assert card["metadata_digest"] in readme


def test_fates_add_up(out: Path, card: dict[str, Any]) -> None:
    rows = dict(table_of((out / "README.md").read_text("utf-8"), "Rows", skip=1))
    numbers = {name: int(number.replace(",", "")) for name, number in rows.items()}
    assert numbers == {name.replace("_", " "): card[name] for name in FATES} | {"read": 20_000}
    assert numbers.pop("read") == sum(numbers.values())


def test_columns(out: Path, card: dict[str, Any]) -> None:
    schema = pq.read_schema(next((out / "curated").iterdir()))
    types = [str(field.type).replace("element:", "item:") for field in schema]
    assert card["columns"] == dict(zip(schema.names, types, strict=True))
    rows = table_of((out / "README.md").read_text("utf-8"), "Columns")
    assert [html.unescape(name) for name, *_ in rows] == schema.names
    assert [html.unescape(kind) for _, kind, _ in rows] == types


def test_picture_and_report(card: dict[str, Any]) -> None:
    plain, full = make_readme(card), make_readme(card, "report/balance.png", "report.html")
    assert "![" not in plain
    assert "report" not in plain
    assert "](report/balance.png)\n" in full
    assert "[report.html](report.html)" in full


def test_it_loads_as_it_says(out: Path, card: dict[str, Any], tmp_path: Path) -> None:
    readme = (out / "README.md").read_text("utf-8").replace('"OUT', f'"{out}')
    loaded = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
        for part in readme.replace("'OUT", f"'{out}").split("```python\n")[1:]:
            found: dict[str, Any] = {}
            exec(part.split("```")[0], found)
            loaded.append(found["pairs"])
    by_datasets, by_arrow, by_duckdb = loaded
    assert len(by_datasets) == len(by_arrow) == card["kept"]
    smallest = read_curated(out)["min_threshold"].to_pylist()
    assert len(by_duckdb) == sum(t <= T / 2 for t in smallest)


# ---- the command


def asked(**others: Any) -> dict[str, Any]:
    return {
        "command": "curate", "threshold": None, "tail_share": None, "budget": None, "seed": 0,
        "mode": "paper", "where": None, "per_image": "all", "round": None, "columns": None,
        "url_column": None, "text_column": None, "id_column": None, "foreign_counts": False,
        **others,
    }  # fmt: skip


def test_command(out: Path, card: dict[str, Any]) -> None:
    assert card["command"] == (
        "metacurate curate POOL --metadata METADATA --threshold 20.0 --seed 3 --mode paper "
        "--per-image all --out OUT"
    )
    assert f"```sh\n{card['command']}\n```\n" in (out / "README.md").read_text("utf-8")
    sampled = command_for(
        asked(command="sample", tail_share=0.5, foreign_counts=True, columns=["a", "b"])
    )
    assert sampled == (
        "metacurate sample POOL --metadata METADATA --counts COUNTS --foreign-counts "
        "--tail-share 0.5 --seed 0 --mode paper --per-image all --columns a,b --out OUT"
    )


def test_the_command_makes_the_set_again(out: Path, card: dict[str, Any], tmp_path: Path) -> None:
    files = {"POOL": out.parent / "pool", "METADATA": out.parent / "metadata.parquet"}
    words = [
        str({**files, "OUT": tmp_path / "again"}.get(w, w)) for w in shlex.split(card["command"])
    ]
    done = subprocess.run(
        [sys.executable, "-m", *words, "--no-report"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in ("README.md", "datacard.json", "croissant.json", "counts.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes(), name


@given(where=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
@example(where="a = '```\n```'")
@example(where="\u202e' \\ \x1b[31m é \x7f \x85")
def test_any_option_is_quoted(card: dict[str, Any], where: str) -> None:
    command = command_for(asked(where=where))
    assert command.isprintable()
    readme = make_readme(card | {"command": command})
    before, after = readme.split(f"sh\n{command}\n")
    fence = before.rpartition("\n")[2]
    assert set(fence) == {"`"}
    assert fence not in command
    assert after.startswith(f"{fence}\n")


@pytest.mark.parametrize(
    "where", ["a", "a b", "a'b", "\n'x'\t\\", "\u202e", "\x1b[1m", "é\u2028🦊"]
)
def test_a_shell_reads_options_as_they_were(where: str) -> None:
    command = command_for(asked(where=where)).replace("metacurate", "printf '%s\\0'", 1)
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    words = done.stdout.decode().split("\0")
    assert words[words.index("--where") + 1] == where


# ---- what data bring


def table_of(readme: str, title: str, skip: int = 0) -> list[list[str]]:
    """Cells of a table under its title: a bar that data brought would add some."""
    section = readme.split(f"\n## {title}\n\n")[1].split("\n\n")[skip]
    lines = section.splitlines()[2:]
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines)
    return [line[2:-2].split(" | ") for line in lines]


HOSTILE = [
    "a|b", "`x`", "<script>alert(1)</script>", "<img/src=x onerror=y>", "a\nb", "\r\n---\r\n", "\\",
    "[a](javascript:b)", "![a](b)", "*a*", "__a__", "# a", "~~a~~", "&lt;b&gt;", "&#124;", "&|",
    "\x1b[31m", "\u202ea", "\u2028", "\0", "|", "||", "---", "{{a}}", "é🦊",
]  # fmt: skip


def test_hostile_columns(tmp_path: Path) -> None:
    names = [name for name in HOSTILE if name not in ("url", "text")]
    table = pa.table({"url": ["u"], "text": ["x"], **{name: ["y"] for name in names}})
    source = write_pool(tmp_path / "pool", [table])
    mc.curate(source, mc.Metadata.from_entries(["x"]), threshold=9, out=tmp_path / "out")
    readme = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert header_of(readme)["size_categories"] == ["n<1K"]
    assert "<script" not in readme
    rows = table_of(readme, "Columns")
    assert all(len(row) == 3 for row in rows)
    assert len(rows) == 2 + len(names) + 3


def test_hostile_entries(tmp_path: Path) -> None:
    entries = pa.table({"entry": HOSTILE, "source": HOSTILE})
    pq.write_table(entries, tmp_path / "metadata.parquet")
    metadata = mc.Metadata.read(tmp_path / "metadata.parquet")
    urls = [str(i) for i in range(len(HOSTILE))]
    source = write_pool(tmp_path / "pool", [pa.table({"url": urls, "text": HOSTILE})])
    mc.curate(source, metadata, threshold=9, mode="spaced", out=tmp_path / "out")
    card = json.loads((tmp_path / "out" / "datacard.json").read_text("utf-8"))
    assert list(card["sources"]) == HOSTILE
    assert len(card["most_matched"]) == 20
    readme = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert header_of(readme)["size_categories"] == ["n<1K"]
    assert "<script" not in readme
    assert "<img" not in readme
    assert all(len(row) == 5 for row in table_of(readme, "Matches by source of the entry"))
    shown = [html.unescape(row[0]) for row in table_of(readme, "The most matched entries")]
    for cell, told in zip(shown, card["most_matched"], strict=True):
        assert cell == "".join(c if c.isprintable() else "\ufffd" for c in told["entry"])


@given(entry=st.text(min_size=1))
@example(entry="&amp;#124; &#124; &# &amp; \\| `|`")
def test_any_entry(card: dict[str, Any], entry: str) -> None:
    top = [{**card["most_matched"][0], "entry": entry}]
    ((cell, *rest),) = table_of(
        make_readme(card | {"most_matched": top}), "The most matched entries"
    )
    assert len(rest) == 4
    assert not set("<>`*_[]|~\\") & set(cell)
    assert html.unescape(cell) == "".join(c if c.isprintable() else "\ufffd" for c in entry)
