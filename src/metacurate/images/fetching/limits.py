"""What a fetch may take, and how politely it asks."""

from dataclasses import dataclass, fields
from ipaddress import IPv4Network, IPv6Network

from metacurate import __version__
from metacurate.errors import UsageError

AGENT = f"metacurate/{__version__}"


@dataclass(frozen=True)
class FetchLimits:
    """What a fetch may take, and how politely it asks.

    Attributes:
        connect_seconds: to look a name up and to connect.
        total_seconds: of one try, redirects included; waiting for one's turn does not count.
        least_bytes_per_second: of a body, over each window. window_seconds: how long one is.
        max_bytes: of an image, as sent and decompressed.
        max_redirects: of one try.
        tries: at most, where a fault may pass.
        pause_seconds: before the second try; twice as long before each one more, and up to half
            as long more or less, as the URL has it, so that tries do not come in waves.
        longest_retry_after: seconds that a host may ask to be left alone and is waited for.
        per_host: requests at once. host_pause: seconds between the starts of two.
        connections: requests at once, to all hosts.
        respect_opt_out: whether images whose X-Robots-Tag says noai or noimageai are left alone.
        allow: networks that are not public and may be reached.
        user_agent: who we say that we are.
    """

    connect_seconds: float = 10.0
    total_seconds: float = 60.0
    least_bytes_per_second: int = 1 << 10
    window_seconds: float = 10.0
    max_bytes: int = 32 << 20
    max_redirects: int = 5
    tries: int = 3
    pause_seconds: float = 1.0
    longest_retry_after: float = 60.0
    per_host: int = 4
    host_pause: float = 0.0
    connections: int = 128
    respect_opt_out: bool = True
    allow: tuple[IPv4Network | IPv6Network, ...] = ()
    user_agent: str = AGENT

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: where a value is out of range.
        """
        may_be_zero = {
            "least_bytes_per_second", "max_redirects", "pause_seconds", "longest_retry_after",
            "host_pause",
        }  # fmt: skip
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if not (value > 0 or (value == 0 and field.name in may_be_zero)):
                raise UsageError(f"{field.name} of {value} is too small")
        if not self.user_agent.isprintable() or not self.user_agent.isascii():
            raise UsageError(f"a user agent is of printable ASCII, which {self.user_agent!r} isn't")
