"""The images of a dataset, embedded; what is broken is an error, or skipped and told."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from metacurate.engine.progress import Progress
from metacurate.errors import InputError
from metacurate.evaluation.datasets import Dataset, Picture
from metacurate.evaluation.decoding import prepared
from metacurate.evaluation.metrics import Integers
from metacurate.evaluation.preprocessing import Pixels

if TYPE_CHECKING:
    from metacurate.evaluation.model import Clip, Embeddings


@dataclass
class Embedder:
    """Embeds the images of a dataset.

    Attributes:
        model: that embeds. dataset: what is read.
        batch: images at once. workers: processes that decode.
        skip: whether broken images are left out. progress: told of images that are done.
        skipped: what was left out, and why.
    """

    model: "Clip"
    dataset: Dataset
    batch: int
    workers: int
    skip: bool
    progress: Progress
    skipped: list[str] = field(default_factory=list)

    def embedded(self) -> Iterator[tuple[Integers, "Embeddings"]]:
        """Embed all images, a batch at a time, in order.

        Yields:
            int64[images], their places in the dataset, and float32[images, dimensions].

        Raises:
            InputError: when an image is broken and not to be skipped, all are, or the dataset has
                changed since it was opened.
        """
        dataset = self.dataset
        self.progress.start(f"{dataset.name}: images", dataset.images, "images")
        done = 0
        with closing(self._pixels()) as pixels:
            while batch := list(islice(pixels, self.batch)):
                places = np.array([picture.index for picture, _ in batch], np.int64)
                yield places, self.model.embed_images(np.stack([one for _, one in batch]))
                done += len(batch)
                self.progress.advance(len(batch))
        self.progress.end()
        if done + len(self.skipped) != dataset.images:
            raise InputError(dataset.path, "has changed while it was read")
        if not done:
            raise InputError(dataset.path, f"all of its images are broken: {self.skipped[0]}")

    def _pixels(self) -> Generator[tuple[Picture, Pixels]]:
        preparation = self.model.checkpoint.preparation
        with closing(prepared(self.dataset.pictures(), preparation, self.workers)) as all_:
            yield from self._sound(all_)

    def _sound(
        self, all_: Iterator[tuple[Picture, Pixels | str]]
    ) -> Iterator[tuple[Picture, Pixels]]:
        for picture, found in all_:
            if picture.index >= self.dataset.images:
                raise InputError(self.dataset.path, "has changed while it was read")
            if isinstance(found, str):
                reason = f"{picture.name}: {found}" if picture.name else found
                if not self.skip:
                    raise InputError(picture.source, reason)
                self.skipped.append(f"{picture.source}: {reason}")
                self.progress.advance(1)
            else:
                yield picture, found
