"""Bearer tokens."""

from __future__ import annotations

import time

import jwt
import pytest

from services.kit.errors import UnauthorisedError
from services.kit.http.auth import JwtTokens

KEY = "k" * 32


@pytest.mark.parametrize(
    "claims",
    [
        {"company": "acme", "sub": "x", "exp": time.time() - 60},
        {"company": "acme", "sub": "x"},
        {"sub": "x", "exp": time.time() + 60},
        {"company": "../etc", "sub": "x", "exp": time.time() + 60},
        {"company": 7, "sub": "x", "exp": time.time() + 60},
    ],
)
def test_expired_and_incomplete_tokens_are_rejected(claims: dict[str, object]) -> None:
    with pytest.raises(UnauthorisedError):
        JwtTokens(KEY).verify(jwt.encode(claims, KEY, algorithm="HS256"))


def test_forged_tokens_are_rejected() -> None:
    claims = {"company": "acme", "sub": "x", "exp": time.time() + 60}
    for token in (
        jwt.encode(claims, "o" * 32, algorithm="HS256"),
        jwt.encode(claims, None, algorithm="none"),
    ):
        with pytest.raises(UnauthorisedError):
            JwtTokens(KEY).verify(token)


def test_the_first_key_signs_and_all_keys_verify() -> None:
    old, new = "o" * 32, "n" * 32
    token = JwtTokens(new, old).issue("test", "acme", ())
    assert JwtTokens(new).verify(token).company == "acme"
    assert JwtTokens(old, new).verify(token).company == "acme"
    with pytest.raises(UnauthorisedError):
        JwtTokens(old).verify(token)


def test_an_expired_token_is_rejected_with_every_accepted_key() -> None:
    claims = {"company": "acme", "sub": "x", "exp": time.time() - 60}
    for key in (KEY, "o" * 32):
        with pytest.raises(UnauthorisedError):
            JwtTokens(KEY, "o" * 32).verify(jwt.encode(claims, key, algorithm="HS256"))
