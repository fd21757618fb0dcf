"""cc2dataset's way to read a WAT file, as its release 1.5.0 documents and does it.

FastWARC gives the metadata records, pysimdjson turns each whole record into Python objects, links
that are relative are joined with urljoin, and an MD5 tells pairs apart. This is a twin of the
method, written anew without Spark, which cc2dataset runs it in.
"""

import hashlib
from pathlib import Path
from urllib.parse import urljoin

import simdjson
from fastwarc.warc import ArchiveIterator, WarcRecordType

from benchmarks.extract.archives import archive_path
from benchmarks.extract.digest import digest
from benchmarks.fresh import Figures, answer, seconds
from metacurate.pool.web.texts import decode_references

Row = tuple[str, str, str, str, str]


def extract(path: Path, join_each: bool, attribute: str = "alt") -> list[Row]:
    """All pairs of a file.

    Args:
        path: of a WAT file. join_each: whether absolute links are joined, too.
        attribute: that holds the texts; cc2dataset reads alt only.
    """
    rows: list[Row] = []
    with path.open("rb") as file:
        for record in ArchiveIterator(file, record_types=WarcRecordType.metadata, parse_http=False):
            try:
                content = simdjson.load(record.reader)
            except (ValueError, RuntimeError):
                continue
            envelope = content["Envelope"]
            page = envelope["Payload-Metadata"].get("HTTP-Response-Metadata", {})
            links = page.get("HTML-Metadata", {}).get("Links")
            if links is None:
                continue
            filename = content["Container"]["Filename"]
            page_url = base = envelope["WARC-Header-Metadata"]["WARC-Target-URI"]
            if "Base" in page["HTML-Metadata"].get("Head", {}):
                base = urljoin(base, page["HTML-Metadata"]["Head"]["Base"])
            for link in links:
                if link.get("path", "") != "IMG@/src" or not link.get(attribute, ""):
                    continue
                url = link["url"]
                if join_each or not url.startswith(("http://", "https://")):
                    try:
                        url = urljoin(base, url)
                    except ValueError:
                        continue
                if url.startswith(("http://", "https://")):
                    uid = hashlib.md5((link[attribute] + url).encode()).hexdigest()
                    rows.append((uid, url, link[attribute], filename, page_url))
    return rows


def main(join_each: bool) -> Figures:
    """Read the file.

    Args:
        join_each: see `extract`.
    """
    path = archive_path("wat")
    rows = extract(path, join_each)
    found = [*rows, *extract(path, join_each, "title")]
    return {
        "seconds": seconds(lambda: extract(path, join_each), 5),
        "rows": len(rows),
        "answer": digest((page, url, decode_references(text)) for _, url, text, _, page in found),
    }


if __name__ == "__main__":
    answer(main)
