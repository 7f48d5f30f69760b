"""HTTP client that posts signed webhooks. See `ports.WebhookClient`."""

from __future__ import annotations

import hashlib
import hmac
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Mapping

OK = 200
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WebhookTarget:
    """Receiver of webhooks.

    Attributes:
        url: the address.
        secret: key of the signature.
    """

    url: str
    secret: bytes

    def headers(self, body: bytes) -> Mapping[str, str]:
        """Return the headers of a webhook with this body."""
        signature = "sha256=" + hmac.new(self.secret, body, hashlib.sha256).hexdigest()
        return {"Content-Type": "application/json", "X-Hub-Signature-256": signature}


class HttpWebhookClient:
    """See `ports.WebhookClient`."""

    def __init__(self, client: aiohttp.ClientSession, target: WebhookTarget) -> None:
        self._client = client
        self._target = target

    async def post(self, body: bytes) -> bool:
        """See `ports.WebhookClient.post`."""
        headers = self._target.headers(body)
        try:
            async with self._client.post(self._target.url, data=body, headers=headers) as response:
                status = response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("Webhook not delivered: %s", type(error).__name__, extra={"action": "post_webhook"})
            return False
        if status != OK:
            log.warning("Webhook rejected with status %d", status, extra={"action": "post_webhook"})
        return status == OK
