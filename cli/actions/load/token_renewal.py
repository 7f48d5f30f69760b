"""Renewal of a load test's tokens: a rotation of the credentials retires the key that signed them."""

from __future__ import annotations

import base64
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from kubernetes import client

from infra.errors import EsqError
from infra.kubernetes import API_ERRORS
from infra.names import SERVICES_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL_SECONDS = 10.0
"""Less than a phase of a rotation takes, so that new tokens are used before the old key is retired."""
EXIT_TIMEOUT_SECONDS = 30.0
SECRET, VARIABLE = "campaigns-api", "ESQ_TOKEN_KEYS"
"""Where the cluster has the accepted keys, of which the first one is used. Cheaper to read than the backend,
and without CPU on the machine that measures."""


class TokenRenewal:
    """Renews tokens within the block whenever the cluster uses another key.

    Args:
        key: the key of the present tokens.
        read_key: returns the key that is used now.
        renew: replaces the tokens by those of a key.
    """

    def __init__(self, key: str, read_key: Callable[[], str], renew: Callable[[str], None]) -> None:
        self._key = key
        self._read_key = read_key
        self._renew = renew
        self._has_left = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="token renewal", daemon=True)

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and wait for a renewal in progress: the generators end next."""
        self._has_left.set()
        self._thread.join(EXIT_TIMEOUT_SECONDS)

    def _watch(self) -> None:
        while not self._has_left.wait(INTERVAL_SECONDS):
            with suppress(EsqError, OSError, *API_ERRORS):  # an outage: the next round tries again
                self.renew_if_replaced()

    def renew_if_replaced(self) -> None:
        """Renew the tokens if another key is used now.

        Raises:
            EsqError: the key cannot be read, or the tokens cannot be replaced.
            ApiException: the API server rejects the request.
        """
        if (key := self._read_key()) != self._key and not self._has_left.is_set():
            self._renew(key)
            self._key = key


def read_token_key(api: client.ApiClient) -> str:
    """Return the key of bearer tokens that the services of a cluster use now.

    Args:
        api: client of the cluster.

    Raises:
        ApiException: the API server rejects the request.
        UnreachableError: no response.
    """
    secret = client.CoreV1Api(api).read_namespaced_secret(SECRET, SERVICES_NAMESPACE)
    return base64.b64decode(secret.data[VARIABLE]).decode().partition(",")[0]
