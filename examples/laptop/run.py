"""From web pages to the score of a model: on this machine, in minutes, without a network.

    python -m examples.laptop.run

Each step is a command of metacurate, shown before it runs. The same call again, in the same folder,
goes on where it was cut off.
"""

import argparse
import json
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from examples.laptop import web


@dataclass(frozen=True)
class Plan:
    """How much is made and done.

    Attributes:
        size: of the web. threshold: of balancing.
        pairs_seen, batch: of each training.
    """

    size: web.Size
    threshold: int
    pairs_seen: int
    batch: int


FULL = Plan(web.Size(colours=8, patterns=6, images=8_000, tests=25), 60, 32_000, 128)
QUICK = Plan(web.Size(colours=4, patterns=3, images=1_000, tests=10), 20, 2_500, 32)
STAGES = {
    "pool": "found in pages",
    "unique": "without duplicates",
    "shards": "whose image is there",
    "clean": "no near duplicate, not of the test set",
    "balanced-shards": "balanced",
}
MODELS = {"raw": "clean/", "balanced": "balanced-shards/"}


class Images(SimpleHTTPRequestHandler):
    """Serves files, and says nothing of it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Pass over what would be printed for each request."""


@contextmanager
def serving(folder: Path, port: int) -> Iterator[None]:
    """Serve a folder to this machine, and to no other.

    Raises:
        OSError: when the port is taken.
    """
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), partial(Images, directory=folder))
    except OSError as error:
        raise OSError(f"port {port} can't be had ({error.strerror}): name another") from error
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


def run(folder: Path, command: str) -> None:
    """Show a command and run it in a folder, as the metacurate of this Python."""
    print(f"\n$ metacurate {command}", flush=True)
    arguments = shlex.split(command)
    subprocess.run([sys.executable, "-m", "metacurate", *arguments], cwd=folder, check=True)


def curate(folder: Path, plan: Plan) -> None:
    """From pages to shards of a balanced set."""
    run(folder, "extract web/pages.warc.gz -o pool/")
    run(folder, "dedup pool/ -o unique/")
    run(
        folder,
        "images download unique/ -o shards/ --contact me@example.org --images-per-shard 2000 "
        "--allow-network 127.0.0.0/8",
    )
    run(
        folder,
        "images filter shards/ -o verdicts/ --near-duplicates --benchmark patterns/test/0.tar",
    )
    run(
        folder,
        "images select shards/ -o clean/ --verdicts verdicts/ --drop near_duplicate,benchmark",
    )
    run(folder, f"curate clean/ -m concepts.txt -t {plan.threshold} -o balanced/")
    run(folder, "images select clean/ -o balanced-shards/ --pairs balanced/")


def learn(folder: Path, plan: Plan) -> None:
    """Train a model on all that is clean and one on the balanced set; score both."""
    (folder / "scores").mkdir(exist_ok=True)
    for name, shards in MODELS.items():
        run(
            folder,
            f"train {shards} --recipe tiny -o runs/{name}/ --tokenizer train --seed 0 "
            f"--pairs-seen {plan.pairs_seen} --batch {plan.batch} --resume",
        )
    for name in MODELS:
        run(folder, f"evaluate runs/{name}/ --data patterns/ -o scores/{name}.json")


def stages(folder: Path) -> list[tuple[str, ...]]:
    """What of the pairs and images is there after each stage."""
    rows: list[tuple[str, ...]] = []
    for name, told in STAGES.items():
        table = pq.ParquetDataset(sorted((folder / name).glob("*.parquet"))).read()
        if "status" in table.column_names:
            table = table.filter(np.array(table["status"]) == "success")
        images = len(table["url"].unique())
        rows.append((f"{name}/", told, f"{table.num_rows:,}", f"{images:,}"))
    return rows


def scores(folder: Path, plan: Plan) -> list[tuple[str, ...]]:
    """Pairs and accuracies of frequent and rare concepts, raw and balanced."""
    counts = pq.read_table(folder / "balanced" / "counts.parquet").to_pylist()
    of_entry = {row["entry"]: (row["count"], row["kept"]) for row in counts}
    names = sorted(web.concepts(plan.size), key=lambda name: (-of_entry[name][0], name))
    accuracies = [accuracies_of(folder / "scores" / f"{model}.json") for model in MODELS]
    quarter = len(names) // 4
    groups = {
        "most frequent quarter": names[:quarter],
        "those between": names[quarter:-quarter],
        "rarest quarter": names[-quarter:],
        "all": names,
    }
    rows = []
    for told, group in groups.items():
        pairs = [f"{sum(of_entry[name][kind] for name in group):,}" for kind in (0, 1)]
        means = [f"{100 * np.mean([one[name] for name in group]):.1f}" for one in accuracies]
        rows.append((told, f"{len(group)}", *pairs, *means))
    return rows


def accuracies_of(file: Path) -> dict[str, float]:
    """The accuracy of each concept, as `metacurate evaluate` wrote it."""
    (dataset,) = json.loads(file.read_text("utf-8"))["datasets"]
    return {row["name"]: row["accuracy"] for row in dataset["per_class"]}


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], lefts: int) -> None:
    """Print a table, whose first columns are set left."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(f"\n{title}\n")
    for row in (header, ["-" * width for width in widths], *rows):
        cells = [
            cell.ljust(width) if place < lefts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def main() -> None:
    """Run all of it, and print what came out."""
    parser = argparse.ArgumentParser(
        "python -m examples.laptop.run", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("-o", "--out", type=Path, default=Path("build/laptop"), metavar="FOLDER")
    parser.add_argument("--quick", action="store_true", help="less of everything, much sooner")
    parser.add_argument("--port", type=int, default=8018, help="of the server of the images")
    chosen = parser.parse_args()
    plan, folder = QUICK if chosen.quick else FULL, chosen.out
    try:
        with serving(folder / "web", chosen.port):
            print(f"A web in {folder}", flush=True)
            web.make(folder, plan.size, f"127.0.0.1:{chosen.port}")
            curate(folder, plan)
        learn(folder, plan)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    show("What is left", ("folder", "", "pairs", "images"), stages(folder), lefts=2)
    show(
        f"Zero-shot accuracy in percent, {plan.pairs_seen:,} pairs seen each",
        ("concepts", "number", "pairs raw", "balanced", "accuracy raw", "balanced"),
        scores(folder, plan),
        lefts=1,
    )


if __name__ == "__main__":
    main()
