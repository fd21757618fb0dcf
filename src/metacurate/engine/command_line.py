"""What was typed to begin a run, for its manifest; apart, so that it costs nothing to import."""

from contextvars import ContextVar

COMMAND_LINE: ContextVar[str | None] = ContextVar("COMMAND_LINE", default=None)
"""The command as a shell takes it; None where a run was begun from Python."""
