"""FastWARC alone: goes through an archive's records, and reads none."""

from fastwarc.warc import ArchiveIterator

from benchmarks.extract.archives import archive_path
from benchmarks.fresh import Figures, answer, seconds


def main(kind: str) -> Figures:
    """Go through the records.

    Args:
        kind: of the archive.
    """
    path = archive_path(kind)

    def iterate() -> int:
        with path.open("rb") as file:
            return sum(1 for _ in ArchiveIterator(file, parse_http=False))

    return {"seconds": seconds(iterate, 5), "records": iterate()}


if __name__ == "__main__":
    answer(main)
