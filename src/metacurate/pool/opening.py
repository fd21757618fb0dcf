"""How pools are opened: what is asked of one, and the way from its files to its columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from metacurate.engine.workspace import Workspace
from metacurate.errors import UsageError
from metacurate.pool.convert import peek, read_pools
from metacurate.pool.files import InputFile
from metacurate.pool.tables import Pool, PoolFile
from metacurate.pool.where import Where


def parse_where(text: str | None) -> Where | None:
    """Read a filter, where there is one.

    Args:
        text: as it was given.

    Raises:
        UsageError: naming the option.
    """
    if text is None:
        return None
    try:
        return Where.parse(text)
    except UsageError as error:
        raise UsageError(f"--where: {error}") from error


def check_identity(url_column: str | None, id_column: str | None) -> None:
    """Refuse two columns that are both to tell images apart.

    Raises:
        UsageError: naming the options.
    """
    if url_column and id_column:
        raise UsageError("give --url-column or --id-column, not both")


@dataclass(frozen=True)
class Asked:
    """What is asked of a pool.

    Attributes:
        files: from `find_files`.
        url_column, text_column, id_column, where, round_, only, may_be_empty: as for `Pool.open`.
    """

    files: Sequence[InputFile]
    url_column: str | None = None
    text_column: str | None = None
    id_column: str | None = None
    where: Where | None = None
    round_: int | None = None
    only: Literal["url", "text"] | None = None
    may_be_empty: bool = False

    def open(self, files: Sequence[PoolFile]) -> Pool:
        """Find the columns of the pool.

        Args:
            files: its files, read.

        Raises:
            MetacurateError: see `Pool.open`.
        """
        return Pool.open(
            files,
            url_column=self.url_column,
            text_column=self.text_column,
            id_column=self.id_column,
            where=self.where,
            round_=self.round_,
            only=self.only,
            may_be_empty=self.may_be_empty,
        )


def open_pools(
    space: Workspace, asked: Sequence[Asked], columns: Sequence[str] | None
) -> list[Pool]:
    """Open pools; their files are converted where they are no Parquet.

    Args:
        space: where conversions are kept.
        asked: of each pool; captions in tars are where the first one's text column says.
        columns: names for files of CSV or TSV without a header.

    Raises:
        UsageError: for options that don't fit the files.
        MetacurateError: when files are broken, or no pool.
    """
    for one in asked:
        if headers := peek(one.files, columns):
            one.open(headers)
    if any(one.files[0].format != "parquet" for one in asked):
        space.claim()  # before the conversion, which takes its time
    files = [one.files for one in asked]
    tables = read_pools(space, files, columns, asked[0].text_column)
    return [one.open(of_pool) for one, of_pool in zip(asked, tables, strict=True)]
