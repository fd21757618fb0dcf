"""Options that take all the values behind them, as a shell's globs leave them."""

from typing import Any

import typer
from typer.core import TyperCommand


class ManyValues(TyperCommand):
    """A command without arguments whose repeatable options take several values at once.

    ``--pageviews pageviews-*.gz`` is what people type, and the shell makes several words of it.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat an option's name before each of its further values, then parse as ever."""
        repeatable = {
            name for option in self.params if getattr(option, "multiple", False)
            for name in option.opts
        }  # fmt: skip
        spread: list[str] = []
        name: str | None = None
        for word in [*args, "--"]:
            if word.startswith("-") and name is not None and spread[-1] == name:
                raise typer.BadParameter("a value is missing", ctx, param_hint=f"'{name}'")
            if word.startswith("-"):
                name = word if word in repeatable else None
                spread.append(word)
            elif name is not None and spread[-1] != name:
                spread += [name, word]
            else:
                spread.append(word)
        return super().parse_args(ctx, spread[:-1])
