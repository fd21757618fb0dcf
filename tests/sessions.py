"""Commands that are started as a session of their own, and what processes are left of it."""

import time
from pathlib import Path


def in_session(session: int) -> list[int]:
    """Processes that are left of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


def left_of(session: int, seconds: float = 5.0) -> list[int]:
    """Processes of a session that do not end in time."""
    deadline = time.monotonic() + seconds
    while (left := in_session(session)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
