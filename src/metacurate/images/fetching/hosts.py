"""Whose turn it is: how many requests a host gets at once, and when it is left alone."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from metacurate.images.fetching.limits import FetchLimits
from metacurate.images.fetching.statuses import FetchError, Status

MOST_RESTING = 10_000  # hosts that nobody asks and that are to be left alone: the latest
MOST_ROUNDS = 6  # times in a row that a host is waited for, and is no readier then
MOST_FAILURES = 8  # requests in a row without an answer, after which a host is given up for now
SILENT_SECONDS = 10.0  # that they have to span: a server that starts anew is soon back
GIVEN_UP_SECONDS = 60.0


class Host:
    """One host.

    Attributes:
        users: requests that are under way or wait.
        ready_at: when the next may start, in the loop's time.
        rounds, failures: how often it was busy, or not reached, since its last proper answer.
    """

    __slots__ = (
        "_cause", "_closed_until", "_paused_until", "_silent_since", "failures", "ready_at",
        "rounds", "slots", "users",
    )  # fmt: skip

    def __init__(self, slots: int) -> None:
        """Begin with a host of which nothing is known.

        Args:
            slots: requests at once.
        """
        self.slots = asyncio.Semaphore(slots)
        self.users = 0
        self.ready_at = 0.0
        self.rounds = 0
        self.failures = 0
        self._silent_since = 0.0
        self._paused_until = 0.0
        self._closed_until = 0.0
        self._cause = (Status.UNREACHABLE, "")

    def answered(self) -> None:
        """Note that it answers as it should."""
        self.rounds = self.failures = 0

    def busy(self, started: float, now: float, seconds: float, error: FetchError) -> None:
        """Leave it alone for a while, as it asks.

        Args:
            started: when the request started that it answered so. now: the time.
            seconds: how long, the first time; each time in a row it is twice as long.
            error: what those get who ask in vain.
        """
        if started >= self._paused_until:  # or it is one more of those that met the same moment
            self.rounds += 1
            seconds = min(seconds * 2.0 ** (self.rounds - 1), max(seconds, GIVEN_UP_SECONDS))
        self.failures = 0
        self._paused_until = max(self._paused_until, now + seconds)
        self.ready_at = max(self.ready_at, self._paused_until)
        if self.rounds >= MOST_ROUNDS:
            self.close(now + max(seconds, GIVEN_UP_SECONDS), error)

    def failed(self, now: float, error: FetchError) -> None:
        """Note that no answer came from it.

        Args:
            now: the time. error: why.
        """
        if not self.failures:
            self._silent_since = now
        self.failures += 1
        if self.failures >= MOST_FAILURES and now - self._silent_since >= SILENT_SECONDS:
            self.close(now + GIVEN_UP_SECONDS, error)

    def close(self, until: float, error: FetchError) -> None:
        """Give it up for a while: who asks for it fails at once.

        Args:
            until: when. error: the cause.
        """
        self._cause = (error.status, f"the host is given up for now: {error}")
        self._closed_until = max(self._closed_until, until)

    def is_closed(self, now: float) -> bool:
        """Whether it is given up.

        Args:
            now: the time.
        """
        return now < self._closed_until

    def is_worth_remembering(self, now: float) -> bool:
        """Whether there is something about it that a later request has to know.

        Args:
            now: the time.
        """
        return bool(self.ready_at > now or self.rounds or self.failures or self.is_closed(now))

    def refusal(self) -> FetchError:
        """What those get who ask for it while it is given up."""
        return FetchError(*self._cause)


class Hosts:
    """All hosts that are asked, and the latest of those that are to be left alone."""

    def __init__(self, limits: FetchLimits) -> None:
        """Begin with none.

        Args:
            limits: how many requests may be under way at once.
        """
        self._limits = limits
        self._connections = asyncio.Semaphore(limits.connections)
        self._asked: dict[str, Host] = {}
        self._resting: OrderedDict[str, Host] = OrderedDict()

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._asked) + len(self._resting)

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[Host]:
        """Wait until a host may be asked; no connection is held meanwhile.

        Args:
            name: of the host.

        Yields:
            The host, for as long as the request takes.

        Raises:
            FetchError: where the host is given up.
        """
        host = self._asked.get(name)
        if host is None:
            host = self._resting.pop(name, None) or Host(self._limits.per_host)
            self._asked[name] = host
        host.users += 1
        try:
            async with host.slots:
                await self._wait(host)
                try:
                    yield host
                finally:
                    self._connections.release()
        finally:
            host.users -= 1
            if not host.users:
                self._rest(name, host)

    async def _wait(self, host: Host) -> None:
        """Take one of the connections, once the host is ready."""
        now = asyncio.get_running_loop().time
        while True:
            if host.is_closed(now()):
                raise host.refusal()
            if (seconds := host.ready_at - now()) > 0:
                await asyncio.sleep(seconds)
                continue
            await self._connections.acquire()
            moment = now()  # much may have happened in the meantime
            if moment >= host.ready_at and not host.is_closed(moment):
                if self._limits.host_pause:
                    host.ready_at = moment + self._limits.host_pause
                return
            self._connections.release()

    def _rest(self, name: str, host: Host) -> None:
        """Forget a host of which nothing has to be known."""
        del self._asked[name]
        if host.is_worth_remembering(asyncio.get_running_loop().time()):
            self._resting[name] = host
            if len(self._resting) > MOST_RESTING:
                self._resting.popitem(last=False)
