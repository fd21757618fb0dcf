"""The docs say what the program does."""

import doctest
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import xxhash

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_reference_is_what_the_commands_say(generate: ModuleType) -> None:
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == generate.command_reference()


def test_the_test_vectors_are_what_draws_gives(generate: ModuleType) -> None:
    assert generate.vector_table() in (ROOT / "docs" / "reproducibility.md").read_text("utf-8")


def test_the_test_vectors_are_what_the_xxhash_package_gives() -> None:
    page = (ROOT / "docs" / "reproducibility.md").read_text("utf-8")
    pattern = r"^\| `(.*)` \| `(.*)` \| (\d+) \| (\w+) \| (\d+) \| `([0-9a-f]{16})` \| ([\d.]+) \|$"
    rows = re.findall(pattern, page, re.MULTILINE)
    assert len(rows) == 11
    for url, text, seed, purpose, index, hashed, draw in rows:
        message = purpose.encode() + int(index).to_bytes(8, "little")
        inner = xxhash.xxh64_intdigest(message, int(seed))
        value = xxhash.xxh64_intdigest(f"{url}\0{text}".encode(), inner)
        assert f"{value:016x}" == hashed
        assert (value >> 11) / 2**53 == float(draw)


def test_the_tutorial_runs() -> None:
    tutorial = ROOT / "docs" / "tutorial.md"
    failed, tried = doctest.testfile(str(tutorial), module_relative=False)
    assert (failed, tried > 20) == (0, True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_readme_names_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"`?make ([a-z]+)", (ROOT / "README.md").read_text("utf-8"))
    assert {"demo", "test", "bench"} <= set(targets)
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
