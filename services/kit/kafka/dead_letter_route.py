"""HTTP route of a worker that lists the open dead letters of its service.

`esq dlq list` calls it through the API server: unlike a Job, the worker runs already. It reads with its own
account, which is permitted to read the dead letters of its service only. Like the metrics the route requires
no token: it names no tenant and no content. One request is handled at a time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException
from fastapi import APIRouter

from services.contracts.endpoints import DEAD_LETTERS_PATH
from services.contracts.kafka_access import consumer_group
from services.contracts.topics import DEAD_LETTER_TOPICS
from services.kit.errors import TemporaryError
from services.kit.kafka.client import client_config
from services.kit.kafka.dead_letters import KafkaDeadLetterStore

if TYPE_CHECKING:
    from services.kit.settings import KafkaSettings, ProcessSettings

LIST_LIMIT = 200
"""Dead letters in a response; the total counts all."""


def dead_letter_router(process: ProcessSettings, settings: KafkaSettings) -> APIRouter:
    """Return the route.

    Args:
        process: names the service.
        settings: addresses and credentials of Kafka.
    """
    topics = [topic for topic in DEAD_LETTER_TOPICS if topic.owner == process.service]
    config = client_config(process, settings) | {"group.id": consumer_group(process.service)}
    store, lock = KafkaDeadLetterStore(config, topics), asyncio.Lock()
    router = APIRouter()

    @router.get(DEAD_LETTERS_PATH, include_in_schema=False)
    async def list_dead_letters() -> dict[str, Any]:
        try:
            async with lock:
                dead_letters = await asyncio.to_thread(store.list_unresolved)
        except (KafkaException, TimeoutError) as error:
            raise TemporaryError(f"Kafka: {error}") from error
        counts = Counter(dead_letter.record.origin.split("/", 1)[0] for dead_letter in dead_letters)
        return {
            "total": len(dead_letters),
            "counts": [
                {"consumer": process.service, "topic": topic, "dead_letters": count}
                for topic, count in counts.items()
            ],
            "dead_letters": [dead_letter.summary() for dead_letter in dead_letters[:LIST_LIMIT]],
        }

    return router
