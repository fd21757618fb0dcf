"""What is trained, and how: the paper's recipes (Xu et al. 2023, section 4), and a tiny one.

A recipe is a constant to be read; `dataclasses.replace` makes another one of it.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from metacurate.errors import UsageError

Precision: TypeAlias = Literal["bf16", "fp16", "fp32"]

OPENAI = "openai/clip-vit-base-patch32"  # its tokenizer is that of all models of the paper
TRAIN = "train"


@dataclass(frozen=True)
class Tower:
    """A transformer; its hidden layers are four times as wide.

    Attributes:
        width: of its states. layers, heads: how many it has.
    """

    width: int
    layers: int
    heads: int


@dataclass(frozen=True)
class Recipe:
    """A model and its training; `steps` follow from pairs and batch.

    Attributes:
        name: of the recipe.
        image: the tower of images. patch, image_size: in pixels, of squares.
        text: the tower of texts. context: tokens of a text, with its first and last, at most.
        embedding: dimensions of what both towers give.
        learning_rate: at its peak, of AdamW.
        batch: pairs of a step, over all processes.
        pairs_seen: over the whole training, repeated ones too.
        warmup: steps until the peak; a cosine to 0 follows.
        betas, epsilon, weight_decay: of AdamW; norms, biases and the logit scale do not decay.
        crop: share of an image's area that a random crop takes, at least and at most.
        largest_scale: of the logits, as its logarithm.
        precision: of the towers; features meet in 32 bits.
        tokenizer: name on the Hugging Face hub, a folder, or ``train``.
        vocabulary: tokens of a tokenizer that is trained.
    """

    name: str
    image: Tower
    patch: int
    text: Tower
    embedding: int
    learning_rate: float
    image_size: int = 224
    context: int = 77
    batch: int = 32_768
    pairs_seen: int = 12_800_000_000
    warmup: int = 2000
    betas: tuple[float, float] = (0.9, 0.98)
    epsilon: float = 1e-6
    weight_decay: float = 0.2
    crop: tuple[float, float] = (0.9, 1.0)
    largest_scale: float = math.log(100)
    precision: Precision = "bf16"
    tokenizer: str = OPENAI
    vocabulary: int = 49_408

    def __post_init__(self) -> None:
        """Refuse what can't be.

        Raises:
            UsageError: naming it.
        """
        for name in ("batch", "pairs_seen"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name.replace('_', ' ')} {getattr(self, name)} is less than 1")
        if self.warmup < 0:
            raise UsageError(f"warmup {self.warmup} is less than 0 steps")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise UsageError(f"learning rate {self.learning_rate} is not above 0")
        if self.precision not in get_args(Precision):
            raise UsageError(
                f"precision {self.precision!r} is none of: {', '.join(get_args(Precision))}"
            )

    @property
    def steps(self) -> int:
        """Of the optimizer: so many that at least `pairs_seen` are seen."""
        return -(-self.pairs_seen // self.batch)


VIT_B_32 = Recipe(
    name="vit-b-32",
    image=Tower(width=768, layers=12, heads=12),
    patch=32,
    text=Tower(width=512, layers=12, heads=8),
    embedding=512,
    learning_rate=5e-4,
)
VIT_B_16 = Recipe(
    name="vit-b-16",
    image=Tower(width=768, layers=12, heads=12),
    patch=16,
    text=Tower(width=512, layers=12, heads=8),
    embedding=512,
    learning_rate=5e-4,
)
VIT_L_14 = Recipe(
    name="vit-l-14",
    image=Tower(width=1024, layers=24, heads=16),
    patch=14,
    text=Tower(width=768, layers=12, heads=12),
    embedding=768,
    learning_rate=4e-4,
)
VIT_H_14 = Recipe(
    name="vit-h-14",
    image=Tower(width=1280, layers=32, heads=16),
    patch=14,
    text=Tower(width=1024, layers=24, heads=16),
    embedding=1024,
    learning_rate=4e-4,
)
# Minutes on two cores: for tests, examples, and experiments on small images.
TINY = Recipe(
    name="tiny",
    image=Tower(width=128, layers=3, heads=4),
    patch=8,
    text=Tower(width=64, layers=2, heads=2),
    embedding=64,
    learning_rate=2e-3,
    image_size=32,
    context=24,
    batch=128,
    pairs_seen=50_000,
    warmup=50,
    precision="fp32",
    tokenizer=TRAIN,
    vocabulary=2048,
)

RECIPES = {recipe.name: recipe for recipe in (VIT_B_32, VIT_B_16, VIT_L_14, VIT_H_14, TINY)}


def recipe_of(name: str) -> Recipe:
    """The recipe of a name.

    Args:
        name: as `vit-b-32`.

    Raises:
        UsageError: where there is none, naming those that there are.
    """
    if name not in RECIPES:
        raise UsageError(f"recipe {name!r} is none of: {', '.join(RECIPES)}")
    return RECIPES[name]
