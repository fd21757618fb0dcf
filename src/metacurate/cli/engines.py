"""Where the work runs: the options that all long commands share."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from metacurate.errors import UsageError

if TYPE_CHECKING:
    from metacurate.engine.work import Engine

Name = Literal["local", "ray", "slurm"]

PANEL = "Where it runs"


def _option(name: str, text: str) -> Any:
    return typer.Option(name, help=text, rich_help_panel=PANEL)


OPTIONS: dict[str, tuple[Any, Any]] = {  # type and default, by the name of the argument
    "workers": (
        Annotated[
            int | None,
            _option("--workers", "Tasks at once. [default: all cores, of this machine or cluster]"),
        ],
        None,
    ),
    "engine": (
        Annotated[
            Name,
            _option("--engine", "This machine, a Ray cluster, or jobs of Slurm; the same result."),
        ],
        "local",
    ),
    "ray_address": (
        Annotated[
            str | None,
            _option(
                "--ray-address",
                "Of the cluster: 10.0.0.1:6379, or auto. [default: RAY_ADDRESS, or a new one]",
            ),
        ],
        None,
    ),
    "slurm_partition": (
        Annotated[
            str | None, _option("--slurm-partition", "For the jobs. [default: the cluster's]")
        ],
        None,
    ),
    "slurm_time": (
        Annotated[
            str,
            _option("--slurm-time", "Of a job, at most: minutes, or as 4:00:00 or 1-00:00:00."),
        ],
        "4:00:00",
    ),
    "slurm_mem": (Annotated[str, _option("--slurm-mem", "Memory of a job, as 8G.")], "8G"),
    "slurm_cpus": (Annotated[int, _option("--slurm-cpus", "Cores of a job.")], 4),
    "slurm_array_parallelism": (
        Annotated[int, _option("--slurm-array-parallelism", "Jobs at once, at most.")],
        64,
    ),
}


def on_any_engine(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of engines, in place of its `**runs`.

    It is called with the two arguments that they come to: `engine` and `workers`.

    Args:
        command: of the command line; its last parameter is `**runs`.
    """

    @wraps(command)
    def call(**given: Any) -> None:
        asked = {name: given.pop(name) for name in OPTIONS}
        command(**given, workers=asked.pop("workers"), engine=_engine(**asked))

    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in OPTIONS.items()
    ]
    parameters = [*(p.replace(kind=p.KEYWORD_ONLY) for p in own), *added]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    return call


def _engine(engine: Name, ray_address: str | None, **slurm: Any) -> "Engine":
    """The engine that is asked for.

    Raises:
        UsageError: for options of another one.
    """
    if engine != "ray" and ray_address is not None:
        raise UsageError("--ray-address is for --engine ray")
    given = [name for name, value in slurm.items() if value != OPTIONS[name][1]]
    if engine != "slurm" and given:
        raise UsageError(f"--{given[0].replace('_', '-')} is for --engine slurm")
    if engine == "ray":
        from metacurate.engine.ray import RayEngine

        return RayEngine(ray_address)
    if engine == "slurm":
        from metacurate.engine.slurm import SlurmEngine

        return SlurmEngine(**{name.removeprefix("slurm_"): value for name, value in slurm.items()})
    from metacurate.engine.local import LocalEngine

    return LocalEngine()
