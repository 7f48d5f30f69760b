"""The provider tells what became of messages, a few in each callback, some of it more than once."""

from __future__ import annotations

import hashlib
import hmac
import json
import time

from locust import task

from loadtests.generator.visitor import Visitor

PER_CALLBACK = 10


class Callbacks(Visitor):
    """Reports messages that were sent before as read."""

    @task
    def report(self) -> None:
        """Post a signed callback on the next messages, from the beginning again after the last."""
        body, key = json.dumps(self._envelope()), self.order.ground.app_secret.encode()
        signature = hmac.new(key, body.encode(), hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
        self.client.request("POST", "/webhooks/cloud", name="callback", data=body, headers=headers)

    def _envelope(self) -> dict[str, object]:
        known = self.order.ground.reported
        first = self.arrival.number * PER_CALLBACK
        chosen = [known[(first + place) % len(known)] for place in range(PER_CALLBACK)]
        changes = [{"field": "messages", "value": self._value(*one)} for one in chosen]
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
