"""The kit's fakes behave as their ports specify."""

from __future__ import annotations

import pytest

from services.contracts.topics import MESSAGE_REQUESTED
from services.contracts.v1 import events_pb2 as v1
from services.kit.errors import TemporaryError
from services.kit.fakes import FakeInbox, FakeOutbox, FakePublisher
from services.kit.kafka.client import Record
from services.kit.kafka.envelope import OutboundEvent, decode


async def test_fakes_behave_like_their_ports() -> None:
    inbox, outbox, publisher = FakeInbox(), FakeOutbox(), FakePublisher()
    event = decode(OutboundEvent.create(MESSAGE_REQUESTED, "k", "acme", v1.MessagesRequested()).encode())
    assert await inbox.filter_new([event, event]) == [event]
    assert await inbox.filter_new([event]) == []
    await outbox.add([OutboundEvent.create(MESSAGE_REQUESTED, "k", "acme", v1.MessagesRequested())])
    assert len(outbox.events) == 1
    await publisher.publish([Record("t", "k", b"")])
    publisher.unavailable = True
    with pytest.raises(TemporaryError):
        await publisher.publish([Record("t", "k", b"")])
    assert len(publisher.records) == 1
