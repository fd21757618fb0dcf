"""Balanced shards in PyTorch: batches made by workers, resumed from what was consumed."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

from metacurate.errors import MetacurateError, UsageError
from metacurate.hashing.pairs import check_seed
from metacurate.images.online.balancing import Share, WebSample
from metacurate.images.online.reading import torch_worker
from metacurate.images.online.sharded import BalancedShards, to_sample

try:
    from torch.utils.data import DataLoader, IterableDataset
except ModuleNotFoundError as missing:
    if missing.name != "torch":
        raise
    raise MetacurateError('loaders are PyTorch\'s: pip install "metacurate[train]"') from missing

Batch = TypeVar("Batch")
State = dict[str, Any]
Place = tuple[int, int]

FORMAT = 2
MOST_EMPTY = 10  # epochs in a row of which a worker may keep nothing


def as_is(samples: Batch) -> Batch:
    """Leave a sample, or a list of them, as it is."""
    return samples


class _Made(NamedTuple, Generic[Batch]):
    """A batch, and how far its worker has come with it; PyTorch pins what is in tuples.

    Attributes:
        worker: as the slots of the rank are counted.
        place: epoch, and samples of it that it has come by.
        share: of what it has considered by then. batch: of samples.
    """

    worker: int
    place: Place
    share: Share
    batch: Batch


class _Failed(NamedTuple):
    """An error on its way out of a worker: PyTorch itself would raise another one.

    Attributes:
        error: with its own arguments.
    """

    error: MetacurateError


@dataclass(frozen=True, eq=False)
class _Batches(IterableDataset[_Made[Any] | _Failed]):
    """What the workers of a loader do; the attributes are those of the loader."""

    _shards: BalancedShards
    _workers: int
    _length: int | None
    _batch_size: int
    _prepare: Callable[[WebSample], Any | None]
    _collate: Callable[[list[Any]], Any]
    _drop_last: bool
    _endless: bool
    _places: Sequence[Place]
    _turn: int

    def __iter__(self) -> Iterator[_Made[Any] | _Failed]:
        number, _ = torch_worker()
        # PyTorch asks its first worker first: which is to be the one whose turn it is.
        worker = (self._turn + number) % self._workers
        try:
            yield from self._batches(worker)
        except MetacurateError as error:
            yield _Failed(error)

    def _batches(self, worker: int) -> Iterator[_Made[Any]]:
        epoch, position = self._places[worker]
        samples: list[Any] = []
        empty = 0  # epochs in a row
        while True:
            shards = replace(self._shards, epoch=epoch)
            stream = shards.stream(worker, self._workers, self._length, position)
            empty += position == 0
            for kept in stream:
                position += 1
                sample = self._prepare(to_sample(kept, epoch))
                if sample is None:
                    continue
                empty = 0
                samples.append(sample)
                if len(samples) == self._batch_size:
                    yield self._made(worker, (epoch, position), stream.share, samples)
                    samples = []
            if not self._endless:
                break
            if empty == MOST_EMPTY:
                raise MetacurateError(
                    f"{empty} epochs up to {epoch} have no sample for worker {worker} of "
                    f"{self._workers}: use fewer ranks or workers, or a larger threshold"
                )
            epoch, position = epoch + 1, 0
        if samples and not self._drop_last:
            yield self._made(worker, (epoch, position), stream.share, samples)

    def _made(self, worker: int, place: Place, share: Share, samples: list[Any]) -> _Made[Any]:
        return _Made(worker, place, replace(share), self._collate(samples))


class Loader(Generic[Batch]):
    """Batches of one epoch after another, for one rank.

    Each pass over it is an epoch, and the next pass is the next one; or an endless pass is of all
    epochs, and its batches are whole: one may begin in an epoch and end in the next. After
    `load_state_dict` a pass goes on where that state was told: with the same shards, seed, ranks
    and workers the same samples follow, whatever workers had prefetched.

    Attributes:
        shards: what is read.
        share: of what the batches of this pass, or of the last one, have considered, and kept;
            some samples ahead, which are drawn in blocks, and exact at the end of an epoch, but for
            workers that make no batch.
    """

    def __init__(
        self,
        shards: BalancedShards,
        batch_size: int,
        *,
        workers: int = 0,
        prepare: Callable[[WebSample], Any | None] = as_is,
        collate: Callable[[list[Any]], Batch] = as_is,  # type: ignore[assignment]
        drop_last: bool = False,
        endless: bool = False,
        **options: Any,
    ) -> None:
        """Prepare; workers are started by each pass.

        Args:
            shards: what to read. batch_size: samples of a batch.
            workers: processes that read and decode; 0 for this one.
            prepare: decodes a sample, in the worker; None leaves it out, and the next takes its
                place in the batch.
            collate: makes a batch of what was prepared, in the worker.
            drop_last: whether a worker's last batch is left out where it is smaller.
            endless: whether a pass goes on with the next epoch; for shards with even=None.
            **options: of PyTorch's DataLoader: `prefetch_factor`, `pin_memory`, and the like.

        Raises:
            UsageError: for a number that can't be.
        """
        if batch_size < 1:
            raise UsageError(f"a batch of {batch_size} samples is too small: 1 is the least")
        if workers < 0:
            raise UsageError(f"{workers} workers can't work: 0 is the least")
        if endless and shards.even is not None:
            raise UsageError(f"an endless loader has no epochs to make even: even={shards.even!r}")
        self.shards = shards
        self._batch_size = batch_size
        self._workers = workers
        self._prepare = prepare
        self._collate = collate
        self._drop_last = drop_last
        self._endless = endless
        self._options = options
        self._lengths: dict[int, int | None] = {}
        self._shares: list[Share] = []
        self._restart()

    @property
    def epoch(self) -> int:
        """Which epoch the next pass is of, or goes on with."""
        return self.shards.epoch

    @property
    def epochs(self) -> list[int]:
        """Which epoch each worker has come to, by what was consumed."""
        return [epoch for epoch, _ in self._places]

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch; one that has begun goes on where it is.

        Args:
            epoch: from 0 on.

        Raises:
            UsageError: for one out of range.
        """
        if check_seed(epoch, "epoch") != self.epoch:
            self.shards = replace(self.shards, epoch=epoch)
            self._restart()

    def _restart(self) -> None:
        self._places: list[Place] = [(self.epoch, 0)] * self._slots
        self._turn = 0

    @property
    def _slots(self) -> int:
        return max(1, self._workers)

    @property
    def _length(self) -> int | None:
        if self.epoch not in self._lengths:
            self._lengths = {self.epoch: self.shards.length(self._slots)}
        return self._lengths[self.epoch]

    @property
    def share(self) -> Share:
        """Of what was considered by the batches that were consumed, and kept."""
        return Share(
            *(
                sum(getattr(share, name) for share in self._shares)
                for name in ("images", "pairs", "kept_images", "kept_pairs")
            )
        )

    def __len__(self) -> int:
        """Batches of an epoch, from its beginning.

        Raises:
            TypeError: where ranks are not made even: it is not known before.
        """
        if self._length is None:
            raise TypeError("how many batches there are is known only with even='pad' or 'stop'")
        whole, rest = divmod(self._length, self._batch_size)
        return self._slots * (whole + (rest > 0 and not self._drop_last))

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches that were not consumed.

        Raises:
            InputError: when a shard is damaged.
        """
        self._shares = [Share() for _ in range(self._slots)]
        batches = _Batches(
            self.shards, self._slots, self._length, self._batch_size, self._prepare, self._collate,
            self._drop_last, self._endless, list(self._places), self._turn,
        )  # fmt: skip
        for made in DataLoader(
            batches, batch_size=None, num_workers=self._workers, **self._options
        ):
            if isinstance(made, _Failed):
                raise made.error
            self._places[made.worker] = made.place
            self._shares[made.worker] = made.share
            self._turn = (made.worker + 1) % self._slots
            yield made.batch
        self.set_epoch(self.epoch + 1)

    def state_dict(self) -> State:
        """What was consumed, and of what: small, and JSON."""
        epochs, consumed = zip(*self._places, strict=True)
        place = {
            "epoch": self.epoch, "epochs": list(epochs), "consumed": list(consumed),
            "turn": self._turn,
        }  # fmt: skip
        return {**self._fixed(), **place}

    def load_state_dict(self, state: State) -> None:
        """Go on from where a loader was when it told its state.

        Args:
            state: from `state_dict`.

        Raises:
            UsageError: where it is of other shards, ranks, workers or draws, naming both.
        """
        fixed = self._fixed()
        differing = [
            f"{name.replace('_', ' ')} {state.get(name)!r}, not {value!r}"
            for name, value in fixed.items()
            if state.get(name) != value
        ]
        if differing:
            raise UsageError(f"the state is of another loader: {'; '.join(differing)}")
        self.set_epoch(state["epoch"])
        self._places = [
            (int(epoch), int(consumed))
            for epoch, consumed in zip(state["epochs"], state["consumed"], strict=True)
        ]
        self._turn = int(state["turn"])

    def _fixed(self) -> State:
        """What has to be the same for the same samples to follow."""
        shards = self.shards
        return {
            "format": FORMAT,
            "seed": shards.seed,
            "rank": shards.rank,
            "world_size": shards.world_size,
            "workers": self._workers,
            "buffer": shards.buffer,
            "even": shards.even,
            "shards": shards.identity,
            **_balance_of(shards),
        }


def _balance_of(shards: BalancedShards) -> State:
    if shards.matcher is None or shards.balance is None:
        return {"metadata": None, "mode": None, "threshold": None, "counts": None}
    return {
        "metadata": shards.matcher.metadata.digest,
        "mode": shards.matcher.mode,
        "threshold": shards.balance.threshold,
        "counts": hashlib.sha256(shards.balance.counts.tobytes()).hexdigest()[:16],
    }
