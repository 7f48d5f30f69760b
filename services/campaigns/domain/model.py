"""Campaigns, recipients and the precedence of message states.

Message states have a total order. Status updates arrive in any order and any number of times; the state of a
message is the highest state of all its updates. `failed` ranks above `sent` and below `delivered`: a provider
may withdraw a sent message, but a delivered message cannot fail. `uncertain` ranks below every state that a
later webhook can report.
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


class MessageState(IntEnum):
    """State of a message. The numbers are stored and define the precedence; gaps leave room for more states.

    `PENDING` has no open request: an unsent message returns to it, outside the precedence order.
    `CANCELLED` was never sent and never will be: its campaign was cancelled, or its contact left the list.
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
        """Lower-case name, as in the API."""
        return self.name.lower()


NON_FINAL_STATES = (MessageState.PENDING, MessageState.QUEUED, MessageState.ACCEPTED)
"""States in which a campaign still expects status updates."""

UNCONFIRMED_STATES = (MessageState.QUEUED, MessageState.UNCERTAIN, MessageState.ACCEPTED)
"""States that may be stale after events were lost: the message has advanced, or was never requested."""


class CampaignKey(NamedTuple):
    """Primary key of a campaign: company and id."""

    company: str
    id: UUID


class MessageKey(NamedTuple):
    """Primary key of a message: campaign and id."""

    campaign: CampaignKey
    id: UUID


@dataclass(frozen=True)
class Campaign:
    """A message text for a list of contacts.

    Attributes:
        company: the tenant.
        id: UUIDv7.
        name: display name.
        list_name: list in the contacts service.
        text: message template; may contain `{name}`.
        connection: name of the company's connection that sends the messages.
        run: run number, incremented by each resumption; messages are requested under a run.
        text_variants: further templates; each contact always gets the same one of all templates.
        variables: values of placeholders; `name` is the fallback for contacts without a name.
        window_closes_at: end of the current send window; messages unsent by then are returned.
        expires_at: messages unsent by then are never sent.
    """

    company: str
    id: UUID
    name: str
    list_name: str
    text: str
    connection: str
    run: int = 0
    text_variants: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    window_closes_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def key(self) -> CampaignKey:
        """Primary key."""
        return CampaignKey(self.company, self.id)


@dataclass(frozen=True)
class Recipient:
    """A contact of a campaign's list and the message it gets.

    Attributes:
        message_id: UUIDv7 that identifies the message in all services.
        contact_id: id in the contacts service.
        phone: phone number, E.164 with +.
        name: name of the contact; may be empty.
    """

    message_id: UUID
    contact_id: UUID
    phone: str
    name: str


@dataclass(frozen=True)
class StateTransition:
    """A message that advances to a higher state.

    Attributes:
        message: the message.
        before: previous state.
        after: new state.
    """

    message: MessageKey
    before: MessageState
    after: MessageState


def highest_states(updates: Iterable[tuple[MessageKey, MessageState]]) -> dict[MessageKey, MessageState]:
    """Return the highest state of each message, whatever the order of the updates."""
    states: dict[MessageKey, MessageState] = {}
    for message, state in updates:
        states[message] = max(state, states.get(message, MessageState.QUEUED))
    return states


def transitions(
    current: Mapping[MessageKey, MessageState], updates: Mapping[MessageKey, MessageState]
) -> list[StateTransition]:
    """Return the messages that advance; messages already in the same or a higher state do not.

    Args:
        current: stored state of each known message.
        updates: highest reported state of each message; unknown messages are ignored.

    Returns:
        One transition per message that advances.
    """
    return [
        StateTransition(message, current[message], state)
        for message, state in updates.items()
        if message in current and state > current[message]
    ]


def count_deltas(transitions: Iterable[StateTransition]) -> dict[CampaignKey, Counter[MessageState]]:
    """Return the changes of each campaign's counts per state; the deltas of a campaign add up to zero."""
    deltas: defaultdict[CampaignKey, Counter[MessageState]] = defaultdict(Counter)
    for transition in transitions:
        deltas[transition.message.campaign][transition.before] -= 1
        deltas[transition.message.campaign][transition.after] += 1
    return dict(deltas)


def request_fingerprint(*parts: str) -> bytes:
    """Return a SHA-256 hash that distinguishes requests, of constant length."""
    return hashlib.sha256("\x00".join(parts).encode()).digest()
