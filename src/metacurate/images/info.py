"""What became of the images of shards, by cause and by host."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metacurate.errors import InputError
from metacurate.images.shards import SUCCESS, Shard, read_columns

HOST = r"^\s*[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#]*@)?(?P<host>\[[^\]/?#]*\]|[^/?#:]*)"
NO_HOST = "(none)"
COLUMNS = ["key", "url", "status"]


def read_info(shards: Sequence[Shard], hosts: int = 20) -> dict[str, Any]:
    """Count images and pairs by status, and images by host.

    Args:
        shards: which. hosts: how many to tell of, those with most images.

    Returns:
        JSON: `shards`, `images`, `pairs`; `status`, a list of `status`, `images`, `pairs`; `hosts`,
        a list of `host`, `images`, `success`, and `status`, the images by other statuses.

    Raises:
        InputError: when a shard has no table, or it is broken.
    """
    pairs = _Tally(["status"])
    images = _Tally(["host", "status"])
    for shard in shards:
        table = _told(shard)
        pairs.add(table.select(["status"]))
        images.add(_images(table))
    by_status = images.by("status")
    rows = pairs.by("status")
    return {
        "shards": len(shards),
        "images": sum(by_status.values()),
        "pairs": sum(rows.values()),
        "status": [
            {"status": status, "images": by_status.get(status, 0), "pairs": count}
            for status, count in sorted(rows.items(), key=lambda item: (-item[1], item[0]))
        ],
        "hosts": _hosts(images, hosts),
    }


def _told(shard: Shard) -> pa.Table:
    """The rows of a shard's table, with their status."""
    if shard.table is not None and not shard.rows:
        return pa.table({name: pa.array([], pa.string()) for name in COLUMNS})
    table = read_columns(shard, COLUMNS)
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise InputError(str(shard.table), f"has no column '{missing[0]}'")
    return table


def _images(table: pa.Table) -> pa.Table:
    """A row for each image: its host and status."""
    first = table.group_by("key", use_threads=False).aggregate([("url", "min"), ("status", "min")])
    found = pc.struct_field(pc.extract_regex(first["url_min"].cast(pa.string()), HOST), "host")
    hosts = pc.utf8_lower(pc.fill_null(found, NO_HOST))
    return pa.table({"host": hosts, "status": first["status_min"]})


class _Tally:
    """Counts rows by their columns."""

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns
        self._counts: pa.Table | None = None

    def add(self, table: pa.Table) -> None:
        """Count a table's rows."""
        counted = table.group_by(self._columns).aggregate([([], "count_all")])
        if self._counts is not None:
            counted = pa.concat_tables([self._counts, counted], promote_options="permissive")
            counted = counted.group_by(self._columns).aggregate([("count_all", "sum")])
            counted = counted.rename_columns([*self._columns, "count_all"])
        self._counts = counted

    def rows(self) -> list[dict[str, Any]]:
        """All that was counted."""
        return [] if self._counts is None else self._counts.to_pylist()

    def by(self, column: str) -> dict[str, int]:
        """Numbers of rows by one of the columns."""
        found: dict[str, int] = {}
        for row in self.rows():
            name = row[column] or "(unknown)"
            found[name] = found.get(name, 0) + row["count_all"]
        return found


def _hosts(images: _Tally, most: int) -> list[dict[str, Any]]:
    """The hosts with most images, and what became of them."""
    found: dict[str, dict[str, int]] = {}
    for row in images.rows():
        found.setdefault(row["host"], {})[row["status"] or "(unknown)"] = row["count_all"]
    ordered = sorted(found.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    return [
        {
            "host": host,
            "images": sum(statuses.values()),
            "success": statuses.get(SUCCESS, 0),
            "status": dict(
                sorted(
                    ((s, n) for s, n in statuses.items() if s != SUCCESS),
                    key=lambda item: (-item[1], item[0]),
                )
            ),
        }
        for host, statuses in ordered[:most]
    ]
