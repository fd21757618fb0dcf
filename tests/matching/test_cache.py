"""Automata on disk: what is loaded is what was saved, or else it is built again."""

import logging
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from metacurate.matching.automaton import Automaton, build_automaton
from metacurate.matching.cache import cache_folder, cache_path, load_automaton, save_automaton
from metacurate.matching.matcher import Matcher
from metacurate.matching.spacing import MODES, Mode
from metacurate.metadata.metadata import Metadata

ENTRIES = ["dog", "hot dog", "a hot dog", "a-word-of-more-than-16-bytes", "st. louis"]
TEXTS = ["a hot dog", "a dog in st. louis", "a-word-of-more-than-16-bytes", "none"]
EXPECTED = [[0, 1, 2], [0], [3], []]


def path_of(digest: str, mode: str) -> Path:
    path = cache_path(digest, mode)
    assert path is not None
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, which is not there yet."""
    monkeypatch.setenv("METACURATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def match() -> list[list[int]]:
    return Matcher(Metadata.from_entries(ENTRIES)).match(TEXTS).to_pylist()  # type: ignore[no-any-return]


def same(left: Automaton, right: Automaton) -> bool:
    pairs = [(getattr(left, field.name), getattr(right, field.name)) for field in fields(left)]
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "entries",
    [
        pytest.param(ENTRIES, id="some"),
        pytest.param(["dog"], id="no state of two words"),
        pytest.param(["a\tb."], id="none that can match"),
        pytest.param([f"word{i} word{i * i}" for i in range(5000)], id="thousands"),
    ],
)
def test_loaded_is_what_was_saved(entries: list[str], mode: Mode, tmp_path: Path) -> None:
    automaton = build_automaton(pa.array(entries), mode)
    save_automaton(automaton, tmp_path / "automaton")
    loaded = load_automaton(tmp_path / "automaton")
    assert loaded
    assert same(loaded, automaton)


def test_second_matcher_uses_the_file_of_the_first(folder: Path) -> None:
    assert match() == EXPECTED
    (file,) = folder.iterdir()
    written = file.stat().st_mtime_ns
    assert match() == EXPECTED
    assert [f.stat().st_mtime_ns for f in folder.iterdir()] == [written]


def test_metadata_and_modes_have_their_own_files(folder: Path) -> None:
    for entries in (ENTRIES, ENTRIES[::-1]):
        for mode in MODES:
            Matcher(Metadata.from_entries(entries), mode)
    assert len(list(folder.iterdir())) == 4


def test_folder_and_file_are_for_the_user_only(folder: Path) -> None:
    match()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o600]


@pytest.mark.parametrize(
    ("named", "xdg", "expected"),
    [
        pytest.param("/named", "/xdg", "/named", id="named"),
        pytest.param("", "/xdg", "/xdg/metacurate", id="XDG"),
        pytest.param("", "", "/home/someone/.cache/metacurate", id="home"),
    ],
)
def test_cache_folder(named: str, xdg: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METACURATE_CACHE", named)
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_folder() == Path(expected)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda sound: b"", id="empty"),
        pytest.param(lambda sound: sound[:10], id="first bytes only"),
        pytest.param(lambda sound: sound[:100], id="truncated in the header"),
        pytest.param(lambda sound: sound[: len(sound) // 2], id="truncated"),
        pytest.param(lambda sound: sound[:-1], id="last byte missing"),
        pytest.param(lambda sound: sound[:3000] + b"#" + sound[3001:], id="byte changed"),
        pytest.param(lambda sound: sound[:-1] + bytes([sound[-1] ^ 1]), id="last bit flipped"),
        pytest.param(lambda sound: bytes(len(sound)), id="zeros"),
        pytest.param(lambda sound: b"PK\x03\x04" * 1000, id="foreign"),
        pytest.param(lambda sound: sound[:21] + b"and no more", id="foreign, same beginning"),
    ],
)
def test_damaged_file_is_reported_and_built_again(
    damage: Callable[[bytes], bytes], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    match()
    (file,) = folder.iterdir()
    sound = file.read_bytes()
    file.write_bytes(damage(sound))
    assert match() == EXPECTED
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(file) in caplog.text
    assert "is built again" in caplog.text
    assert file.read_bytes() == sound


@pytest.mark.parametrize(
    ("entries", "mode"),
    [
        pytest.param(ENTRIES[::-1], "paper", id="other metadata"),
        pytest.param(ENTRIES, "spaced", id="other mode"),
    ],
)
def test_automaton_under_a_wrong_name_is_built_again(
    entries: list[str], mode: Mode, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Metadata.from_entries(entries)
    Matcher(other, mode)
    wrong = path_of(Metadata.from_entries(ENTRIES).digest, "paper")
    path_of(other.digest, mode).rename(wrong)
    assert match() == EXPECTED
    assert str(wrong) in caplog.text


def test_flipped_bits_in_front_of_the_arrays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "metacurate")
    automaton = build_automaton(pa.array(["dog", "hot dog"]), "paper")
    file = tmp_path / "automaton"
    save_automaton(automaton, file)
    sound = file.read_bytes()
    for bit in range(8 * sound.index(automaton.sizes.tobytes())):
        flipped = bytearray(sound)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        loaded = load_automaton(file)
        assert loaded is None or same(loaded, automaton), f"bit {bit} was not noticed"


def test_folder_in_place_of_the_file(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path_of(Metadata.from_entries(ENTRIES).digest, "paper").mkdir(parents=True)
    assert match() == EXPECTED
    assert "is built again" in caplog.text
    assert "could not be kept" in caplog.text


def test_cache_that_cannot_be_written_costs_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("METACURATE_CACHE", str(tmp_path / "file" / "cache"))
    assert match() == EXPECTED
    assert "could not be kept for later runs" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_no_temporary_file_stays_behind(folder: Path) -> None:
    path_of(Metadata.from_entries(ENTRIES).digest, "paper").mkdir(parents=True)
    match()
    assert len(list(folder.iterdir())) == 1


def test_many_threads_use_one_matcher(folder: Path) -> None:
    matcher = Matcher(Metadata.from_entries(["a", "b", "a b", "b a b", *map(str, range(100))]))
    texts = ["a b a b " * (i % 7) + " ".join(map(str, range(i % 90))) for i in range(2000)]
    expected, counted = matcher.match(texts), matcher.count(texts)
    with ThreadPoolExecutor(8) as pool:
        matches = list(pool.map(matcher.match, [texts] * 16))
        counts = list(pool.map(matcher.count, [texts] * 16))
    assert all(found.equals(expected) for found in matches)
    assert all(np.array_equal(count.values, counted.values) for count in counts)


def test_threads_that_compile_at_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: match(), range(32)))
    assert results == [EXPECTED] * 32
    assert len(list(folder.iterdir())) == 1
    assert caplog.text == ""
