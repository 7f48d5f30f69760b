"""AsyncAPI document: up to date and consistent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.actions import generated_contracts
from services.contracts.topics import DAY_MS, TOPICS

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[3]


def test_committed_document_is_up_to_date() -> None:
    committed = (PROJECT / generated_contracts.ASYNCAPI).read_text(encoding="utf-8")
    assert committed == generated_contracts.dump(generated_contracts.asyncapi()), (
        "regenerate it: ./esq generate"
    )


def iterate_references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, member in value.items():
            if key == "$ref":
                yield member
            yield from iterate_references(member)


def test_all_references_resolve() -> None:
    document = generated_contracts.asyncapi()
    references = list(iterate_references(document))
    assert len(references) > len(TOPICS)
    for reference in references:
        target: Any = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def test_every_topic_is_a_channel_with_its_configuration() -> None:
    channels = generated_contracts.asyncapi()["channels"]
    assert set(channels) == {topic.name for topic in TOPICS}
    kafka = channels["message.status.dlq.campaigns"]["bindings"]["kafka"]
    assert kafka["partitions"] == 1
    assert kafka["topicConfiguration"] == {
        "cleanup.policy": ["compact", "delete"],
        "retention.ms": 30 * DAY_MS,
    }


def test_every_event_has_a_topic() -> None:
    document = generated_contracts.asyncapi()
    carried = {event for topic in TOPICS for event in topic.events}
    assert {name for name in document["components"]["messages"] if "." not in name} == carried
