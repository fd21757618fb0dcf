"""Tokenizers of CLIP's form: loaded from a folder or the hub, or trained on captions."""

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import AutoTokenizer, CLIPTokenizer, PreTrainedTokenizerBase

from metacurate.errors import MetacurateError, UsageError, first_line

FIRST, LAST = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
PADDED_TO = 8  # tokens: few lengths, which compilers and memory like
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
    """Load a tokenizer of CLIP's form; nothing that comes with it is run.

    Args:
        name: a folder, or a name on the Hugging Face hub.

    Raises:
        UsageError: where it does not mark the beginning and the end of a text as CLIP reads them.
        MetacurateError: when it can't be loaded.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # transformers has no class of its own for what is broken
        hint = "" if Path(name).is_dir() else "; `train` makes one of the captions, offline"
        raise MetacurateError(
            f"{name}: no tokenizer can be loaded: {first_line(error)}{hint}"
        ) from error
    first, last = tokenizer.bos_token_id, tokenizer.eos_token_id
    marks = (first, last, tokenizer.pad_token_id)
    if None in marks or last == 2:  # transformers takes a 2 for a CLIP of old, and looks elsewhere
        raise UsageError(f"{name}: its tokenizer has not the marks of CLIP's form: {marks}")
    (row,) = tokens_of(["a"], tokenizer, SMALLEST).tolist()
    if row[0] != first or last not in row[2:]:
        raise UsageError(f"{name}: its tokenizer does not mark the beginning and end of texts")
    return tokenizer


def tokens_of(
    captions: list[str], tokenizer: PreTrainedTokenizerBase, context: int
) -> torch.Tensor:
    """Turn captions into tokens.

    Args:
        captions: one or more. tokenizer: of CLIP's form. context: tokens, at most.

    Returns:
        int64[captions, tokens]: each begins with the first token and ends with the last; what is
        too long is cut before that, and what is short is filled up with the padding. They are as
        long as the longest, in steps of eight: behind its last token nothing of a text matters.
    """
    found = tokenizer(
        captions, truncation=True, max_length=context, return_attention_mask=False,
        split_special_tokens=True,
    )["input_ids"]  # fmt: skip
    longest = max(map(len, found))
    tokens = torch.full(
        (len(captions), min(context, -(-longest // PADDED_TO) * PADDED_TO)), tokenizer.pad_token_id
    )
    for row, some in zip(tokens, found, strict=True):
        row[: len(some)] = torch.tensor(some)
    return tokens
