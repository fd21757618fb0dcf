"""ONNX models that look at an image: what goes in, how it is prepared, and scores for NSFW."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metacurate.errors import InputError, MetacurateError, first_line

if TYPE_CHECKING:
    from PIL.Image import Image

Floats = npt.NDArray[np.float32]

UNSAFE = ("nsfw", "unsafe", "porn", "hentai", "sexy", "explicit")  # as models name their labels
FILES = ("config.json", "preprocessor_config.json")  # beside a model, as Hugging Face has them
TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8,
}  # fmt: skip
FILTERS = {0: 0, 1: 1, 2: 2, 3: 3, "nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}


class Model:
    """A model with one input: an image.

    Attributes:
        path: of the file. height, width: of its input, in pixels; None where any will do.
    """

    def __init__(self, path: str) -> None:
        """Load it.

        Args:
            path: of an .onnx file on this machine.

        Raises:
            MetacurateError: when the extra is not installed.
            InputError: when it can't be loaded, or takes something else than an image.
        """
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise MetacurateError(
                'models are run by onnxruntime: pip install "metacurate[onnx]"'
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # there is a process for each core
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.path = path
        try:
            content = Path(path).read_bytes()
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise InputError(path, f"is no model that can be run: {first_line(error)}") from error
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape) if inputs else []
        if len(inputs) != 1 or len(shape) != 4 or 3 not in (shape[1], shape[3]):
            told = ", ".join(f"{one.name} {one.shape}" for one in inputs)
            raise InputError(
                path, f"takes {told or 'nothing'}, not one image as [1, 3, height, width] or "
                "[1, height, width, 3]"
            )  # fmt: skip
        if inputs[0].type not in TYPES:
            raise InputError(path, f"takes {inputs[0].type}, none of: {', '.join(TYPES)}")
        self._name, self._type = inputs[0].name, TYPES[inputs[0].type]
        self._channels_first = shape[1] == 3
        sides = shape[2:] if self._channels_first else shape[1:3]
        self.height, self.width = (side if isinstance(side, int) else None for side in sides)
        self.outputs = [(one.name, list(one.shape)) for one in self._session.get_outputs()]

    def run(self, pixels: Floats) -> list[npt.NDArray[Any]]:
        """Have the model look at an image.

        Args:
            pixels: float32[height, width, 3], prepared; for a model that takes uint8, 0 to 255.

        Raises:
            InputError: when it fails.
        """
        given = pixels.transpose(2, 0, 1) if self._channels_first else pixels
        try:
            found: list[npt.NDArray[Any]] = self._session.run(
                None, {self._name: np.ascontiguousarray(given[None]).astype(self._type)}
            )
        except Exception as error:
            raise InputError(self.path, f"failed: {first_line(error)}") from error
        return found

    @property
    def takes_bytes(self) -> bool:
        """Whether it takes pixels as they are, 0 to 255."""
        return self._type is np.uint8


@dataclass(frozen=True)
class Preparation:
    """How an image is prepared: scaled to a size whatever its shape, and its values shifted.

    Attributes:
        height, width: in pixels. mean, std: of each colour, of values from 0 to 1.
        resample: which filter, as Pillow numbers them.
    """

    height: int
    width: int
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    resample: int = 3

    @classmethod
    def of(cls, model: Model, told: dict[str, Any]) -> "Preparation":
        """What a model's files tell.

        Args:
            model: which. told: what stands in `FILES`.

        Raises:
            InputError: when they make no sense, or no size is told.
        """
        own = told.get("pretrained_cfg", {})  # of models of timm
        try:
            size = told.get("size", own.get("input_size", [3, None, None])[-1])
            if isinstance(size, dict):
                size = (size.get("height", size.get("shortest_edge")), size.get("width"))
            else:
                size = (size, size)
            height = model.height or size[0]
            width = model.width or size[1] or size[0]
            if height is None or width is None:
                raise InputError(
                    model.path,
                    "takes images of any size, and no preprocessor_config.json beside it tells "
                    "which is right",
                )
            mean, std = cls.mean, cls.std
            if told.get("do_normalize", True):
                mean = tuple(map(float, told.get("image_mean", own.get("mean", cls.mean))))
                std = tuple(map(float, told.get("image_std", own.get("std", cls.std))))
            else:
                mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
            resample = FILTERS[told.get("resample", own.get("interpolation", 3))]
            if len(mean) != 3 or len(std) != 3 or 0.0 in std:
                raise ValueError(f"mean {mean} and std {std}")
            return cls(int(height), int(width), mean, std, resample)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                model.path, f"the .json files beside it make no sense: {first_line(error)}"
            ) from error

    def pixels(self, image: "Image", as_bytes: bool) -> Floats:
        """Prepare an image.

        Args:
            image: RGB. as_bytes: whether values are to stay 0 to 255.

        Returns:
            float32[height, width, 3].
        """
        scaled = image.resize((self.width, self.height), self.resample)
        values = np.asarray(scaled, np.float32)
        if as_bytes:
            return values
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return (values / np.float32(255) - mean) / std


class UnsafeScore:
    """A classifier of images, as those for NSFW content on Hugging Face, exported to ONNX.

    config.json and preprocessor_config.json beside the model tell its labels and how images are
    prepared. Without them: values from -1 to 1, and the last class is the unsafe one.
    """

    def __init__(self, path: str) -> None:
        """Load it.

        Args:
            path: of an .onnx file on this machine.

        Raises:
            MetacurateError: when the extra is not installed.
            InputError: when it is no such model.
        """
        self._model = Model(path)
        told = _told(path)
        self._preparation = Preparation.of(self._model, told)
        outputs = self._model.outputs
        shape = outputs[0][1] if outputs else []
        if len(outputs) != 1 or len(shape) != 2 or not isinstance(shape[1], int):
            named = ", ".join(f"{name} {shape}" for name, shape in outputs)
            raise InputError(path, f"gives {named}, not the scores of classes as [1, classes]")
        self._logits = outputs[0][0] == "logits"
        self._unsafe = _unsafe_classes(path, told, shape[1])

    def score(self, image: "Image") -> float:
        """How sure the model is that the image is unsafe.

        Args:
            image: RGB.

        Returns:
            0 to 1: the sum over the unsafe classes.

        Raises:
            InputError: when the model fails, or gives no probabilities though its output is not
                called logits.
        """
        pixels = self._preparation.pixels(image, self._model.takes_bytes)
        scores = self._model.run(pixels)[0][0].astype(np.float64)
        if self._logits:
            if len(scores) == 1:
                return float(1 / (1 + np.exp(-scores[0])))
            scores = np.exp(scores - scores.max())
            scores /= scores.sum()
        elif not (np.isfinite(scores).all() and scores.min() >= 0 and scores.max() <= 1):
            raise InputError(
                self._model.path,
                f"gives {scores.tolist()}, which are no probabilities: an output of others is to "
                "be called logits",
            )
        return min(1.0, float(scores[self._unsafe].sum()))


def model_files(path: str) -> list[str]:
    """All files that decide what a model makes of an image.

    Args:
        path: of the .onnx file.
    """
    beside = (Path(path).parent / name for name in FILES)
    return [path, *(str(file) for file in beside if file.is_file())]


def _told(path: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for file in model_files(path)[1:]:
        try:
            content = json.loads(Path(file).read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(file, f"can't be read: {first_line(error)}") from error
        if not isinstance(content, dict):
            raise InputError(file, "is no JSON object")
        told.update(content)
    return told


def _unsafe_classes(path: str, told: dict[str, Any], classes: int) -> list[int]:
    """Which classes are unsafe, by their labels; without labels the last."""
    labels = told.get("id2label") or told.get("label_names")
    if labels is None:
        return [classes - 1]
    try:
        if isinstance(labels, dict):
            labels = [labels[str(i)] for i in range(classes)]
        words = [str(label).lower() for label in labels]
    except KeyError as error:
        raise InputError(path, f"has {classes} classes, of which {error} has no label") from error
    if len(words) != classes:
        raise InputError(path, f"has {classes} classes, but {len(words)} labels")
    found = [i for i, word in enumerate(words) if word in UNSAFE]
    if not found:
        raise InputError(path, f"has no label of an unsafe class: {', '.join(words)}")
    return found
