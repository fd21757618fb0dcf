"""The errors that metacurate raises on purpose; each are one clear line for the user."""


class MetacurateError(Exception):
    """The work can't be done: an input is missing, broken or does not fit. Exit code 1."""


class UsageError(MetacurateError, ValueError):
    """The call itself is wrong: a value out of range, flags that contradict. Exit code 2."""


class InputError(MetacurateError):
    """One input is broken. A run records it, goes on with the others, and fails at the end."""

    def __init__(self, source: str, reason: str) -> None:
        """Name the file and the cause.

        Args:
            source: path or URI of the input.
            reason: what is wrong with it, in one line.
        """
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, str]]:
        """Rebuild from both arguments when the error crosses a process border."""
        return type(self), (self.source, self.reason)


class StorageError(MetacurateError):
    """A store does not answer. Nothing is wrong with an input, so the whole run ends here."""

    def __init__(self, path: str, cause: BaseException) -> None:
        """Name what was read, and the cause.

        Args:
            path: URI. cause: the store's own error.
        """
        super().__init__(
            f"{path}: the storage does not answer ({first_line(cause) or type(cause).__name__}). "
            "What was finished stays: the same call goes on"
        )
        self._arguments = path, str(cause) or type(cause).__name__

    def __reduce__(self) -> tuple[type["StorageError"], tuple[str, Exception]]:
        """Rebuild when the error crosses a process border; the cause may not be picklable."""
        return type(self), (self._arguments[0], Exception(self._arguments[1]))


class UnexpectedError(MetacurateError):
    """What a worker did not expect: a mistake of ours, or a machine that lacks something."""

    @classmethod
    def of(cls, error: BaseException) -> "UnexpectedError":
        """Tell of any exception in a form that crosses process borders.

        Args:
            error: what was raised.
        """
        return cls(f"{type(error).__name__}: {first_line(error)}".rstrip(": "))


def first_line(error: BaseException) -> str:
    """The first line of an error's message: libraries add hints and tables below it.

    Args:
        error: any exception.
    """
    return str(error).strip().split("\n")[0]
