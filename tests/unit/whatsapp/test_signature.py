"""The signature covers the raw bytes."""

from __future__ import annotations

from services.whatsapp.domain.signature import sign, verify

SECRET = b"app-secret"
BODY = b'{"a": 1}'


def test_valid_signature_is_verified() -> None:
    assert verify((SECRET,), BODY, sign(SECRET, BODY))


def test_signature_follows_the_published_scheme() -> None:
    assert sign(b"key", b"The quick brown fox jumps over the lazy dog") == (
        "sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    )


def test_changed_body_or_key_is_rejected() -> None:
    assert not verify((SECRET,), BODY + b" ", sign(SECRET, BODY))
    assert not verify((b"other",), BODY, sign(SECRET, BODY))


def test_malformed_header_is_rejected() -> None:
    assert not verify((SECRET,), BODY, "")
    assert not verify((SECRET,), BODY, sign(SECRET, BODY).removeprefix("sha256="))
    assert not verify((SECRET,), BODY, "sha256=é")


def test_signatures_of_every_accepted_key_are_verified() -> None:
    for accepted in ((b"other", SECRET), (SECRET, b"other")):
        assert verify(accepted, BODY, sign(SECRET, BODY))
    assert not verify((), BODY, sign(SECRET, BODY))
