"""Scores: equal to a plain loop over transformers, whatever the layout, batch or workers."""

import io
import json
import logging
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import typer
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from metacurate.cli.evaluate import evaluate as command
from metacurate.engine.progress import Silent
from metacurate.errors import InputError, MetacurateError, UsageError
from metacurate.evaluation import TASKS, UnfinishedError, evaluate
from metacurate.evaluation.checkpoint import open_checkpoint
from metacurate.evaluation.datasets import Templates
from metacurate.evaluation.model import Clip
from metacurate.evaluation.preprocessing import prepare
from metacurate.evaluation.prompts import class_embeddings
from tests.evaluation.made import (
    CLASSES,
    TEMPLATES,
    labelled,
    read_json,
    write_captions,
    write_checkpoint,
    write_folders,
    write_names,
    write_webdataset,
)

IMAGES = labelled(200)
LABELS = np.array([label for _, label in IMAGES])
NOISE = 0.0051  # one image more or less: its two best classes may be equal but for rounding


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prompts")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_webdataset(tmp_path_factory.mktemp("data") / "fer2013", IMAGES, 3)


class Plain:
    """CLIP as transformers' own documentation runs it, one image and one text at a time."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer, CLIPModel
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

        self.model: Any = CLIPModel.from_pretrained(folder)
        self.processor = CLIPImageProcessorPil.from_pretrained(folder)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    def image(self, content: bytes) -> Any:
        given = self.processor(Image.open(io.BytesIO(content)), return_tensors="pt")
        with torch.no_grad():
            return _unit(self.model.get_image_features(**given).pooler_output)[0]

    def text(self, text: str) -> Any:
        given = self.tokenizer(
            [text], padding="max_length", truncation=True, max_length=16, return_tensors="pt"
        )
        with torch.no_grad():
            return _unit(self.model.get_text_features(**given).pooler_output)[0]

    def of_class(self, name: str) -> Any:
        prompts = [self.text(one.replace("{c}", name)) for one in TEMPLATES]
        return _unit(torch.stack(prompts).mean(dim=0))

    def similarities(self, images: list[bytes]) -> Any:
        classes = torch.stack([self.of_class(name) for name in CLASSES])
        return (torch.stack([self.image(one) for one in images]) @ classes.T).numpy()


def _unit(vectors: Any) -> Any:
    return vectors / vectors.norm(dim=-1, keepdim=True)


@pytest.fixture(scope="module")
def similarities(checkpoint: Path) -> Any:
    return Plain(checkpoint).similarities([one for one, _ in IMAGES])


def only(results: dict[str, Any]) -> dict[str, Any]:
    (found,) = results["datasets"]
    assert isinstance(found, dict)
    return found


def test_scores_are_those_of_a_plain_loop(
    checkpoint: Path, dataset: Path, similarities: Any, cache: Path
) -> None:
    found = only(evaluate(checkpoint, dataset, cache=cache))
    order = np.argsort(-similarities, axis=1, kind="stable")
    hits = order[:, 0] == LABELS
    assert 0 < hits.mean() < 1
    assert found["top1"] == pytest.approx(hits.mean(), abs=NOISE)
    assert found["top5"] == pytest.approx((order[:, :5] == LABELS[:, None]).any(axis=1).mean())
    by_class = [hits[i == LABELS].mean() for i in range(len(CLASSES))]
    assert [one["accuracy"] for one in found["per_class"]] == pytest.approx(by_class)
    assert [one["name"] for one in found["per_class"]] == list(CLASSES)
    assert sum(one["images"] for one in found["per_class"]) == found["images"] == 200
    assert found["mean_per_class"] == pytest.approx(np.mean(by_class))
    assert (found["task"], found["metric"], found["score"]) == ("fer2013", "top1", found["top1"])


def test_embeddings_are_those_of_a_plain_loop(checkpoint: Path, similarities: Any) -> None:
    clip = Clip(open_checkpoint(str(checkpoint)), "cpu")
    pixels = [prepare(one, clip.checkpoint.preparation) for one, _ in IMAGES[:50]]
    images = clip.embed_images(np.stack([one for one in pixels if not isinstance(one, str)]))
    classes = class_embeddings(
        clip, CLASSES, Templates(TEMPLATES), cache=None, batch=4,
        progress=Silent(), title="",
    )  # fmt: skip
    np.testing.assert_allclose(images @ classes.T, similarities[:50], atol=1e-5)
    assert np.ptp(similarities) > 0.1


def test_an_old_checkpoint_of_metaclip(legacy: Path, dataset: Path) -> None:
    config = read_json(legacy / "config.json")
    assert config["text_config"]["eos_token_id"] == 2
    similar = Plain(legacy).similarities([one for one, _ in IMAGES])
    found = only(evaluate(legacy, dataset, cache=dataset.parent / "legacy"))
    assert found["top1"] == pytest.approx((similar.argmax(axis=1) == LABELS).mean(), abs=NOISE)
    clip = Clip(open_checkpoint(str(legacy)), "cpu")
    plain = Plain(legacy)
    texts = ["a photo of a cat", "dog", "ph" * 60]
    np.testing.assert_allclose(
        clip.embed_texts(texts, 2), np.stack([plain.text(one).numpy() for one in texts]), atol=1e-5
    )


def test_layouts_batches_and_workers_make_no_difference(
    checkpoint: Path, dataset: Path, tmp_path: Path, cache: Path
) -> None:
    folders = write_folders(tmp_path / "folders", IMAGES)
    write_names(tmp_path / "table")
    columns = {"image": [one for one, _ in IMAGES], "label": LABELS}
    pq.write_table(pa.table(columns), tmp_path / "table" / "part.parquet", row_group_size=60)
    expected = only(evaluate(checkpoint, dataset, cache=cache))
    told = evaluate(checkpoint, [folders, tmp_path / "table"], batch=33, workers=2, cache=cache)
    numbers = ("score", "top1", "top5", "mean_per_class")
    for found in told["datasets"]:
        assert found["task"] is None
        assert found["split"] is None
        assert [found[key] for key in numbers] == pytest.approx(
            [expected[key] for key in numbers], abs=NOISE
        )
        assert [(one["name"], one["images"]) for one in found["per_class"]] == [
            (one["name"], one["images"]) for one in expected["per_class"]
        ]
        for key in ("kind", "images", "skipped", "classes", "metric", "skipped_images"):
            assert found[key] == expected[key]
    assert told["tasks"] == 0
    assert told["average"] is None


def test_the_device_that_is_chosen_is_told(
    checkpoint: Path, dataset: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        told = evaluate(checkpoint, dataset, cache=cache)
    assert f"the model runs on {told['device']}" in caplog.text


def test_prompts_are_kept(
    checkpoint: Path, dataset: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    embedded: list[int] = []
    real = Clip.embed_texts

    def counted(self: Clip, texts: list[str], *rest: Any) -> Any:
        embedded.append(len(texts))
        return real(self, texts, *rest)

    monkeypatch.setattr(Clip, "embed_texts", counted)
    folder = tmp_path / "cache"
    first = evaluate(checkpoint, dataset, cache=folder)
    assert sum(embedded) == len(CLASSES) * len(TEMPLATES)
    (file,) = folder.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700

    assert evaluate(checkpoint, dataset, cache=folder) == first
    assert sum(embedded) == len(CLASSES) * len(TEMPLATES)

    whole = file.read_bytes()
    for damaged in (whole[:-3], whole[:-1] + bytes([whole[-1] ^ 1]), b"", b"\xff" * 99):
        file.write_bytes(damaged)
        embedded.clear()
        caplog.clear()
        assert evaluate(checkpoint, dataset, cache=folder) == first
        assert sum(embedded) == len(CLASSES) * len(TEMPLATES)
        assert "made again" in caplog.text
        assert file.read_bytes() == whole

    embedded.clear()
    templates = tmp_path / "templates.txt"
    templates.write_text("one {}\n")
    evaluate(checkpoint, dataset, cache=folder, templates=templates)
    evaluate(write_checkpoint(tmp_path / "other", seed=1), dataset, cache=folder)
    assert embedded == [len(CLASSES), len(CLASSES) * len(TEMPLATES)]


def test_a_cache_that_cannot_be_written(
    checkpoint: Path, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    evaluate(checkpoint, dataset, cache=tmp_path / "file" / "prompts")
    assert "could not be kept" in caplog.text


def test_classes_of_one_name_are_equal(checkpoint: Path, tmp_path: Path) -> None:
    names = ("cat", "dog", "cat")
    images = [(one, 2) for one, _ in IMAGES[:40]]
    twice = write_webdataset(tmp_path / "twice", images, classes=names)
    assert only(evaluate(checkpoint, twice))["top1"] == 0  # the first of equal classes is taken


def test_hateful_memes_are_scored_by_roc_auc(checkpoint: Path, tmp_path: Path) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")
    images = [(one, label % 2) for one, label in IMAGES[:60]]
    names = ("a nice meme", "a bad meme")
    folder = write_webdataset(tmp_path / "hateful_memes", images, classes=names, templates=["{c}"])
    found = only(evaluate(checkpoint, folder))
    plain = Plain(checkpoint)
    classes = torch.stack([plain.text(name) for name in names])
    scale = plain.model.logit_scale.exp().detach()
    logits = torch.stack([plain.image(one) for one, _ in images]) @ classes.T * scale
    scores = logits.softmax(dim=1)[:, 1].double().numpy()
    expected = sklearn.roc_auc_score([label for _, label in images], scores)
    assert found["metric"] == "roc_auc"
    assert found["score"] == found["roc_auc"] == pytest.approx(expected, abs=0.01)


def test_kinetics_are_scored_by_the_mean_of_two(checkpoint: Path, tmp_path: Path) -> None:
    classes = [*CLASSES, *map(str, range(700 - len(CLASSES)))]
    folder = write_webdataset(tmp_path / "kinetics700", IMAGES, classes=classes, templates=["{c}"])
    found = only(evaluate(checkpoint, folder))
    assert found["metric"] == "mean_top1_top5"
    assert found["score"] == pytest.approx((found["top1"] + found["top5"]) / 2)


def test_retrieval_is_that_of_a_plain_loop(checkpoint: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    words = [*CLASSES, "big", "small", "a", "photo"]
    captions = {
        one: [" ".join(random.choice(words, 4)) for _ in range(random.integers(1, 6))]
        for one, _ in IMAGES[:60]
    }
    found = only(evaluate(checkpoint, write_captions(tmp_path / "flickr8k", captions), batch=7))
    plain = Plain(checkpoint)
    pictures = torch.stack([plain.image(one) for one in captions])
    flat = [(i, text) for i, some in enumerate(captions.values()) for text in some]
    similar = pictures @ torch.stack([plain.text(text) for _, text in flat]).T
    of = torch.tensor([i for i, _ in flat])
    for k in (1, 5, 10):
        texts = similar.topk(k, dim=1).indices
        images = similar.T.topk(k, dim=1).indices
        to_text = (of[texts] == torch.arange(60)[:, None]).any(dim=1).float().mean()
        to_image = (images == of[:, None]).any(dim=1).float().mean()
        assert found["image_to_text"][f"recall@{k}"] == pytest.approx(float(to_text))
        assert found["text_to_image"][f"recall@{k}"] == pytest.approx(float(to_image))
    assert found["kind"] == "retrieval"
    assert found["captions"] == len(flat)
    assert found["score"] == pytest.approx(
        (found["image_to_text"]["recall@1"] + found["text_to_image"]["recall@1"]) / 2
    )


def test_captions_of_broken_images_are_left_out(checkpoint: Path, tmp_path: Path) -> None:
    captions = {one: [f"{i} cats", "dog"] for i, (one, _) in enumerate(IMAGES[:12])}
    broken = {**dict([*captions.items()][:5]), b"broken": ["owl"], **dict([*captions.items()][5:])}
    whole = only(evaluate(checkpoint, write_captions(tmp_path / "whole", captions)))
    told = evaluate(checkpoint, write_captions(tmp_path / "some", broken), on_error="skip")
    found = only(told)
    assert (found["captions"], found["skipped"]) == (24, 1)
    for key in ("score", "image_to_text", "text_to_image", "images"):
        assert found[key] == whole[key]


def test_broken_images(checkpoint: Path, dataset: Path, tmp_path: Path, cache: Path) -> None:
    images = [*IMAGES[:10], (b"broken", 3), *IMAGES[10:20], (IMAGES[0][0][:50], 3)]
    broken = write_webdataset(tmp_path / "broken", images)
    out = tmp_path / "deep" / "scores.json"
    told = r"0\.tar: s0000010: the image can't be decoded: no image"
    with pytest.raises(UnfinishedError, match=told) as caught:
        evaluate(checkpoint, [broken, dataset], out=out, cache=cache)
    written = read_json(out)  # what was done is not lost
    assert [one["name"] for one in written["datasets"]] == ["fer2013"]
    assert len(written["errors"]) == 1
    assert caught.value.results == written
    assert isinstance(caught.value.__cause__, InputError)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.results) == (str(caught.value), written)

    found = only(evaluate(checkpoint, broken, on_error="skip", cache=cache))
    whole = only(evaluate(checkpoint, write_webdataset(tmp_path / "whole", IMAGES[:20])))
    assert (found["images"], found["skipped"]) == (20, 2)
    assert found["top1"] == whole["top1"]
    assert "s0000021" in found["skipped_images"][1]


def test_several_broken_datasets_are_all_told(checkpoint: Path, tmp_path: Path) -> None:
    sets = [write_webdataset(tmp_path / name, [(b"x", 0), IMAGES[0]]) for name in ("a", "b")]
    with pytest.raises(UnfinishedError, match=r"2 errors kept it .*\n.*a/.*\n.*b/"):
        evaluate(checkpoint, sets)
    with pytest.raises(UnfinishedError, match="all of its images are broken"):
        evaluate(checkpoint, write_webdataset(tmp_path / "c", [(b"x", 0)]), on_error="skip")


def test_calls_that_are_wrong(checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [
        {"batch": 0}, {"workers": -1}, {"split": "../x"}, {"device": "tpu"}, {"out": tmp_path},
    ]  # fmt: skip
    for options in wrong:
        with pytest.raises(UsageError):
            evaluate(checkpoint, dataset, **options)
    with pytest.raises(UsageError, match="nothing to evaluate on"):
        evaluate(checkpoint, [])
    other = write_webdataset(tmp_path / "wds_fer2013", IMAGES[:5])
    with pytest.raises(UsageError, match="are both fer2013"):
        evaluate(checkpoint, [dataset, other])
    with pytest.raises(UsageError, match="are both fer2013"):
        evaluate(checkpoint, [dataset, dataset])


def test_a_model_is_looked_at_before_data(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no name on the hub"):
        evaluate(tmp_path / "no model", tmp_path / "no data")


@pytest.mark.parametrize("task", ["hateful_memes", "kinetics700", "imagenet1k"])
def test_a_namesake_of_a_task_is_not_the_task(
    checkpoint: Path, tmp_path: Path, task: str, caplog: pytest.LogCaptureFixture, cache: Path
) -> None:
    told = evaluate(checkpoint, write_webdataset(tmp_path / task, IMAGES[:5]), cache=cache)
    found = only(told)
    assert (found["task"], found["metric"], told["tasks"]) == (None, "top1", 0)
    assert f"is named like the paper's task {task}, but has 7 classes in place of" in caplog.text


def test_scores_that_are_done_are_written_before_the_next(
    checkpoint: Path, dataset: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "scores.json"
    real = Clip.embed_images
    other = write_webdataset(tmp_path / "other", IMAGES[:5])

    def interrupted(self: Clip, pixels: Any) -> Any:
        if len(pixels) == 5:
            raise KeyboardInterrupt
        return real(self, pixels)

    monkeypatch.setattr(Clip, "embed_images", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(checkpoint, [dataset, other], cache=cache, out=out)
    assert [one["name"] for one in read_json(out)["datasets"]] == ["fer2013"]


def test_other_errors_leave_what_is_done(
    checkpoint: Path, dataset: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Clip.embed_images
    first = write_webdataset(tmp_path / "first", IMAGES[:5])

    def too_large(self: Clip, pixels: Any) -> Any:
        if len(pixels) == 5:
            raise MetacurateError("a batch needs more memory than there is: lower --batch")
        return real(self, pixels)

    monkeypatch.setattr(Clip, "embed_images", too_large)
    with pytest.raises(UnfinishedError, match="lower --batch") as caught:
        evaluate(checkpoint, [first, dataset], cache=cache)
    assert [one["name"] for one in caught.value.results["datasets"]] == ["fer2013"]


def test_a_file_for_results_that_cannot_be_written(
    checkpoint: Path, dataset: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MetacurateError, match=r"scores\.json: can't be written"):
        evaluate("no model", dataset, out=tmp_path / "file" / "scores.json")

    def full(*_: object) -> None:
        raise MetacurateError("the disk is full")

    module = sys.modules["metacurate.evaluation.evaluate"]
    monkeypatch.setattr(module, "write_atomically", full)
    with pytest.raises(UnfinishedError, match="the disk is full") as caught:
        evaluate(checkpoint, dataset, cache=cache, out=tmp_path / "scores.json")
    assert only(caught.value.results)["name"] == "fer2013"


def test_large_gaps_are_not_equal(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    tensors = load_file(folder / "model.safetensors")
    images = [(one, i % 2) for i, (one, _) in enumerate(IMAGES[:40])]
    names = ("a nice meme", "a bad meme")
    data = write_webdataset(tmp_path / "hateful_memes", images, classes=names, templates=["{c}"])
    plain = only(evaluate(folder, data))["score"]
    tensors["logit_scale"].fill_(20)  # a softmax would give nothing but 0 and 1
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    assert only(evaluate(folder, data))["score"] == plain


@pytest.mark.parametrize(("split", "beside"), [("test", True), ("val", True), ("train", False)])
def test_the_papers_figures_are_not_of_every_split(
    checkpoint: Path, dataset: Path, tmp_path: Path, cache: Path, split: str, beside: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    module = sys.modules["metacurate.evaluation.evaluate"]
    monkeypatch.setattr(module, "size_of", lambda _: "ViT-B/32")
    folder = tmp_path / "fer2013"
    shutil.copytree(dataset, folder)
    (folder / "test").rename(folder / split)
    told = evaluate(checkpoint, folder, cache=cache, split=split)
    assert only(told)["split"] == split
    assert (told["paper"] is not None) == beside


def test_templates_that_are_not_the_papers(
    checkpoint: Path, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, cache: Path
) -> None:
    evaluate(checkpoint, dataset, cache=cache)
    assert "holds 3 templates; the paper's for fer2013 are 6" in caplog.text
    bare = write_webdataset(tmp_path / "other" / "fer2013", IMAGES[:20], templates=None)
    found = only(evaluate(checkpoint, bare, cache=cache))
    assert "brings no templates: its only prompt is 'a photo of a {c}.'" in caplog.text
    assert found["templates"] == {"number": 1, "file": None, "paper": 6}
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        evaluate(checkpoint, write_webdataset(tmp_path / "mine", IMAGES[:20]), cache=cache)
    assert caplog.text == ""


def test_all_tasks_have_an_average(checkpoint: Path, tmp_path: Path, cache: Path) -> None:
    images = [(one, i % 2) for i, (one, _) in enumerate(IMAGES[:4])]
    sets = [
        write_webdataset(
            tmp_path / f"wds_{task.name}", images,
            classes=list(map(str, range(task.classes))), templates=["{c}"],
        )
        for task in TASKS
    ]  # fmt: skip
    told = evaluate(checkpoint, sets, cache=cache)
    assert told["tasks"] == told["of_tasks"] == 26
    assert told["average"] == pytest.approx(np.mean([one["score"] for one in told["datasets"]]))
    assert told["size"] is None
    assert [one["task"] for one in told["datasets"]] == [task.name for task in TASKS]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    made = typer.Typer()
    made.command()(command)
    monkeypatch.setenv("COLUMNS", "120")
    return made


def test_the_command_prints_a_table(
    app: typer.Typer, checkpoint: Path, dataset: Path, tmp_path: Path
) -> None:
    hostile = tmp_path / "[red]x\x1b[31m"
    write_webdataset(hostile, IMAGES[:30], classes=["\x1b[2J", *CLASSES[1:]], templates=None)
    out = tmp_path / "scores.json"
    arguments = [str(checkpoint), "--data", str(dataset), "--data", str(hostile), "-o", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout
    assert "[red]x" in result.stdout
    assert "1 (default)" in result.stdout
    told = read_json(out)
    assert f"{100 * told['datasets'][0]['score']:.1f}" in result.stdout
    assert told["datasets"][1]["per_class"][0]["name"] == "\x1b[2J"

    again = CliRunner().invoke(app, [*arguments[:-2], "--json"])
    printed = json.loads(again.stdout)
    assert printed == told
    assert "\x1b" not in again.stdout


def test_the_command_prints_what_is_finished(
    app: typer.Typer, checkpoint: Path, dataset: Path, tmp_path: Path, cache: Path
) -> None:
    broken = write_webdataset(tmp_path / "broken", [(b"x", 0), IMAGES[0]])
    arguments = [str(checkpoint), "--data", str(broken), "--cache", str(cache)]
    result = CliRunner().invoke(app, [*arguments, "--data", str(dataset)])
    assert isinstance(result.exception, UnfinishedError)
    assert "fer2013" in result.stdout
    assert "in percent (on cpu)" in result.stdout
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, UnfinishedError)
    assert result.stdout == ""
    result = CliRunner().invoke(app, [*arguments, "--data", str(dataset), "--json"])
    told = json.loads(result.stdout)
    assert [one["name"] for one in told["datasets"]] == ["fer2013"]
    assert len(told["errors"]) == 1


def test_the_table_stands_beside_the_papers(capsys: pytest.CaptureFixture[str]) -> None:
    from metacurate.cli.evaluate import _print
    from metacurate.evaluation.tasks import PAPER

    paper = {
        name: {"average": one / 100, "imagenet1k": two / 100}
        for name, (one, two) in PAPER["ViT-B/32"].items()
    }
    scored = {
        "name": "wds_imagenet1k", "metric": "top1", "images": 50_000, "skipped": 0, "score": 0.6554,
        "task": "imagenet1k", "templates": {"number": 80, "file": "x"},
    }  # fmt: skip
    results = {"model": "m", "size": "ViT-B/32", "paper": paper, "datasets": [scored], "tasks": 1,
               "of_tasks": 26, "average": 0.6554, "device": "cpu"}  # fmt: skip
    _print(results)
    printed = capsys.readouterr().out
    assert "65.5" in printed
    assert "Beside the paper's ViT-B/32" in printed
    assert "63.4" in printed
    assert "average of 26" not in printed
    _print({**results, "tasks": 26})
    assert "average of 26" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys, metacurate.cli.evaluate, metacurate\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import metacurate.evaluation\n"
        "heavy = {'torch', 'transformers', 'numba'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_real_images(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    table = pq.read_table(data / "images" / "val.parquet").slice(0, 300)
    pq.write_table(table, tmp_path / "val.parquet")
    found = only(evaluate(checkpoint, tmp_path / "val.parquet", label_column="names"))
    names = sorted(set(table["names"].to_pylist()))
    assert [one["name"] for one in found["per_class"]] == names
    assert found["images"] == 300
    assert found["templates"]["file"] is None
    plain = Plain(checkpoint)
    classes = torch.stack([plain.text(f"a photo of a {name}.") for name in names])
    hits = [
        names[int((classes @ plain.image(row["image"])).argmax())] == row["names"]
        for row in table.to_pylist()
    ]
    assert found["top1"] == pytest.approx(np.mean(hits), abs=0.01)
