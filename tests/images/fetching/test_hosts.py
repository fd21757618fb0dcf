import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import pytest

from metacurate.images.fetching import hosts as module
from metacurate.images.fetching.hosts import Hosts
from metacurate.images.fetching.limits import FetchLimits
from metacurate.images.fetching.statuses import FetchError, Status

BUSY = FetchError(Status.TOO_MANY_REQUESTS, "429")
LOST = FetchError(Status.CONNECT_TIMEOUT, "no connection in time")


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 10))


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_host_that_is_done_with_is_forgotten() -> None:
    async def main() -> None:
        hosts = Hosts(FetchLimits())
        for number in range(1000):
            async with hosts.turn(f"host{number}"):
                assert len(hosts) == 1
        assert len(hosts) == 0

    run(main())


def test_hosts_to_be_left_alone_are_remembered_up_to_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_RESTING", 10)

    async def main() -> None:
        hosts = Hosts(FetchLimits())
        for number in range(100):
            async with hosts.turn(f"host{number}") as host:
                host.close(now() + 60, BUSY)
        assert len(hosts) == 10
        with pytest.raises(FetchError, match="given up"):
            async with hosts.turn("host99"):
                pass
        async with hosts.turn("host1"):
            pass

    run(main())


def test_a_busy_host_is_waited_for_without_a_connection() -> None:
    async def main() -> None:
        hosts = Hosts(FetchLimits(connections=1))
        began = now()
        async with hosts.turn("busy") as host:
            host.busy(now(), now(), 0.2, BUSY)

        async def wait() -> float:
            async with hosts.turn("busy"):
                return now() - began

        waiting = [asyncio.create_task(wait()) for _ in range(3)]
        await asyncio.sleep(0)
        async with hosts.turn("other"):
            assert now() - began < 0.15
        assert min(await asyncio.gather(*waiting)) >= 0.2

    run(main())


def test_a_host_that_stays_busy_is_given_up_and_one_that_recovers_is_not() -> None:
    async def main() -> None:
        hosts = Hosts(FetchLimits())
        for recovers in (True, False):
            name = f"host {recovers}"
            for number in range(module.MOST_ROUNDS + 2):
                if number == module.MOST_ROUNDS and not recovers:
                    with pytest.raises(FetchError, match="given up for now: 429"):
                        async with hosts.turn(name):
                            pass
                    break
                async with hosts.turn(name) as host:
                    if recovers:
                        host.answered()
                    host.busy(now(), now(), 0.001, BUSY)

    run(main())


def test_each_pause_in_a_row_is_twice_as_long() -> None:
    async def main() -> None:
        host = module.Host(1)
        for seconds in (0.01, 0.02, 0.04):
            host.busy(now(), now(), 0.01, BUSY)
            assert 0.5 * seconds < host.ready_at - now() <= seconds
            await asyncio.sleep(max(0, host.ready_at - now()))
        host.answered()
        host.busy(now(), now(), 0.01, BUSY)
        assert host.ready_at - now() <= 0.01

    run(main())


def test_answers_of_one_moment_count_once() -> None:
    async def main() -> None:
        async with Hosts(FetchLimits()).turn("host") as host:
            started = now()
            for _ in range(20):
                host.busy(started, now(), 5, BUSY)
            assert host.rounds == 1
            assert not host.is_closed(now())

    run(main())


def test_a_host_that_never_answers_is_given_up_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GIVEN_UP_SECONDS", 0.05)
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.0)

    async def main() -> None:
        hosts = Hosts(FetchLimits())
        for _ in range(module.MOST_FAILURES):
            async with hosts.turn("dead") as host:
                host.failed(now(), LOST)
        with pytest.raises(FetchError) as refused:
            async with hosts.turn("dead"):
                pass
        assert refused.value.status is Status.CONNECT_TIMEOUT
        assert not refused.value.passing
        await asyncio.sleep(0.06)
        async with hosts.turn("dead"):
            pass

    run(main())


def test_a_host_that_fails_for_a_moment_is_not_given_up() -> None:
    async def main() -> None:
        hosts = Hosts(FetchLimits())
        for _ in range(100):
            async with hosts.turn("restarting") as host:
                host.failed(now(), LOST)

    run(main())


def test_starts_are_apart_also_where_connections_are_few() -> None:
    async def main() -> None:
        hosts = Hosts(FetchLimits(host_pause=0.03, connections=1, per_host=4))
        starts: list[float] = []

        async def one() -> None:
            async with hosts.turn("host"):
                starts.append(now())

        async with hosts.turn("other"):
            tasks = [asyncio.create_task(one()) for _ in range(5)]
            await asyncio.sleep(0.1)
        await asyncio.gather(*tasks)
        assert min(b - a for a, b in pairwise(starts)) >= 0.029

    run(main())


def test_who_is_cancelled_gives_everything_back() -> None:
    async def main() -> None:
        hosts = Hosts(FetchLimits(per_host=1, connections=1))

        async def hold() -> None:
            async with hosts.turn("host"):
                await asyncio.sleep(60)

        tasks = [asyncio.create_task(hold()) for _ in range(5)]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(hosts) == 0
        async with hosts.turn("host"):
            pass

    run(main())
