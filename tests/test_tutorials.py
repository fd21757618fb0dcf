"""The tutorials' commands run, and print what the pages show; formats.md tells what is so.

In blocks of ```console, each `$ ` begins a command; a backslash at the end of a line continues it,
and the lines below are what it prints on standard output. It must succeed. In blocks of ```python
the examples with >>> run. All blocks of a page run in order, in a folder that holds the page's pool
from pools_of_the_web.py. `...` stands for anything, as in doctest's ELLIPSIS: for what differs
from run to run, as seconds.

    python tests/test_tutorials.py

writes into the pages what the commands print now, where that differs.
"""

import contextlib
import doctest
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import metacurate as mc
from metacurate.pool.files import COMPRESSED, ENDINGS
from metacurate.pool.where import Where

TESTS = Path(__file__).parent
PAGES = sorted((TESTS.parent / "docs" / "tutorials").glob("*.md"))
FORMATS = TESTS.parent / "docs" / "formats.md"
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (?P<command>(?:.*\\\n)*.*)\n(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)
FLAGS = doctest.ELLIPSIS | doctest.REPORT_UDIFF
SECONDS = re.compile(r"(?<= )[ \d]{2}[ \d.]{4}(?= │$)", re.MULTILINE)  # at the end of their row


class Command(NamedTuple):
    """A command of a page, what the page says it prints, and where that stands in the page."""

    command: str
    output: str
    start: int
    end: int


class Snippet(NamedTuple):
    """Python examples of a page, and the line that they begin at."""

    code: str
    line: int


def steps(page: str) -> Iterator[Command | Snippet]:
    for block in BLOCK.finditer(page):
        kind, content = block.groups()
        begin = block.start(2)
        if kind == "python":
            yield Snippet(content, page.count("\n", 0, begin))
            continue
        at = 0
        for found in COMMAND.finditer(content):
            assert found.start() == at, f"no command: {content[at : found.start()]}"
            at = found.end()
            start, end = (begin + place for place in found.span("output"))
            yield Command(found["command"], found["output"], start, end)
        assert at == len(content), f"no command: {content[at:]}"


def environment(folder: Path) -> dict[str, str]:
    """With `metacurate` on the path: this package's, whether it is installed or not."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    program = programs / "metacurate"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m metacurate "$@"\n', "utf-8")
    program.chmod(0o755)
    variables = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    source = str(Path(mc.__file__).parents[1])
    return {
        **variables,
        "PATH": f"{programs}:{variables['PATH']}",
        "PYTHONPATH": os.pathsep.join([source, *filter(None, [variables.get("PYTHONPATH")])]),
        "PYTHONIOENCODING": "utf-8",
        "COLUMNS": "100",
    }


def execute(command: str, folder: Path, variables: dict[str, str]) -> str:
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=variables, capture_output=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout.decode()}{done.stderr.decode()}"
    return done.stdout.decode()


def make_pool(page: Path, folder: Path) -> None:
    folder.mkdir()
    script = TESTS / "pools_of_the_web.py"
    subprocess.run([sys.executable, script, page.stem], cwd=folder, check=True)


def difference(step: Command, printed: str) -> str:
    checker = doctest.OutputChecker()
    if checker.check_output(step.output, printed, FLAGS):
        return ""
    example = doctest.Example(step.command, step.output)
    return f"$ {step.command}\n{checker.output_difference(example, printed, FLAGS)}"


def test_there_are_tutorials() -> None:
    assert {page.stem for page in PAGES} >= {"laion", "datacomp", "cc12m", "webdataset"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_tutorial(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "work"
    make_pool(path, folder)
    variables = environment(tmp_path)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    commands = 0
    for step in steps(path.read_text("utf-8")):
        if isinstance(step, Command):
            found = difference(step, execute(step.command, folder, variables))
            assert not found, found
            commands += 1
        else:
            test = doctest.DocTestParser().get_doctest(
                step.code, names, path.name, str(path), step.line
            )
            runner = doctest.DocTestRunner(optionflags=FLAGS)
            failed, tried = runner.run(test, clear_globs=False)
            assert (failed, tried > 0) == (0, True)
            names = test.globs
    assert commands > 1


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_fit(path: Path) -> None:
    page = path.read_text("utf-8")
    assert [line for line in page.split("\n") if len(line) > 100] == []
    links = re.findall(r"\]\(([^)#\s]+)", page)
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert missing == []


def test_the_page_of_formats_knows_all_endings() -> None:
    page = FORMATS.read_text("utf-8")
    assert [ending for ending in (*ENDINGS, *COMPRESSED) if f"`{ending}`" not in page] == []


def test_the_conditions_of_the_page_are_read() -> None:
    section = FORMATS.read_text("utf-8").split("\n## Which rows")[1].split("\n## ")[0]
    cells = re.findall(r"^\| .* \| (.*) \|$", section, re.MULTILINE)
    codes = [code for cell in cells for code in re.findall("`([^`]+)`", cell)]
    conditions = [code for code in codes if code not in ("and", "or", "not", *"+-*/")]
    assert len(conditions) > 15
    for condition in conditions:
        Where.parse(condition)


def shorten(printed: str, folder: Path) -> str:
    """Put dots for the numbers in rows of seconds, and for the folder."""
    lines = [
        SECONDS.sub("......", line) if line.startswith("│ seconds ") else line
        for line in printed.replace(str(folder), "...").splitlines(keepends=True)
    ]
    return "".join(lines)


def rewrite(path: Path) -> None:
    """Write what the commands print into their page; Python's examples are left to their tests."""
    page, made, at = path.read_text("utf-8"), "", 0
    with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(temporary):
        folder = Path(temporary) / "work"
        make_pool(path, folder)
        variables = environment(Path(temporary))
        for step in steps(page):
            if isinstance(step, Command):
                printed = execute(step.command, folder, variables)
                same = not difference(step, printed)
                made += page[at : step.start]
                made += step.output if same else shorten(printed, folder)
                at = step.end
    path.write_text(made + page[at:], "utf-8", newline="")


if __name__ == "__main__":
    for one in sys.argv[1:] or PAGES:
        rewrite(Path(one).resolve())
