"""From shards to a CLIP model: recipes, and the training itself."""

from metacurate.errors import MetacurateError

EXTRA = ("safetensors", "tensorboard", "tokenizers", "torch", "transformers")

try:
    from metacurate.training.data import Online
    from metacurate.training.loop import Pace
    from metacurate.training.recipe import RECIPES, Recipe, recipe_of
    from metacurate.training.train import train
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] not in EXTRA:
        raise
    raise MetacurateError(
        "training is PyTorch's and transformers': pip install \"metacurate[train]\""
    ) from missing

__all__ = ["RECIPES", "Online", "Pace", "Recipe", "recipe_of", "train"]
