"""How many texts a second get a language."""

from benchmarks import data
from benchmarks.fresh import Figures, answer, seconds
from metacurate.pool.web.language import Identifier


def main(texts: int) -> Figures:
    """Identify the languages of captions.

    Args:
        texts: number of them.
    """
    captions = [text or "" for text in data.captions()[:texts].to_pylist()]
    identifier = Identifier()
    return {"seconds": seconds(lambda: identifier.identify(captions), 3), "rows": len(captions)}


if __name__ == "__main__":
    answer(main)
