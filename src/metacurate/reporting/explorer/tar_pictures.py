"""Images of pairs that lie in tars on this machine: which tar, and under which key."""

import re
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from metacurate.engine.storage import read_bytes, table_of
from metacurate.engine.workspace import SHARDS_FILE
from metacurate.errors import InputError, first_line
from metacurate.pool.tables import TAR_ID, PoolFile
from metacurate.pool.tar_images import read_tar_image
from metacurate.reporting.curated_set import CuratedSet

KEY = "key"  # of samples, in the tables that img2dataset leaves beside tars


class TarPictures:
    """Finds the images of a set whose pool is tars, or tables beside tars."""

    def __init__(self, curated: CuratedSet) -> None:
        """Prepare to look for images.

        Args:
            curated: the set.
        """
        self._curated = curated

    def tar_of(self, file: PoolFile, kept: bool) -> str | None:
        """The tar that holds the images of a file's pairs.

        Args:
            file: of the pool, or of kept pairs. kept: which of the two.

        Returns:
            Its path, where it is there, on this machine and not compressed; else None.

        Raises:
            InputError: when the list of kept pairs' inputs can't be read.
        """
        path = self._inputs.get(Path(file.path).name, "") if kept else file.path
        tar = re.sub(r"\.parquet$", ".tar", path, flags=re.IGNORECASE)
        known = tar.lower().endswith(".tar") and "://" not in tar
        return tar if known and Path(tar).is_file() else None

    def read(self, tar: str, row: dict[str, Any]) -> tuple[bytes, str] | None:
        """Read the image of a pair.

        Args:
            tar: from `tar_of`. row: the pair's columns.

        Returns:
            The bytes and their media type; None where there is no image.

        Raises:
            InputError: when the tar can't be read.
        """
        identity, key = row.get(TAR_ID), row.get(KEY)
        beginning = f"{Path(tar).name}/"
        if isinstance(identity, str) and identity.startswith(beginning):
            return read_tar_image(tar, identity.removeprefix(beginning))
        return read_tar_image(tar, key) if isinstance(key, str) else None

    @cached_property
    def _inputs(self) -> dict[str, str]:
        """The input of each file of kept pairs, by its name."""
        place = self._curated.folder / SHARDS_FILE
        try:
            table = table_of(read_bytes(place), ["output", "input"])
        except (pa.ArrowException, OSError) as error:
            raise InputError(str(place), f"can't be read: {first_line(error)}") from error
        pairs = zip(table["output"].to_pylist(), table["input"].to_pylist(), strict=True)
        return {output: source for output, source in pairs if output is not None}
