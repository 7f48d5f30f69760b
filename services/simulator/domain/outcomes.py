"""Outcomes of a send request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Accepted:
    """The message is in the ledger, and the client learns its id."""

    wamid: str


@dataclass(frozen=True)
class Rejected:
    """The message is not received; the client learns the error code."""

    code: int


@dataclass(frozen=True)
class NoResponse:
    """The connection closes without a response: the client cannot know whether the message was received."""


SendOutcome = Accepted | Rejected | NoResponse
