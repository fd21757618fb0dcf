import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from examples.curation_effect.arms import MATCHED, RAW, Arm, TrainingSet, class_sizes, prepare
from examples.curation_effect.captions import BURIED, PAGE_TALK, PLAIN, SHARES, caption
from examples.curation_effect.experiment import Experiment, run
from examples.curation_effect.pool import (
    Labelled,
    Shape,
    make_image,
    make_pairs,
    ranked,
    read_images,
    write_pool,
    write_test,
)
from examples.curation_effect.results import draw, group_classes, make_table, summarize
from PIL import Image

import metacurate as mc
from metacurate.errors import InputError, UsageError
from metacurate.images.shards import list_shards, read_samples, read_table
from metacurate.matching.oracle import match_by_substring
from tests.images.made import encoded, noise

ROOT = Path(__file__).parent.parent.parent
ANIMALS = (
    "goldfish", "red fox, Vulpes vulpes", "ox", "brown bear, bruin", "snail", "black stork",
    "school bus", "teapot", "acorn", "organ, pipe organ", "lemon", "obelisk",
)  # fmt: skip
SMALL = Shape(head=60, smallest=6, shard=64)


def made_images(per_class: int, seed: int) -> list[dict[str, Any]]:
    """Images whose class can be told by their colours."""
    rows = []
    for number, names in enumerate(ANIMALS):
        for index in range(per_class):
            plain = Image.new("RGB", (32, 32), tuple(noise(number, (1, 1)).getpixel((0, 0))))  # type: ignore[arg-type]
            image = Image.blend(plain, noise(seed + 1000 * number + index, (32, 32)), 0.3)
            rows.append({"image": encoded(image, "WEBP"), "wnid": f"n{number:08d}", "names": names})
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data: images, and a list of entries."""
    made = tmp_path_factory.mktemp("data")
    (made / "images").mkdir()
    pq.write_table(pa.Table.from_pylist(made_images(20, 0)), made / "images" / "train.parquet")
    pq.write_table(pa.Table.from_pylist(made_images(4, 90_000)), made / "images" / "val.parquet")
    words = {
        word for forms in (PLAIN, BURIED, PAGE_TALK) for form in forms for word in form.split()
    }
    names = [name for line in ANIMALS for name in line.split(", ")]
    entries = [*names, *sorted(word for word in words if word.isalpha()), "jpg"]
    mc.Metadata.from_entries(list(dict.fromkeys(entries))).write(made / "metadata.parquet")
    return made


@pytest.fixture(scope="module")
def classes(folder: Path) -> list[Labelled]:
    return read_images(folder / "images" / "train.parquet")


@pytest.fixture(scope="module")
def pool(folder: Path, classes: list[Labelled]) -> Path:
    write_pool(classes, SMALL, folder / "pool")
    return folder / "pool"


# Captions


@pytest.mark.parametrize("kind", SHARES)
def test_captions_are_one_line_with_no_gap_left(kind: str) -> None:
    chance = random.Random(0)
    texts = [caption(kind, ("ox", "bullock"), chance) for _ in range(500)]
    assert all(text.strip() and "\n" not in text and "{" not in text for text in texts)
    assert len(set(texts)) > 30


@pytest.mark.parametrize("kind", ["plain", "buried", "wrong"])
def test_captions_that_tell_hold_a_name_of_the_class_the_usual_one_most_often(kind: str) -> None:
    chance = random.Random(0)
    texts = [caption(kind, ("goldfish", "Carassius"), chance).lower() for _ in range(500)]
    by_name = Counter("goldfish" if "goldfish" in text else "carassius" for text in texts)
    assert all("goldfish" in text or "carassius" in text for text in texts)
    assert by_name["goldfish"] > by_name["carassius"] > 100


def test_page_talk_never_tells_and_some_file_names_do() -> None:
    chance = random.Random(0)
    talk = [caption("page talk", ("red fox",), chance) for _ in range(500)]
    files = [caption("file name", ("red fox",), chance) for _ in range(500)]
    assert not any("fox" in text.lower() for text in talk)
    assert 100 < sum("fox" in text for text in files) < 200
    assert not any(" " in text for text in files)


def test_an_article_suits_its_word() -> None:
    chance = random.Random(0)
    texts = [caption("plain", ("ox",), chance).lower() for _ in range(500)]
    assert any("an ox" in text for text in texts)
    assert not any(f" {text}".count(" a o") for text in texts)


# The pool


def test_sizes_have_a_long_tail() -> None:
    sizes = Shape().sizes(202)
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1], sum(sizes)) == (3200, 21, 21299)
    assert Shape(head=10, smallest=4).sizes(5)[-1] == 4


def test_a_pool_has_the_pairs_that_its_shape_says(classes: list[Labelled]) -> None:
    shape = Shape(head=2000)
    pairs = make_pairs(classes, shape)
    sizes = {one.wnid: pairs for one, pairs in ranked(classes, shape)}
    assert Counter(pair.wnid for pair in pairs) == sizes
    assert len({pair.url for pair in pairs}) == len(pairs)
    shares = Counter(pair.kind for pair in pairs)
    for kind, share in SHARES.items():
        assert shares[kind] / len(pairs) == pytest.approx(share, abs=0.02)


def test_wrong_captions_are_of_other_classes(classes: list[Labelled]) -> None:
    names = {one.wnid: [name.lower() for name in one.names] for one in classes}
    wrong = [pair for pair in make_pairs(classes, Shape(head=500)) if pair.kind == "wrong"]
    own = [p for p in wrong if any(name in p.text.lower() for name in names[p.wnid])]
    # "ox" is within "fox" and "box", "snail" in no other name
    assert len(wrong) > 30
    assert all(names[pair.wnid] == ["ox"] for pair in own)


def test_a_seed_decides_everything(classes: list[Labelled]) -> None:
    assert make_pairs(classes, SMALL) == make_pairs(classes, SMALL)
    other = Shape(head=60, smallest=6, shard=64, seed=1)
    assert make_pairs(classes, SMALL) != make_pairs(classes, other)
    assert [one.wnid for one, _ in ranked(classes, SMALL)] != [
        one.wnid for one, _ in ranked(classes, other)
    ]


def test_images_come_as_they_are_before_any_is_copied(classes: list[Labelled]) -> None:
    one = classes[0]
    made = [make_image(one, index, 0) for index in range(len(one.images))]
    assert sorted(picture.content for picture in made) == sorted(one.images)
    assert {(p.ending, p.width, p.height) for p in made} == {("webp", 32, 32)}


def test_copies_are_near_and_no_two_are_alike(classes: list[Labelled]) -> None:
    one, n = classes[0], len(classes[0].images)
    first = np.asarray(Image.open(BytesIO(make_image(one, 3, 0).content)).convert("RGB"), float)
    copies = [make_image(one, 3 + n * round_, 0) for round_ in range(1, 6)]
    assert len({copy.content for copy in copies}) == 5
    for copy in copies:
        image = Image.open(BytesIO(copy.content))
        assert (image.size, image.format, copy.ending) == ((32, 32), "JPEG", "jpg")
        assert np.abs(np.asarray(image, float) - first).mean() < 40
    assert make_image(one, 3 + n, 0) == copies[0]


def test_the_pool_is_laid_out_as_downloads_are(pool: Path, classes: list[Labelled]) -> None:
    pairs = make_pairs(classes, SMALL)
    shards = list_shards(str(pool))
    samples = [sample for shard in shards for sample in read_samples(shard.tar)]
    tables = [read_table(shard) for shard in shards]
    assert [sample.text for sample in samples] == [pair.text for pair in pairs]
    assert [text for table in tables for text in table["text"].to_pylist()] == [
        pair.text for pair in pairs
    ]
    assert [sample.fields["url"] for sample in samples] == [pair.url for pair in pairs]
    assert {status for table in tables for status in table["status"].to_pylist()} == {"success"}
    assert class_sizes(pool) == {one.wnid: size for one, size in ranked(classes, SMALL)}
    assert not pool.with_name("pool.unfinished").exists()


def test_the_same_pool_is_made_to_the_byte(
    pool: Path, classes: list[Labelled], tmp_path: Path
) -> None:
    write_pool(classes, SMALL, tmp_path / "again")
    for tar in sorted(pool.glob("*.tar")):
        assert (tmp_path / "again" / tar.name).read_bytes() == tar.read_bytes()


def test_images_to_score_on(folder: Path, tmp_path: Path) -> None:
    write_test(read_images(folder / "images" / "val.parquet"), tmp_path)
    table = pq.read_table(tmp_path / "test.parquet")
    names = (tmp_path / "classnames.txt").read_text().splitlines()
    assert Counter(table["label"].to_pylist()) == dict.fromkeys(range(12), 4)
    assert names == [line.split(", ")[0] for line in ANIMALS]
    assert "{c}" in (tmp_path / "zeroshot_classification_templates.txt").read_text()


def test_classes_that_share_a_name_are_refused(tmp_path: Path) -> None:
    classes = [Labelled("n1", ("crane",), []), Labelled("n2", ("crane", "bird"), [])]
    with pytest.raises(UsageError, match="'crane'"):
        write_test(classes, tmp_path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "can't be read"),
        ({"image": [b""], "names": ["a"]}, "wnid"),
        (b"no Parquet", "can't be read"),
    ],
)
def test_images_that_can_not_be_read(content: Any, told: str, tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    if isinstance(content, dict):
        pq.write_table(pa.table(content), path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=told):
        read_images(path)


def test_an_image_that_can_not_be_decoded() -> None:
    with pytest.raises(InputError, match="n1: an image can't be decoded"):
        make_image(Labelled("n1", ("crane",), [b"no image"]), 0, 0)


# Arms


@pytest.fixture(scope="module")
def metadata(folder: Path) -> mc.Metadata:
    return mc.Metadata.read(folder / "metadata.parquet")


def texts_of(shards: Path) -> list[str]:
    return [str(s.text) for shard in list_shards(str(shards)) for s in read_samples(shard.tar)]


def test_the_raw_arm_is_the_pool(pool: Path, metadata: mc.Metadata, tmp_path: Path) -> None:
    made = prepare(RAW, pool, metadata, 0, tmp_path)
    assert (made.shards, made.counts, made.threshold) == (pool, None, None)
    assert made.pairs == len(texts_of(pool))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def sets(pool: Path, metadata: mc.Metadata, folder: Path) -> dict[str, TrainingSet]:
    arms = (MATCHED, Arm("balanced", 0.06), Arm("online", 0.06, online=True))
    return {arm.name: prepare(arm, pool, metadata, 0, folder / "sets") for arm in arms}


def test_the_matched_arm_has_all_pairs_that_match(
    pool: Path, metadata: mc.Metadata, sets: dict[str, TrainingSet]
) -> None:
    made, entries = sets["matched"], metadata.entries.to_pylist()
    expected = [text for text in texts_of(pool) if match_by_substring(text, entries)]
    assert texts_of(made.shards) == expected
    assert (made.pairs, made.threshold) == (len(expected), None)
    assert 0 < made.kinds["file name"] < made.kinds["plain"]


def test_the_matched_arm_is_made_once_for_all_seeds(
    pool: Path, metadata: mc.Metadata, sets: dict[str, TrainingSet], folder: Path
) -> None:
    assert prepare(MATCHED, pool, metadata, 5, folder / "sets") == sets["matched"]


def test_balanced_arms_keep_fewer_of_what_is_frequent(sets: dict[str, TrainingSet]) -> None:
    made, matched = sets["balanced"], sets["matched"]
    kept = Counter(texts_of(made.shards))
    assert kept <= Counter(texts_of(matched.shards))
    assert kept.total() == made.pairs < matched.pairs
    assert made.kinds["file name"] / made.pairs < matched.kinds["file name"] / matched.pairs


def test_the_online_arm_trains_on_the_pool(
    pool: Path, metadata: mc.Metadata, sets: dict[str, TrainingSet], folder: Path
) -> None:
    online, offline = sets["online"], sets["balanced"]
    assert online.shards == pool
    assert online.counts is not None
    assert online.counts.exists()
    assert (online.threshold, online.kinds) == (offline.threshold, offline.kinds)
    other = prepare(Arm("online", 0.06, online=True), pool, metadata, 1, folder / "sets")
    assert other.threshold == online.threshold
    assert other.kinds != online.kinds


# Results


def made_run(arm: str, seed: int, accuracy: Mapping[str, float]) -> dict[str, Any]:
    kinds = {"plain": 50, "buried": 25, "file name": 25, "page talk": 0, "wrong": 0}
    return {
        "arm": arm, "seed": seed, "threshold": None if arm == "raw" else 17.0, "pairs": 100,
        "kinds": kinds, "accuracy": accuracy,
    }  # fmt: skip


def test_classes_are_cut_into_thirds_by_their_pairs() -> None:
    sizes = {"a": 5, "b": 100, "c": 5, "d": 70, "e": 1, "f": 30, "g": 2}
    groups = group_classes(sizes)
    assert groups["all"] == ["b", "d", "f", "a", "c", "g", "e"]
    assert (groups["head"], groups["middle"], groups["tail"]) == (
        ["b", "d"], ["f", "a", "c"], ["g", "e"],
    )  # fmt: skip


def test_means_and_deviations_are_over_seeds() -> None:
    groups = {"all": ["a", "b"], "head": ["a"], "middle": [], "tail": ["b"]}
    del groups["middle"]
    runs = [
        made_run("raw", 0, {"a": 0.1, "b": 0.3}),
        made_run("raw", 1, {"a": 0.3, "b": 0.5}),
        made_run("balanced", 0, {"a": 0.0, "b": 1.0}),
    ]
    raw, balanced = summarize(runs, groups)
    assert raw["top1"]["all"]["mean"] == pytest.approx(30)
    assert raw["top1"]["all"]["deviation"] == pytest.approx(14.142, abs=1e-3)
    assert raw["top1"]["tail"]["seeds"] == pytest.approx([30, 50])
    assert balanced["top1"]["head"] == {"mean": 0, "deviation": None, "seeds": [0]}
    assert (raw["pairs"], raw["kinds"]["plain"], raw["seeds"]) == (100, 0.5, 2)


def test_the_table_and_the_picture_show_each_arm() -> None:
    groups = group_classes({"a": 3, "b": 2, "c": 1})
    accuracy = {"a": 0.5, "b": 0.25, "c": 0.0}
    arms = summarize(
        [made_run(arm, seed, accuracy) for seed in (0, 1) for arm in ("raw", "balanced-6")], groups
    )
    table = make_table(arms, 3)
    assert (
        "| raw |  | 100 | 75% | 25.00 ± 0.00 | 50.00 ± 0.00 | 25.00 ± 0.00 | 0.00 ± 0.00 |" in table
    )
    assert "| balanced-6 | 17 |" in table
    assert table.splitlines()[-1].startswith("| chance | | | | 33.33 |")
    picture = draw(arms, 3)
    assert picture.startswith("<svg")
    assert "balanced-6" in picture


# The whole


def call(*flags: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "examples.curation_effect.run", *map(str, flags)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_folder_of_other_runs_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(
        json.dumps(Experiment(folder, tmp_path, SMALL, pairs_seen=7).settings)
    )
    with pytest.raises(UsageError, match="another pairs seen"):
        run(Experiment(folder, tmp_path, SMALL), print)


def test_the_quick_form_runs_and_goes_on(folder: Path, tmp_path: Path) -> None:
    flags: list[str | Path] = ["--quick", "--out", tmp_path, "--data", folder, "--device", "cpu"]
    first = call(*flags)
    assert first.returncode == 0, first.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert [arm["arm"] for arm in results["arms"]] == ["raw", "balanced-6"]
    raw, balanced = results["arms"]
    assert raw["pairs"] > balanced["pairs"] > 0
    assert all(len(run["accuracy"]) == 12 for run in results["runs"])
    assert raw["top1"]["all"]["mean"] > 100 / 12
    assert first.stdout == (tmp_path / "table.md").read_text()
    assert (tmp_path / "curation-effect.svg").read_text().startswith("<svg")
    second = call(*flags)
    assert (second.returncode, second.stdout) == (0, first.stdout)
    assert "run 1 of 2" not in second.stderr


def test_a_call_that_can_not_be(tmp_path: Path) -> None:
    ended = call("--out", tmp_path, "--data", "nowhere")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("error: nowhere/images/train.parquet: can't be")
