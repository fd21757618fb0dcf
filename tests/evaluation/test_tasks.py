"""The paper's tasks and figures, written out once more, and what names of data tell."""

from pathlib import Path

import pytest

from metacurate.evaluation.naming import dataset_name
from metacurate.evaluation.tasks import PAPER, TASKS, Task, recognise, size_of

ROWS = [
    ("imagenet1k", 80, "top1", 1000),
    ("food101", 1, "top1", 101),
    ("cifar10", 18, "top1", 10),
    ("cifar100", 18, "top1", 100),
    ("cub", 1, "top1", 200),
    ("sun397", 2, "top1", 397),
    ("cars", 8, "top1", 196),
    ("fgvc_aircraft", 2, "mean_per_class", 100),
    ("dtd", 8, "top1", 47),
    ("pets", 1, "mean_per_class", 37),
    ("caltech101", 34, "mean_per_class", 102),
    ("flowers", 1, "mean_per_class", 102),
    ("mnist", 1, "top1", 10),
    ("fer2013", 6, "top1", 7),
    ("stl10", 2, "top1", 10),
    ("eurosat", 3, "top1", 10),
    ("resisc45", 18, "top1", 45),
    ("gtsrb", 3, "top1", 43),
    ("kitti", 1, "top1", 4),
    ("country211", 5, "top1", 211),
    ("pcam", 1, "top1", 2),
    ("ucf101", 48, "top1", 101),
    ("kinetics700", 28, "mean_top1_top5", 700),
    ("clevr", 1, "top1", 8),
    ("hateful_memes", 1, "roc_auc", 2),
    ("sst2", 1, "top1", 2),
]
MODELS = ("CLIP, 400M", "OpenCLIP, 400M", "MetaCLIP, 400M", "MetaCLIP, 1B", "MetaCLIP, 2.5B")
FIGURES = {
    "ViT-B/32": [(56.6, 63.4), (57.6, 62.9), (58.2, 65.5), (60.3, 67.3), (59.8, 67.6)],
    "ViT-B/16": [(59.6, 68.3), (60.4, 67.0), (61.1, 70.8), (63.2, 72.4), (63.5, 72.1)],
    "ViT-L/14": [(65.7, 75.5), (64.5, 72.7), (67.1, 76.2), (70.2, 79.0), (69.8, 79.2)],
}

# CLIP_benchmark's lists of data, and what DataComp, Hugging Face and archives make of such names.
NAMES = {
    "imagenet1k": ["imagenet1k", "wds_imagenet1k", "wds_imagenet1k_test", "ImageNet",
                   "imagenet/val", "imagenet-1k/data"],
    "cars": ["cars", "wds_cars", "stanford-cars", "cars/test"],
    "cifar10": ["cifar10/test-00000-of-00001.parquet", "cifar10/test_0.parquet",
                "cifar10/data/validation-00000-of-00002-8d1f.parquet"],
    "cifar100": ["cifar100/data", "cifar100/data/test.parquet"],
    "fgvc_aircraft": ["wds_fgvc_aircraft", "fgvc-aircraft"],
    "sst2": ["wds_renderedsst2", "rendered_sst2"],
    "caltech101": ["wds_vtab-caltech101", "vtab/caltech101", "wds_vtab-caltech101_test"],
    "clevr": ["wds_vtab-clevr_count_all"],
    "kitti": ["wds_vtab-kitti_closest_vehicle_distance"],
    "flowers": ["wds_vtab-flowers", "flowers102"],
    "pets": [
        "wds_vtab-pets", "pets.parquet", "pets/test.parquet",
        "hub/datasets--clip-benchmark--wds_vtab-pets/snapshots/0a1b2c",
        "hub/datasets--clip-benchmark--wds_vtab-pets/snapshots/0a1b2c/data/test-0.parquet",
    ],
    "ucf101": ["UCF-101", "ucf101"],
    "pcam": ["patch_camelyon", "wds_vtab-pcam"],
    "fer2013": ["fer-2013", "wds_fer2013"],
}  # fmt: skip
OTHERS = ["imagenetv2", "wds_imagenet_sketch", "imagenet-a", "wds_vtab-svhn", "images", "wds_",
          "clevr_closest_object_distance", "test.parquet", "cifar10/other", "cars/tests",
          "pets/snapshots/0a1b2c"]  # fmt: skip


def test_the_tasks_are_the_papers() -> None:
    assert [(task.name, task.templates, task.metric, task.classes) for task in TASKS] == ROWS
    assert sum(task.templates for task in TASKS) == 293
    assert len({name for task in TASKS for name in (task.name, *task.other_names)}) == sum(
        1 + len(task.other_names) for task in TASKS
    )


def test_caltech_may_lack_its_background() -> None:
    accepted = {task.name: [n for n in (101, 102, 103) if task.fits(n)] for task in TASKS}
    assert accepted["caltech101"] == [101, 102]
    assert accepted["flowers"] == [102]
    assert accepted["food101"] == [101]


def test_the_figures_are_the_papers() -> None:
    expected = {size: dict(zip(MODELS, pairs, strict=True)) for size, pairs in FIGURES.items()}
    assert {**expected, "ViT-H/14": {"MetaCLIP, 2.5B": (72.4, 80.5)}} == PAPER
    assert sum(map(len, PAPER.values())) == 16


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_is_recognised_by_its_own_name(task: Task) -> None:
    assert recognise(task.name) is task
    assert recognise(f"wds_vtab-{task.name.replace('_', '-')}_test") is task


@pytest.mark.parametrize(("task", "name"), [(k, one) for k, some in NAMES.items() for one in some])
def test_names_of_data_are_recognised(task: str, name: str) -> None:
    found = recognise(dataset_name(Path("/data") / name))
    assert found is not None
    assert found.name == task


@pytest.mark.parametrize("name", OTHERS)
def test_other_data_are_not(name: str) -> None:
    assert recognise(dataset_name(Path("/data") / name)) is None


def test_sizes_are_recognised() -> None:
    vision = {"hidden_size": 768, "num_hidden_layers": 12, "patch_size": 32, "image_size": 224}
    assert size_of(vision) == "ViT-B/32"
    assert size_of({**vision, "patch_size": 16}) == "ViT-B/16"
    assert size_of({**vision, "image_size": 336}) is None
    assert size_of({**vision, "patch_size": [32, 32]}) is None
