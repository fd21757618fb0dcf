"""The paper's 26 zero-shot tasks, how their data are recognised, and the figures it gives."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Metric = Literal["top1", "mean_per_class", "mean_top1_top5", "roc_auc"]

BEFORE = re.compile(r"^(?:wds_|vtab_)+")  # what CLIP_benchmark puts before a name
BEHIND = re.compile(r"_(?:test|val|validation)$")
REPORTED = frozenset({"test", "val", "validation"})  # splits that the paper's figures are of


@dataclass(frozen=True)
class Task:
    """A task of the paper.

    Attributes:
        name: as CLIP_benchmark calls its data, where it has them.
        templates: number of prompt templates. classes: number of classes.
        metric: the one whose average over tasks is reported.
        other_names: of its data, all in small letters with underscores.
        without_background: number of classes in copies that lack one of them, the background.
    """

    name: str
    templates: int
    classes: int
    metric: Metric = "top1"
    other_names: tuple[str, ...] = ()
    without_background: int | None = None

    def fits(self, classes: int) -> bool:
        """Whether data of so many classes can be the task's.

        Args:
            classes: how many.
        """
        return classes in (self.classes, self.without_background)


TASKS: tuple[Task, ...] = (
    Task("imagenet1k", 80, 1000, other_names=("imagenet", "imagenet_1k")),
    Task("food101", 1, 101, other_names=("food_101",)),
    Task("cifar10", 18, 10, other_names=("cifar_10",)),
    Task("cifar100", 18, 100, other_names=("cifar_100",)),
    Task("cub", 1, 200, other_names=("cub200", "cub_200", "cub_200_2011")),
    Task("sun397", 2, 397),
    Task("cars", 8, 196, other_names=("stanford_cars",)),
    Task("fgvc_aircraft", 2, 100, "mean_per_class", ("aircraft",)),
    Task("dtd", 8, 47),
    Task("pets", 1, 37, "mean_per_class", ("oxford_pets", "oxford_iiit_pet")),
    Task("caltech101", 34, 102, "mean_per_class", ("caltech_101",), without_background=101),
    Task(
        "flowers", 1, 102, "mean_per_class", ("flowers102", "oxford_flowers", "oxford_flowers102")
    ),
    Task("mnist", 1, 10),
    Task("fer2013", 6, 7, other_names=("fer_2013",)),
    Task("stl10", 2, 10, other_names=("stl_10",)),
    Task("eurosat", 3, 10),
    Task("resisc45", 18, 45),
    Task("gtsrb", 3, 43),
    Task("kitti", 1, 4, other_names=("kitti_closest_vehicle_distance", "kitti_distance")),
    Task("country211", 5, 211),
    Task("pcam", 1, 2, other_names=("patch_camelyon",)),
    Task("ucf101", 48, 101, other_names=("ucf_101", "ucf101_frames")),
    Task("kinetics700", 28, 700, "mean_top1_top5", ("kinetics_700", "kinetics700_frames")),
    Task("clevr", 1, 8, other_names=("clevr_count_all", "clevr_counts")),
    Task("hateful_memes", 1, 2, "roc_auc", ("hatefulmemes",)),
    Task("sst2", 1, 2, other_names=("renderedsst2", "rendered_sst2")),
)

_BY_NAME = {name: task for task in TASKS for name in (task.name, *task.other_names)}

# What the paper reports, by size of the model: the average of 26 tasks, and ImageNet, in percent.
PAPER: dict[str, dict[str, tuple[float, float]]] = {
    "ViT-B/32": {
        "CLIP, 400M": (56.6, 63.4), "OpenCLIP, 400M": (57.6, 62.9),
        "MetaCLIP, 400M": (58.2, 65.5), "MetaCLIP, 1B": (60.3, 67.3),
        "MetaCLIP, 2.5B": (59.8, 67.6),
    },
    "ViT-B/16": {
        "CLIP, 400M": (59.6, 68.3), "OpenCLIP, 400M": (60.4, 67.0),
        "MetaCLIP, 400M": (61.1, 70.8), "MetaCLIP, 1B": (63.2, 72.4),
        "MetaCLIP, 2.5B": (63.5, 72.1),
    },
    "ViT-L/14": {
        "CLIP, 400M": (65.7, 75.5), "OpenCLIP, 400M": (64.5, 72.7),
        "MetaCLIP, 400M": (67.1, 76.2), "MetaCLIP, 1B": (70.2, 79.0),
        "MetaCLIP, 2.5B": (69.8, 79.2),
    },
    "ViT-H/14": {"MetaCLIP, 2.5B": (72.4, 80.5)},
}  # fmt: skip

_SIZES = {  # width, layers and patch of the vision tower, at 224 pixels
    (768, 12, 32): "ViT-B/32",
    (768, 12, 16): "ViT-B/16",
    (1024, 24, 14): "ViT-L/14",
    (1280, 32, 14): "ViT-H/14",
}


def recognise(name: str) -> Task | None:
    """The task that a dataset's name tells.

    CLIP_benchmark's names are known with what it puts before them (`wds_vtab-pets`), and a split
    behind (`wds_cars_test`).

    Args:
        name: of the dataset.
    """
    return _BY_NAME.get(BEHIND.sub("", BEFORE.sub("", _plain(name))))


def _plain(name: str) -> str:
    return re.sub(r"[-\s.]", "_", name.lower())


def size_of(vision: Mapping[str, Any]) -> str | None:
    """Which of the paper's sizes a model has, or None.

    Args:
        vision: the configuration of its vision tower.
    """
    if vision.get("image_size") != 224:
        return None
    told = (vision.get("hidden_size"), vision.get("num_hidden_layers"), vision.get("patch_size"))
    return next((name for shape, name in _SIZES.items() if shape == told), None)
