"""Checkpoints with random weights, and small datasets, that tests make."""

import io
import json
import string
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog", "red fox", "photo", "owl", "ox", "hen")
TEMPLATES = ("a photo of a {c}.", "{c}", "the {c}, a big one")
SIDE, CONTEXT = 32, 16

Members = Sequence[tuple[str, bytes]]


def write_checkpoint(folder: Path, *, seed: int = 0, legacy: bool = False) -> Path:
    """Write a tiny CLIP: as transformers does now, or as older checkpoints of MetaCLIP are."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    folder.mkdir(parents=True)
    characters = string.ascii_lowercase + string.digits + ".,-'"
    tokens = [*characters, *(f"{one}</w>" for one in characters), "ph", "ot", "phot", "photo</w>"]
    vocabulary = {token: i for i, token in enumerate([*tokens, *SPECIAL])}
    tower = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "hidden_act": "quick_gelu",
    }  # fmt: skip
    end = len(vocabulary) - 1
    text = {
        **tower, "vocab_size": len(vocabulary), "max_position_embeddings": CONTEXT,
        "bos_token_id": 0 if legacy else end - 1, "eos_token_id": 2 if legacy else end,
        "pad_token_id": 1 if legacy else end,
    }  # fmt: skip
    vision = {**tower, "image_size": SIDE, "patch_size": 8}
    torch.manual_seed(seed)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    with torch.no_grad():  # else all texts are much the same
        model.text_model.embeddings.token_embedding.weight.mul_(50)
        model.vision_model.embeddings.patch_embedding.weight.mul_(50)
    model.save_pretrained(folder)
    preprocessor: dict[str, Any] = {
        "do_resize": True, "size": {"shortest_edge": SIDE}, "resample": 3, "do_center_crop": True,
        "crop_size": {"height": SIDE, "width": SIDE}, "do_rescale": True, "do_normalize": True,
        "rescale_factor": 1 / 255, "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711], "image_processor_type":
        "CLIPImageProcessor",
    }  # fmt: skip
    merges = ["p h", "o t", "ph ot", "phot o</w>"]
    if not legacy:
        pairs: Any = [tuple(merge.split()) for merge in merges]
        CLIPTokenizer(vocab=vocabulary, merges=pairs, model_max_length=CONTEXT).save_pretrained(
            folder
        )
    else:
        preprocessor |= {"size": SIDE, "crop_size": SIDE, "feature_extractor_type":
                         "CLIPFeatureExtractor"}  # fmt: skip
        del preprocessor["do_rescale"], preprocessor["rescale_factor"]
        del preprocessor["image_processor_type"]
        write_json(folder / "vocab.json", vocabulary)
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
        names = {"bos_token": SPECIAL[0], "eos_token": SPECIAL[1], "unk_token": SPECIAL[1],
                 "pad_token": SPECIAL[1]}  # fmt: skip
        write_json(folder / "special_tokens_map.json", names)
        write_json(folder / "added_tokens.json", {SPECIAL[0]: end - 1, SPECIAL[1]: end})
        told = {"tokenizer_class": "CLIPTokenizer", "model_max_length": CONTEXT, **names}
        write_json(folder / "tokenizer_config.json", told)
    write_json(folder / "preprocessor_config.json", preprocessor)
    return folder


SPECIAL = ("<|startoftext|>", "<|endoftext|>")


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def picture(seed: int) -> Image.Image:
    """An image of a size and with spots of its own."""
    random = np.random.default_rng(seed)
    spots = random.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    size = (int(random.integers(20, 60)), int(random.integers(20, 60)))
    return Image.fromarray(spots).resize(size, Image.Resampling.NEAREST)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def labelled(number: int, classes: int = len(CLASSES)) -> list[tuple[bytes, int]]:
    """Images and labels, sorted by label."""
    labels = sorted(int(i) for i in np.random.default_rng(7).integers(0, classes, number))
    return [(encoded(picture(i)), label) for i, label in enumerate(labels)]


def write_tar(path: Path, members: Members) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def write_names(
    folder: Path,
    classes: Sequence[str] | None = CLASSES,
    templates: Sequence[str] | None = TEMPLATES,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if classes is not None:
        (folder / "classnames.txt").write_text("\n".join(classes) + "\n")
    if templates is not None:
        file = folder / "zeroshot_classification_templates.txt"
        file.write_text("\n".join(templates) + "\n")


def samples(images: Sequence[tuple[bytes, int]]) -> list[tuple[str, bytes]]:
    """Members of a tar, as CLIP_benchmark names them."""
    members = []
    for i, (content, label) in enumerate(images):
        members += [(f"s{i:07d}.cls", str(label).encode()), (f"s{i:07d}.png", content)]
    return members


def write_webdataset(
    folder: Path, images: Sequence[tuple[bytes, int]], tars: int = 1, **names: Any
) -> Path:
    write_names(folder, **names)
    size = -(-len(images) // tars)
    for i in range(tars):
        write_tar(folder / "test" / f"{i}.tar", samples(images[i * size : (i + 1) * size]))
    (folder / "test" / "nshards.txt").write_text(f"{tars}\n")
    return folder


def write_folders(folder: Path, images: Sequence[tuple[bytes, int]]) -> Path:
    write_names(folder)
    for i in range(len(CLASSES)):
        (folder / f"n{i:02d}").mkdir()
    for i, (content, label) in enumerate(images):
        (folder / f"n{label:02d}" / f"{i:05d}.png").write_bytes(content)
    return folder


def write_captions(folder: Path, captions: Mapping[bytes, Sequence[str]]) -> Path:
    members = []
    for i, (content, texts) in enumerate(captions.items()):
        members += [(f"{i}.png", content), (f"{i}.txt", "\n".join(texts).encode())]
    write_tar(folder / "test" / "0.tar", members)
    (folder / "dataset_type.txt").write_text("retrieval")
    return folder
