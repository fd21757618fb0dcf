"""Which images an epoch keeps: pair by pair as the method has it, and as often as it says."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metacurate as mc
from metacurate.errors import InputError, UsageError
from metacurate.images.online import decode, online_balance
from metacurate.images.online.balancing import OUT, Draw, Share

from ...binomials import p_value
from ..made import encoded, flat
from .sets import MATCHER, THRESHOLD, balance_of, captions, expected

TEXTS = st.lists(
    st.lists(st.sampled_from(["w0", "w1 w2", "w39", "none", ""]), max_size=4), max_size=9
)
COUNTS = np.arange(40, 0, -1) * 3


@settings(deadline=None, max_examples=200)
@given(TEXTS, st.integers(0, 2**64 - 1), st.integers(0, 5))
def test_choices_are_those_of_plain_python(texts: list[list[str]], seed: int, epoch: int) -> None:
    urls = [f"https://a.example/{i}" for i in range(len(texts))]
    balance = mc.Balance(COUNTS, threshold=30)
    share = Share()
    chosen = Draw(MATCHER, balance, seed, epoch).choose(urls, texts, share)
    found = {u: t[c] for u, t, c in zip(urls, texts, chosen.tolist(), strict=True) if c != OUT}
    assert found == expected(dict(zip(urls, texts, strict=True)), balance, seed, epoch)
    assert (share.images, share.pairs) == (len(urls), sum(map(len, texts)))
    assert share.kept_images == len(found) <= share.kept_pairs


def samples_of(told: dict[str, list[str]], raw: bool) -> list[dict[str, Any]]:
    made = []
    for key, (url, texts) in enumerate(told.items()):
        fields = {"url": url, "pairs": [{"text": text} for text in texts]}
        made.append(
            {
                "__key__": str(key),
                "__url__": "some/00000.tar",
                "jpg": b"image",
                "txt": texts[0].encode() if raw else texts[0],
                "json": json.dumps(fields).encode() if raw else fields,
            }
        )
    return made


@pytest.mark.parametrize("raw", [True, False])
def test_the_filter_keeps_order_and_gives_the_caption(raw: bool) -> None:
    told = {f"https://a.example/{i}": texts for i, texts in enumerate(captions(1000))}
    balance = balance_of(told)
    filtered = online_balance(MATCHER, balance, 7, 3)
    found = list(filtered(iter(samples_of(told, raw))))
    wanted = expected(told, balance, 7, 3)
    texts = [one["txt"].decode() if raw else one["txt"] for one in found]
    urls = list(told)
    assert [(urls[int(one["__key__"])], text) for one, text in zip(found, texts, strict=True)] == (
        list(wanted.items())
    )
    assert all(told[urls[int(one["__key__"])]][one["__pair__"]] == t for one, t in zip(found, texts, strict=True))  # fmt: skip # noqa: E501
    assert all(one["jpg"] == b"image" for one in found)
    assert filtered.share.kept_images == len(wanted)
    assert filtered.share.of_images == len(wanted) / 1000
    assert 100 < len(wanted) < 900


def test_shards_of_img2dataset_have_one_caption() -> None:
    balance = mc.Balance(np.full(40, 1), threshold=1)
    samples: list[dict[str, Any]] = [
        {"__key__": "1", "json": b'{"caption": "w1", "url": "u"}'},
        {"__key__": "2", "txt": b"w2\n", "json": b'{"caption": "w1"}'},
        {"__key__": "3", "txt": "w3"},
        {"__key__": "4"},
        {"__key__": "5", "json": b'{"caption": null}'},
    ]
    found = list(online_balance(MATCHER, balance, 0, 0)(samples))
    assert [one["txt"] for one in found] == [b"w1", b"w2", "w3"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"json": b"{"}, "its .json"),
        ({"json": [1]}, "its .json is no JSON object"),
        ({"txt": b"\xff"}, "its .txt is no UTF-8"),
    ],
)
def test_broken_samples_are_named(broken: dict[str, bytes], reason: str) -> None:
    filtered = online_balance(MATCHER, mc.Balance(COUNTS, 1), 0, 0)
    with pytest.raises(InputError, match=f"a.tar: sample '17': {reason}"):
        list(filtered([{"__key__": "17", "__url__": "a.tar", **broken}]))


def test_images_that_nothing_tells_apart_are_refused() -> None:
    filtered = online_balance(MATCHER, mc.Balance(COUNTS, 1), 0, 0)
    with pytest.raises(InputError, match="neither a url nor a key"):
        list(filtered([{"txt": "w1"}]))


def test_the_epoch_may_be_asked_for_as_each_pass_begins() -> None:
    told = {f"https://a.example/{i}": texts for i, texts in enumerate(captions(300))}
    balance, samples = balance_of(told), samples_of(told, raw=False)
    epochs = iter([4, 2, -1])
    filtered = online_balance(MATCHER, balance, 7, lambda: next(epochs))
    for epoch in (4, 2):
        once = online_balance(MATCHER, balance, 7, epoch)
        assert list(filtered(samples)) == list(once(samples)) != []
    with pytest.raises(UsageError, match="epoch -1"):
        list(filtered(samples))


def test_numbers_that_cant_be() -> None:
    for seed, epoch in ((-1, 0), (0, -1), (2**64, 0)):
        with pytest.raises(UsageError):
            online_balance(MATCHER, mc.Balance(COUNTS, 1), seed, epoch)


# ---- statistics

IMAGES, EPOCHS, BINS = 2000, 200, 20
LEVEL = 1e-6 / (BINS + 2)


def test_over_many_epochs_images_are_kept_as_often_as_they_should() -> None:
    """Exact p-values, of all images and of bins of them; each image's epochs are independent."""
    told = {f"https://a.example/{i}": texts for i, texts in enumerate(captions(IMAGES, 1))}
    balance = balance_of(told)
    urls, texts = list(told), list(told.values())
    kept = np.zeros(IMAGES, np.int64)
    for epoch in range(EPOCHS):
        kept += Draw(MATCHER, balance, 11, epoch).choose(urls, texts) != OUT
    misses = [
        np.prod([1 - balance.keep_probabilities(MATCHER.match([t]))[0] for t in sorted(set(some))])
        for some in texts
    ]
    chances = 1 - np.array(misses, np.float64)
    numbers = np.full(IMAGES, EPOCHS, np.int64)
    assert p_value(numbers, chances, int(kept.sum())) > LEVEL
    for part in np.array_split(np.argsort(chances, kind="stable"), BINS):
        assert p_value(numbers[part], chances[part], int(kept[part].sum())) > LEVEL
    assert 0.2 < chances.mean() < 0.8


def test_each_caption_of_an_image_is_taken_as_often() -> None:
    balance = mc.Balance(np.full(40, 1), threshold=THRESHOLD)  # all are kept
    texts = [["w1", "w2", "w3"]] * 500
    urls = [f"https://a.example/{i}" for i in range(500)]
    taken = np.zeros(3, np.int64)
    for epoch in range(40):
        taken += np.bincount(Draw(MATCHER, balance, 5, epoch).choose(urls, texts), minlength=3)
    for number in taken:
        assert p_value(np.array([20_000]), np.array([1 / 3]), int(number)) > LEVEL


# ---- decoding


def test_decoding_is_by_a_list_of_endings() -> None:
    image = encoded(flat(9, (5, 4)))
    made = decode({"__key__": "1", "png": image, "jpg": b"second", "txt": b"a", "json": b'{"b": 1}',
                   "cls": b"3"})  # fmt: skip
    assert made["image"].size == (5, 4)
    assert (made["txt"], made["json"], made["__key__"]) == ("a", {"b": 1}, "1")
    assert "cls" not in made
    assert decode({"txt": "a", "json": {"b": 1}}) == {"txt": "a", "json": {"b": 1}}


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ({"pkl": b"cos\nsystem\n(S'touch x'\ntR."}, ".pkl is a pickle, which is refused"),
        ({"x.PYD": b""}, "is a pickle"),
        ({"jpg": b"no image"}, "can't be decoded"),
        ({"txt": b"\xff"}, "no UTF-8"),
        ({"json": b"{"}, "no JSON"),
    ],
)
def test_what_is_not_decoded(member: dict[str, bytes], reason: str) -> None:
    with pytest.raises(InputError, match=f"sample '1': .*{reason}"):
        decode({"__key__": "1", **member})
