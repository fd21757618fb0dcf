"""Shards of images: WebDataset tars as img2dataset lays them out, and the table beside each tar.

A sample is an image: KEY.jpg (or another ending), KEY.txt with one caption, KEY.json with all.
Beside NAME.tar lie NAME.parquet, a row for each pair, also of images that could not be had, and
NAME_stats.json.
"""

import io
import json
import math
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from metacurate.engine.storage import (
    is_folder,
    list_folder,
    read_bytes,
    remove,
    table_of,
    write_atomically,
    write_json,
    write_parquet,
)
from metacurate.engine.stores import Place, answering, place_of
from metacurate.errors import InputError, UsageError, first_line
from metacurate.pool.files import (
    Source,
    format_of,
    identity_of,
    list_files,
    list_sources,
    refuse_incomplete,
)
from metacurate.pool.jsonlines import parse_object
from metacurate.pool.streams import open_stream
from metacurate.pool.tables import many_at_once, open_parquet
from metacurate.pool.tar import MEMBER_LIMIT, META, NAME, TarReader, fault_of_name
from metacurate.schema import CURATED

IMAGE_ENDINGS = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif")
PICKLES = frozenset({"pkl", "pickle", "pyd", "pth", "pt"})  # what webdataset would unpickle
IMAGE_LIMIT = 256 << 20  # bytes of an image in a tar
SUCCESS = "success"
SHARD_NAME = re.compile(r"[0-9]{5,}")
STATS = "_stats.json"

Pair = dict[str, Any]


@dataclass(frozen=True)
class Shard:
    """A tar of samples, and the table beside it.

    Attributes:
        name: of the tar, without its ending.
        tar: path or URI. table: of the Parquet file beside it; None where there is none.
        identity: what changes when one of the two does.
        rows: of the table; 0 without one.
    """

    name: str
    tar: str
    table: str | None
    identity: str
    rows: int = 0

    @property
    def file_name(self) -> str:
        """Of the tar, with its ending: what tells images apart that have no urls begins with it."""
        return self.tar.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of a tar; nothing of it is decoded but its text and JSON.

    Attributes:
        key: what its members' names share.
        image: bytes of its image, the first of them; None where there is none, or it was not read.
        ending: of the image's name, in small letters; None without an image.
        text: its .txt, but for one newline at its end; None where there is none.
        fields: of its .json; empty without one.
    """

    key: str
    image: bytes | None
    ending: str | None
    text: str | None
    fields: Mapping[str, Any]

    def url(self, shard: str) -> str:
        """What tells the image apart: its url, or where there is none shard and key.

        Args:
            shard: the tar's file name.
        """
        url = self.fields.get("url")
        return url if isinstance(url, str) else f"{shard}/{self.key}"

    @property
    def texts(self) -> list[str]:
        """The captions of its pairs."""
        return [pair["text"] for pair in self.pairs]

    @property
    def pairs(self) -> list[Pair]:
        """Its pairs, each with at least `text`: of the .json's `pairs`, or its one caption."""
        pairs = self.fields.get("pairs")
        if isinstance(pairs, list):
            return [p for p in pairs if isinstance(p, dict) and isinstance(p.get("text"), str)]
        caption = self.fields.get("caption") if self.text is None else self.text
        return [{"text": caption}] if isinstance(caption, str) else []


def shard_name(number: int) -> str:
    """The name of a shard, as img2dataset counts them: five digits or more.

    Args:
        number: from 0 on.
    """
    return f"{number:05d}"


def sample_key(name: str, index: int, images_per_shard: int) -> str:
    """The key of a sample: its shard's name and its number in it, of as many digits as it takes.

    Args:
        name: of the shard. index: from 0 on. images_per_shard: at most.
    """
    return f"{name}{index:0{max(4, len(str(images_per_shard - 1)))}d}"


def list_shards(source: Source, out: Place | None = None) -> list[Shard]:
    """List shards.

    Args:
        source: a folder, a tar, a glob, or a list of these; paths or URIs.
        out: an output folder, which must not lie among them.

    Returns:
        Sorted by path.

    Raises:
        UsageError: when there is none, the run that makes them is not complete, or a source is a
            command to be run (`pipe:`).
        InputError: when one can't be looked at.
    """
    for one in list_sources(source):
        if one.startswith("pipe:"):
            raise UsageError(f"{one}: names a command to be run, which is refused")
        if "://" not in one and is_folder(Path(one)) and not any(Path(one).rglob("*.tar*")):
            raise UsageError(f"{one}: holds no tars")
    tars = list_files(source, lambda path: format_of(path) == "tar", "tars (.tar, .tar.gz)", out)
    for tar in tars:
        if format_of(tar) != "tar":
            raise UsageError(f"{tar}: is no tar by its name")
    refuse_incomplete(tars)
    beside = _tables_beside(tars)
    return many_at_once(lambda tar: _look_at(tar, beside.get(_stem(tar))), tars)


def _stem(path: str) -> str:
    return re.sub(r"\.(parquet|tar)(\.gz|\.zst)?$", "", path, flags=re.IGNORECASE)


def _tables_beside(tars: Sequence[str]) -> dict[str, str]:
    """Paths of the Parquet files beside tars, by the path without its ending."""
    found = {}
    for folder in sorted({tar.rpartition("/")[0] for tar in tars}):
        for name in list_folder(place_of(folder or ".")):
            if name.endswith(".parquet"):
                path = f"{folder}/{name}" if folder else name
                found[_stem(path)] = path
    return found


def _look_at(tar: str, table: str | None) -> Shard:
    name = _stem(tar).rpartition("/")[2]
    rows = 0
    try:
        with answering(tar):
            identity = identity_of(tar)[0]
            if table is not None:
                identity = f"{identity} {identity_of(table)[0]}"
                rows = open_parquet(table).metadata.num_rows
    except (OSError, pa.ArrowException) as error:
        raise InputError(table or tar, f"can't be looked at: {first_line(error)}") from error
    return Shard(name, tar, table, identity, rows)


def read_table(shard: Shard) -> pa.Table:
    """Read the table beside a tar.

    Args:
        shard: which.

    Raises:
        InputError: when there is none, or it is broken.
    """
    return _read(shard, None)


def read_columns(shard: Shard, columns: Sequence[str]) -> pa.Table:
    """Read those of some columns that the table beside a tar has.

    Args:
        shard: which. columns: their names.

    Raises:
        InputError: when there is no table, or it is broken.
    """
    return _read(shard, columns)


def _read(shard: Shard, columns: Sequence[str] | None) -> pa.Table:
    if shard.table is None:
        raise InputError(shard.tar, f"has no table beside it: {shard.name}.parquet is missing")
    try:
        if columns is not None and "://" not in shard.table:
            with pq.ParquetFile(shard.table) as file:
                return file.read([name for name in columns if name in file.schema_arrow.names])
        content = read_bytes(place_of(shard.table))
        if columns is not None:
            there = pq.read_schema(pa.BufferReader(content)).names
            columns = [name for name in columns if name in there]
        return table_of(content, columns)
    except FileNotFoundError as error:
        raise InputError(shard.table, "is not there any more") from error
    except (pa.ArrowException, OSError) as error:
        raise InputError(shard.table, f"can't be read: {first_line(error)}") from error


def read_samples(path: str, *, images: Callable[[str], bool] = lambda _: True) -> Iterator[Sample]:
    """Read the samples of a tar, one after another; nothing in it can have anything run.

    Members with other endings than of images, .txt and .json are passed over.

    Args:
        path: path or URI of the tar.
        images: whether to read a sample's image, by its key; what is passed over costs next to
            nothing on a disk.

    Raises:
        InputError: when it is damaged, cut short, a member is a pickle or too large, a name leads
            out of the tar, a .txt or .json is broken, or a key comes twice.
    """
    try:
        with answering(path), open_stream(path) as stream:
            yield from _read_samples(TarReader(stream, IMAGE_LIMIT), images)
    except (ValueError, OSError) as error:
        raise InputError(path, first_line(error)) from error


def _read_samples(tar: TarReader, images: Callable[[str], bool]) -> Iterator[Sample]:
    key: str | None = None
    members: dict[str, Any] = {}
    seen: set[str] = set()
    for name, ending, member in safe_members(tar):
        if name != key:
            if key is not None:
                yield _sample(key, members)
            key, members = name, {}
            if key in seen:
                raise ValueError(f"sample {key!r} comes twice")
            seen.add(key)
        if ending in IMAGE_ENDINGS:
            if "ending" not in members:
                refuse_large(member, IMAGE_LIMIT)
                members["ending"] = ending
                members["image"] = tar.content(member) if images(name) else None
        elif ending in ("txt", "json"):
            refuse_large(member, MEMBER_LIMIT)
            members[ending] = tar.content(member)
    if key is not None:
        yield _sample(key, members)


def safe_members(tar: TarReader) -> Iterator[tuple[str, str, tarfile.TarInfo]]:
    """The files of a tar that are members of samples: key, ending in small letters, and member.

    Args:
        tar: which.

    Raises:
        ValueError: when one is a pickle, or its name leads out of the tar.
    """
    for member in tar.members():
        match = NAME.fullmatch(member.name)
        if match is None or not member.isreg() or META.match(member.name):
            continue
        ending = match[2].lower()
        if fault := fault_of_name(member.name):
            raise ValueError(fault)
        if ending.rpartition(".")[2] in PICKLES:
            raise ValueError(f"member {member.name!r} is a pickle, which is refused")
        yield match[1], ending, member


def refuse_large(member: tarfile.TarInfo, limit: int) -> None:
    """Refuse a member before its content is read.

    Args:
        member: of a tar. limit: bytes that it may have.

    Raises:
        ValueError: naming it.
    """
    if member.size > limit:
        raise ValueError(f"member {member.name!r} is larger than {limit >> 20} MB")


def _sample(key: str, members: Mapping[str, Any]) -> Sample:
    text, fields = None, {}
    try:
        if "txt" in members:
            text = members["txt"].decode().removesuffix("\n")
        if "json" in members:
            fields = parse_object(members["json"])
    except UnicodeDecodeError as error:
        raise ValueError(f"sample {key!r}: its .txt is no UTF-8") from error
    except ValueError as error:
        raise ValueError(f"sample {key!r}: its .json {error}") from error
    return Sample(key, members.get("image"), members.get("ending"), text, fields)


class ShardWriter:
    """Writes a tar, sample by sample; the same samples make the same bytes."""

    def __init__(self, path: Path) -> None:
        """Begin a tar.

        Args:
            path: of the file, on this machine.
        """
        self._tar = tarfile.open(path, "w", format=tarfile.GNU_FORMAT)  # noqa: SIM115 - closed below

    def __enter__(self) -> "ShardWriter":
        """Write until the block ends."""
        return self

    def __exit__(self, *failed: object) -> None:
        """Write the end mark."""
        self._tar.close()

    def add(self, sample: Sample) -> None:
        """Write a sample.

        Args:
            sample: with an image.

        Raises:
            OSError: when it can't be written.
        """
        assert sample.image is not None
        self._member(f"{sample.key}.{sample.ending}", sample.image)
        fields = json.dumps(sample.fields, ensure_ascii=False, allow_nan=False)
        self._member(f"{sample.key}.json", fields.encode())
        if sample.text is not None:
            self._member(f"{sample.key}.txt", sample.text.encode())

    def _member(self, name: str, content: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))


def write_shard(
    folder: Place,
    name: str,
    samples: Iterable[Sample],
    table: pa.Table,
    stats: Mapping[str, Any],
) -> None:
    """Write a shard: the tar, then what tells about it.

    Args:
        folder: of the shards. name: of this one.
        samples: read once. table: a row for each pair. stats: JSON.

    Raises:
        MetacurateError: when it can't be written.
    """
    write_tar(folder, name, samples)
    write_beside(folder, name, table, stats)


def write_tar(folder: Place, name: str, samples: Iterable[Sample]) -> None:
    """Write the tar of a shard.

    Args:
        folder: of the shards. name: of this one. samples: read once.

    Raises:
        MetacurateError: when it can't be written.
    """

    def write(path: Path) -> None:
        with ShardWriter(path) as tar:
            for sample in samples:
                tar.add(sample)

    write_atomically(folder / f"{name}.tar", write)


def write_beside(folder: Place, name: str, table: pa.Table, stats: Mapping[str, Any]) -> None:
    """Write what tells about a shard.

    Args:
        folder: of the shards. name: of this one. table: a row for each pair. stats: JSON.

    Raises:
        MetacurateError: when it can't be written.
    """
    write_json(folder / f"{name}{STATS}", stats)
    write_parquet(folder / f"{name}.parquet", table)


def drop_other_shards(folder: Place, names: Iterable[str]) -> None:
    """Remove shards that are none of some: what other flags or inputs had left.

    Args:
        folder: of the shards. names: of those that stay.

    Raises:
        MetacurateError: when one can't be removed.
    """
    wanted = set(names)
    files = re.compile(rf"({SHARD_NAME.pattern})(\.tar|\.parquet|{re.escape(STATS)})")
    found = ((file, files.fullmatch(file)) for file in list_folder(folder))
    remove(folder / file for file, match in found if match is not None and match[1] not in wanted)


def drop_incomplete_shards(folder: Place) -> None:
    """Remove tars that have lost what lies beside them: they are made again.

    Args:
        folder: of shards that a run of ours makes.

    Raises:
        MetacurateError: when one can't be removed.
    """
    there = list_folder(folder)
    names = (name.removesuffix(".tar") for name in there if name.endswith(".tar"))
    remove(
        folder / f"{name}.tar"
        for name in names
        if not {f"{name}.parquet", f"{name}{STATS}"} <= there.keys()
    )


def pair_fields(row: Mapping[str, Any], text_column: str = "text") -> Pair:
    """What a sample's .json tells of a pair: its text, and what curation added.

    Args:
        row: of the pool; columns that only share curation's names are left out.
        text_column: of the caption.
    """
    entries = row.get("entries")
    told: Pair = {"text": row[text_column]}
    if isinstance(entries, list) and all(isinstance(entry, int) for entry in entries):
        told["entries"] = entries
    for name in CURATED.names[1:]:
        if isinstance(row.get(name), float) and math.isfinite(row[name]):
            told[name] = row[name]
    return told
