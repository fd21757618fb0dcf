"""From shards to batches: images decoded and cropped, captions as tokens."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

from metacurate.curation.balance import Balance
from metacurate.curation.job import read_counts
from metacurate.engine.workspace import OnError
from metacurate.errors import InputError, UsageError
from metacurate.images.online import BalancedShards, decode
from metacurate.images.online.balancing import WebSample
from metacurate.images.online.loader import Loader
from metacurate.images.shards import read_samples
from metacurate.matching.matcher import Matcher
from metacurate.matching.spacing import Mode
from metacurate.metadata.metadata import Metadata
from metacurate.pool.files import Source
from metacurate.training.distributed import World
from metacurate.training.recipe import Recipe
from metacurate.training.transforms import crop_number, random_crop

PADDED_TO = 8  # tokens: few lengths, which compilers and memory like
AHEAD = 4  # batches that a worker makes ahead

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
            The batch; texts are as long as the longest of it, in steps of eight tokens: behind
            its last token nothing of a text matters.
        """
        images = torch.from_numpy(np.stack([pair.image for pair in pairs]))
        return Batch(
            images, tokens_of([pair.caption for pair in pairs], self.tokenizer, self.context)
        )


def tokens_of(
    captions: list[str], tokenizer: PreTrainedTokenizerBase, context: int
) -> torch.Tensor:
    """Turn captions into tokens.

    Args:
        captions: one or more. tokenizer: of CLIP's form. context: tokens, at most.

    Returns:
        int64[captions, tokens]: each begins with the first token and ends with the last; what is
        too long is cut before that, and what is short is filled up with the padding.
    """
    found = tokenizer(
        captions, truncation=True, max_length=context, return_attention_mask=False,
        split_special_tokens=True,
    )["input_ids"]  # fmt: skip
    longest = max(map(len, found))
    tokens = torch.full(
        (len(captions), min(context, -(-longest // PADDED_TO) * PADDED_TO)), tokenizer.pad_token_id
    )
    for row, some in zip(tokens, found, strict=True):
        row[: len(some)] = torch.tensor(some)
    return tokens


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
    source: Source, online: Online | None, seed: int, world: World, on_error: OnError
) -> BalancedShards:
    """Find the shards, as one process reads them.

    Args:
        source: a folder, a tar, a glob, or a list of these. online: how to balance; None for all
            pairs, of which an epoch draws one for each image. seed: of draws and shuffles.
        world: the processes. on_error: ``fail`` at a damaged tar, or ``skip`` the rest of it.

    Raises:
        UsageError: where there are none, or they hold no sample.
        InputError: when one can't be read.
    """
    matcher, balance = (None, None) if online is None else online.load()
    shards = BalancedShards(
        source, matcher, balance, seed, rank=world.rank, world_size=world.size, on_error=on_error
    )
    assert shards.samples is not None
    if not shards.samples.sum():
        raise UsageError(f"{source}: the shards hold no images")
    return shards


def captions_of(shards: BalancedShards) -> Iterator[str]:
    """All captions of the shards' images, for a tokenizer to learn from.

    Args:
        shards: which.

    Raises:
        InputError: when one can't be read.
    """
    for shard in shards.shards:
        for sample in read_samples(shard.tar, images=lambda _: False):
            yield from sample.texts


def make_loader(
    shards: BalancedShards,
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    batch: int,
    workers: int,
    pinned: bool,
) -> Loader[Batch]:
    """An endless loader of this process's batches.

    Args:
        shards: as this process reads them. recipe: whose sizes it takes. tokenizer: of the model.
        batch: pairs of this process. workers: processes that decode; 0 for this one.
        pinned: whether batches lie in memory that a GPU reads at once.
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
        **ahead,
    )
