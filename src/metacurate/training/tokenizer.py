"""Tokenizers of CLIP's form: loaded from a folder or the hub, or trained on captions."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import AutoTokenizer, CLIPTokenizer, PreTrainedTokenizerBase

from metacurate.errors import MetacurateError, UsageError, first_line

FIRST, LAST = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
SMALLEST = 514  # tokens: 256 bytes within a word, 256 at its end, and the two above


def train_tokenizer(captions: Iterable[str], vocabulary: int) -> CLIPTokenizer:
    """Train a byte-level BPE of CLIP's form: in small letters, and a word's last token says so.

    Args:
        captions: to learn from, in any order: the same ones give the same tokenizer.
        vocabulary: tokens, at most; fewer where the captions do not hold as many.

    Returns:
        The tokenizer. It has all 256 bytes, so that no text is unknown to it.

    Raises:
        UsageError: for a vocabulary that is too small for all bytes.
    """
    if vocabulary < SMALLEST:
        raise UsageError(
            f"a vocabulary of {vocabulary} tokens is too small: {SMALLEST} is the least"
        )
    form = CLIPTokenizer().backend_tokenizer
    learner = Tokenizer(BPE(end_of_word_suffix=WORD_END))
    learner.normalizer, learner.pre_tokenizer = form.normalizer, form.pre_tokenizer
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    ends = [letter + WORD_END for letter in letters]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 2,
        special_tokens=ends,  # so that their numbers, which decide ties, are always the same
        initial_alphabet=letters,
        end_of_word_suffix=WORD_END,
        show_progress=False,
    )
    learner.train_from_iterator(captions, trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    tokens = dict.fromkeys([*letters, *ends, *map("".join, merges), FIRST, LAST])
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=merges)


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load a tokenizer of CLIP's form.

    Args:
        name: a folder, or a name on the Hugging Face hub.

    Raises:
        UsageError: where it has no tokens for the beginning and end of a text.
        MetacurateError: when it can't be loaded.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        hint = (
            "" if Path(name).is_dir() else "; `train` makes one of the captions, without a network"
        )
        raise MetacurateError(
            f"{name}: no tokenizer can be loaded: {first_line(error)}{hint}"
        ) from error
    if tokenizer.bos_token_id is None or tokenizer.eos_token_id is None:
        raise UsageError(f"{name}: its tokenizer does not mark the beginning and end of texts")
    return tokenizer
