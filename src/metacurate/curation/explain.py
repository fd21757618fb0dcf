"""Why a pair is in or out: what a text matches, and what balancing makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from metacurate.curation.balance import Balance
from metacurate.curation.sample import draws
from metacurate.matching.matcher import Matcher


@dataclass(frozen=True)
class Explainer:
    """Tells of texts, or of pairs, what curation would do with them.

    Attributes:
        matcher: finds the entries.
        balance: adds counts and probabilities; None for matches alone.
        url: the image of all texts; adds the draw and the fate. None without.
        seed: of the draw. round: of balancing.
    """

    matcher: Matcher
    balance: Balance | None = None
    url: str | None = None
    seed: int = 0
    round: int = 0

    def explain(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Explain some texts.

        Args:
            texts: any strings.

        Returns:
            For each text a JSON object: text and entries (id, entry; with a balance also count
            and probability), keep_probability; with a url also draw, min_threshold (null where
            nothing matches) and fate: kept, balanced away or unmatched.
        """
        names = self.matcher.metadata.entries
        column = pa.array(texts, pa.large_string())
        matches = self.matcher.match(column)
        told: list[dict[str, Any]] = [
            {
                "text": text,
                "entries": [self._entry(i, names[i].as_py()) for i in ids],
            }
            for text, ids in zip(texts, matches.to_pylist(), strict=True)
        ]
        if self.balance is None:
            return told
        probabilities = self.balance.keep_probabilities(matches)
        for one, probability in zip(told, probabilities, strict=True):
            one["keep_probability"] = float(probability)
        if self.url is None:
            return told
        drawn = draws([self.url] * len(texts), column, self.seed, "sample", self.round)
        smallest = self.balance.min_thresholds(matches, drawn)
        for i, one in enumerate(told):
            one["draw"] = float(drawn[i])
            one["min_threshold"] = float(smallest[i]) if one["entries"] else None
            kept = "kept" if drawn[i] < probabilities[i] else "balanced away"
            one["fate"] = kept if one["entries"] else "unmatched"
        return told

    def _entry(self, entry_id: int, entry: str) -> dict[str, Any]:
        told: dict[str, Any] = {"id": entry_id, "entry": entry}
        if self.balance is not None:
            told["count"] = int(self.balance.counts[entry_id])
            told["probability"] = float(self.balance.entry_probabilities[entry_id])
        return told
