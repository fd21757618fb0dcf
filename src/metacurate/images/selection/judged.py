"""Folders of verdicts, as selection reads them: each must be on the very shards that there are."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metacurate.engine.manifest import MANIFEST
from metacurate.engine.storage import is_file, list_folder, read_bytes, table_of
from metacurate.engine.stores import Place, answering, place_of
from metacurate.engine.workspace import OnError
from metacurate.errors import InputError, UsageError, first_line
from metacurate.images.filters.verdicts import IDENTITY
from metacurate.images.shards import Shard
from metacurate.pool.files import identity_of
from metacurate.pool.tables import many_at_once, open_parquet


@dataclass(frozen=True)
class Judged:
    """Verdicts on shards.

    Attributes:
        folders: that hold them.
        identities: of each shard's files of verdicts, by its name.
        schema: the columns of all folders.
    """

    folders: tuple[Place, ...]
    identities: dict[str, str]
    schema: pa.Schema

    @classmethod
    def open(
        cls, folders: Sequence[str], shards: Sequence[Shard], on_error: OnError = "fail"
    ) -> "Judged":
        """Make sure that there are verdicts on each shard.

        Args:
            folders: that `filter_images` has written. shards: to be selected from.
            on_error: ``skip`` leaves shards without verdicts to who reads them.

        Raises:
            UsageError: for a folder that is none, or not complete.
            InputError: when verdicts on a shard are missing, or on another version of it.
        """
        places = tuple(place_of(folder) for folder in folders)
        told = [_look_through(place, shards, on_error) for place in places]
        identities = {}
        for shard in shards:
            of_each = [one[shard.name][0] if shard.name in one else "none" for one in told]
            identities[shard.name] = hashlib.sha256("\n".join(of_each).encode()).hexdigest()
        fields: dict[str, pa.Field] = {}
        for one in told:
            for _, schema in one.values():
                fields.update({name: schema.field(name) for name in schema.names
                    if name not in fields})  # fmt: skip
        return cls(places, identities, pa.schema(list(fields.values())))

    @property
    def verdicts(self) -> list[str]:
        """Names of the columns that say whether an image might go."""
        return [field.name for field in self.schema if pa.types.is_boolean(field.type)]

    def read(self, shard: Shard) -> pa.Table:
        """The verdicts on a shard, of all folders: a row for each sample, by `key`.

        What several folders say is joined: an image is, say, listed where one of them says so.

        Args:
            shard: which.

        Raises:
            InputError: when a file can't be read, or they differ in their samples.
        """
        joined: pa.Table | None = None
        for folder in self.folders:
            place = folder / f"{shard.name}.parquet"
            try:
                table = table_of(read_bytes(place))
            except FileNotFoundError as error:
                raise InputError(shard.tar, f"has no verdicts in {folder}") from error
            except (OSError, pa.ArrowException) as error:
                raise InputError(str(place), f"can't be read: {first_line(error)}") from error
            joined = table if joined is None else _joined(joined, table, str(place))
        assert joined is not None
        return joined


def _joined(left: pa.Table, right: pa.Table, path: str) -> pa.Table:
    if not left["key"].equals(right["key"]):
        raise InputError(path, "its samples are others than those of the verdicts before it")
    for field in right.schema:
        if field.name not in left.column_names:
            left = left.append_column(field, right[field.name])
        else:
            both = _both(field.name, left[field.name], right[field.name])
            left = left.set_column(left.schema.get_field_index(field.name), field, both)
    return left


def _both(name: str, left: pa.ChunkedArray, right: pa.ChunkedArray) -> Any:
    """What two folders say of the same images."""
    if pa.types.is_boolean(left.type):
        return pc.or_(left, right)
    if name == "nsfw_score":
        return pc.max_element_wise(left, right)
    if name == "faces":
        pairs = zip(left.to_pylist(), right.to_pylist(), strict=True)
        return pa.array([(a or []) + (b or []) for a, b in pairs], left.type)
    return left


def _look_through(
    folder: Place, shards: Sequence[Shard], on_error: OnError
) -> dict[str, tuple[str, pa.Schema]]:
    """Identity and columns of each shard's file, by its name."""
    if not is_file(folder / MANIFEST):
        raise UsageError(
            f"--verdicts {folder}: holds no verdicts, or its run of `metacurate images filter` is "
            "not complete"
        )
    names = list_folder(folder)
    for shard in shards:
        if f"{shard.name}.parquet" not in names and on_error == "fail":
            raise InputError(shard.tar, f"has no verdicts in {folder}")
    there = [shard for shard in shards if f"{shard.name}.parquet" in names]

    def look(shard: Shard) -> tuple[str, pa.Schema]:
        path = str(folder / f"{shard.name}.parquet")
        try:
            with answering(path):
                schema = open_parquet(path).schema_arrow
                identity = identity_of(path)[0]
        except (OSError, pa.ArrowException) as error:
            raise InputError(path, f"can't be read: {first_line(error)}") from error
        found = (schema.metadata or {}).get(IDENTITY)
        if found is None or "key" not in schema.names:
            raise InputError(path, "is no file of verdicts")
        if found.decode() != shard.identity:
            raise InputError(
                shard.tar,
                f"has changed since the verdicts in {folder} were made: run `metacurate images "
                "filter` again",
            )
        return identity, schema

    return dict(zip((s.name for s in there), many_at_once(look, there), strict=True))
