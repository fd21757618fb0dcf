"""Which files a pool argument means."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metacurate.engine.stores import canonical, protocol_of
from metacurate.errors import MetacurateError, UsageError
from metacurate.pool.files import Source, find_files, format_of

from .opened import ROWS, open_pool, read


def paths(source: Source) -> list[str]:
    return [file.path for file in find_files(source)]


# ---- files

TREE = (
    "a.parquet", "b.parquet", "sub/c.parquet", "sub/deep/d.parquet", "odd[1].parquet", "noending",
    "notes.txt", ".hidden.parquet", "_part.parquet", ".cache/e.parquet", "_temporary/f.parquet",
    "sub/_logs/g.parquet",
)  # fmt: skip
ALL = ["a.parquet", "b.parquet", "odd[1].parquet", "sub/c.parquet", "sub/deep/d.parquet"]

SOURCES = [
    pytest.param(["a.parquet"], ["a.parquet"], id="file"),
    pytest.param(["noending"], ["noending"], id="file without ending"),
    pytest.param(["_part.parquet"], ["_part.parquet"], id="a hidden file that is named"),
    pytest.param(["odd[1].parquet"], ["odd[1].parquet"], id="file with a glob's characters"),
    pytest.param([""], ALL, id="folder"),
    pytest.param(["sub/"], ["sub/c.parquet", "sub/deep/d.parquet"], id="nested folder"),
    pytest.param(["?.parquet"], ["a.parquet", "b.parquet"], id="glob"),
    pytest.param(["s*/*.parquet"], ["sub/c.parquet"], id="glob of folders"),
    pytest.param(["sub/**/[cd].parquet"], ["sub/c.parquet", "sub/deep/d.parquet"], id="deep glob"),
    pytest.param(["b.parquet", "a.parquet"], ["a.parquet", "b.parquet"], id="list"),
    pytest.param(["", "sub", "a.parquet", "?.parquet"], ALL, id="list that overlaps"),
]


@pytest.mark.parametrize(("sources", "found"), SOURCES)
def test_files(sources: Sequence[str], found: list[str], tmp_path: Path) -> None:
    root = tmp_path / ".x" / "_pool"  # what lies above the pool hides nothing
    for name in TREE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    expected = [str(root / name) for name in found]
    assert paths([f"{root}/{source}" for source in sources]) == expected
    assert paths([f"file://{root}/{source}" for source in sources]) == expected


def test_a_glob_means_folders_too(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet/part-0.parquet", "b.parquet/_SUCCESS", "c/d.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for pattern in ("*.parquet", "*", "c*"):  # the same as where a shell expands it
        assert paths(tmp_path / pattern) == paths(list(tmp_path.glob(pattern)))


@pytest.mark.parametrize("source", ["", "one.parquet", "o*.parquet"])
def test_files_of_a_store(source: str) -> None:
    files = fsspec.filesystem("memory")
    for name in ("one.parquet", "_two.parquet", "notes.txt"):
        with files.open(f"/pool/{name}", "wb") as file:
            pq.write_table(pa.table(ROWS), file)
    try:
        pool = open_pool(f"memory://pool/{source}")
        assert [file.path for file in pool.files] == ["memory:///pool/one.parquet"]
        (unit,) = pool.units
        assert read(pool, unit).to_pydict() == ROWS
    finally:
        files.rm("/pool", recursive=True)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param("none", "none: no such file or folder", id="missing"),
        pytest.param("none*.parquet", "no such file or folder", id="glob of nothing"),
        pytest.param("folder", "folder: the folder holds no file of a pool", id="nothing inside"),
    ],
)
def test_no_files(source: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=message) as caught:
        paths(tmp_path / source)
    assert str(caught.value).startswith(str(tmp_path))


def test_empty_list() -> None:
    with pytest.raises(UsageError, match="no pool: the list of files is empty"):
        paths([])


# ---- formats


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.parquet", "parquet"), ("a.PARQUET", "parquet"), ("a.b.parquet", "parquet"),
        ("a.csv", "csv"), ("a.csv.gz", "csv"), ("a.CSV.ZST", "csv"), ("a.tsv.zst", "tsv"),
        ("a.jsonl", "jsonl"), ("a.jsonl.zst", "jsonl"), ("A.NDJSON", "jsonl"),
        ("a.ndjson.gz", "jsonl"), ("00000.tar", "tar"), ("a.tar.gz", "tar"),
        ("s3://bucket/a.csv.gz", "csv"), ("some.csv/notes.txt", None), ("a.json", None),
        ("a.parquet.gz", None), ("a.csv.bz2", None), ("a.gz", None), ("csv", None), ("a.", None),
    ],
)  # fmt: skip
def test_the_ending_tells_the_format(name: str, found: str | None) -> None:
    assert format_of(name) == found


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("a.csv b.parquet", "1 CSV ({}/a.csv); 1 Parquet ({}/b.parquet)"),
        ("a.tsv.gz b.csv c.csv", "2 CSV ({}/b.csv); 1 TSV ({}/a.tsv.gz)"),
        ("a.jsonl b.tar c.ndjson", "2 JSON lines ({}/a.jsonl); 1 tar ({}/b.tar)"),
        ("0.tar 1.parquet", "1 Parquet ({}/1.parquet); 1 tar ({}/0.tar)"),
    ],
)
def test_formats_are_not_mixed(names: str, told: str, tmp_path: Path) -> None:
    make(tmp_path, *names.split())
    message = f"the pool mixes formats: {told.replace('{}', str(tmp_path))}: "
    for source in (tmp_path, tmp_path / "*", sorted(tmp_path.iterdir())):
        with pytest.raises(UsageError, match=re.escape(message)):
            find_files(source)


def test_one_format_of_several_is_named_by_a_glob(tmp_path: Path) -> None:
    make(tmp_path, "a.csv", "b.parquet", "c.csv.gz")
    (only,) = find_files(tmp_path / "*.parquet")
    assert (Path(only.path).name, only.format, only.size) == ("b.parquet", "parquet", 1)
    assert [file.format for file in find_files(tmp_path / "*.csv*")] == ["csv", "csv"]


# ---- tars, and the Parquet files that img2dataset leaves beside them


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("0.tar 0.parquet 0_stats.json 1.tar 1.parquet", {"0.parquet": True, "1.parquet": True}),
        ("0.tar 1.tar", {"0.tar": False, "1.tar": False}),
        ("0.TAR 0.parquet", {"0.parquet": True}),
        ("0.tar.gz 0.parquet", {"0.parquet": True}),
        ("0.tar 0.parquet more.parquet", {"0.parquet": True, "more.parquet": False}),
    ],
)
def test_sidecars(names: str, found: dict[str, bool], tmp_path: Path) -> None:
    make(tmp_path, *names.split())
    assert {Path(file.path).name: file.sidecar for file in find_files(tmp_path)} == found


def test_a_tar_or_a_parquet_file_that_is_named_alone_is_itself(tmp_path: Path) -> None:
    make(tmp_path, "0.tar", "0.parquet")
    for name, kind in (("0.tar", "tar"), ("*.tar", "tar"), ("0.parquet", "parquet")):
        (only,) = find_files(tmp_path / name)
        assert (only.format, only.sidecar) == (kind, False)


def test_tars_of_which_some_lack_their_sidecar(tmp_path: Path) -> None:
    make(tmp_path, "0.tar", "0.parquet", "1.tar", "2.tar")
    with pytest.raises(UsageError, match=re.escape(f"beside others (2, as {tmp_path}/1.tar)")):
        find_files(tmp_path)


# ---- each file once


def test_a_file_is_counted_once_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "pool/a.parquet", "pool/sub/b.parquet")
    (tmp_path / "pool/link.parquet").symlink_to("a.parquet")
    (tmp_path / "linked").symlink_to("pool")
    names: list[str | Path] = [
        "pool/a.parquet", "./pool//a.parquet", "pool/../pool/a.parquet", "pool/link.parquet",
        "linked/a.parquet", tmp_path / "pool/a.parquet", f"file://{tmp_path}/pool/a.parquet",
    ]  # fmt: skip
    (only,) = find_files(names)
    assert only.path == f"{tmp_path}/pool/a.parquet"
    sources: list[Source] = [["pool", "linked"], ["pool", *names], ["pool/*", "pool"], "pool"]
    assert [len(find_files(source)) for source in sources] == [2] * 4


def test_a_folder_that_links_to_itself_ends(tmp_path: Path) -> None:
    make(tmp_path, "pool/a.parquet")
    (tmp_path / "pool/again").symlink_to(tmp_path / "pool")
    assert paths(tmp_path / "pool") == [f"{tmp_path}/pool/a.parquet"]


# ---- what is hidden


@pytest.mark.parametrize("pattern", ["*", "**", "*/*", "**/*", "**/*.parquet", "*.parquet"])
def test_globs_pass_over_what_is_hidden(pattern: str, tmp_path: Path) -> None:
    make(
        tmp_path, "a.parquet", "sub/b.parquet", ".c.parquet", "_d.parquet", ".e/f.parquet",
        "_g/h.parquet", "sub/.i/j.parquet",
    )  # fmt: skip
    found = paths(tmp_path / pattern)
    assert set(found) <= {f"{tmp_path}/a.parquet", f"{tmp_path}/sub/b.parquet"}
    assert found


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (".*.parquet", ".c.parquet"),
        ("_*", "_d.parquet"),
        (".e/*.parquet", ".e/f.parquet"),
        (".e", ".e/f.parquet"),
    ],
)
def test_what_is_hidden_is_found_by_its_name(pattern: str, found: str, tmp_path: Path) -> None:
    make(tmp_path, "a.parquet", ".c.parquet", "_d.parquet", ".e/f.parquet")
    assert paths(tmp_path / pattern) == [f"{tmp_path}/{found}"]


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    make(tmp_path, "a.parquet")
    (tmp_path / "b.parquet").symlink_to("none.parquet")
    with pytest.raises(MetacurateError, match=r"b\.parquet"):
        find_files(tmp_path)


NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """A superuser may read anything, so be somebody else for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_folder_that_can_not_be_read_is_told() -> None:
    with TemporaryDirectory() as name:  # others may not look into pytest's
        folder = Path(name)
        folder.chmod(0o755)
        make(folder, "a.parquet", "sub/b.parquet")
        (folder / "sub").chmod(0)
        with as_nobody(), pytest.raises(MetacurateError, match="sub"):
            find_files(folder)
        (folder / "sub").chmod(0o755)


# ---- outputs among the inputs


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("pool", "pool/out"),
        ("pool", "pool/deep/out"),
        ("pool", "pool"),
        ("pool/../pool", "./pool/out"),
        ("link", "pool/out"),
        ("pool", "link/out"),
        ("pool/*", "pool/out"),
        ("p*", "pool/out"),
        ("pool/**", "pool/deep/out"),
        ("pool/**/*.parquet", "pool/out"),
        ("pool/*/*.parquet", "pool/out"),
        ("pool/*.parquet", "pool/out.parquet"),
        ("pool/a.parquet", "pool"),
        ("pool/*.parquet", "."),
    ],
)
def test_outputs_among_the_inputs_are_refused_from_the_first_time_on(
    source: str, out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "pool/a.parquet", "pool/sub/b.parquet")
    Path("link").symlink_to("pool")
    for _ in range(2):
        with pytest.raises(UsageError, match=f"output folder {Path(out)} (lies in|holds files of)"):
            find_files(source, Path(out))
        make(tmp_path, f"{out}/counts.parquet", f"{out}/.metacurate/lock", f"{out}/manifest.json")


@pytest.mark.parametrize("source", ["pool/*.parquet", "pool/a.parquet", ["pool/a.parquet"]])
def test_outputs_beside_the_inputs_are_no_inputs(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "pool/a.parquet")
    for _ in range(2):
        (only,) = find_files(source, Path("pool/out"))
        assert only.path == f"{tmp_path}/pool/a.parquet"
        make(tmp_path, "pool/out/counts.parquet", "pool/out/.metacurate/lock")


# ---- output folders as pools


def test_of_an_output_folder_the_table_that_it_holds(tmp_path: Path) -> None:
    make(
        tmp_path, "out/.metacurate/lock", "out/manifest.json", "out/counts.parquet",
        "out/shards.parquet", "out/curated/a.parquet", "out/curated/b.parquet",
    )  # fmt: skip
    expected = [f"{tmp_path}/out/curated/{name}.parquet" for name in "ab"]
    assert paths(tmp_path / "out") == paths(tmp_path / "o*") == expected
    (tmp_path / "out/manifest.json").unlink()
    for source in ("out", "o*"):
        with pytest.raises(UsageError, match="out: its run is not complete"):
            find_files(tmp_path / source)


def test_a_folder_of_counts_is_no_pool(tmp_path: Path) -> None:
    make(
        tmp_path, "out/.metacurate/lock", "out/manifest.json", "out/counts.parquet",
        "out/shards.parquet",
    )  # fmt: skip
    with pytest.raises(UsageError, match=f"^{tmp_path}/out: "):
        find_files(tmp_path / "out")


# ---- stores


@pytest.mark.parametrize(
    ("uri", "package", "extra"),
    [
        ("s3://bucket/pool", "s3fs", "s3"),
        ("s3a://bucket/pool/*.parquet", "s3fs", "s3"),
        ("gs://bucket/pool", "gcsfs", "gcs"),
        ("gcs://bucket/pool", "gcsfs", "gcs"),
        ("hf://datasets/someone/pool", "huggingface_hub", "hf"),
    ],
)
def test_a_store_names_the_extra_that_it_needs(
    uri: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = sys.modules["fsspec.registry"]._registry
    monkeypatch.delitem(known, protocol_of(canonical(uri)), raising=False)
    for name in [package, *(one for one in sys.modules if one.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(UsageError) as caught:
        find_files(uri)
    assert str(caught.value).startswith(f"{uri}: can't be reached ")
    assert str(caught.value).endswith(f': pip install "metacurate[{extra}]"')


def test_a_store_that_nobody_knows() -> None:
    with pytest.raises(UsageError, match=r"^foo://bucket/pool: can't be reached "):
        find_files("foo://bucket/pool")
