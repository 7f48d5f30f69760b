"""An S3 bucket, with the requests that backups need beside those of pgBackRest.

Requests are signed with AWS Signature Version 4; a test compares the signature with botocore's. A client
library would need ten times the memory of the process that uses it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import ssl
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from http.client import HTTPResponse

BUCKETS_FILE = Path("/etc/esq/backup/buckets.json")
TIMEOUT_SECONDS = 20.0
"""Socket timeout: seconds without a byte."""
NOT_FOUND = 404
_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = "UNSIGNED-PAYLOAD"
"""Digest of a streamed body, which is not read before it is sent; TLS protects its integrity."""


@dataclass(frozen=True)
class ObjectEntry:
    """An entry of an object listing.

    Attributes:
        key: key of the object.
        size: bytes.
        etag: MD5 of the content, or of the parts for a multipart upload.
    """

    key: str
    size: int
    etag: str


@dataclass(frozen=True)
class S3Bucket:
    """A bucket of an S3 store, addressed by path.

    Attributes:
        name: name in messages and of the watermark in the database.
        url: `https://host[:port]`.
        region: region of the signature.
        bucket: name of an existing bucket.
        key_id: access key.
        key_secret: secret key.
        ca_file: file with the CA certificate of the store.
    """

    name: str
    url: str
    region: str
    bucket: str
    key_id: str
    key_secret: str = field(repr=False)
    ca_file: str

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)

    def get(self, key: str) -> bytes | None:
        """Return an object; None if it does not exist.

        Raises:
            OSError: the store is unavailable or rejects the request.
        """
        try:
            with self._request("GET", key) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            if error.code == NOT_FOUND:
                return None
            raise

    def put(self, key: str, data: bytes) -> None:
        """Write an object.

        Args:
            key: key of the object.
            data: its content.

        Raises:
            OSError: the store is unavailable or rejects the request.
        """
        self._request("PUT", key, data=data, digest=hashlib.sha256(data).hexdigest()).close()

    def copy(self, entry: ObjectEntry, source: S3Bucket, source_key: str) -> None:
        """Copy an object from another bucket as a stream, without loading it into memory.

        Args:
            entry: key and size of the new object.
            source: bucket to read.
            source_key: key in it.

        Raises:
            OSError: a store is unavailable or rejects the request.
        """
        with source._request("GET", source_key) as body:
            length = {"Content-Length": str(entry.size)}
            self._request("PUT", entry.key, data=body, digest=_UNSIGNED, extra_headers=length).close()

    def list(self, prefix: str) -> Iterator[ObjectEntry]:
        """Return the objects whose key starts with `prefix`, sorted by key.

        Raises:
            OSError: the store is unavailable or rejects the request.
        """
        token = ""
        while True:
            query = {"list-type": "2", "prefix": prefix} | ({"continuation-token": token} if token else {})
            with self._request("GET", "", query=query) as response:
                tree = ET.fromstring(response.read())  # noqa: S314 - from a store with a verified certificate
            namespace = tree.tag.partition("}")[0] + "}"
            for contents in tree.iter(f"{namespace}Contents"):
                key, size, etag = (
                    contents.findtext(f"{namespace}{name}", "") for name in ("Key", "Size", "ETag")
                )
                yield ObjectEntry(key, int(size), etag.strip('"'))
            token = tree.findtext(f"{namespace}NextContinuationToken", "")
            if not token:
                return

    def _request(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        data: bytes | IO[bytes] | None = None,
        digest: str = hashlib.sha256(b"").hexdigest(),
        extra_headers: Mapping[str, str] | None = None,
    ) -> HTTPResponse:
        path = quote(f"/{self.bucket}/{key}" if key else f"/{self.bucket}")
        encoded_query = urlencode(sorted((query or {}).items()), quote_via=quote)
        now = dt.datetime.now(dt.UTC)
        headers = sign_request(self, method, path, encoded_query, digest, now) | dict(extra_headers or {})
        address = f"{self.url}{path}{'?' + encoded_query if encoded_query else ''}"
        request = urllib.request.Request(address, data=data, method=method, headers=headers)  # noqa: S310 - HTTPS by settings
        response: HTTPResponse = urllib.request.urlopen(  # noqa: S310 - same
            request, timeout=TIMEOUT_SECONDS, context=self._context
        )
        return response


def sign_request(  # noqa: PLR0913, PLR0917 - the signed parts of a request
    bucket: S3Bucket, method: str, path: str, query: str, digest: str, now: dt.datetime
) -> dict[str, str]:
    """Return the headers of a request, including its AWS Signature Version 4.

    Args:
        bucket: keys, region and host.
        method: HTTP method.
        path: quoted path.
        query: encoded query with sorted parameters.
        digest: SHA-256 of the body in hex, or `UNSIGNED-PAYLOAD`.
        now: time of the request (UTC).
    """
    timestamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = {
        "host": urlsplit(bucket.url).netloc,
        "x-amz-content-sha256": digest,
        "x-amz-date": timestamp,
    }
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}"
    scope = f"{day}/{bucket.region}/s3/aws4_request"
    text = f"{_ALGORITHM}\n{timestamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{bucket.key_secret}".encode()
    for part in (day, bucket.region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    fields = (f"Credential={bucket.key_id}/{scope}", f"SignedHeaders={names}", f"Signature={signature}")
    return headers | {"Authorization": f"{_ALGORITHM} {', '.join(fields)}"}


def load_buckets(file: Path = BUCKETS_FILE) -> dict[str, S3Bucket]:
    """Return the buckets of this pod, by name."""
    return {values["name"]: S3Bucket(**values) for values in json.loads(file.read_text())}
