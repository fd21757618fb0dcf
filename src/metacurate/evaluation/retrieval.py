"""Zero-shot retrieval: the captions of an image among all, and the image of a caption."""

from typing import Any

import numpy as np

from metacurate.evaluation.embedding import Embedder
from metacurate.evaluation.metrics import best_places, ranks, top_k

CUTS = (1, 5, 10)
BLOCK = 256  # rows of similarities at a time
METRIC = "mean_recall@1"


def retrieve(embedder: Embedder) -> dict[str, Any]:
    """Score a model on a dataset with captions.

    An image is a hit among the best k when one of its captions is; a caption when its image is.

    Args:
        embedder: of the dataset's images, and the model.

    Returns:
        JSON: recall at 1, 5 and 10 in both directions; the score is the mean of both at 1.

    Raises:
        InputError: when an image is broken.
    """
    dataset, model = embedder.dataset, embedder.model
    parts = list(embedder.embedded())
    pictures = np.concatenate([embedded for _, embedded in parts])
    kept = np.concatenate([indices for indices, _ in parts])
    captions = [dataset.captions[i] for i in kept]
    flat = [text for some in captions for text in some]
    embedder.progress.start(f"{dataset.name}: captions", len(flat), "captions")
    texts = model.embed_texts(flat, embedder.batch, embedder.progress.advance)
    embedder.progress.end()

    counts = [len(some) for some in captions]
    image_of = np.repeat(np.arange(len(captions)), counts)
    own = np.split(np.arange(len(flat)), np.cumsum(counts)[:-1])
    to_text = np.concatenate(
        [
            best_places(pictures[i : i + BLOCK] @ texts.T, own[i : i + BLOCK])
            for i in range(0, len(pictures), BLOCK)
        ]
    )
    to_image = np.concatenate(
        [
            ranks(texts[i : i + BLOCK] @ pictures.T, image_of[i : i + BLOCK])
            for i in range(0, len(texts), BLOCK)
        ]
    )
    found = {
        "image_to_text": {f"recall@{k}": top_k(to_text, k) for k in CUTS},
        "text_to_image": {f"recall@{k}": top_k(to_image, k) for k in CUTS},
    }
    score = (found["image_to_text"]["recall@1"] + found["text_to_image"]["recall@1"]) / 2
    return {"metric": METRIC, "score": score, "captions": len(flat), **found}
