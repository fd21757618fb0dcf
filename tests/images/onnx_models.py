"""Tiny ONNX models whose answers are known."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def save(
    path: Path,
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    constants: dict[str, Any] | None = None,
) -> str:
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return str(path)


def image(shape: Sequence[Any], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info("image", kind, list(shape))


def floats(name: str, shape: Sequence[Any]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def brightness(
    path: Path,
    *,
    shape: Sequence[Any] = (1, 3, 8, 8),
    kind: int = TensorProto.FLOAT,
    output: str = "scores",
    scale: float = 1.0,
    **config: Any,
) -> str:
    """A classifier of two classes: 1 - b and b, of the mean b of all values that go in."""
    nodes = [
        helper.make_node("Cast", ["image"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["scaled"]),
        helper.make_node("Sub", ["one", "scaled"], ["dark"]),
        helper.make_node("Unsqueeze", ["dark", "axis"], ["dark1"]),
        helper.make_node("Unsqueeze", ["scaled", "axis"], ["bright1"]),
        helper.make_node("Concat", ["dark1", "bright1"], [output], axis=1),
    ]
    constants = {"one": np.float32(1), "scale": np.float32(scale), "axis": np.array([1], np.int64)}
    found = save(path, nodes, [image(shape, kind)], [floats(output, (1, 2))], constants)
    for name, content in config.items():
        (path.parent / f"{name}.json").write_text(json.dumps(content))
    return found


PLAIN = {"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}  # values from 0 to 1


def faces(path: Path, boxes: Sequence[Sequence[float]], scores: Sequence[float]) -> str:
    """A detector of the UltraFace family that sees the same faces in every image."""
    both = np.array([[[1 - s, s] for s in scores]], np.float32)
    constants = {
        "told_scores": both,
        "told_boxes": np.array([boxes], np.float32),
        "zero": np.float32(0),
    }
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["told_scores", "nothing"], ["scores"]),
        helper.make_node("Add", ["told_boxes", "nothing"], ["boxes"]),
    ]
    n = len(scores)
    outputs = [floats("scores", (1, n, 2)), floats("boxes", (1, n, 4))]
    return save(path, nodes, [image((1, 3, 24, 32))], outputs, constants)
