"""Signatures, held against the client that everybody uses."""

from __future__ import annotations

import datetime as dt
from urllib.parse import quote, urlencode

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from infra.components.backup.pod_programs.s3 import S3Bucket, sign_request

STORE = S3Bucket("vault", "https://vault.example:3900", "esq", "vault", "GK0123", "secret", "/ca.crt")


@pytest.mark.parametrize(
    ("method", "key", "query"),
    [
        ("GET", "witness/2026-05-01.json.gz", {}),
        ("PUT", "media/Olá mundo+1.jpg", {}),
        ("GET", "", {"list-type": "2", "prefix": "media/a b", "continuation-token": "a+/="}),
    ],
)
def test_the_signature_is_botocores(
    method: str, key: str, query: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = dt.datetime.now(dt.UTC)
    path = quote(f"/vault/{key}" if key else "/vault")
    words = urlencode(sorted(query.items()), quote_via=quote)
    request = AWSRequest(method, f"{STORE.url}{path}", params=query, headers={"X-Amz-Content-SHA256": "d"})
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: now.replace(tzinfo=None))
    signer = S3SigV4Auth(Credentials(STORE.key_id, STORE.key_secret), "s3", STORE.region)
    monkeypatch.setattr(signer, "payload", lambda _: "d")
    signer.add_auth(request)
    ours = sign_request(STORE, method, path, words, "d", now)
    assert ours["Authorization"] == request.headers["Authorization"]


def test_a_secret_is_not_shown() -> None:
    assert "secret" not in repr(STORE).replace("key_secret", "")
