"""What decays, and how fast training goes at each step."""

import math
from dataclasses import replace

import pytest

from metacurate.training.model import make_model
from metacurate.training.optimizer import learning_rate, make_optimizer
from metacurate.training.recipe import VIT_B_32

from .sets import SMALL
from .test_contrastive import Tokens


def test_norms_biases_and_the_scale_do_not_decay() -> None:
    model = make_model(SMALL, Tokens(), 0)
    decaying, others = make_optimizer(model, SMALL).param_groups
    names = {id(one): name for name, one in model.named_parameters()}
    weights = {names[id(one)] for one in decaying["params"]}
    rest = {names[id(one)] for one in others["params"]}
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.2, 0.0)
    assert weights | rest == set(names.values())
    assert rest == {
        name
        for name in names.values()
        if name.endswith("bias") or "norm" in name or name in ("logit_scale", CLASS)
    }
    assert {"visual_projection.weight", "text_model.embeddings.token_embedding.weight"} <= weights
    assert (decaying["betas"], decaying["eps"], decaying["lr"]) == ((0.9, 0.98), 1e-6, 2e-3)


CLASS = "vision_model.embeddings.class_embedding"


def test_the_rate_of_the_paper() -> None:
    assert learning_rate(0, VIT_B_32) == pytest.approx(5e-4 / 2000)
    assert learning_rate(1999, VIT_B_32) == learning_rate(2000, VIT_B_32) == 5e-4
    middle = 2000 + (VIT_B_32.steps - 2000) // 2
    assert learning_rate(middle, VIT_B_32) == pytest.approx(2.5e-4, rel=1e-4)
    assert 0 < learning_rate(VIT_B_32.steps - 1, VIT_B_32) < 1e-13


def test_the_rate_is_half_a_cosine_behind_the_warm_up() -> None:
    recipe = replace(SMALL, pairs_seen=110 * SMALL.batch, warmup=10, learning_rate=1.0)
    for step in range(10, 110):
        wanted = math.cos(math.pi * (step - 10) / 200) ** 2
        assert learning_rate(step, recipe) == pytest.approx(wanted)


@pytest.mark.parametrize("warmup", [0, 5, 50])
def test_a_short_training_has_rates_too(warmup: int) -> None:
    recipe = replace(SMALL, pairs_seen=5 * SMALL.batch, warmup=warmup)
    rates = [learning_rate(step, recipe) for step in range(recipe.steps)]
    assert all(0 < rate <= recipe.learning_rate for rate in rates)
