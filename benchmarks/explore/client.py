"""Ask a server in a process of its own, check its answers, and take the times."""

import os
import re
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

from benchmarks.data import ROOT
from benchmarks.explore.case import REQUESTS, Request, explored, requests
from benchmarks.explore.scan import Rows, Scan
from benchmarks.fresh import Figures, MeasurementError, answer

PAIR = re.compile(r'class="pair" data-file="(\d+)" data-row="(\d+)"')
ENTRY = re.compile(r'<tr data-entry="(\d+)">')


def main(rows: int, runs: int) -> Figures:
    """Ask all questions, some times over.

    Args:
        rows: of the pool. runs: how often each is asked.

    Returns:
        `start`, seconds until the first page was there; `ready`, until the first pair of the
        pool was; and `seconds` of all requests by kind.
    """
    out = explored(rows)
    asked = requests(out)
    scan = Scan(out)
    wanted = [sorted(scan.answer(request)) for request in asked]
    del scan
    began = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.explore.server", str(out)],
        cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        connection = HTTPConnection(urlsplit(address).netloc, timeout=60)
        _get(connection, "/")
        start = time.perf_counter() - began
        _get(connection, "/pairs?fate=all")
        ready = time.perf_counter() - began
        seconds: dict[str, list[float]] = {request.kind: [] for request in asked}
        for run in range(runs + 1):
            for request, rows_wanted in zip(asked, wanted, strict=True):
                before = time.perf_counter()
                page = _get(connection, request.path)
                if run:  # the first time warms up, and is checked
                    seconds[request.kind].append(time.perf_counter() - before)
                else:
                    _check(request, page, rows_wanted)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
    return {"start": start, "ready": ready, "requests": REQUESTS, "seconds": seconds}


def _get(connection: HTTPConnection, path: str) -> str:
    while True:
        connection.request("GET", path)
        response = connection.getresponse()
        text = response.read().decode()
        if response.status == 200:
            return text
        if response.status != 503:
            raise MeasurementError(f"{path}: {response.status}")


def _check(request: Request, page: str, wanted: Rows) -> None:
    pattern = ENTRY if request.path.startswith(("/?", "/try")) else PAIR
    found = pattern.findall(page)
    rows = [tuple(map(int, one if isinstance(one, tuple) else (one,))) for one in found]
    if sorted(rows) != wanted:
        raise MeasurementError(f"{request.path}: {len(rows)} rows, but the scan has {len(wanted)}")


if __name__ == "__main__":
    answer(main)
