"""Whether anybody answers: when nobody does, the network is gone, and no image is to blame."""

from collections.abc import Callable
from urllib.parse import urlsplit

from metacurate.images.fetching.statuses import MachineError
from metacurate.images.spool import Result

MOST_SILENT = 200  # images in a row without an answer
MOST_HOSTS = 50  # of so many hosts


class Answers:
    """Hands results on; those without an answer wait until somebody answers."""

    def __init__(self, add: Callable[[Result], None]) -> None:
        """Begin with none.

        Args:
            add: takes results for good.
        """
        self._add = add
        self._waiting: list[Result] = []
        self._hosts: set[str] = set()

    def add(self, result: Result, silent_host: str | None = None) -> None:
        """Take a result.

        Args:
            result: of an image. silent_host: where no answer came, who gave none.

        Raises:
            MachineError: when nobody has answered for long; what waits is lost, to be asked for
                again.
        """
        if silent_host is None:
            self.end()
            self._add(result)
            return
        self._waiting.append(result)
        self._hosts.add(silent_host)
        if len(self._waiting) >= MOST_SILENT and len(self._hosts) >= MOST_HOSTS:
            raise MachineError(
                f"none of {len(self._waiting)} images of {len(self._hosts)} hosts could be asked "
                f"for ({result.error_message}): is there a network? The same command goes on"
            )

    def end(self) -> None:
        """Hand on what waits: somebody answers, or there is nobody left to ask."""
        for waiting in self._waiting:
            self._add(waiting)
        self._waiting.clear()
        self._hosts.clear()


def host_of(url: str) -> str:
    """The host of a URL; "" where it has none.

    Args:
        url: any.
    """
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
