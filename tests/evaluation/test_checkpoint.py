"""Which checkpoints are taken, and which are refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metacurate.errors import InputError, MetacurateError, UsageError
from metacurate.evaluation.checkpoint import open_checkpoint
from metacurate.evaluation.model import Clip, choose_device
from tests.evaluation.made import SIDE, read_json, write_json


def _tensors(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return write


def _json(name: str, **values: object) -> Callable[[Path], object]:
    return lambda folder: write_json(folder / name, {**read_json(folder / name), **values})


def _remove(*names: str) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return write


def _poison(tensors: dict[str, Any]) -> None:
    tensors["visual_projection.weight"].fill_(float("nan"))


def _pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _another_tokenizer(folder: Path) -> None:
    shutil.copy(folder / "tokenizer.json", folder / "tokenizer.4.0.json")


def _index(name: str) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        write_json(folder / "model.safetensors.index.json", {"weight_map": {"logit_scale": name}})

    return write


def _empty_index(folder: Path) -> None:
    _pickle(folder)
    write_json(folder / "model.safetensors.index.json", {})


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no configuration": (_remove("config.json"), r"is no checkpoint: it holds no config\.json"),
    "another model": (_json("config.json", model_type="bert"), "is a model of type 'bert'"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), r"config\.json: is no JSON"),
    "a list": (lambda f: (f / "config.json").write_text("[]"), "is no JSON object"),
    "deep JSON": (lambda f: (f / "config.json").write_text("[" * 100_000), "is no JSON"),
    "no weights": (_remove("model.safetensors"), r"holds no weights: model\.safetensors"),
    "a pickle": (_pickle, r"a pickle \(pytorch_model\.bin\), which could run anything"),
    "no preprocessor": (_remove("preprocessor_config.json"), r"no preprocessor_config\.json"),
    "another size": (
        _json("preprocessor_config.json", crop_size={"height": 30, "width": 30}),
        f"takes images of {SIDE}x{SIDE} pixels, but preprocessor_config.json makes 30x30",
    ),
    "no tokenizer": (_remove("tokenizer.json"), "holds no tokenizer"),
    "a broken tokenizer": (
        lambda f: (f / "tokenizer.json").write_text("{}"), "its tokenizer can't be loaded",
    ),
    "a large tokenizer": (
        lambda f: _json("tokenizer.json", added_tokens=[
            *read_json(f / "tokenizer.json")["added_tokens"],
            {"id": 99, "content": "<new>", "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True},
        ])(f),
        r"its tokenizer has \d+ tokens, the model \d+",
    ),
    "weights that are none": (
        lambda f: (f / "model.safetensors").write_bytes(b"x" * 100), "can't be loaded",
    ),
    "a missing weight": (
        _tensors(lambda t: t.pop("visual_projection.weight")),
        r"weights are missing from its file: visual_projection\.weight",
    ),
    "a weight too many": (
        _tensors(lambda t: t.update(head=t["logit_scale"].clone())),
        "weights are in its file, but not in a CLIP of its configuration: head",
    ),
    "another shape": (
        _tensors(lambda t: t.update({"visual_projection.weight": t["visual_projection.weight"][1:]
                                     .clone()})),
        r"weights have another shape .*: visual_projection\.weight",
    ),
    "an index that leads out": (_index("../model.safetensors"), "names a file that is not there"),
    "an index of nothing": (
        _empty_index,
        "names no files",
    ),
    "weights of another name": (
        _json("config.json", transformers_weights="other.safetensors"),
        r"config\.json: names other weights \(transformers_weights\)",
    ),
    "an adapter": (
        lambda f: write_json(f / "adapter_config.json", {}), r"has an adapter \(adapter_config",
    ),
    "an absurd configuration": (_json("config.json", projection_dim="many"), "can't be loaded"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_told(checkpoint: Path, tmp_path: Path, case: str) -> None:
    change, expected = BAD[case]
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    change(folder)
    with pytest.raises(InputError, match=expected) as caught:
        Clip(open_checkpoint(str(folder)), "cpu")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_are_no_numbers(checkpoint: Path, tmp_path: Path) -> None:
    import numpy as np

    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    _tensors(_poison)(folder)
    clip = Clip(open_checkpoint(str(folder)), "cpu")
    with pytest.raises(InputError, match="embeddings are no finite numbers"):
        clip.embed_images(np.zeros((1, SIDE, SIDE, 3), np.uint8))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder, and it is no name on the hub"):
        open_checkpoint(str(tmp_path / "none"))


def test_the_hub_is_not_asked_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="is no folder, and can't be had from the hub"):
        open_checkpoint("nobody/no-such-model")


def test_a_revision_of_the_hub(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    kept = tmp_path / "models--facebook--metaclip-b32-400m"
    for name, commit in (("main", "a" * 40), ("refs/pr/1", "b" * 40)):
        (kept / "refs" / name).parent.mkdir(parents=True, exist_ok=True)
        (kept / "refs" / name).write_text(commit)
        shutil.copytree(checkpoint, kept / "snapshots" / commit)
    _pickle(kept / "snapshots" / ("a" * 40))
    with pytest.raises(InputError, match=r"pickles are not read; .*b32-400m@refs/pr/1"):
        open_checkpoint("facebook/metaclip-b32-400m")
    found = open_checkpoint("facebook/metaclip-b32-400m@refs/pr/1")
    assert found.digest == open_checkpoint(str(checkpoint)).digest
    assert found.name == "facebook/metaclip-b32-400m@refs/pr/1"


def test_another_model_of_the_hub_is_not_downloaded(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    _json("config.json", model_type="llama")(folder)
    asked: list[list[str]] = []

    def download(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(InputError, match="is a model of type 'llama'"):
        open_checkpoint("somebody/llama")
    assert asked == [["config.json"]]


def test_attention_is_not_the_configurations(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    config = read_json(folder / "config.json")
    for told in (config, config["text_config"], config["vision_config"]):
        told["attn_implementation"] = told["_attn_implementation"] = "nobody/no-such-kernel"
    write_json(folder / "config.json", config)
    texts = ["a photo of a cat", "dog"]
    found = Clip(open_checkpoint(str(folder)), "cpu").embed_texts(texts, 8)
    assert (found == Clip(open_checkpoint(str(checkpoint)), "cpu").embed_texts(texts, 8)).all()


def test_too_little_memory_is_told(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np
    import torch

    clip = Clip(open_checkpoint(str(checkpoint)), "cpu")

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nmore")

    monkeypatch.setattr(clip, "_finish", fail)
    told = r"lower --batch \(CUDA out of memory\.\)$"
    with pytest.raises(MetacurateError, match=told):
        clip.embed_texts(["a"], 1)
    with pytest.raises(MetacurateError, match=told):
        clip.embed_images(np.zeros((1, SIDE, SIDE, 3), np.uint8))


def test_the_last_step_of_a_run_is_taken(checkpoint: Path, tmp_path: Path) -> None:
    for step in (9_999_999, 20_000_000, 100_000_000):
        shutil.copytree(checkpoint, tmp_path / "checkpoints" / f"step-{step:08d}")
    (tmp_path / "checkpoints" / "step-last").mkdir()
    assert open_checkpoint(str(tmp_path)).folder.name == "step-100000000"


def test_the_digest_is_of_what_decides(checkpoint: Path, tmp_path: Path) -> None:
    digest = open_checkpoint(str(checkpoint)).digest
    changes: list[Callable[[Path], object]] = [
        _tensors(lambda t: t["logit_scale"].mul_(2)),
        _json("config.json", logit_scale_init_value=1.0),
        _json("tokenizer_config.json", model_max_length=99),
        _another_tokenizer,
    ]
    for number, change in enumerate(changes):
        folder = tmp_path / str(number)
        shutil.copytree(checkpoint, folder)
        (folder / "notes.md").write_text("of no account")
        assert open_checkpoint(str(folder)).digest == digest
        change(folder)
        assert open_checkpoint(str(folder)).digest != digest


def test_weights_in_several_files(checkpoint: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, some in parts.items():
        save_file({name: tensors[name] for name in some}, folder / file, {"format": "pt"})
    (folder / "model.safetensors").unlink()
    places = {name: file for file, some in parts.items() for name in some}
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})
    digest = open_checkpoint(str(folder)).digest
    index = folder / "model.safetensors.index.json"
    write_json(index, {**read_json(index), "metadata": {"total_size": 1}})
    assert open_checkpoint(str(folder)).digest != digest
    whole, cut = (Clip(open_checkpoint(str(one)), "cpu") for one in (checkpoint, folder))
    texts = ["a photo of a cat", "dog"]
    assert (whole.embed_texts(texts, 8) == cut.embed_texts(texts, 8)).all()


def test_a_processor_as_transformers_saves_it(checkpoint: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, CLIPProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    processor = CLIPProcessor(CLIPImageProcessorPil.from_pretrained(checkpoint), tokenizer)
    processor.save_pretrained(folder)
    (folder / "preprocessor_config.json").unlink()
    assert (folder / "processor_config.json").is_file()
    found = open_checkpoint(str(folder))
    assert found.preparation == open_checkpoint(str(checkpoint)).preparation


def test_numbers_of_positions_are_no_weights(checkpoint: Path, tmp_path: Path) -> None:
    import torch

    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    name = "text_model.embeddings.position_ids"  # of checkpoints made before transformers 4.31
    _tensors(lambda t: t.update({name: torch.arange(16)[None]}))(folder)
    Clip(open_checkpoint(str(folder)), "cpu")


def test_a_gpu_that_is_not_there() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert choose_device("auto") == "cpu"
    with pytest.raises(UsageError, match="cuda was asked for"):
        choose_device("cuda")
    with pytest.raises(UsageError, match="is none of"):
        choose_device("tpu")  # type: ignore[arg-type]
