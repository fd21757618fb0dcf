"""A CLIP model that embeds texts and images."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from metacurate.errors import InputError, MetacurateError, UsageError, first_line
from metacurate.evaluation.checkpoint import Checkpoint
from metacurate.evaluation.preprocessing import Pixels

try:
    import torch
    from transformers import AutoTokenizer, CLIPModel
    from transformers.utils import logging as transformers_logging
except ModuleNotFoundError as missing:
    if missing.name not in ("torch", "transformers"):
        raise
    raise MetacurateError(
        'models are run by PyTorch and transformers: pip install "metacurate[train]"'
    ) from missing

Device = Literal["auto", "cpu", "cuda"]
Embeddings = npt.NDArray[np.float32]

TOLD = 3  # names of weights in a message


def choose_device(device: Device) -> str:
    """The device to run on: with auto, a GPU where there is one.

    Args:
        device: as it was asked for.

    Raises:
        UsageError: when it can't be had.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"the device {device!r} is none of auto, cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("the device cuda was asked for, but PyTorch finds none")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


class Clip:
    """A CLIP model, in float32.

    Attributes:
        checkpoint: that it was loaded from. device: that it runs on.
    """

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        """Load it.

        Args:
            checkpoint: looked at. device: cpu or cuda.

        Raises:
            InputError: when its weights or its tokenizer are not those of its configuration.
            MetacurateError: when it needs more memory than there is.
        """
        self.checkpoint = checkpoint
        self.device = device
        self._source = str(checkpoint.folder)
        with _enough_memory(f"the model does not fit on {device}"):
            self._model = self._load().to(device)
        self._tokenizer = self._load_tokenizer()
        self._values = torch.from_numpy(checkpoint.preparation.values).to(device)

    def _load(self) -> Any:
        """The model, every weight of it from the file."""
        try:
            with _quiet():
                model, told = cast(
                    "tuple[Any, dict[str, Any]]",
                    CLIPModel.from_pretrained(
                        self.checkpoint.folder, use_safetensors=True, local_files_only=True,
                        output_loading_info=True, ignore_mismatched_sizes=True,
                        attn_implementation="sdpa",  # else the configuration's, from anywhere
                    ),
                )  # fmt: skip
        except Exception as error:
            raise InputError(self._source, f"can't be loaded: {first_line(error)}") from error
        for key, what in (
            ("mismatched_keys", "have another shape than its configuration tells"),
            ("missing_keys", "are missing from its file"),
            ("unexpected_keys", "are in its file, but not in a CLIP of its configuration"),
        ):
            names = sorted(name if isinstance(name, str) else name[0] for name in told[key])
            # Old checkpoints hold what is no weight: the numbers from 0 on.
            names = [name for name in names if not name.endswith(".position_ids")]
            if names:
                more = f" and {len(names) - TOLD} more" if len(names) > TOLD else ""
                raise InputError(self._source, f"weights {what}: {', '.join(names[:TOLD])}{more}")
        return model.float().eval()

    def _load_tokenizer(self) -> Any:
        try:
            with _quiet():
                tokenizer = AutoTokenizer.from_pretrained(
                    self.checkpoint.folder, local_files_only=True, trust_remote_code=False
                )
        except Exception as error:
            raise InputError(
                self._source, f"its tokenizer can't be loaded: {first_line(error)}"
            ) from error
        known = self._model.config.text_config.vocab_size
        if len(tokenizer) > known:
            raise InputError(
                self._source, f"its tokenizer has {len(tokenizer)} tokens, the model {known}"
            )
        if tokenizer.pad_token_id is None:
            raise InputError(self._source, "its tokenizer has no token for padding")
        return tokenizer

    def embed_texts(
        self,
        texts: Sequence[str],
        batch: int,
        advance: Callable[[int], None] = lambda _: None,
    ) -> Embeddings:
        """Embed texts; what exceeds the model's context is cut off.

        Args:
            texts: any. batch: at once. advance: told of texts that are done.

        Returns:
            float32[texts, dimensions], each of length 1.

        Raises:
            InputError: when the model gives no numbers.
            MetacurateError: when a batch needs more memory than there is.
        """
        context = self._model.config.text_config.max_position_embeddings
        tokens = self._tokenizer(list(texts), truncation=True, max_length=context)["input_ids"]
        by_length = sorted(range(len(texts)), key=lambda i: len(tokens[i]))
        found: Embeddings | None = None
        for start in range(0, len(texts), batch):
            some = by_length[start : start + batch]
            longest = len(tokens[some[-1]])
            ids = torch.full((len(some), longest), self._tokenizer.pad_token_id)
            mask = torch.zeros((len(some), longest), dtype=torch.long)
            for row, i in enumerate(some):
                ids[row, : len(tokens[i])] = torch.tensor(tokens[i])
                mask[row, : len(tokens[i])] = 1
            with self._running():
                pooled = self._model.text_model(
                    input_ids=ids.to(self.device), attention_mask=mask.to(self.device)
                ).pooler_output
                embedded = self._finish(self._model.text_projection(pooled))
            if found is None:
                found = np.empty((len(texts), embedded.shape[1]), np.float32)
            found[some] = embedded
            advance(len(some))
        assert found is not None
        return found

    def embed_images(self, pixels: Pixels) -> Embeddings:
        """Embed images.

        Args:
            pixels: uint8[images, height, width, 3], prepared.

        Returns:
            float32[images, dimensions], each of length 1.

        Raises:
            InputError: when the model gives no numbers.
            MetacurateError: when a batch needs more memory than there is.
        """
        with self._running():
            given = torch.from_numpy(pixels).to(self.device)
            values = torch.stack([self._values[i][given[..., i].int()] for i in range(3)], dim=1)
            pooled = self._model.vision_model(pixel_values=values).pooler_output
            return self._finish(self._model.visual_projection(pooled))

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Run the model in float32, which on a GPU convolutions would not keep."""
        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        with (
            _enough_memory("a batch needs more memory than there is: lower --batch"),
            torch.inference_mode(),
            exact if self.device == "cuda" else nullcontext(),
        ):
            yield

    def _finish(self, embedded: Any) -> Embeddings:
        """Bring to length 1.

        Raises:
            InputError: when there are infinities or NaN, which would compare as anything.
        """
        normalised = embedded / embedded.norm(dim=-1, keepdim=True)
        found: Embeddings = normalised.float().cpu().numpy()
        if not np.isfinite(found).all():
            raise InputError(self._source, "the model's embeddings are no finite numbers")
        return found


@contextmanager
def _enough_memory(otherwise: str) -> Iterator[None]:
    """Tell of a lack of memory as of any other error.

    Raises:
        MetacurateError: with what was told.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise MetacurateError(f"{otherwise} ({first_line(error)})") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' bars and reports back: what they tell is told as errors."""
    verbosity, bars = (
        transformers_logging.get_verbosity(),
        transformers_logging.is_progress_bar_enabled(),
    )
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
