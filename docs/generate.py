"""Generate what the docs show: the command reference, the test vectors, and the picture."""

import subprocess
import sys
import tempfile
from pathlib import Path

from metacurate.curation.sample import draws
from metacurate.hashing.pairs import Purpose, draw_seed, xxh64

DOCS = Path(__file__).parent
VECTORS: tuple[tuple[str, str, int, Purpose, int], ...] = (
    ("", "", 0, "sample", 0),
    ("https://example.com/1.jpg", "a red fox in the snow", 0, "sample", 0),
    ("https://example.com/1.jpg", "a red fox in the snow", 1, "sample", 0),
    ("https://example.com/1.jpg", "a red fox in the snow", 2**64 - 1, "sample", 0),
    ("https://example.com/1.jpg", "a red fox in the snow", 0, "sample", 1),
    ("https://example.com/1.jpg", "a red fox in the snow", 0, "online", 3),
    ("https://example.com/1.jpg", "a red fox in the snow", 0, "caption", 0),
    ("https://example.com/1.jpg", "a red fox in the snow", 0, "crop", 0),
    ("https://example.com/1.jpg", "a red fox in the snow", 0, "dedup", 0),
    ("https://example.com/1.jpg", "a red fox in the snow", 0, "shuffle", 0),
    ("https://example.com/é.png", "naïve café ☕", 42, "sample", 0),
)


def command_reference() -> str:
    """docs/cli.md, from the commands' own help."""
    command = [sys.executable, "-m", "typer", "metacurate.cli", "utils", "docs"]
    printed = subprocess.run(
        [*command, "--name", "metacurate"], check=True, capture_output=True, text=True
    ).stdout
    return printed.rstrip() + "\n"


def vector_table() -> str:
    """The rows of the table of test vectors in docs/reproducibility.md."""
    rows = []
    for url, text, seed, purpose, index in VECTORS:
        hashed = xxh64(f"{url}\0{text}".encode(), draw_seed(seed, purpose, index))
        (draw,) = draws([url], [text], seed, purpose, index)
        rows.append(
            f"| `{url}` | `{text}` | {seed} | {purpose} | {index} | `{hashed:016x}` | {draw!r} |"
        )
    return "\n".join(rows).replace("np.float64(", "").replace(") |", " |")


def main() -> None:
    """Write docs/cli.md, the vectors into docs/reproducibility.md, and docs/counts.svg."""
    (DOCS / "cli.md").write_text(command_reference(), "utf-8")
    page = DOCS / "reproducibility.md"
    before, rest = page.read_text("utf-8").split("<!-- vectors -->\n")
    head = rest.splitlines()[:2]
    after = rest.split("<!-- end -->")[1]
    table = "\n".join([*head, vector_table()])
    page.write_text(f"{before}<!-- vectors -->\n{table}\n<!-- end -->{after}", "utf-8")
    with tempfile.TemporaryDirectory() as folder:
        demo = [sys.executable, "-m", "metacurate", "demo", "--out", folder]
        subprocess.run(demo, check=True)
        picture = (Path(folder) / "counts.svg").read_text("utf-8")
        (DOCS / "counts.svg").write_text(picture, "utf-8")


if __name__ == "__main__":
    main()
