"""AdamW, and its learning rate: up in a line, and down in a cosine."""

import math

import torch
from torch import nn

from metacurate.training.recipe import Recipe


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW over all parameters; those with fewer than two dimensions do not decay.

    These are norms, biases, the class embedding and the logit scale.

    Args:
        model: whose parameters. recipe: rates and decay.
    """
    weights = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    return torch.optim.AdamW(
        [
            {"params": weights, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
        betas=recipe.betas,
        eps=recipe.epsilon,
        fused=True,
    )


def learning_rate(step: int, recipe: Recipe) -> float:
    """The rate of one step (Loshchilov & Hutter 2017, without restarts, after a warm-up).

    Args:
        step: from 0 on. recipe: its peak, warm-up and number of steps.

    Returns:
        peak * (step + 1) / warmup until the peak; then half a cosine, to 0 behind the last step.
    """
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.learning_rate * (1 + math.cos(math.pi * min(1.0, done))) / 2
