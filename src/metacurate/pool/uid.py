"""The uid of an image: a hash of its URL."""

import hashlib

UID_DIGITS = 24


def uid_of(url: str) -> str:
    """A URL's uid: the first 24 hex digits of its SHA-224, as the paper's code has it.

    Args:
        url: without lone surrogates.
    """
    return hashlib.sha224(url.encode(), usedforsecurity=False).hexdigest()[:UID_DIGITS]
