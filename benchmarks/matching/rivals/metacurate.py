"""metacurate: Arrow array in, list array out. It spaces texts while it cuts them into words."""

import pyarrow as pa

import metacurate
from metacurate import Matcher, Metadata

VERSION = metacurate.__version__


def build(entries: list[str]) -> Matcher:
    return Matcher(Metadata.from_entries(entries))


def space(texts: list[str]) -> pa.StringArray:
    return pa.array(texts, pa.string())


def match(built: Matcher, spaced: pa.StringArray) -> pa.ListArray:
    return built.match(spaced)
