"""Recipes say what the paper says."""

import math
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
import torch
from transformers import CLIPModel

from metacurate.errors import UsageError
from metacurate.training.model import configuration
from metacurate.training.recipe import OPENAI, RECIPES, TINY, recipe_of

PAPER = [name for name in RECIPES if name != "tiny"]


class OpenAI:
    """What a model asks of CLIP's own tokenizer."""

    bos_token_id, eos_token_id, pad_token_id = 49406, 49407, 49407

    def __len__(self) -> int:
        return 49_408


@pytest.mark.parametrize("name", PAPER)
def test_a_recipe_of_the_paper_has_its_figures(name: str) -> None:
    recipe = recipe_of(name)
    assert (recipe.batch, recipe.pairs_seen, recipe.warmup) == (32_768, 12_800_000_000, 2000)
    assert (recipe.betas, recipe.epsilon, recipe.weight_decay) == ((0.9, 0.98), 1e-6, 0.2)
    assert (recipe.image_size, recipe.context, recipe.crop) == (224, 77, (0.9, 1.0))
    assert recipe.largest_scale == math.log(100)
    assert recipe.learning_rate == (5e-4 if "-b-" in name else 4e-4)
    assert (recipe.precision, recipe.tokenizer) == ("bf16", OPENAI)
    assert recipe.steps == 390_625


@pytest.mark.parametrize(
    ("name", "parameters"),  # of the models on the hub that have these sizes
    [
        ("vit-b-32", 151_277_313),
        ("vit-b-16", 149_620_737),
        ("vit-l-14", 427_616_513),
        ("vit-h-14", 986_109_441),
    ],
)
def test_a_model_has_as_many_parameters_as_its_namesake(name: str, parameters: int) -> None:
    with torch.device("meta"):
        model = CLIPModel(configuration(RECIPES[name], OpenAI()))
    assert sum(one.numel() for one in model.parameters()) == parameters
    assert model.config.vision_config.hidden_act == "quick_gelu"
    assert model.config.text_config.hidden_act == "quick_gelu"


def test_steps_see_at_least_the_pairs_that_were_asked_for() -> None:
    assert replace(TINY, batch=100, pairs_seen=1001).steps == 11


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "batch 0 is less than 1"),
        ({"pairs_seen": 0}, "pairs seen 0 is less than 1"),
        ({"warmup": -1}, "warmup -1 is less than 0"),
        ({"learning_rate": 0.0}, "learning rate 0.0 is not above 0"),
        ({"learning_rate": math.nan}, "learning rate nan is not above 0"),
        ({"precision": "int8"}, "precision 'int8' is none of: bf16, fp16, fp32"),
    ],
)
def test_what_cant_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(TINY, **change)


def test_an_unknown_recipe_is_told_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"'vit-g' is none of: vit-b-32, vit-b-16, .*tiny"):
        recipe_of("vit-g")


def test_a_recipe_stays_as_it_is() -> None:
    with pytest.raises(FrozenInstanceError):
        TINY.batch = 1  # type: ignore[misc]
