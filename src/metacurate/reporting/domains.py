"""Which hosts of the web the kept pairs' images lie on."""

from typing import Any

import pyarrow as pa

from metacurate.engine.stores import answering
from metacurate.errors import InputError, first_line
from metacurate.pool.tables import URL_NAMES, open_parquet
from metacurate.reporting.curated_set import CuratedSet
from metacurate.reporting.database import open_database
from metacurate.schema import is_text

TOP = 20
BATCH = 1 << 17  # rows
LONGEST_HOST = 253  # characters: what the domain name system allows

# Scheme, whatever goes before the last @ of the authority, and the host, an IPv6 one too.
HOST = r"^https?://(?:[^/?#\\]*@)?(\[[^\]/?#\\]*\]|[^/?#\\:]*)"

COUNT = f"""
    INSERT INTO hosts
    SELECT left(lower(regexp_extract(id, '{HOST}', 1, 'i')), {LONGEST_HOST}), count(*)
    FROM batch GROUP BY ALL
"""  # noqa: S608


def url_column(found: CuratedSet) -> str | None:
    """The column of the kept pairs that holds their images' URLs; None where nothing is kept.

    Args:
        found: a curated set.

    Raises:
        InputError: when a table is broken.
    """
    asked = found.manifest["configuration"]
    named: str | None = asked["id_column"] or asked["url_column"]
    if named or not found.tables:
        return named
    names = _schema(found.tables[0]).names
    for name in URL_NAMES:
        for same in ([n for n in names if n == name], [n for n in names if n.lower() == name]):
            if len(same) == 1:
                return str(same[0])
    return None


def count_hosts(found: CuratedSet, top: int = TOP) -> dict[str, Any] | None:
    """Count the kept pairs by their image's host.

    Args:
        found: a curated set. top: number of hosts that are told one by one.

    Returns:
        JSON: `pairs`, number of `hosts`, pairs `without` a web address; and the `top` hosts with
        their numbers of pairs, most first. None where the pairs have no web addresses.

    Raises:
        InputError: when a table is broken.
        MetacurateError: when DuckDB, of the extra `report`, is missing or fails; when a store
            does not answer.
    """
    column = url_column(found)
    if column is None:
        return None
    with open_database(
        "hosts are counted", f"{found.folder}: hosts can't be counted"
    ) as connection:
        connection.execute("CREATE TABLE hosts (host VARCHAR, pairs BIGINT)")
        for table in found.tables:
            _count_table(connection, table, column)
        answer = _answer(connection, top)
    if answer is not None:
        found.check_pairs(answer["pairs"])
    return answer


def _count_table(connection: Any, table: str, column: str) -> None:
    """Add a table's hosts; its batches are read here, so that any store and any name will do."""
    try:
        with answering(table):
            opened = open_parquet(table)
            kind = opened.schema_arrow.field(column).type
            if not is_text(kind):  # numbers, that tell images apart
                return
            for batch in opened.iter_batches(BATCH, columns=[column]):
                ids = batch.column(0).cast(pa.large_string())
                connection.register("batch", pa.table({"id": ids}))
                connection.execute(COUNT)
                connection.unregister("batch")
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InputError(table, f"can't be read: {first_line(error)}") from error


def _answer(connection: Any, top: int) -> dict[str, Any] | None:
    pairs, without, hosts = connection.execute(
        "SELECT coalesce(sum(pairs), 0)::BIGINT,"
        " coalesce(sum(pairs) FILTER (coalesce(host, '') = ''), 0)::BIGINT,"
        " count(DISTINCT host) FILTER (host <> '') FROM hosts"
    ).fetchone()
    if pairs == without:
        return None
    most = connection.execute(
        "SELECT host, sum(pairs)::BIGINT AS n FROM hosts WHERE host <> '' GROUP BY host"
        " ORDER BY n DESC, host LIMIT ?",
        [top],
    ).fetchall()
    return {
        "pairs": pairs,
        "hosts": hosts,
        "without": without,
        "top": [{"host": host, "pairs": number} for host, number in most],
    }


def _schema(table: str) -> pa.Schema:
    try:
        with answering(table):
            return open_parquet(table).schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(table, f"can't be read: {first_line(error)}") from error
