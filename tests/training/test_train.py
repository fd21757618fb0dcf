"""Whole trainings: what they write, and that one which was broken off is as if it had not been."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoTokenizer, CLIPModel

import metacurate as mc
from metacurate.engine.progress import Silent
from metacurate.errors import InputError, MetacurateError, UsageError
from metacurate.images.shards import shard_name, write_tar
from metacurate.training import Online, Pace, train
from metacurate.training.checkpoint import list_checkpoints
from metacurate.training.recipe import TINY

from .sets import SMALL, pairs_seen, picture, sample, write_shards

TIMES = ("pairs_per_second", "waiting", "computing")
EACH = Pace(log_every=1, checkpoint_every=3)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def online(shards: str, tmp_path_factory: pytest.TempPathFactory) -> Online:
    folder = tmp_path_factory.mktemp("counts")
    metadata = mc.Metadata.from_entries(["red", "green", "wall"])
    metadata.write(folder / "m.parquet")
    mc.count(shards, mc.Matcher(metadata), out=str(folder / "counts"))
    return Online(str(folder / "m.parquet"), str(folder / "counts"), 20)


def metrics(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in line if name not in TIMES} for line in lines]


def weights(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(list_checkpoints(run)[-1] / "model.safetensors")
    return found


class Interrupting(Silent):
    """Sends a signal behind some steps."""

    def __init__(self, steps: int, number: int = signal.SIGINT) -> None:
        self._left, self._number = steps, number

    def advance(self, work: int) -> None:
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), self._number)


def check_same(run: Path, other: Path) -> None:
    assert metrics(run) == metrics(other)
    found, wanted = weights(run), weights(other)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("balanced", [False, True])
def test_a_training_that_was_broken_off_is_as_an_unbroken_one(
    tmp_path: Path, shards: str, online: Online, workers: int, balanced: bool
) -> None:
    def run(name: str, **more: Any) -> Path:
        train(
            shards, tmp_path / name, SMALL, online=online if balanced else None, seed=3,
            device="cpu", workers=workers, pace=EACH, **more,
        )  # fmt: skip
        return tmp_path / name

    whole = run("whole")
    for steps in (4, 5):  # 4 and 9 of 12: neither is where checkpoints are written by themselves
        with pytest.raises(KeyboardInterrupt):
            run("broken", resume=True, progress=Interrupting(steps))
    check_same(run("broken", resume=True), whole)
    assert [line["step"] for line in metrics(whole)] == list(range(1, 13))
    assert len({line["loss"] for line in metrics(whole)}) == 12


def test_what_was_logged_behind_the_last_checkpoint_is_logged_anew(
    tmp_path: Path, shards: str
) -> None:
    first = train(shards, tmp_path / "run", SMALL, device="cpu", workers=0, pace=EACH)
    wanted = metrics(tmp_path / "run"), weights(tmp_path / "run")
    assert [path.name for path in list_checkpoints(tmp_path / "run")] == [
        "step-00000009", "step-00000012",
    ]  # fmt: skip
    last = Path(first["checkpoint"])
    last.rename(tmp_path / "gone")  # as if the machine had died behind the one before
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 13, "lo')
    left = tmp_path / "run" / "checkpoints" / ".0123456789abcdef.tmp"
    left.mkdir()
    train(shards, tmp_path / "run", SMALL, device="cpu", workers=0, pace=EACH, resume=True)
    assert metrics(tmp_path / "run") == wanted[0]
    assert all(map(torch.equal, weights(tmp_path / "run").values(), wanted[1].values()))
    assert not left.exists()


def test_a_finished_run_stays_as_it_is(tmp_path: Path, shards: str) -> None:
    recipe = pairs_seen(2)
    first = train(shards, tmp_path, recipe, device="cpu", workers=0)
    again = train(shards, tmp_path, recipe, device="cpu", workers=0, resume=True)
    assert (again["steps"], again["checkpoint"]) == (2, first["checkpoint"])
    assert [line["step"] for line in metrics(tmp_path)] == [2]


def test_a_checkpoint_is_loaded_by_transformers_alone(tmp_path: Path, shards: str) -> None:
    summary = train(shards, tmp_path, SMALL, device="cpu", workers=0)
    model, told = CLIPModel.from_pretrained(summary["checkpoint"], output_loading_info=True)
    assert not any(told.values())
    tokenizer = AutoTokenizer.from_pretrained(summary["checkpoint"])
    assert tokenizer.model_max_length == SMALL.context
    script = (
        "import sys, torch; from transformers import AutoTokenizer, CLIPModel\n"
        "model = CLIPModel.from_pretrained(sys.argv[1])\n"
        "tokens = AutoTokenizer.from_pretrained(sys.argv[1])(['a red wall'], return_tensors='pt')\n"
        "with torch.no_grad():\n"
        "    found = model(**tokens, pixel_values=torch.ones(1, 3, 16, 16))\n"
        "assert not any(name.startswith('metacurate') for name in sys.modules)\n"
        "print(found.text_embeds.tolist(), found.image_embeds.tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, summary["checkpoint"]], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    tokens = tokenizer(["a red wall"], return_tensors="pt")
    with torch.no_grad():
        found = model(**tokens, pixel_values=torch.ones(1, 3, 16, 16))
    assert done.stdout == f"{found.text_embeds.tolist()} {found.image_embeds.tolist()}\n"


def test_it_learns(tmp_path: Path, shards: str) -> None:
    recipe = replace(pairs_seen(60), learning_rate=3e-3)
    train(shards, tmp_path, recipe, device="cpu", workers=0, pace=Pace(log_every=1))
    losses = [line["loss"] for line in metrics(tmp_path)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_metrics_are_told_to_tensorboard(tmp_path: Path, shards: str) -> None:
    train(shards, tmp_path, SMALL, device="cpu", workers=0, pace=Pace(log_every=5))
    assert [line["step"] for line in metrics(tmp_path)] == [5, 10, 12]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    told = [(one.step, pytest.approx(one.value)) for one in events.Scalars("loss")]
    assert told == [(line["step"], line["loss"]) for line in metrics(tmp_path)]
    assert {"learning_rate", "pairs_per_second", "logit_scale"} <= set(events.Tags()["scalars"])


def test_the_scale_of_the_logits_has_a_limit(tmp_path: Path, shards: str) -> None:
    recipe = replace(SMALL, largest_scale=2.6)  # the logarithm begins at 2.6592
    train(shards, tmp_path, recipe, device="cpu", workers=0)
    assert weights(tmp_path)["logit_scale"] <= 2.6


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_and_goes_on(tmp_path: Path, shards: str, precision: Any) -> None:
    recipe = replace(SMALL, precision=precision)
    with pytest.raises(KeyboardInterrupt):
        train(shards, tmp_path / "a", recipe, device="cpu", pace=EACH, progress=Interrupting(5))
    train(shards, tmp_path / "a", recipe, device="cpu", pace=EACH, resume=True)
    train(shards, tmp_path / "b", recipe, device="cpu", pace=EACH)
    check_same(tmp_path / "a", tmp_path / "b")
    assert weights(tmp_path / "a")["visual_projection.weight"].dtype == torch.float32


def test_parts_and_layers_computed_twice_change_no_more_than_rounding(
    tmp_path: Path, shards: str
) -> None:
    train(shards, tmp_path / "a", SMALL, device="cpu", workers=0, pace=EACH)
    pace = replace(EACH, accumulate=4, checkpoint_activations=True)
    train(shards, tmp_path / "b", SMALL, device="cpu", workers=0, pace=pace)
    for one, other in zip(metrics(tmp_path / "a"), metrics(tmp_path / "b"), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-3)


# ---- what can't be


def test_a_run_is_not_overwritten(tmp_path: Path, shards: str) -> None:
    train(shards, tmp_path / "run", pairs_seen(1), device="cpu", workers=0)
    with pytest.raises(UsageError, match="holds a run already: --resume goes on with it"):
        train(shards, tmp_path / "run", pairs_seen(1), device="cpu")
    with pytest.raises(UsageError, match="another run: seed 0, not 1; pairs seen 8, not 16"):
        train(shards, tmp_path / "run", pairs_seen(2), device="cpu", seed=1, resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="holds something that is no run"):
        train(shards, tmp_path / "other", pairs_seen(1), device="cpu")


def test_a_run_goes_on_with_its_own_shards_only(tmp_path: Path, shards: str) -> None:
    train(shards, tmp_path / "run", pairs_seen(1), device="cpu", workers=0)
    other = write_shards(tmp_path / "other", (9, 9))
    with pytest.raises(UsageError, match="holds another run: shards"):
        train(other, tmp_path / "run", pairs_seen(1), device="cpu", resume=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_not_replaced(tmp_path: Path, shards: str) -> None:
    with pytest.raises(UsageError, match="device cuda: no GPU is there"):
        train(shards, tmp_path / "run", SMALL, device="cuda")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"device": "tpu"}, "device 'tpu' is none of: auto, cpu, cuda"),
        ({"pace": Pace(accumulate=3)}, "batch of 8 pairs can't be dealt out evenly"),
        ({"pace": Pace(log_every=0)}, "log every 0 is less than 1"),
        ({"workers": -1}, "-1 workers can't work"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_calls_that_are_wrong(
    tmp_path: Path, shards: str, call: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train(shards, tmp_path, SMALL, **{"device": "cpu", **call})


def test_a_store_is_no_place_for_a_run(shards: str) -> None:
    with pytest.raises(UsageError, match="a run writes to a folder of this machine"):
        train(shards, "memory://runs/a", SMALL, device="cpu")


def test_weights_that_are_no_numbers_are_not_written(tmp_path: Path, shards: str) -> None:
    recipe = replace(SMALL, learning_rate=1e30, warmup=0)
    with pytest.raises(MetacurateError, match=r"step \d+: weights are no numbers any more"):
        train(
            shards, tmp_path, recipe, device="cpu", workers=0,
            pace=Pace(log_every=100, checkpoint_every=4),
        )  # fmt: skip
    assert not list_checkpoints(tmp_path)
    train(shards, tmp_path, pairs_seen(1), device="cpu", workers=0)  # with other settings


def test_a_loss_that_is_no_number_ends_training(tmp_path: Path, shards: str) -> None:
    recipe = replace(SMALL, learning_rate=1e30, warmup=0)
    with pytest.raises(MetacurateError, match=r"step \d+: the loss is nan: try a smaller"):
        train(shards, tmp_path, recipe, device="cpu", workers=0, pace=Pace(log_every=1))
    assert not list_checkpoints(tmp_path)


def test_a_broken_checkpoint_is_named(tmp_path: Path, shards: str) -> None:
    train(shards, tmp_path, pairs_seen(2), device="cpu", workers=0)
    path = list_checkpoints(tmp_path)[-1] / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="step-00000002: can't be loaded"):
        train(shards, tmp_path, pairs_seen(2), device="cpu", resume=True)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_named_and_may_be_skipped(tmp_path: Path, workers: int) -> None:
    samples = [sample(0, i, picture("red", i) if i % 5 else b"broken") for i in range(20)]
    write_tar(tmp_path / "shards", shard_name(0), samples)
    shards = str(tmp_path / "shards")
    with pytest.raises(InputError, match=r"00000\.tar: sample '00000000[0-9]': \.png"):
        train(shards, tmp_path / "a", SMALL, device="cpu", workers=workers)
    train(shards, tmp_path / "b", SMALL, device="cpu", workers=workers, on_error="skip")
    assert metrics(tmp_path / "b")[-1]["step"] == 12


# ---- by the command line, in processes of their own


def started(*arguments: str, torchrun: int = 0, **options: Any) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "metacurate", *arguments]
    if torchrun:
        command = [
            sys.executable, "-m", "torch.distributed.run", "--standalone",
            f"--nproc-per-node={torchrun}", *command[1:],
        ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        **options,
    )  # fmt: skip


def calls(shards: str, run: Path, steps: int, *more: str) -> list[str]:
    return [
        "train", shards, "--recipe", "tiny", "-o", str(run), "--pairs-seen", str(16 * steps),
        "--batch", "16", "--device", "cpu", "--log-every", "1", *more,
    ]  # fmt: skip


def lines(run: "subprocess.Popen[str]", path: Path, number: int) -> Iterator[None]:
    """Wait until so many lines of metrics are there."""
    while run.poll() is None:
        if path.exists() and path.read_text().count("\n") >= number:
            yield None
            return
        try:
            run.wait(0.05)
        except subprocess.TimeoutExpired:
            continue


def test_two_processes_train_together_and_go_on(tmp_path: Path, shards: str) -> None:
    whole = started(*calls(shards, tmp_path / "whole", 150, "--json"), torchrun=2)
    run = started(*calls(shards, tmp_path / "run", 150), torchrun=2, process_group=0)
    for _ in lines(run, tmp_path / "run" / "metrics.jsonl", 5):
        os.killpg(run.pid, signal.SIGTERM)  # as Slurm does: torchrun forwards it besides
    run.communicate(timeout=300)
    assert run.returncode != 0
    assert 5 <= metrics(tmp_path / "run")[-1]["step"] < 150
    assert len(list_checkpoints(tmp_path / "run")) == 1
    output, errors = whole.communicate(timeout=300)
    assert whole.returncode == 0, errors
    summary = json.loads(output)
    assert (summary["steps"], summary["pairs_seen"]) == (150, 2400)
    again = started(*calls(shards, tmp_path / "run", 150, "--resume"), torchrun=2)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    check_same(tmp_path / "run", tmp_path / "whole")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["processes"] == 2
    last = list_checkpoints(tmp_path / "run")[-1]
    state = json.loads((last / "training.json").read_text())
    assert len(state["places"]) == 2
    recipe = replace(TINY, batch=16, pairs_seen=2400)
    with pytest.raises(UsageError, match="processes 2, not 1"):
        train(shards, tmp_path / "run", recipe, device="cpu", resume=True)


def test_sigterm_ends_training_behind_a_checkpoint(tmp_path: Path, shards: str) -> None:
    run = started(*calls(shards, tmp_path / "run", 100_000, "--workers", "2"), process_group=0)
    for _ in lines(run, tmp_path / "run" / "metrics.jsonl", 3):
        os.killpg(run.pid, signal.SIGTERM)  # to its workers, too
        run.send_signal(signal.SIGTERM)  # and again, as a launcher does
    _, errors = run.communicate(timeout=300)
    assert run.returncode == -signal.SIGTERM, errors
    (last,) = list_checkpoints(tmp_path / "run")
    done = json.loads((last / "training.json").read_text())["step"]
    assert metrics(tmp_path / "run")[-1]["step"] == done >= 3


def test_ctrl_c_tells_how_to_go_on(tmp_path: Path, shards: str) -> None:
    run = started(*calls(shards, tmp_path / "run", 100_000, "--workers", "2"), process_group=0)
    for _ in lines(run, tmp_path / "run" / "metrics.jsonl", 2):
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to its workers, too
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 130, errors
    assert "interrupted; the same command with --resume goes on from the last checkpoint" in errors
    assert "Traceback" not in errors
    assert list_checkpoints(tmp_path / "run")
