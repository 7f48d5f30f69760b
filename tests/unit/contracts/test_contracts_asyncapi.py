"""The AsyncAPI document: as generated, and sound in itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.actions import contracts
from services.contracts.topics import DAY_MS, TOPICS

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[3]


def test_the_committed_document_is_what_is_generated() -> None:
    committed = (PROJECT / contracts.ASYNCAPI).read_text(encoding="utf-8")
    assert committed == contracts.dump(contracts.asyncapi()), "renew it: ./esq generate"


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "$ref":
                yield each
            yield from references(each)


def test_every_reference_leads_somewhere() -> None:
    document = contracts.asyncapi()
    found = list(references(document))
    assert len(found) > len(TOPICS)
    for reference in found:
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_every_topic_is_a_channel_with_its_promises() -> None:
    channels = contracts.asyncapi()["channels"]
    assert set(channels) == {topic.name for topic in TOPICS}
    dead = channels["message.status.dead.campaigns"]["bindings"]["kafka"]
    assert dead["partitions"] == 1
    assert dead["topicConfiguration"] == {
        "cleanup.policy": ["compact", "delete"],
        "retention.ms": 30 * DAY_MS,
    }


def test_every_event_travels_on_a_topic() -> None:
    document = contracts.asyncapi()
    carried = {event for topic in TOPICS for event in topic.events}
    assert {name for name in document["components"]["messages"] if "." not in name} == carried
