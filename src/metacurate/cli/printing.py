"""How results and messages are shown: tables for people, JSON for machines."""

import json
import logging
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 100  # characters, at least, where no terminal tells how many fit
SIZES = ("bytes", "kB", "MB", "GB", "TB")


class StandardError(logging.Handler):
    """Writes to what standard error is at the moment: a progress bar puts itself in between."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message as a line."""
        sys.stderr.write(printable(self.format(record)) + "\n")


def printable(text: str) -> str:
    """Take from a text what a terminal would obey; names and texts from data may hold it.

    Args:
        text: with line breaks, which stay.
    """
    return "".join(char if _is_harmless(char) or char == "\n" else "\ufffd" for char in text)


def _is_harmless(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"  # spaces of any width


def plain_output() -> bool:
    """Whether standard output is no UTF-8, so that JSON has to be escaped."""
    return (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"


def json_line(value: Any) -> str:
    """A value as one line of JSON, in which what a terminal would obey is escaped.

    Args:
        value: of JSON's types.
    """
    line = json.dumps(value, ensure_ascii=plain_output())
    if all(map(_is_harmless, line)):
        return line
    return "".join(char if _is_harmless(char) else json.dumps(char)[1:-1] for char in line)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON.

    Args:
        value: of JSON's types.
    """
    typer.echo(json_line(value))


def print_summary(summary: dict[str, Any], title: str, as_json: bool) -> None:
    """Print a summary, as JSON or as a table of names and values.

    Args:
        summary: values, or dicts of values. title: of the table. as_json: which of the two.
    """
    if as_json:
        print_json(summary)
        return
    rows = [(name.replace("_", " "), shown(value)) for name, value in _flatten(summary)]
    print_table(title, None, rows)


def print_table(
    title: str, columns: Sequence[str] | None, rows: Sequence[Sequence[str]], lefts: int = 1
) -> None:
    """Print a table; all but the first columns are aligned to the right.

    Args:
        title: above it. columns: their headings, or None. rows: of cells.
        lefts: number of columns that are aligned to the left.
    """
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    console.print(Text(printable(title), style="italic"), soft_wrap=True)
    table = Table(show_header=columns is not None)
    for i, name in enumerate(columns or (rows[0] if rows else ())):
        table.add_column(
            Text(name if columns else ""),
            justify="left" if i < lefts else "right",
            style="bold" if i == 0 else "",
            overflow="fold",
            no_wrap=columns is not None and i >= lefts,
        )
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table)


def shown(value: Any) -> str:
    """A value as people read it: whole numbers in groups of three digits.

    Args:
        value: any.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{int(value):,}" if value == int(value) else f"{value:.6g}"


def shown_bytes(size: float) -> str:
    """A size in the unit that suits it.

    Args:
        size: in bytes.
    """
    power = 0
    while size >= 1000 and power < len(SIZES) - 1:
        size /= 1000
        power += 1
    return f"{size:,.{1 if power else 0}f} {SIZES[power]}"


def _flatten(summary: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in summary.items():
        if isinstance(value, dict):
            yield from ((f"{name}: {key}", inner) for key, inner in value.items())
        else:
            yield name, value
