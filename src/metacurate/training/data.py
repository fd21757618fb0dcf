"""From shards to batches: images decoded and cropped, captions as tokens."""

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.nn.functional import pad
from transformers import PreTrainedTokenizerBase

from metacurate.curation.balance import Balance
from metacurate.curation.job import read_counts
from metacurate.engine.storage import write_parquet
from metacurate.engine.workspace import OnError
from metacurate.errors import InputError, UsageError, first_line
from metacurate.images.online import BalancedShards, decode
from metacurate.images.online.balancing import WebSample
from metacurate.images.online.loader import Loader
from metacurate.images.online.reading import Counts, count_samples
from metacurate.images.shards import Shard, list_shards, read_samples
from metacurate.matching.matcher import Matcher
from metacurate.matching.spacing import Mode
from metacurate.metadata.metadata import Metadata
from metacurate.pool.files import Source
from metacurate.training.distributed import World
from metacurate.training.interrupt import ENDING
from metacurate.training.recipe import Recipe
from metacurate.training.tokenizer import tokens_of
from metacurate.training.transforms import crop_number, random_crop

AHEAD = 4  # slices that a worker makes ahead
LARGEST_SLICE = 256  # pairs: what workers hand over at once, so that memory has a bound
MOST_CAPTIONS = 10_000_000  # of which a tokenizer is trained
LISTING = "shards.parquet"

log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Pairs of one process.

    Attributes:
        images: uint8[pairs, size, size, 3]. tokens: int64[pairs, tokens].
    """

    images: torch.Tensor
    tokens: torch.Tensor


class Prepared(NamedTuple):
    """A pair.

    Attributes:
        image: uint8[size, size, 3]. caption: its text.
    """

    image: npt.NDArray[np.uint8]
    caption: str


@dataclass(frozen=True)
class Prepare:
    """Decodes and crops the image of a sample.

    Attributes:
        recipe: whose sizes it takes. seed: of the crops.
        on_error: ``fail`` at a broken image, or ``skip`` it: another one takes its place.
    """

    recipe: Recipe
    seed: int
    on_error: OnError

    def __call__(self, sample: WebSample) -> Prepared | None:
        """Prepare one sample.

        Args:
            sample: as `BalancedShards` yields it.

        Returns:
            The pair; None for one that is skipped.

        Raises:
            InputError: when the image is broken, and not to be skipped.
        """
        try:
            decoded = decode(sample)
        except InputError as error:
            if self.on_error == "fail":
                raise
            log.warning("skipped: %s", error)
            return None
        name = f"{sample['__url__'].rpartition('/')[2]}/{sample['__key__']}"
        number = crop_number(name, self.seed, sample["__epoch__"])
        image = random_crop(decoded["image"], self.recipe.image_size, self.recipe.crop, number)
        return Prepared(image, sample["txt"])


@dataclass(frozen=True)
class Collate:
    """Makes a batch of pairs.

    Attributes:
        tokenizer: of CLIP's form. context: tokens, at most.
    """

    tokenizer: PreTrainedTokenizerBase
    context: int

    def __call__(self, pairs: list[Prepared]) -> Batch:
        """Stack images, and turn captions into tokens.

        Args:
            pairs: one or more.

        Returns:
            The batch.
        """
        images = torch.from_numpy(np.stack([pair.image for pair in pairs]))
        return Batch(
            images, tokens_of([pair.caption for pair in pairs], self.tokenizer, self.context)
        )


@dataclass(frozen=True)
class Online:
    """Balancing in training: each epoch draws another subset of all pairs.

    Attributes:
        metadata: path of the entries. counts: of the pool, as `metacurate count` writes them.
        threshold, tail_share: t, or the share of matches from which it follows; 0.06 without both.
        mode: of matching, as the counts were made.
    """

    metadata: str
    counts: str
    threshold: float | None = None
    tail_share: float | None = None
    mode: Mode = "paper"

    def load(self) -> tuple[Matcher, Balance]:
        """Read the files, and compile the entries.

        Raises:
            UsageError: for a threshold out of range, or counts of other metadata.
            InputError: when a file is broken.
        """
        counts = read_counts(self.counts)
        matcher = Matcher(Metadata.read(self.metadata), self.mode)
        counts.check(matcher.metadata.digest, matcher.mode)
        return matcher, Balance(counts, self.threshold, self.tail_share)


def open_shards(
    source: Source,
    online: Online | None,
    seed: int,
    world: World,
    on_error: OnError,
    work: Path,
) -> BalancedShards:
    """Find the shards, as one process reads them; the first process counts for all.

    Args:
        source: a folder, a tar, a glob, or a list of these. online: how to balance; None for all
            pairs, of which an epoch draws one for each image. seed: of draws and shuffles.
        world: the processes. on_error: ``fail`` at a damaged tar, or ``skip`` the rest of it.
        work: folder that all processes see, for what was counted: it is not counted twice.

    Raises:
        UsageError: where there are none, or they hold no sample.
        InputError: when one can't be read.
    """
    matcher, balance = (None, None) if online is None else online.load()
    listing = work / LISTING
    if world.is_first:
        _list(source, on_error, listing)
    world.wait()
    shards, samples = _listed(listing)
    return BalancedShards(
        source, matcher, balance, seed, rank=world.rank, world_size=world.size, on_error=on_error,
        shards=shards, samples=samples,
    )  # fmt: skip


def _list(source: Source, on_error: OnError, listing: Path) -> None:
    """Write down what shards there are, and how many samples they hold."""
    found = tuple(list_shards(source))
    if listing.exists():
        try:
            if _listed(listing)[0] == found:
                return
        except (pa.ArrowException, OSError, KeyError, TypeError) as error:
            log.warning("%s is damaged, and is made again: %s", listing, first_line(error))
    samples = count_samples(found, on_error)
    if not samples.sum():
        raise UsageError(f"{source}: the shards hold no images")
    table = pa.Table.from_pylist([asdict(shard) for shard in found])
    write_parquet(listing, table.append_column("samples", pa.array(samples)))


def _listed(listing: Path) -> tuple[tuple[Shard, ...], Counts]:
    with pq.ParquetFile(listing) as file:
        table = file.read()
    shards = tuple(Shard(**row) for row in table.drop_columns(["samples"]).to_pylist())
    return shards, table["samples"].to_numpy()


def captions_of(shards: BalancedShards) -> Iterator[str]:
    """Captions of the shards' images, for a tokenizer to learn from: ten million at most.

    Args:
        shards: which.

    Raises:
        InputError: when one can't be read, and that is not to be skipped.
    """
    return islice(_captions(shards), MOST_CAPTIONS)


def _captions(shards: BalancedShards) -> Iterator[str]:
    for shard in shards.shards:
        try:
            for sample in read_samples(shard.tar, images=lambda _: False):
                yield from sample.texts
        except InputError:
            if shards.on_error == "fail":
                raise


def slice_of(batch: int) -> int:
    """Pairs that workers hand over at once: the most that divides a batch, up to 256.

    Args:
        batch: pairs of a process.
    """
    return max(size for size in range(1, LARGEST_SLICE + 1) if batch % size == 0)


def join(slices: Sequence[Batch], padding: int, device: torch.device) -> Batch:
    """Bring the slices of a batch together.

    Args:
        slices: one or more. padding: the token that texts are filled up with.
        device: where the batch is to be.
    """
    longest = max(one.tokens.shape[1] for one in slices)
    tokens = [pad(one.tokens, (0, longest - one.tokens.shape[1]), value=padding) for one in slices]
    return Batch(
        torch.cat([one.images.to(device, non_blocking=True) for one in slices]),
        torch.cat(tokens).to(device, non_blocking=True),
    )


def make_loader(
    shards: BalancedShards,
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    batch: int,
    workers: int,
    pinned: bool,
) -> Loader[Batch]:
    """An endless loader of this process's slices of batches.

    Args:
        shards: as this process reads them. recipe: whose sizes it takes. tokenizer: of the model.
        batch: pairs of a slice. workers: processes that decode; 0 for this one.
        pinned: whether slices lie in memory that a GPU reads at once.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # workers are one thread each
    ahead: dict[str, Any] = {"prefetch_factor": AHEAD} if workers else {}
    return Loader(
        shards,
        batch,
        workers=workers,
        prepare=Prepare(recipe, shards.seed, shards.on_error),
        collate=Collate(tokenizer, recipe.context),
        endless=True,
        pin_memory=pinned,
        worker_init_fn=_leave_signals,
        **ahead,
    )


def _leave_signals(_: int) -> None:
    """Signals that a whole group gets end the process that trains; it ends its workers."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
