"""The top level: its names, and that it costs nothing before it is used."""

import subprocess
import sys

import pytest

import metacurate as mc

NAMES = [
    "Balance", "LocalEngine", "Matcher", "Metadata", "RayEngine", "Report", "SlurmEngine",
    "__version__", "count", "curate", "draws",
]  # fmt: skip

HEAVY = {"numba", "llvmlite", "pyarrow.compute", "pyarrow.parquet", "scipy"}
OPTIONAL = {
    "pandas", "altair", "vl_convert", "duckdb", "torch", "wordfreq", "requests", "defusedxml",
    "mwparserfromhell", "fastwarc", "msgspec", "selectolax", "can_ada", "fasttext", "webencodings",
    "charset_normalizer", "urllib3", "ray", "submitit", "s3fs", "botocore", "aiohttp",
    "jinja2", "starlette", "uvicorn",
}  # fmt: skip

SHOW_MODULES = "import sys; print('modules', *sys.modules)"
HELP = """
import sys
from metacurate.cli import main
sys.argv = ["metacurate", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code
"""


def test_names() -> None:
    assert sorted(mc.__all__) == NAMES
    assert dir(mc) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_there(name: str) -> None:
    assert getattr(mc, name) is getattr(mc, name)
    assert name == "__version__" or callable(getattr(mc, name))


def test_no_other_name_is_there() -> None:
    with pytest.raises(AttributeError, match="module 'metacurate' has no attribute 'match'"):
        mc.match  # noqa: B018


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("import metacurate\n", id="import"),
        pytest.param("import metacurate\ndir(metacurate)\n", id="dir"),
        *(
            pytest.param(HELP.format(arguments=arguments), id=" ".join(arguments))
            for arguments in (
                ["--help"], ["--version"], ["curate", "--help"], ["metadata", "info", "--help"],
                ["metadata", "build", "--help"], ["metadata", "fetch", "--help"],
            )
        ),
    ],
)  # fmt: skip
def test_nothing_heavy_is_imported(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program + SHOW_MODULES], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.splitlines()[-1].split())
    assert "metacurate" in modules
    assert not modules & (HEAVY | OPTIONAL)


def test_the_command_prints_help() -> None:
    command = [sys.executable, "-m", "metacurate", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for name in ("curate", "count", "sample", "match", "metadata"):
        assert name in done.stdout
    assert done.stderr == ""
