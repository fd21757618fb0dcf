"""The draw of an epoch: which images are kept, and with which of their captions."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.curation.balance import Balance
from metacurate.curation.sample import draws
from metacurate.errors import InputError
from metacurate.hashing.pairs import check_seed, hash_pairs, one_array
from metacurate.images.shards import Sample
from metacurate.matching.matcher import Matcher, Texts
from metacurate.pool.jsonlines import parse_object

BLOCK = 256  # images whose texts are matched together: a call costs as much as some texts
OUT = -1

WebSample = dict[str, Any]
Epoch = int | Callable[[], int]


@dataclass
class Share:
    """What a draw has considered, and kept.

    Attributes:
        images, pairs: that were considered. kept_images, kept_pairs: of them.
    """

    images: int = 0
    pairs: int = 0
    kept_images: int = 0
    kept_pairs: int = 0

    @property
    def of_images(self) -> float:
        """Share of the images that is kept; 0 where there are none."""
        return self.kept_images / self.images if self.images else 0.0


@dataclass(frozen=True)
class Draw:
    """What decides in an epoch.

    Attributes:
        matcher: finds entries in captions. balance: of these entries; both None: every pair is
            kept, and the epoch draws one caption of each image.
        seed, epoch: uint64, of the draws.
    """

    matcher: Matcher | None
    balance: Balance | None
    seed: int
    epoch: int

    def kept(self, urls: Texts, texts: Texts) -> npt.NDArray[np.bool_]:
        """Which pairs are kept: those whose draw of purpose `online` is below their probability.

        Args:
            urls, texts: of the pairs.

        Returns:
            bool[pairs]; false where one of the two is null.
        """
        if self.matcher is None or self.balance is None:
            there = pc.and_(one_array(urls).is_valid(), one_array(texts).is_valid())
            return np.asarray(there, np.bool_)
        probabilities = self.balance.keep_probabilities(self.matcher.match(texts))
        return draws(urls, texts, self.seed, "online", self.epoch) < probabilities

    def choose(
        self, urls: Sequence[str], texts: Sequence[Sequence[str]], share: Share | None = None
    ) -> npt.NDArray[np.int64]:
        """Choose a caption for each image that is kept.

        Of an image's kept pairs the one with the smallest hash of purpose `caption`, index epoch,
        is taken, and the first where these are equal.

        Args:
            urls: of the images. texts: of each image's pairs.
            share: to which this is added.

        Returns:
            int64[images], places among each image's pairs; -1 for images that are not kept.
        """
        sizes = np.array([len(some) for some in texts], np.int64)
        flat = pa.array([text for some in texts for text in some], pa.large_string())
        images = np.repeat(np.arange(len(sizes)), sizes)
        repeated = pa.array(urls, pa.large_string()).take(pa.array(images))
        kept = np.flatnonzero(self.kept(repeated, flat))
        captions = hash_pairs(repeated, flat, self.seed, "caption", self.epoch)
        ordered = kept[np.lexsort((captions[kept], images[kept]))]
        first = np.flatnonzero(np.diff(images[ordered], prepend=-1))
        chosen = np.full(len(sizes), OUT, np.int64)
        starts = np.cumsum(sizes) - sizes
        best = ordered[first]
        chosen[images[best]] = best - starts[images[best]]
        if share is not None:
            share.images += len(sizes)
            share.pairs += len(flat)
            share.kept_images += len(best)
            share.kept_pairs += len(kept)
        return chosen


class OnlineBalance:
    """A filter of WebDataset samples: those that an epoch keeps, each with one caption.

    Attributes:
        share: of what came by, since this was made.
    """

    def __init__(self, draw: Draw, epoch: Epoch) -> None:
        """Prepare.

        Args:
            draw: what decides, but for the epoch. epoch: it, or what tells it as a pass begins.
        """
        self._draw = draw
        self._epoch = epoch
        self.share = Share()

    def __call__(self, samples: Iterable[WebSample]) -> Iterator[WebSample]:
        """Filter samples, in their order.

        Args:
            samples: dicts with `__key__`, `__url__`, and `json` and `txt` as bytes or decoded. The
                json's `pairs` count, each with its `text`; else the txt, or the json's `caption`.

        Yields:
            Those that are kept, with the chosen caption as `txt`, and as `__pair__` its place
            among the image's pairs.

        Raises:
            InputError: when a sample's json or txt is broken, or it has neither url nor key.
            UsageError: for an epoch out of range.
        """
        epoch = self._epoch() if callable(self._epoch) else self._epoch
        draw = replace(self._draw, epoch=check_seed(epoch, "epoch"))
        waiting = iter(samples)
        while block := list(islice(waiting, BLOCK)):
            parsed = [_parse(sample) for sample in block]
            urls = [one.url(_shard_of(sample)) for one, sample in zip(parsed, block, strict=True)]
            texts = [one.texts for one in parsed]
            chosen = draw.choose(urls, texts, self.share)
            for sample, some, place in zip(block, texts, chosen.tolist(), strict=True):
                if place != OUT:
                    yield _with_caption(sample, some[place], place)


def online_balance(matcher: Matcher, balance: Balance, seed: int, epoch: Epoch) -> OnlineBalance:
    """Balance samples where training reads them: a filter for webdataset's pipelines, or any.

    Each epoch draws another subset, from all pairs that the shards hold; nothing is written, and no
    index of matches is read (Xu et al. 2023, section 3: online balancing).

    Args:
        matcher: of the metadata. balance: over counts of what the shards hold.
        seed: of the draws, uint64.
        epoch: from 0 on; or a function that tells it, which is asked as each pass begins: for
            workers that outlive an epoch.

    Returns:
        A callable of samples; see `OnlineBalance`.

    Raises:
        UsageError: for a seed or epoch out of range.
    """
    first = 0 if callable(epoch) else check_seed(epoch, "epoch")
    return OnlineBalance(Draw(matcher, balance, check_seed(seed), first), epoch)


def _parse(sample: WebSample) -> Sample:
    text, fields = sample.get("txt"), sample.get("json", {})
    try:
        if isinstance(text, bytes):
            text = text.decode().removesuffix("\n")
        if isinstance(fields, bytes):
            fields = parse_object(fields)
        elif not isinstance(fields, Mapping):
            raise ValueError("is no JSON object")
    except UnicodeDecodeError as error:
        raise InputError(_name_of(sample), "its .txt is no UTF-8") from error
    except ValueError as error:
        raise InputError(_name_of(sample), f"its .json {error}") from error
    found = Sample(str(sample.get("__key__", "")), None, None, text, fields)
    if not (found.key or isinstance(fields.get("url"), str)):
        raise InputError(_name_of(sample), "has neither a url nor a key: draws tell images apart")
    return found


def _shard_of(sample: WebSample) -> str:
    return str(sample.get("__url__", "")).rpartition("/")[2]


def _name_of(sample: WebSample) -> str:
    return f"{sample.get('__url__', '')}: sample {sample.get('__key__', '')!r}"


def _with_caption(sample: WebSample, caption: str, place: int) -> WebSample:
    """The sample with another caption, as bytes where its texts are."""
    like = sample.get("txt", sample.get("json"))
    text = caption.encode() if isinstance(like, bytes) else caption
    return {**sample, "txt": text, "__pair__": place}
