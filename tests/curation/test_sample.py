"""Draws are what any implementation of XXH64 makes of a pair, in all of Arrow's layouts."""

import math
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

import metacurate as mc
from metacurate.errors import UsageError
from metacurate.hashing.pairs import Purpose, draw_seed, xxh64

FOX = "https://example.com/1.jpg"
SNOW = "a red fox in the snow"

VECTORS: list[tuple[str, str, int, Purpose, int, str, float]] = [
    # url, text, seed, purpose, index, XXH64 in hex, draw
    (FOX, SNOW, 0, "sample", 0, "4cc678dc6796f871", 0.29990344410870395),
    (FOX, SNOW, 1, "sample", 0, "bc8857b8f1899bf0", 0.736455423977111),
    (FOX, SNOW, 2**64 - 1, "sample", 0, "01a889e954600a60", 0.006477946725112926),
    (FOX, SNOW, 0, "sample", 1, "b82b9619e6704a94", 0.7194150746567526),
    (FOX, SNOW, 0, "sample", 2**64 - 1, "701b22b3182061ec", 0.43791405556123797),
    (FOX, SNOW, 0, "online", 0, "bfaf006193a44026", 0.7487640608047892),
    (FOX, SNOW, 0, "caption", 0, "21c443b724710472", 0.131901008808601),
    (FOX, SNOW, 0, "crop", 0, "d0857448fe3ee2fa", 0.8145363500791478),
    (FOX, SNOW, 0, "dedup", 0, "9f04815888cc07fe", 0.6211624947689387),
    (FOX, SNOW, 0, "shuffle", 0, "2a1c62b4dd5d84af", 0.16449562945978435),
    ("https://example.com/2.jpg", SNOW, 0, "sample", 0, "75f3b613c53e6046", 0.4607499883907109),
    (FOX, "", 0, "sample", 0, "f56df127e5977fa3", 0.9587088320164109),
    ("", SNOW, 0, "sample", 0, "2bc675fa8dc80d70", 0.17099702231442404),
    ("", "", 0, "sample", 0, "10fa0e7261eff2f9", 0.06631555836241865),
    (
        "https://example.com/é.jpg", "Füchse 🦊 im Schnee", 42, "sample", 0,
        "ed19d136d7b581ef", 0.9261751898663615,
    ),
    (FOX, "a, b\tc\nd\0e", 42, "online", 7, "b2f89c9233b8b96d", 0.6991060120523994),
]  # fmt: skip

UINT64 = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize(("url", "text", "seed", "purpose", "index", "digest", "draw"), VECTORS)
def test_vectors(
    url: str, text: str, seed: int, purpose: Purpose, index: int, digest: str, draw: float
) -> None:
    message = f"{url}\0{text}".encode()
    assert f"{xxh64(message, draw_seed(seed, purpose, index)):016x}" == digest
    assert mc.draws([url], [text], seed, purpose, index).tolist() == [draw]


def test_sample_at_index_0_is_the_default() -> None:
    assert mc.draws([FOX], [SNOW], 0).tolist() == mc.draws([FOX], [SNOW], 0, "sample", 0).tolist()


# ---- layouts

Layout = Callable[[list[str | None]], Any]

LAYOUTS: dict[str, Layout] = {
    "list": lambda texts: texts,
    "string": lambda texts: pa.array(texts, pa.string()),
    "large_string": lambda texts: pa.array(texts, pa.large_string()),
    "string_view": lambda texts: pa.array(texts, pa.string_view()),
    "dictionary": lambda texts: pa.array(texts, pa.string()).dictionary_encode(),
    "slice": lambda texts: pa.array([None, "é", *texts, "x"], pa.string())[2:-1],
    "slice of large_string": lambda texts: pa.array(["é", *texts, "x"], pa.large_string())[1:-1],
    "slice of string_view": lambda texts: pa.array(["é", *texts, None], pa.string_view())[1:-1],
    "slice of dictionary": lambda texts: pa.array(
        ["é", *texts, None], pa.string()
    ).dictionary_encode()[1:-1],
    "chunks": lambda texts: pa.chunked_array([texts[:1], [], texts[1:]], pa.string()),
    "no chunks where empty": lambda texts: pa.chunked_array(
        [texts[i : i + 1] for i in range(len(texts))], pa.large_string()
    ),
}


def expected_draw(url: str | None, text: str | None, seed: int) -> float:
    if url is None or text is None:
        return math.nan
    key = xxhash.xxh64_intdigest(b"sample" + bytes(8), seed)
    return (xxhash.xxh64_intdigest(f"{url}\0{text}".encode(), key) >> 11) / 2**53


@given(
    pairs=st.lists(st.tuples(st.text() | st.none(), st.text() | st.none()), max_size=8),
    of_urls=st.sampled_from(sorted(LAYOUTS)),
    of_texts=st.sampled_from(sorted(LAYOUTS)),
    seed=UINT64,
)
def test_layouts(
    pairs: list[tuple[str | None, str | None]], of_urls: str, of_texts: str, seed: int
) -> None:
    urls = LAYOUTS[of_urls]([url for url, _ in pairs])
    texts = LAYOUTS[of_texts]([text for _, text in pairs])
    found = mc.draws(urls, texts, seed)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [expected_draw(url, text, seed) for url, text in pairs])


def test_a_null_is_not_an_empty_text() -> None:
    assert np.isnan(mc.draws([None, "", None], ["", None, None], 0)).all()
    assert not mc.draws([None], [None], 0) < 1.0


# ---- choices are independent of one another


@pytest.fixture(scope="module")
def urls() -> pa.Array:
    return pa.array([f"https://example.com/{i}.jpg" for i in range(300_000)])


def texts_of(urls: pa.Array) -> pa.Array:
    return pa.array([SNOW]).take(pa.array(np.zeros(len(urls), np.int64)))


def check_uniform(draws: npt.NDArray[np.float64]) -> None:
    """Draws in 256 bins, by their first and by their last bits; a fair one fails 1 in 10^7."""
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    integers = (draws * 2**53).astype(np.uint64)
    for byte in (integers >> np.uint64(45), integers & np.uint64(255)):
        assert chisquare(np.bincount(byte.astype(np.int64), minlength=256)).pvalue > 5e-8


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_draws_are_uniform(urls: pa.Array, seed: int) -> None:
    check_uniform(mc.draws(urls, texts_of(urls), seed))


@pytest.mark.parametrize(
    ("seed", "purpose", "index"),
    [(1, "sample", 0), (2**63, "sample", 0), (0, "sample", 1), (0, "sample", 2**32)]
    + [(0, purpose, 0) for purpose in get_args(Purpose) if purpose != "sample"],
)
def test_choices_are_independent(urls: pa.Array, seed: int, purpose: Purpose, index: int) -> None:
    texts = texts_of(urls)
    one, other = mc.draws(urls, texts, 0), mc.draws(urls, texts, seed, purpose, index)
    assert (one != other).all()
    check_uniform((one - other) % 1.0)
    both = int(((one < 0.5) & (other < 0.5)).sum())
    assert binomtest(both, len(one), 0.25).pvalue > 1e-7


def test_where_the_url_ends_matters() -> None:
    found = mc.draws(["ab", "a", ""], ["c", "bc", "abc"], 0)
    assert len(set(found)) == 3


def test_neither_order_nor_company_matters(urls: pa.Array) -> None:
    order = np.random.default_rng(1).permutation(1000)
    together = mc.draws(urls[:1000], texts_of(urls[:1000]), 3)
    shuffled = mc.draws(urls.take(pa.array(order)), texts_of(urls[:1000]), 3)
    assert shuffled.tolist() == together[order].tolist()
    assert mc.draws(urls[7:8], [SNOW], 3) == together[7]


def test_numpys_integers_are_integers() -> None:
    found = mc.draws([FOX], [SNOW], np.uint64(7), "online", np.int64(3))  # type: ignore[arg-type]
    assert found.tolist() == mc.draws([FOX], [SNOW], 7, "online", 3).tolist()


# ---- wrong usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**64}, "seed 18446744073709551616"),
        ({"seed": 1.5}, "seed 1.5"),
        ({"index": -1}, "index -1"),
        ({"index": 2**64}, "index 18446744073709551616"),
        ({"index": 1.0}, "index 1.0"),
        ({"purpose": "train"}, "purpose 'train' is none of: sample, online, caption"),
        ({"purpose": ""}, "purpose '' is none of"),
        ({"urls": []}, "0 urls and 1 texts are no pairs"),
        ({"texts": ["a", "b"]}, "1 urls and 2 texts are no pairs"),
        ({"urls": [1]}, "not strings"),
        ({"texts": pa.array([b"a"])}, "not strings"),
    ],
)
def test_wrong_usage(arguments: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"urls": ["u"], "texts": ["t"], "seed": 0}
    with pytest.raises(UsageError) as caught:
        mc.draws(**right | arguments)
    assert message in str(caught.value)
