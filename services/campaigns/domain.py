"""What a campaign is, and the ladder its messages climb.

The ladder is an order: whatever news come, in whatever order and however often, a message is where the
highest of them puts it. `failed` stands above `sent` and below `delivered`, because a provider may withdraw
what it sent, but nothing that arrived has failed. `uncertain` stands below everything that a later callback
can tell.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID


class State(IntEnum):
    """Where a message is. The numbers are stored and rank it on the ladder; gaps leave room.

    `PENDING` is not asked for at present; a message comes back there, off the ladder, when it was not begun.
    `CANCELLED` was never begun and never will be: its campaign was cancelled, or its contact left the list.
    """

    PENDING = -10
    QUEUED = 0
    UNCERTAIN = 10
    EXPIRED = 20
    CANCELLED = 25
    ACCEPTED = 30
    SENT = 40
    FAILED = 50
    DELIVERED = 60
    READ = 70

    @property
    def label(self) -> str:
        """The word for people and interfaces."""
        return self.name.lower()


OPEN = (State.PENDING, State.QUEUED, State.ACCEPTED)
"""States in which news are still awaited."""

UNSETTLED = (State.QUEUED, State.UNCERTAIN, State.ACCEPTED)
"""States that a lost event may have left a message in, though it is further or was never asked for."""


class CampaignKey(NamedTuple):
    """What names a campaign: its company, and its id."""

    company: str
    id: UUID


class MessageKey(NamedTuple):
    """What names a message: its campaign, and its id."""

    campaign: CampaignKey
    id: UUID


@dataclass(frozen=True)
class Campaign:
    """One text to a list of contacts.

    Attributes:
        company: the tenant.
        id: UUIDv7.
        name: for people.
        list_name: of the contacts service.
        text: may hold `{name}`.
        connection: name of the company's connection that sends it.
        run: counts the resumptions; messages are requested under it.
        more_texts: variations; each contact gets one of all texts, always the same.
        variables: what placeholders stand for; `name` is for contacts that have none.
        closes_at: end of the window that it sends in; what is not begun by then comes back.
        expires_at: what is not begun by then never is.
    """

    company: str
    id: UUID
    name: str
    list_name: str
    text: str
    connection: str
    run: int = 0
    more_texts: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    closes_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def key(self) -> CampaignKey:
        """What names it."""
        return CampaignKey(self.company, self.id)


@dataclass(frozen=True)
class Recipient:
    """A contact that a campaign is to reach, and the message it gets.

    Attributes:
        message_id: UUIDv7; names the message everywhere.
        contact_id: of the contacts service.
        phone: E.164.
        name: may be empty.
    """

    message_id: UUID
    contact_id: UUID
    phone: str
    name: str


@dataclass(frozen=True)
class Move:
    """A message that climbs.

    Attributes:
        message: which one.
        before: where it was.
        after: where it is now.
    """

    message: MessageKey
    before: State
    after: State


def highest(news: Iterable[tuple[MessageKey, State]]) -> dict[MessageKey, State]:
    """Return where the news put each message, whatever their order."""
    states: dict[MessageKey, State] = {}
    for message, state in news:
        states[message] = max(state, states.get(message, State.QUEUED))
    return states


def moves(held: Mapping[MessageKey, State], news: Mapping[MessageKey, State]) -> list[Move]:
    """Return the messages that climb; those at the same step or above stay."""
    return [
        Move(message, held[message], state)
        for message, state in news.items()
        if message in held and state > held[message]
    ]


def differences(moved: Iterable[Move]) -> dict[CampaignKey, Counter[State]]:
    """Return by how much each campaign's counts change; the sum of each is zero."""
    changes: defaultdict[CampaignKey, Counter[State]] = defaultdict(Counter)
    for move in moved:
        changes[move.message.campaign][move.before] -= 1
        changes[move.message.campaign][move.after] += 1
    return dict(changes)


def digest_of(*parts: str) -> bytes:
    """Return what tells two requests apart, however long they are."""
    return hashlib.sha256("\x00".join(parts).encode()).digest()
