"""The signature covers the raw bytes."""

from __future__ import annotations

from services.whatsapp.signature import matches, sign

SECRET = b"app-secret"
BODY = b'{"a": 1}'


def test_the_right_signature_matches() -> None:
    assert matches(SECRET, BODY, sign(SECRET, BODY))


def test_it_is_the_published_scheme() -> None:
    assert sign(b"key", b"The quick brown fox jumps over the lazy dog") == (
        "sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    )


def test_one_byte_more_or_another_key_does_not_match() -> None:
    assert not matches(SECRET, BODY + b" ", sign(SECRET, BODY))
    assert not matches(b"other", BODY, sign(SECRET, BODY))


def test_a_header_of_another_form_does_not_match() -> None:
    assert not matches(SECRET, BODY, "")
    assert not matches(SECRET, BODY, sign(SECRET, BODY).removeprefix("sha256="))
    assert not matches(SECRET, BODY, "sha256=é")
