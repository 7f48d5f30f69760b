"""Access to Kafka: the accounts of a service and what they may do, derived from the table of topics.

Brokers deny everything that is not permitted here. A service may write to the topics that it owns, and read
those that it consumes, in its own consumer group. No service may create, change or delete a topic. An
idempotent producer needs no further permission, and no service uses transactions.

A password of Kafka belongs to one account, so a service has an account for each generation of credentials,
with equal permissions: a rotation of credentials changes no permission.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.contracts.topics import Topic

GENERATIONS = ("a", "b")
"""Generations of credentials; a rotation switches from one to the other."""


def account_name(name: str, generation: str) -> str:
    """Return the name of an account.

    Args:
        name: name of the service, or of another user of the brokers.
        generation: generation of its password.
    """
    return f"{name}-{generation}"


def consumer_group(service: str) -> str:
    """Return the consumer group of a service."""
    return f"esq-{service}"


@dataclass(frozen=True)
class Permission:
    """One permission of a service.

    Attributes:
        service: name of the service.
        operation: `read` or `write`.
        resource: kind of the resource.
        name: name of the topic or consumer group.
    """

    service: str
    operation: Literal["read", "write"]
    resource: Literal["topic", "group"]
    name: str


def permissions(topics: Iterable[Topic]) -> frozenset[Permission]:
    """Return what the services may do with the topics."""
    granted: set[Permission] = set()
    for topic in topics:
        granted.add(Permission(topic.owner, "write", "topic", topic.name))
        for consumer in topic.consumers:
            granted.add(Permission(consumer, "read", "topic", topic.name))
            granted.add(Permission(consumer, "read", "group", consumer_group(consumer)))
    return frozenset(granted)
