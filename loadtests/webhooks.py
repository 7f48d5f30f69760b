"""Webhooks from the provider, with several status updates each: `locust -f loadtests/webhooks.py`."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING

from locust import task
from locust.exception import StopTest

from loadtests.generator.shape import OpenLoopShape
from loadtests.generator.users import OpenLoopHttpUser
from loadtests.protocol import CONFIG_VARIABLE

if TYPE_CHECKING:
    from locust.env import Environment

__all__ = ["OpenLoopShape", "WebhookUser"]

STATUSES_PER_WEBHOOK = 10


class WebhookUser(OpenLoopHttpUser):
    """Reports messages that were sent before the run as read.

    Args:
        environment: Locust environment.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        if not self.target.sent_messages:
            raise StopTest(f"{CONFIG_VARIABLE} names no messages: esq load prepare ENV webhooks FILE")

    @task
    def post_webhook(self) -> None:
        """Post a signed webhook for the next messages; the last is followed by the first."""
        body, key = json.dumps(self._payload()), self.target.app_secret.encode()
        signature = hmac.new(key, body.encode(), hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
        self.client.request("POST", "/webhooks/cloud", name="webhook", data=body, headers=headers)

    def _payload(self) -> dict[str, object]:
        sent = self.target.sent_messages
        first = self.arrival.number * STATUSES_PER_WEBHOOK
        messages = [sent[(first + offset) % len(sent)] for offset in range(STATUSES_PER_WEBHOOK)]
        changes = [{"field": "messages", "value": self._value(*message)} for message in messages]
        return {"object": "whatsapp_business_account", "entry": [{"id": "load", "changes": changes}]}

    @staticmethod
    def _value(number: str, message: str) -> dict[str, object]:
        status = {
            "id": f"wamid.load.{message}",
            "status": "read",
            "timestamp": str(int(time.time())),
            "recipient_id": "0",
            "biz_opaque_callback_data": message,
        }
        return {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": number, "phone_number_id": number},
            "statuses": [status],
        }
