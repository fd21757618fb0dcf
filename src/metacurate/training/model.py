"""The model: transformers' CLIPModel, of a recipe's sizes, with QuickGELU."""

import torch
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    PreTrainedTokenizerBase,
)

from metacurate.images.decoding import CLIP_DEVIATION, CLIP_MEAN
from metacurate.training.contrastive import Features
from metacurate.training.recipe import Recipe, Tower

FIRST_SCALE = 2.6592  # ln(1 / 0.07): Radford et al. 2021, section 2.5


def configuration(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> CLIPConfig:
    """The sizes of a model as transformers has them.

    Args:
        recipe: the sizes. tokenizer: whose tokens it reads.
    """
    text = CLIPTextConfig(
        **_tower(recipe.text),
        vocab_size=len(tokenizer),
        max_position_embeddings=recipe.context,
        projection_dim=recipe.embedding,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = CLIPVisionConfig(
        **_tower(recipe.image),
        image_size=recipe.image_size,
        patch_size=recipe.patch,
        projection_dim=recipe.embedding,
    )
    return CLIPConfig(
        architectures=["CLIPModel"],
        text_config=text,
        vision_config=vision,
        projection_dim=recipe.embedding,
        logit_scale_init_value=FIRST_SCALE,
    )


def _tower(tower: Tower) -> dict[str, object]:
    return {
        "hidden_size": tower.width,
        "intermediate_size": 4 * tower.width,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": tower.heads,
        "hidden_act": "quick_gelu",
    }


def make_model(recipe: Recipe, tokenizer: PreTrainedTokenizerBase, seed: int) -> CLIPModel:
    """A model with random weights, as CLIP begins.

    Args:
        recipe: the sizes. tokenizer: whose tokens it reads.
        seed: of the weights, uint64; PyTorch's own random numbers stay as they are.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return CLIPModel(configuration(recipe, tokenizer))


class TrainedTowers(nn.Module):
    """A model as training calls it: pixels come as stored, and all that has gradients goes out.

    Attributes:
        model: whose features these are.
    """

    def __init__(self, model: CLIPModel) -> None:
        """Wrap a model.

        Args:
            model: whose features these are.
        """
        super().__init__()
        self.model = model
        shape = (1, 3, 1, 1)
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        self.register_buffer("mean", torch.tensor(CLIP_MEAN).view(shape) * 255, persistent=False)
        self.register_buffer(
            "deviation", torch.tensor(CLIP_DEVIATION).view(shape) * 255, persistent=False
        )

    def forward(self, images: torch.Tensor, tokens: torch.Tensor) -> Features:
        """Compute the features of pairs.

        Args:
            images: uint8[pairs, size, size, 3]. tokens: int64[pairs, tokens].

        Returns:
            Features, and the scale of the logits.
        """
        pixels = (images.permute(0, 3, 1, 2).float() - self.mean) / self.deviation
        made = self.model(input_ids=tokens, pixel_values=pixels)
        return Features(made.image_embeds, made.text_embeds, self.model.logit_scale.exp())
