"""Signatures of S3 requests, compared with botocore's."""

from __future__ import annotations

import datetime as dt
from urllib.parse import quote, urlencode

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from infra.components.backup.pod_programs.s3 import S3Bucket, sign_request

BUCKET = S3Bucket(
    "offsite-store", "https://store.example:3900", "esq", "backups", "GK0123", "secret", "/ca.crt"
)


@pytest.mark.parametrize(
    ("method", "key", "query"),
    [
        ("GET", "checksums/2026-05-01.json.gz", {}),
        ("PUT", "media/Olá mundo+1.jpg", {}),
        ("GET", "", {"list-type": "2", "prefix": "media/a b", "continuation-token": "a+/="}),
    ],
)
def test_signature_equals_that_of_botocore(
    method: str, key: str, query: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = dt.datetime.now(dt.UTC)
    path = quote(f"/backups/{key}" if key else "/backups")
    encoded_query = urlencode(sorted(query.items()), quote_via=quote)
    request = AWSRequest(method, f"{BUCKET.url}{path}", params=query, headers={"X-Amz-Content-SHA256": "d"})
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: now.replace(tzinfo=None))
    signer = S3SigV4Auth(Credentials(BUCKET.key_id, BUCKET.key_secret), "s3", BUCKET.region)
    monkeypatch.setattr(signer, "payload", lambda _: "d")
    signer.add_auth(request)
    headers = sign_request(BUCKET, method, path, encoded_query, "d", now)
    assert headers["Authorization"] == request.headers["Authorization"]


def test_repr_hides_the_secret_key() -> None:
    assert "secret" not in repr(BUCKET).replace("key_secret", "")
