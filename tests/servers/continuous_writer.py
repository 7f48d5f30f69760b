"""Writes contacts through the edge one by one and records when each was acknowledged."""

from __future__ import annotations

import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import httpx
import jwt

if TYPE_CHECKING:
    from pathlib import Path

FIRST_NUMBER = 70_000_000
PAGE_SIZE = 500


@dataclass
class ContinuousWriter:
    """A client that writes until it is stopped.

    Attributes:
        address: of the edge.
        ca: its certificate authority.
        token_key: HMAC key of the environment's bearer tokens.
        company: the tenant.
        period: seconds between two writes.
        acknowledged: when (seconds since 1970) each phone number was acknowledged.
    """

    address: str
    ca: Path
    token_key: str = field(repr=False)
    company: str = "acme"
    period: float = 0.1
    acknowledged: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Start writing."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, name="writer", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop writing."""
        self._stop.set()
        self._thread.join(timeout=10)

    def stored_phones(self) -> set[str]:
        """Return the phone numbers that are stored now."""
        phones: set[str] = set()
        after: dict[str, str] = {}
        with self._client() as client:
            while True:
                query = {"limit": str(PAGE_SIZE), **after}
                response = client.get(
                    "/contacts/lists/ledger/contacts", params=query, headers=self._token("read")
                )
                page = response.raise_for_status().json()["contacts"]
                phones |= {contact["phone"] for contact in page}
                if len(page) < PAGE_SIZE:
                    return phones
                after = {"after": page[-1]["id"]}

    def _write(self) -> None:
        number = FIRST_NUMBER
        with self._client() as client:
            while not self._stop.wait(self.period):
                number += 1
                phone = f"+55119{number}"
                try:
                    response = client.post(
                        "/contacts/imports",
                        params={"list": "ledger"},
                        content=f"phone\n{phone}\n".encode(),
                        headers=self._token("write"),
                    )
                except httpx.HTTPError:
                    continue
                if response.status_code == httpx.codes.CREATED:
                    self.acknowledged[phone] = time.time()

    def _client(self) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.ca))
        return httpx.Client(base_url=self.address, verify=context, timeout=5.0)

    def _token(self, scope: str) -> dict[str, str]:
        claims = {
            "sub": "test",
            "company": self.company,
            "scope": f"contacts:{scope}",
            "exp": time.time() + 300,
        }
        token = jwt.encode(claims, self.token_key, algorithm="HS256")
        return {"Authorization": f"Bearer {token}", "Content-Type": "text/csv"}
