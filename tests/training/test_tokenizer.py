"""Tokenizers that are trained have CLIP's form; those that are loaded are checked."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoTokenizer, CLIPTokenizer, PreTrainedTokenizerFast

from metacurate.errors import MetacurateError, UsageError
from metacurate.training.tokenizer import (
    FIRST,
    LAST,
    load_tokenizer,
    tokens_of,
    train_tokenizer,
)

WORDS = ["fox", "foxes", "red", "snow", "Das", "Straße", "東京", "é", "12", "don't", "!!", "ab-cd"]
CAPTIONS = [
    " ".join(random.Random(number).choices(WORDS, k=number % 7)) for number in range(400)
]  # fmt: skip
TRAINED = train_tokenizer(CAPTIONS, 600)


def test_any_order_of_the_captions_gives_the_same_tokenizer() -> None:
    shuffled = random.Random(5).sample(CAPTIONS, len(CAPTIONS))
    again = train_tokenizer(iter(shuffled), 600)
    assert again.backend_tokenizer.to_str() == TRAINED.backend_tokenizer.to_str()


def test_it_learns_words_that_are_frequent() -> None:
    tokens = TRAINED.tokenize("A red FOX, foxes")
    assert "red</w>" in tokens
    assert "fox</w>" in tokens
    assert len(TRAINED) <= 600


def test_the_last_two_tokens_mark_the_ends_as_in_clip() -> None:
    assert TRAINED.convert_ids_to_tokens([len(TRAINED) - 2, len(TRAINED) - 1]) == [FIRST, LAST]
    ids = TRAINED("a red fox").input_ids
    assert (ids[0], ids[-1]) == (TRAINED.bos_token_id, TRAINED.eos_token_id)
    assert TRAINED.pad_token_id == TRAINED.eos_token_id


@settings(max_examples=300)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_no_text_is_unknown(text: str) -> None:
    normal = TRAINED.backend_tokenizer.normalizer.normalize_str(text)
    tokens = TRAINED.backend_tokenizer.encode(text, add_special_tokens=False).tokens
    assert LAST not in tokens or LAST in text
    words = "".join("".join(tokens).replace("</w>", "").split())
    alphabet = TRAINED.backend_tokenizer.pre_tokenizer.pre_tokenize_str(normal)
    assert words == "".join(word for word, _ in alphabet)


def test_transformers_loads_what_was_saved(tmp_path: Path) -> None:
    TRAINED.save_pretrained(tmp_path)
    for loaded in (
        load_tokenizer(str(tmp_path)),
        AutoTokenizer.from_pretrained(tmp_path),
        CLIPTokenizer.from_pretrained(tmp_path),
    ):
        assert loaded(CAPTIONS).input_ids == TRAINED(CAPTIONS).input_ids


def test_a_folder_may_hold_a_vocabulary_and_merges_as_openais_does(tmp_path: Path) -> None:
    model = json.loads(TRAINED.backend_tokenizer.to_str())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = "".join(" ".join(pair) + "\n" for pair in model["merges"])
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}")
    told = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(told))
    assert load_tokenizer(str(tmp_path))(CAPTIONS).input_ids == TRAINED(CAPTIONS).input_ids


def test_too_few_tokens_for_all_bytes_are_refused() -> None:
    with pytest.raises(UsageError, match="513 tokens is too small: 514"):
        train_tokenizer(CAPTIONS, 513)
    assert len(train_tokenizer(CAPTIONS, 514)) == 514


def test_without_captions_there_are_bytes() -> None:
    assert len(train_tokenizer([], 1000)) == 514


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(MetacurateError, match=f"{tmp_path}: no tokenizer can be loaded"):
        load_tokenizer(str(tmp_path))


def other_form(folder: Path, tokenizer: PreTrainedTokenizerFast) -> str:
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_tokenizers_that_mark_no_ends_are_refused(tmp_path: Path) -> None:
    bare = Tokenizer(WordLevel({"a": 0, "<s>": 1, "<x>": 2, "</s>": 3}, unk_token="a"))
    marks = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "a"}
    unpadded = PreTrainedTokenizerFast(tokenizer_object=bare, **marks)
    with pytest.raises(UsageError, match="has not the marks of CLIP's form"):
        load_tokenizer(other_form(tmp_path / "unpadded", unpadded))
    second = {**marks, "eos_token": "<x>", "pad_token": "</s>"}
    with pytest.raises(UsageError, match="has not the marks of CLIP's form"):
        load_tokenizer(
            other_form(tmp_path / "2", PreTrainedTokenizerFast(tokenizer_object=bare, **second))
        )
    endless = PreTrainedTokenizerFast(tokenizer_object=bare, pad_token="</s>", **marks)
    with pytest.raises(UsageError, match="does not mark the beginning and end"):
        load_tokenizer(other_form(tmp_path / "endless", endless))


def test_nothing_that_comes_with_a_tokenizer_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil: pass\n")
    told = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(told))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(MetacurateError, match=r"no tokenizer can be loaded|marks"):
        load_tokenizer(str(tmp_path))
    assert not ran.exists()


def test_a_broken_tokenizer_is_named(tmp_path: Path) -> None:
    TRAINED.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(MetacurateError, match=f"{tmp_path}: no tokenizer can be loaded"):
        load_tokenizer(str(tmp_path))


def test_a_name_that_the_hub_cant_give_points_to_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MetacurateError, match="`train` makes one of the captions"):
        load_tokenizer("nobody/has-this")


def test_captions_become_rows_of_tokens() -> None:
    long, short = "red fox " * 40, "fox"
    tokens = tokens_of([long, short, ""], TRAINED, 12)
    assert tokens.shape == (3, 12)
    assert (tokens[:, 0] == TRAINED.bos_token_id).all()
    ends = (tokens == TRAINED.eos_token_id).int().argmax(dim=1).tolist()
    assert ends == [11, 2, 1]
    assert tokens_of([short], TRAINED, 12).shape == (1, 8)
    assert tokens_of(["fox " * 7], TRAINED, 77).shape == (1, 16)


def test_a_caption_cant_end_itself() -> None:
    tokens = tokens_of([f"red {LAST} fox {FIRST}"], TRAINED, 64)[0].tolist()
    end = tokens.index(TRAINED.eos_token_id)
    assert TRAINED.convert_tokens_to_ids("fox</w>") in tokens[:end]
    assert tokens.count(TRAINED.bos_token_id) == 1


def test_a_caption_of_100_000_letters_is_cut() -> None:
    for text in ("x" * 100_000, "fox " * 25_000, "\n" * 100_000):
        assert tokens_of([text], TRAINED, 77).shape[1] <= 77
