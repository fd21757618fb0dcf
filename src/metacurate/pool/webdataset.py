"""WebDataset tars as blocks of rows: captions and fields of each sample, never its image."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from metacurate.pool.blocks import STRING, Block
from metacurate.pool.jsonlines import CELLS, Columns, parse_object
from metacurate.pool.tables import TAR_ID
from metacurate.pool.tar import MEMBER_LIMIT, META, NAME, TarReader, fault_of_name

Row = dict[str, Any]

CAPTIONS = ("captions", "texts", "caption", "text")  # fields, in the order they are looked for

BLOCK_BYTES = 8 << 20  # of captions and fields, about
BLOCK_ROWS = 1 << 11  # about: few, since what lies between captions takes time to pass over
COPIES_LIMIT = 64 << 20  # bytes of a .json times its captions: each row has all other fields


def read_webdataset(
    stream: pa.NativeFile, shard: str, text_field: str | None = None
) -> Iterator[Block]:
    """Read captions and fields of the samples of a tar.

    Members that follow one another and share their name up to the first dot behind the folder
    make a sample, as for the webdataset package. A row has `__id__` (the shard, a slash, that
    name), the text, and all fields of the sample's .json, as `read_json_lines` types them.

    The text is the .json's list of strings under `captions`, `texts`, `caption` or `text`: then
    there is a row for each, and no column of the list. Else it is the .txt, as it stands but for
    one newline at its end; else the first string under those fields; else null. It stands in the
    column `text`, in place of a field of that name. With `text_field` only that field is looked
    at, or the .txt alone for "txt", and the column has its name.

    A sample becomes one row of nulls and an error where its .json is broken, a .txt or .json is
    no plain file, exceeds 16 MB, comes twice or is no UTF-8, its name is absolute, holds ".." or
    is no UTF-8, or is that of an earlier sample. Other members are never read; where the stream
    can seek, they are not even read through. Keys are held in memory, some 100 bytes a sample.

    Args:
        stream: the tar, decompressed; read as blocks are asked for.
        shard: what the ids begin with: the file's name.
        text_field: where the captions are; None to look for them.

    Yields:
        Blocks of about 8 MB of captions and fields, at least one.

    Raises:
        ValueError: when it is no tar, damaged, cut short, or more than one.
        OSError: when the stream can't be read.
    """
    column = text_field or "text"
    columns = Columns({TAR_ID: STRING, column: STRING})
    rows: list[Row | None] = []
    errors: list[str] = []
    size, n_blocks = 0, 0
    seen: set[str] = set()
    for sample in _samples(stream, with_txt=text_field in (None, "txt")):
        problem = sample.problem
        if problem is None and sample.key in seen:
            problem = f"sample {sample.key!r}: an earlier one has the same name"
        seen.add(sample.key)
        if problem is None:
            try:
                made = _rows(sample, f"{shard}/{sample.key}", text_field)
            except ValueError as error:
                problem = f"sample {sample.key!r}: {error}"
        if problem is not None:
            rows.append(None)
            errors.append(problem)
            continue
        columns.note(made[0])
        rows += made
        size += len(sample.members.get("txt", b"")) + len(sample.members.get("json", b"")) * len(
            made
        )
        if size >= BLOCK_BYTES or len(rows) >= min(BLOCK_ROWS, CELLS // len(columns)):
            yield Block(columns.table(rows), tuple(errors))
            rows, errors, size, n_blocks = [], [], 0, n_blocks + 1
    if rows or not n_blocks:
        yield Block(columns.table(rows), tuple(errors))


@dataclass
class _Sample:
    """What matters of a sample.

    Attributes:
        key: what its members' names share.
        members: its .txt and .json, by ending.
        problem: why it can't be used: the first cause, as an error line.
    """

    key: str
    members: dict[str, bytes]
    problem: str | None


def _rows(sample: _Sample, identity: str, text_field: str | None) -> list[Row]:
    """A row for each caption.

    Raises:
        ValueError: when the sample is broken.
    """
    fields: Row = {}
    raw = sample.members.get("json", b"")
    if "json" in sample.members:
        try:
            fields = parse_object(raw)
        except ValueError as error:
            raise ValueError(f"its .json {error}") from error
    text: str | None = None
    if "txt" in sample.members:
        try:
            text = sample.members["txt"].decode().removesuffix("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"its .txt is no UTF-8 at byte {error.start + 1}") from error
    column = text_field or "text"
    names = () if text_field == "txt" else CAPTIONS if text_field is None else (text_field,)
    captions: list[str | None] = [text]
    for name in names:
        if _is_captions(fields.get(name)):
            captions = fields.pop(name)
            break
    else:
        if text is None:
            strings = (fields[name] for name in names if isinstance(fields.get(name), str))
            captions = [next(strings, None)]
            if captions == [None] and fields.get(column) is not None:
                raise ValueError(f"its {column!r} is no text")
    if len(raw) * len(captions) > COPIES_LIMIT:
        raise ValueError(f"has too many captions ({len(captions)}) for the size of its .json")
    fields.pop(TAR_ID, None)
    return [{TAR_ID: identity, column: caption, **_without(fields, column)} for caption in captions]


def _is_captions(value: Any) -> bool:
    if not isinstance(value, list) or not all(isinstance(item, str | None) for item in value):
        return False
    return any(item is not None for item in value)


def _without(fields: Row, name: str) -> Row:
    return {key: value for key, value in fields.items() if key != name}


def _samples(stream: pa.NativeFile, *, with_txt: bool) -> Iterator[_Sample]:
    wanted = ("txt", "json") if with_txt else ("json",)
    sample: _Sample | None = None
    tar = TarReader(stream, MEMBER_LIMIT)
    for member in tar.members():
        match = NAME.fullmatch(member.name)
        if match is None or member.isdir() or META.match(member.name):
            continue
        key, ending = match[1], match[2].lower()
        if not member.isreg() and ending not in ("txt", "json"):
            continue  # webdataset passes over these, too
        if sample is None or key != sample.key:
            if sample is not None:
                yield sample
            sample = _Sample(key, {}, fault_of_name(member.name))
        if ending in wanted and sample.problem is None:
            reason = _fault(member)
            if ending in sample.members:
                reason = "is the second of its kind in its sample"
            if reason is None:
                sample.members[ending] = tar.content(member)
            else:
                sample.problem = f"member {member.name!r}: {reason}"
    if sample is not None:
        yield sample


def _fault(member: tarfile.TarInfo) -> str | None:
    if member.issym() or member.islnk():
        return "is a link, not a file"
    if not member.isreg():
        return "is a device, not a file"
    if member.issparse():
        return "is a sparse file"
    if member.size > MEMBER_LIMIT:
        return f"is larger than {MEMBER_LIMIT >> 20} MB"
    return None
