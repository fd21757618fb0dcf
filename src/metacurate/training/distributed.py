"""The processes that train together: started by torchrun, or one alone."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from metacurate.errors import UsageError

# The first process may count and read for hours; torchrun ends the others where it dies.
PATIENCE = timedelta(days=2)


@dataclass(frozen=True)
class World:
    """This process among those that train together.

    Attributes:
        rank: its number. size: how many there are. device: where it computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes and tells."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait for all others."""
        self.gather([0])

    def gather(self, numbers: Sequence[int]) -> list[list[int]]:
        """Numbers of all processes, by rank.

        Args:
            numbers: of this one; as many as of the others.
        """
        if self.size == 1:
            return [list(numbers)]
        own = torch.tensor(numbers, dtype=torch.int64)  # on the CPU: a GPU is not waited for
        found = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(found, own)
        return [some.tolist() for some in found]

    def mean(self, value: torch.Tensor) -> float:
        """Mean of a number over all processes.

        Args:
            value: of this one.
        """
        total = value.detach().clone()
        if self.size > 1:
            dist.all_reduce(total)
        return float(total) / self.size


@contextmanager
def join(device: str) -> Iterator[World]:
    """Join the processes that torchrun started; one process that nobody started so is alone.

    Args:
        device: ``cpu``, ``cuda`` (of torchrun's processes each has its own), or ``auto``: a GPU
            where there is one.

    Raises:
        UsageError: when a GPU is asked for and none is there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = torch.device(device).type if device.partition(":")[0] in ("cpu", "cuda") else device
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"device {device!r} is none of: auto, cpu, cuda")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            f"device {device}: no GPU is there that this PyTorch ({torch.__version__}) can use"
        )
    started = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if started and device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        own = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"device {device!r} is none of: auto, cpu, cuda") from error
    if kind == "cuda":
        torch.cuda.set_device(own)
    if not started:
        yield World(0, 1, own)
        return
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo", timeout=PATIENCE
        )
    except ValueError as error:
        raise UsageError(f"processes are started by torchrun: {error}") from error
    yield World(dist.get_rank(), dist.get_world_size(), own)
    dist.destroy_process_group()  # not where this one has failed: torchrun ends the others
