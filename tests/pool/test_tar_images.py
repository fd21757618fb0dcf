"""Images are found in tars by their keys, and nothing but images."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from metacurate.errors import InputError
from metacurate.pool.tar_images import read_tar_image


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> str:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)


def test_an_image_is_found_by_its_key(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar",
        {
            "1.txt": b"a fox", "1.JPG": b"first", "1.png": b"second", "2.json": b"{}",
            "d.x/3.webp": b"", "4.svg": b"<svg/>", "__meta__/5.jpg": b"x", "6.seg.png": b"mask",
        },
    )  # fmt: skip
    assert read_tar_image(path, "1") == (b"first", "image/jpeg")
    assert read_tar_image(path, "d.x/3") == (b"", "image/webp")
    for key in ("2", "4", "__meta__/5", "6", "nowhere", ""):
        assert read_tar_image(path, key) is None


def test_links_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("1.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert read_tar_image(str(path), "1") is None


def test_another_file_of_the_same_name_is_read_anew(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"1.jpg": b"one"})
    assert read_tar_image(path, "1") == (b"one", "image/jpeg")
    write_tar(tmp_path / "a.tar", {"0.txt": b"", "1.jpg": b"two"})
    os.utime(path, (1, 1))
    assert read_tar_image(path, "1") == (b"two", "image/jpeg")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    packed = write_tar(tmp_path / "a.tar.gz", {"1.jpg": b"x"}, "w:gz")
    cut = write_tar(tmp_path / "b.tar", {"1.jpg": b"x" * 5_000})
    os.truncate(cut, 3_000)
    for path in (packed, cut, str(tmp_path / "none.tar")):
        with pytest.raises(InputError, match="can't be read"):
            read_tar_image(path, "1")
