from pathlib import Path

import pytest

from metacurate.evaluation.tasks import PAPER, TASKS, recognise, size_of

# CLIP_benchmark's lists of data, and what DataComp makes of such names.
NAMES = {
    "imagenet1k": ["imagenet1k", "wds_imagenet1k", "wds_imagenet1k_test", "ImageNet"],
    "cars": ["cars", "wds_cars", "stanford-cars"],
    "fgvc_aircraft": ["wds_fgvc_aircraft", "fgvc-aircraft"],
    "sst2": ["wds_renderedsst2", "rendered_sst2"],
    "caltech101": ["wds_vtab-caltech101", "vtab/caltech101", "wds_vtab-caltech101_test"],
    "clevr": ["wds_vtab-clevr_count_all"],
    "kitti": ["wds_vtab-kitti_closest_vehicle_distance"],
    "flowers": ["wds_vtab-flowers", "flowers102"],
    "pets": ["wds_vtab-pets", "pets.parquet", "pets/test.parquet"],
}
OTHERS = ["imagenetv2", "wds_imagenet_sketch", "imagenet-a", "wds_vtab-svhn", "images", "wds_",
          "clevr_closest_object_distance", "test.parquet"]  # fmt: skip


def test_there_are_26_tasks() -> None:
    assert len(TASKS) == 26
    assert len({name for task in TASKS for name in (task.name, *task.other_names)}) == sum(
        1 + len(task.other_names) for task in TASKS
    )


def test_templates_and_metrics_are_the_papers() -> None:
    assert sum(task.templates for task in TASKS) == 293
    special = {task.name: task.metric for task in TASKS if task.metric != "top1"}
    assert special == {
        "fgvc_aircraft": "mean_per_class", "pets": "mean_per_class",
        "caltech101": "mean_per_class", "flowers": "mean_per_class",
        "kinetics700": "mean_top1_top5", "hateful_memes": "roc_auc",
    }  # fmt: skip


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_is_recognised_by_its_own_name(task: object) -> None:
    name = task.name  # type: ignore[attr-defined]
    assert recognise(Path("/data") / name) is task
    assert recognise(Path("/data") / f"wds_vtab-{name.replace('_', '-')}_test") is task


@pytest.mark.parametrize(("task", "name"), [(k, one) for k, some in NAMES.items() for one in some])
def test_names_of_data_are_recognised(task: str, name: str) -> None:
    found = recognise(Path("/data") / name)
    assert found is not None
    assert found.name == task


@pytest.mark.parametrize("name", OTHERS)
def test_other_data_are_not(name: str) -> None:
    assert recognise(Path("/data") / name) is None


def test_sizes_are_recognised() -> None:
    vision = {"hidden_size": 768, "num_hidden_layers": 12, "patch_size": 32, "image_size": 224}
    assert size_of(vision) == "ViT-B/32"
    assert size_of({**vision, "patch_size": 16}) == "ViT-B/16"
    assert size_of({**vision, "image_size": 336}) is None
    assert size_of({**vision, "patch_size": [32, 32]}) is None
    assert PAPER["ViT-B/32"]["MetaCLIP, 400M"] == (58.2, 65.5)
