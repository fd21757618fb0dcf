"""The contrastive loss over the features of all processes, with exact gradients.

Radford et al. 2021, figure 3: each image is to find its text among all texts of the batch, and each
text its image. A batch that does not fit is computed in parts: features first, without what
gradients need; then the loss and its gradients by feature; then each part again, with gradients
(Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup").
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from metacurate.training.distributed import World


class Features(NamedTuple):
    """What the towers make of pairs.

    Attributes:
        images, texts: float[pairs, embedding], of length 1. scale: of the logits, a number.
    """

    images: torch.Tensor
    texts: torch.Tensor
    scale: torch.Tensor


Towers = Callable[[torch.Tensor, torch.Tensor], Features]
Part = tuple[torch.Tensor, torch.Tensor]


class _Gather(torch.autograd.Function):
    """Features of all processes, by rank; gradients go back to where each feature comes from."""

    @staticmethod
    def forward(ctx: Any, features: torch.Tensor, world: World) -> torch.Tensor:
        ctx.world, ctx.pairs = world, len(features)
        found = [torch.empty_like(features) for _ in range(world.size)]
        dist.all_gather(found, features.contiguous())
        return torch.cat(found)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        begin = ctx.world.rank * ctx.pairs
        return gradient[begin : begin + ctx.pairs], None


def contrastive_loss(features: Features, world: World) -> torch.Tensor:
    """The loss of this process's pairs among those of all.

    Args:
        features: of this process, in 32 bits. world: the processes; each has as many pairs.

    Returns:
        A number, in nats: the mean of both directions over its own pairs. The loss of the whole
        batch is the mean over all processes, and so are its gradients.
    """
    images, texts, scale = features
    all_images, all_texts = images, texts
    if world.size > 1:
        all_images, all_texts = _Gather.apply(images, world), _Gather.apply(texts, world)  # type: ignore[no-untyped-call]
    pairs = len(images)
    own = torch.arange(pairs, device=images.device) + world.rank * pairs
    of_images = cross_entropy(scale * images @ all_texts.T, own)
    of_texts = cross_entropy(scale * texts @ all_images.T, own)
    return (of_images + of_texts) / 2


def backward(
    towers: Towers,
    parts: Sequence[Part],
    world: World,
    precision: Callable[[], AbstractContextManager[Any]],
    scaled: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Compute the loss of a batch, and add its gradients to the parameters'.

    Args:
        towers: the model. parts: pixels and tokens of this process's pairs, in one or more parts.
        world: the processes. precision: makes the context in which towers compute.
        scaled: what the loss is multiplied by before its gradients are computed.

    Returns:
        The loss of this process, a number without gradients. However many parts there are, loss
        and gradients are those of the whole.
    """
    if len(parts) == 1:
        with precision():
            features = towers(*parts[0])
        loss = contrastive_loss(_in_32_bits(features), world)
        scaled(loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()
    made: list[Features] = []
    with torch.no_grad():
        for part in parts:
            with precision():
                made.append(_in_32_bits(towers(*part)))
    whole = Features(
        torch.cat([one.images for one in made]).requires_grad_(),
        torch.cat([one.texts for one in made]).requires_grad_(),
        made[0].scale.clone().requires_grad_(),
    )
    loss = contrastive_loss(whole, world)
    scaled(loss).backward()  # type: ignore[no-untyped-call]
    gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in whole]
    begin = 0
    for i, part in enumerate(parts):
        with _together_only(towers, i == len(parts) - 1):
            with precision():
                again = towers(*part)
            end = begin + len(part[0])
            torch.autograd.backward(
                [again.images, again.texts, again.scale],
                [
                    gradients[0][begin:end].to(again.images.dtype),
                    gradients[1][begin:end].to(again.texts.dtype),
                    gradients[2] if i == 0 else torch.zeros_like(gradients[2]),
                ],
            )
        begin = end
    return loss.detach()


def _in_32_bits(features: Features) -> Features:
    return Features(*(tensor.float() for tensor in features))


def _together_only(towers: Towers, last: bool) -> AbstractContextManager[Any]:
    """Have processes add their gradients up once, with the last part."""
    if isinstance(towers, DistributedDataParallel) and not last:
        context: AbstractContextManager[Any] = towers.no_sync()
        return context
    return nullcontext()
