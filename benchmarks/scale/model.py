"""The model of whole crawls: what is taken as given, steps over a crawl or pool, and tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.fresh import Figures
from benchmarks.report import Table
from benchmarks.scale.amount import MATCHED, task_count
from benchmarks.scale.requests import KINDS
from benchmarks.scale.tables import Columns, table
from metacurate.engine.run import UNITS_PER_TASK
from metacurate.pool.tables import FOOTERS_AT_ONCE
from metacurate.pool.winners import MOST_PARTITIONS, PARTITION_ROWS, RECORD_BYTES

KEY_BYTES = 32  # of what `dedup` notes of a row: key, hash, place
FOOTER = 2  # requests for a file while a run is planned


@dataclass(frozen=True)
class Assumed:
    """What the model takes as given. Prices are list prices of AWS, us-east-1, and change.

    Attributes:
        archives: WAT files of a crawl. archive_bytes: of one, compressed. pages: of the crawl.
        pairs: of a pool. shards: files that it lies in. kept: share that balancing keeps.
        slots: tasks at once. latency: seconds of a request to a store.
        bandwidth: bytes a second of a connection to it.
        vcpu_hour: dollars, on demand (c7i).
        gets, puts: dollars for a thousand requests of S3: GET and HEAD; PUT and LIST.
    """

    archives: int = 90_000
    archive_bytes: float = 330e6
    pages: float = 2.7e9
    pairs: float = 10e9
    shards: int = 200_000
    kept: float = 0.25
    slots: int = 256
    latency: float = 0.03
    bandwidth: float = 80e6
    vcpu_hour: float = 0.045
    gets: float = 0.0004
    puts: float = 0.005

    @property
    def unit_rows(self) -> float:
        """Pairs of a shard."""
        return self.pairs / self.shards


# Work that is done at once


@dataclass(frozen=True)
class Step:
    """A step over a whole crawl or pool.

    Attributes:
        name: of the command, or stage. units: of work.
        seconds, read, written: of a unit: time, and bytes.
        requests: of all, by kind. planning: so many of a unit are the driver's.
        files: that are made.
        driver: seconds of what the driver does alone.
        worker, memory: MB, of a worker and of the driver.
    """

    name: str
    units: int
    seconds: float
    read: float
    written: float
    requests: dict[str, float]
    planning: int
    files: float
    driver: float
    worker: float
    memory: float

    @property
    def hours(self) -> float:
        """Of a CPU."""
        return self.units * self.seconds / 3600

    def waits(self, given: Assumed) -> float:
        """Hours that tasks wait for a store, each for one request after another.

        Args:
            given: how long a request takes.
        """
        asked = sum(self.requests[kind] for kind in ("GET", "HEAD", "PUT"))
        asked = max(0.0, asked - self.planning * self.units) * given.latency
        moved = self.units * (self.read + self.written) / given.bandwidth
        return (asked + moved) / 3600


def model(figures: Figures, given: Assumed) -> list[Table]:
    """What whole crawls would take.

    Args:
        figures: of `run`. given: what can't be measured here.
    """
    steps = [_extract_step(figures, given), *_pool_steps(figures, given)]
    return [_work_table(steps, given), _cost_table(steps, given), _limits_table(figures, given)]


def _extract_step(figures: Figures, given: Assumed) -> Step:
    found, units = figures["extract"], given.archives
    tasks = task_count(units, given.slots)
    requests = _all_requests(figures["requests"]["nothing"], units, tasks)
    requests |= {kind: requests[kind] + units for kind in ("GET", "HEAD")}  # of archives
    return Step(
        "extract",
        units,
        found["seconds"] / found["bytes"] * given.archive_bytes,
        given.archive_bytes,
        found["written"] / found["pages"] * given.pages / units,
        requests,
        0,
        units + 2 * tasks,
        0.0,
        found["memory"],
        _driver_memory(figures, figures["engines"]["local, threads"]["before"], units, 1),
    )


def _pool_steps(figures: Figures, given: Assumed) -> list[Step]:
    commands, units, tasks = (
        figures["commands"],
        given.shards,
        task_count(given.shards, given.slots),
    )
    share = given.unit_rows / figures["amount"]["pool"]
    columns = commands["curate"]["columns"]
    all_columns, noted = sum(columns.values()) * share, figures["decide"][0]
    added = figures["reduce"]["seconds"] / figures["amount"]["partials"] * tasks
    partial_bytes = figures["reduce"]["bytes"] / figures["amount"]["partials"] * tasks / units
    asked_of = figures["thresholds"]
    pair = asked_of["bytes"] / asked_of["pairs"] * MATCHED
    kept = commands["curate"]["written"] / commands["curate"]["kept"] * given.kept

    def step(
        name: str, command: str, stage: str, read: float, written: float, files: float,
        driver: float, stages: int = 1,
    ) -> Step:  # fmt: skip
        asked = figures["requests"].get(name.partition(":")[0], {})
        unpacked = figures["stage"]["unpacked"] / figures["amount"]["planned"] * units
        return Step(
            name,
            units,
            commands[command]["stages"][stage] * share,
            read,
            written,
            dict.fromkeys(KINDS, 0.0)
            if name == "dedup: copy"
            else _all_requests(asked, units, tasks),
            FOOTER,
            files,
            driver,
            commands[command]["memory"] + unpacked,
            _driver_memory(figures, commands[command]["memory"], units, stages),
        )

    copied = commands["dedup"]["written"] * share
    keys = noted["bytes"] / noted["rows"] * given.unit_rows
    deciding = sum(_decide_seconds(figures, given))
    return [
        step("dedup: keys", "dedup", "keys", all_columns, keys, 2 * _key_files(given), deciding),
        step("dedup: copy", "dedup", "dedup", all_columns, copied, units + 2 * tasks, 0.0, 2),
        step("count", "curate", "count", columns["text"] * share, partial_bytes, 2 * tasks, added),
        step(
            "plan", "plan", "plan", all_columns, pair * given.unit_rows, 2 * tasks,
            asked_of["seconds"] / asked_of["units"] * units,
        ),
        step(
            "sample", "curate", "sample", all_columns, kept * given.unit_rows + partial_bytes,
            units + 2 * tasks, added,
        ),
    ]  # fmt: skip


def _all_requests(
    requests: dict[str, dict[str, float]], units: int, tasks: int
) -> dict[str, float]:
    each, task, besides = (requests[name] for name in ("unit", "task", "run"))
    found = {kind: each[kind] * units + task[kind] * tasks + besides[kind] for kind in KINDS}
    return found | {"LIST": found["LIST"] + units / 1000}


def _driver_memory(figures: Figures, base: float, units: int, stages: int) -> float:
    """MB: what it takes for few units; files and units; records; shards.parquet."""
    accounting = figures["accounting"]
    each = figures["stage"]["held"] + accounting["held"] * stages + accounting["more"]
    return float(base + each / figures["amount"]["planned"] * units)


def _key_files(given: Assumed) -> float:
    """Files of keys that tasks leave: of whole units, until they have RECORD_BYTES."""
    units = -(-RECORD_BYTES // (given.unit_rows * KEY_BYTES))
    return given.shards / min(UNITS_PER_TASK, max(1, units))


def _range_rows(given: Assumed) -> float:
    """Keys that are decided about together."""
    return max(PARTITION_ROWS, given.pairs / MOST_PARTITIONS)


def _ranges(given: Assumed) -> float:
    """Ranges of keys, each of which is read from every file of keys."""
    return _key_files(given) * -(-given.pairs // _range_rows(given))


def _decide_seconds(figures: Figures, given: Assumed) -> tuple[float, float]:
    """For the rows, and for the ranges: the latter as many small files tell beside few large."""
    few, many = figures["decide"]
    ranged = (many["seconds"] - few["seconds"]) / (many["ranges"] - few["ranges"])
    row = (few["seconds"] - ranged * few["ranges"]) / few["rows"]
    return max(0.0, row) * given.pairs, max(0.0, ranged) * _ranges(given)


def _work_table(steps: Sequence[Step], given: Assumed) -> Table:
    note = (
        f"`extract`: {given.archives:,} WAT files of {given.archive_bytes / 1e6:.0f} MB, "
        f"{given.pages / 1e9:.1f} billion pages. The others: {given.pairs / 1e9:.0f} billion pairs "
        f"in {given.shards:,} shards, of which {given.kept:.0%} are kept. {given.slots} tasks at "
        "once. *Driver min* is what one process does alone when tasks are done."
    )
    columns: Columns = {
        "step": lambda step: step.name,
        "units": lambda step: f"{step.units:,}",
        "tasks": lambda step: f"{task_count(step.units, given.slots):,}",
        "s a unit": lambda step: f"{step.seconds:.2f}",
        "CPU h": lambda step: f"{step.hours:,.1f}",
        "TB read": lambda step: f"{step.units * step.read / 1e12:.2f}",
        "TB written": lambda step: f"{step.units * step.written / 1e12:.2f}",
        "files": lambda step: f"{step.files:,.0f}",
        "worker MB": lambda step: f"{step.worker:,.0f}",
        "driver MB": lambda step: f"{step.memory:,.0f}",
        "driver min": lambda step: f"{step.driver / 60:,.1f}",
    }
    return table("Whole crawls: work", note, columns, steps)


def _cost_table(steps: Sequence[Step], given: Assumed) -> Table:
    def gets(step: Step) -> float:
        return step.requests["GET"] + step.requests["HEAD"]

    def puts(step: Step) -> float:
        return step.requests["PUT"] + step.requests["LIST"]

    def hours(step: Step) -> float:
        return step.hours + step.waits(given)

    def asking(step: Step) -> float:
        return (gets(step) * given.gets + puts(step) * given.puts) / 1000

    note = (
        f"All in a store: a request takes {given.latency} s, and a connection moves "
        f"{given.bandwidth / 1e6:.0f} MB/s; a task asks one thing after another, and its vCPU "
        f"*waits*. *Min* is with {given.slots} vCPUs, without the driver's part. A vCPU hour costs "
        f"${given.vcpu_hour}, a thousand requests ${given.gets} (GET, HEAD) or ${given.puts} (PUT, "
        "LIST). All requests of `dedup` are in its first row.\n"
        f"Together: ${sum(map(hours, steps)) * given.vcpu_hour:,.2f}, and "
        f"${sum(map(asking, steps)):,.2f} for requests."
    )
    columns: Columns = {
        "step": lambda step: step.name,
        "CPU h": lambda step: f"{step.hours:,.1f}",
        "waits h": lambda step: f"{step.waits(given):,.1f}",
        "min": lambda step: f"{hours(step) / given.slots * 60:,.1f}",
        "vCPU $": lambda step: f"{hours(step) * given.vcpu_hour:,.2f}",
        "GET, HEAD": lambda step: f"{gets(step):,.0f}",
        "PUT, LIST": lambda step: f"{puts(step):,.0f}",
        "requests $": lambda step: f"{asking(step):,.2f}",
    }
    return table("Whole crawls: requests and costs", note, columns, steps)


def _limits_table(figures: Figures, given: Assumed) -> Table:
    amount, listing, stage = (figures[name] for name in ("amount", "listing", "stage"))
    for_rows, for_ranges = (time / 3600 for time in _decide_seconds(figures, given))
    found, noted = figures["thresholds"], figures["decide"][0]
    pairs = given.pairs * MATCHED / found["pairs"]
    here = listing["footers"] / amount["listed"] * given.shards / 60
    away = given.shards * FOOTER * given.latency / FOOTERS_AT_ONCE / 60
    files = given.shards / amount["planned"]
    sorting = noted["more"] / min(PARTITION_ROWS, noted["rows"]) * _range_rows(given) / 1000
    items = [
        ("listing", f"{listing['list'] / amount['listed'] * given.shards / 60:.1f} min", "", ""),
        ("footers", f"{here:.1f} min; in a store {away:.1f} min", "", ""),
        (
            "the stage, in each worker",
            f"{stage['load'] * files:.1f} s",
            f"{stage['unpacked'] * files / 1e3:.1f} GB",
            f"{stage['bytes'] * files / 1e9:.2f} GB",
        ),
        (
            "plan: a budget's threshold",
            f"{found['seconds'] / found['units'] * given.shards / 60:.1f} min",
            f"{found['held'] * pairs / 1e3:,.0f} GB",
            f"{found['bytes'] * pairs / 1e9:,.0f} GB",
        ),
        (
            "dedup: which row stays",
            f"{for_rows:.1f} h for rows, {for_ranges:.1f} h for ranges",
            f"{given.pairs / 1e9:,.0f} GB of page cache; {sorting:.1f} GB",
            f"{given.pairs * (noted['bytes'] / noted['rows'] + 1) / 1e9:,.0f} GB",
        ),
    ]
    note = (
        f"The same pool: what the driver does alone. A request to a store takes {given.latency} s, "
        f"{FOOTERS_AT_ONCE} footers are read at once. Keys lie in {_key_files(given):,.0f} files, "
        f"of each of which {_ranges(given) / _key_files(given):,.0f} ranges are read."
    )
    columns: Columns = {
        "what": lambda one: one[0],
        "time": lambda one: one[1],
        "memory": lambda one: one[2],
        "disk": lambda one: one[3],
    }
    return table("Whole crawls: the driver", note, columns, items)
