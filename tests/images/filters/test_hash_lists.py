"""Lists of hashes: what a line may be, and what is near."""

from pathlib import Path

import pyarrow as pa
import pytest

from metacurate.errors import InputError
from metacurate.images.filters.hash_lists import HASH_TYPE, HashLists, digest_of, read_hash_list

ONE, TWO = bytes(range(32)), bytes(range(1, 33))


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def flipped(code: bytes, bits: int) -> bytes:
    """A code that differs in so many bits."""
    return (int.from_bytes(code, "big") ^ ((1 << bits) - 1)).to_bytes(32, "big")


def test_lines(tmp_path: Path) -> None:
    text = f"# takedowns\n\n{ONE.hex().upper()}  # the first\r\n  {TWO.hex()}\n"
    assert read_hash_list(write(tmp_path / "list", text)) == [ONE, TWO]


@pytest.mark.parametrize("line", ["abc", "g" * 64, ONE.hex() + "0", f"{ONE.hex()},{TWO.hex()}"])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "list", f"{ONE.hex()}\n# more\n{line}\n")
    with pytest.raises(InputError, match=r"list: line 3 is no hash of 64 hex digits"):
        read_hash_list(path)


def test_lists_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        read_hash_list(str(tmp_path / "missing"))
    (tmp_path / "latin").write_bytes(b"\xe4\n")
    with pytest.raises(InputError, match="no text in UTF-8"):
        read_hash_list(str(tmp_path / "latin"))


def test_what_is_listed(tmp_path: Path) -> None:
    exact = write(tmp_path / "sha256", ONE.hex())
    similar = write(tmp_path / "pdq", f"{flipped(TWO, 200).hex()}\n{TWO.hex()}")
    lists = HashLists([exact], [similar])
    sha256 = pa.array([ONE, flipped(ONE, 1), None, TWO], HASH_TYPE)
    pdq = pa.array([flipped(TWO, 32), flipped(TWO, 31), flipped(TWO, 169), None], HASH_TYPE)
    assert lists.holds(sha256, pdq).tolist() == [True, True, True, False]
    assert lists.holds(sha256, None).tolist() == [True, False, False, False]
    assert HashLists([], []).holds(sha256, pdq).tolist() == [False] * 4


def test_a_digest_tells_lists_apart(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", ONE.hex()), write(tmp_path / "two", TWO.hex())
    assert len({digest_of(paths) for paths in ([], [one], [two], [one, two])}) == 4
