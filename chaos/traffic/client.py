"""The port that each data service's traffic goes through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chaos.traffic.timetable import Lane, Log


class Endpoints(BaseModel):
    """Where the platform is and how to get in. Given on standard input, since it holds passwords.

    Attributes:
        run: name of this run; everything that is written carries it.
        authority: PEM of the authority that the services' certificates are signed by.
        edge: `https://address`, and PEM of its authority.
        token_key: HMAC key of bearer tokens.
        postgres: user, password, host, port, database.
        kafka: bootstrap, mechanism, user, password.
        redis: sentinels, master, password, password of the Sentinels.
        objects: url, region, bucket, key id, key secret.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    authority: str
    edge: str
    edge_authority: str
    token_key: str = Field(repr=False)
    postgres: dict[str, str] = Field(repr=False)
    kafka: dict[str, str] = Field(repr=False)
    redis: dict[str, str] = Field(repr=False)
    objects: dict[str, str] = Field(repr=False)


class Client(Protocol):
    """Traffic of one service.

    Attributes:
        passive: logs that fill by themselves, e.g. of a consumer that reads what comes.
    """

    passive: Sequence[Log]

    async def open(self) -> None:
        """Make what is written into: a table, a topic."""
        ...

    def lanes(self) -> Sequence[Lane]:
        """Return the streams of attempts, writers and readers."""
        ...

    async def history(self) -> Mapping[str, Sequence[int]]:
        """Return, by name of the writer's lane, the sequence numbers that are there, in their order.

        Raises:
            Exception: the service does not answer; the caller tries again until its deadline.
        """
        ...

    async def close(self) -> None:
        """Take away what was made, and close every connection."""
        ...
