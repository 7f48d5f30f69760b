"""A bucket, with the few requests that backups need beside pgBackRest's own.

Signatures follow AWS Signature Version 4, held against botocore's in a test. A client library would weigh ten
times the memory of the process that uses it.
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

STORES = Path("/etc/esq/backup/stores.json")
TIMEOUT = 20.0
"""Seconds without a byte."""
NOT_FOUND = 404
_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = "UNSIGNED-PAYLOAD"
"""TLS keeps a body whole that is passed on without being read first."""


@dataclass(frozen=True)
class Entry:
    """An object as a list shows it."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True)
class Store:
    """A bucket of an S3 store, reached by path.

    Attributes:
        name: for people and for the marks of the witness.
        url: `https://host[:port]`.
        region: signatures cover it.
        bucket: that is there already.
        key_id: access key.
        key_secret: its secret.
        authority: file of the authority that signed the store's certificate.
    """

    name: str
    url: str
    region: str
    bucket: str
    key_id: str
    key_secret: str = field(repr=False)
    authority: str

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority)

    def get(self, key: str) -> bytes | None:
        """Return an object; None when there is none.

        Raises:
            OSError: the store does not answer, or refuses.
        """
        try:
            with self._ask("GET", key) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            if error.code == NOT_FOUND:
                return None
            raise

    def put(self, key: str, data: bytes) -> None:
        """Write an object.

        Raises:
            OSError: the store does not answer, or refuses.
        """
        self._ask("PUT", key, data=data, digest=hashlib.sha256(data).hexdigest()).close()

    def copy(self, entry: Entry, source: Store, source_key: str) -> None:
        """Write an object that another bucket has, without ever holding all of it.

        Raises:
            OSError: one of the stores does not answer, or refuses.
        """
        with source._ask("GET", source_key) as body:
            length = {"Content-Length": str(entry.size)}
            self._ask("PUT", entry.key, data=body, digest=_UNSIGNED, more=length).close()

    def list(self, prefix: str) -> Iterator[Entry]:
        """Return the objects whose key begins with `prefix`, in the order of their keys.

        Raises:
            OSError: the store does not answer, or refuses.
        """
        token = ""
        while True:
            query = {"list-type": "2", "prefix": prefix} | ({"continuation-token": token} if token else {})
            with self._ask("GET", "", query=query) as answer:
                tree = ET.fromstring(answer.read())  # noqa: S314 - from a store that showed its certificate
            space = tree.tag.partition("}")[0] + "}"
            for each in tree.iter(f"{space}Contents"):
                key, size, etag = (each.findtext(f"{space}{name}", "") for name in ("Key", "Size", "ETag"))
                yield Entry(key, int(size), etag.strip('"'))
            token = tree.findtext(f"{space}NextContinuationToken", "")
            if not token:
                return

    def _ask(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        data: bytes | IO[bytes] | None = None,
        digest: str = hashlib.sha256(b"").hexdigest(),
        more: Mapping[str, str] | None = None,
    ) -> HTTPResponse:
        path = quote(f"/{self.bucket}/{key}" if key else f"/{self.bucket}")
        words = urlencode(sorted((query or {}).items()), quote_via=quote)
        now = dt.datetime.now(dt.UTC)
        headers = signed(self, method, path, words, digest, now) | dict(more or {})
        address = f"{self.url}{path}{'?' + words if words else ''}"
        request = urllib.request.Request(address, data=data, method=method, headers=headers)  # noqa: S310 - HTTPS by settings
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT, context=self._context)  # noqa: S310 - same
        return answer


def signed(  # noqa: PLR0913, PLR0917 - what a signature is over
    store: Store, method: str, path: str, query: str, digest: str, now: dt.datetime
) -> dict[str, str]:
    """Return the headers of a request, its signature among them (AWS Signature Version 4)."""
    moment, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = {"host": urlsplit(store.url).netloc, "x-amz-content-sha256": digest, "x-amz-date": moment}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}"
    scope = f"{day}/{store.region}/s3/aws4_request"
    text = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{store.key_secret}".encode()
    for part in (day, store.region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    words = (f"Credential={store.key_id}/{scope}", f"SignedHeaders={names}", f"Signature={signature}")
    return headers | {"Authorization": f"{_ALGORITHM} {', '.join(words)}"}


def stores(file: Path = STORES) -> dict[str, Store]:
    """Return the buckets that this pod was given, by name."""
    return {each["name"]: Store(**each) for each in json.loads(file.read_text())}
