import hashlib

from metacurate.pool.uid import uid_of


def test_uids() -> None:
    assert (
        uid_of("https://a.example/ä")
        == hashlib.sha224("https://a.example/ä".encode()).hexdigest()[:24]
    )
    assert uid_of("") == "d14a028c2a3a2bc9476102bb"  # SHA-224 of nothing (FIPS 180-4)
