"""Port of the traffic clients, one per data service, and their endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chaos.traffic.open_loop import Stream, StreamLog


class Endpoints(BaseModel):
    """Endpoints and credentials of the platform. Passed on standard input, because it contains passwords.

    Attributes:
        run_name: name of the run; part of everything that the clients write.
        ca_certificate: PEM of the certificate authority of the services.
        edge_url: `https://address` of the edge.
        edge_ca_certificate: PEM of the certificate authority of the edge; empty for those of the machine.
        token_key: HMAC key of bearer tokens.
        edge_timeout_seconds: timeout of a request to the edge.
        postgres: user, password, host, port, database.
        kafka: bootstrap, mechanism, user, password.
        redis: sentinels, master, user, password.
        object_store: url, region, bucket, key id, key secret.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_name: str
    ca_certificate: str
    edge_url: str
    edge_ca_certificate: str
    token_key: str = Field(repr=False)
    edge_timeout_seconds: float = 2.0
    postgres: dict[str, str] = Field(repr=False)
    kafka: dict[str, str] = Field(repr=False)
    redis: dict[str, str] = Field(repr=False)
    object_store: dict[str, str] = Field(repr=False)


class Client(Protocol):
    """Traffic client of one service.

    Attributes:
        passive: logs of streams without own attempts, for example of a consumer.
    """

    passive: Sequence[StreamLog]

    async def open(self) -> None:
        """Create the table or topic that the client writes to."""
        ...

    def streams(self) -> Sequence[Stream]:
        """Return the streams of attempts, writers and readers."""
        ...

    async def stored_sequence(self) -> Mapping[str, Sequence[int]]:
        """Return the stored sequence numbers in storage order, by name of the writing stream.

        Raises:
            Exception: the service does not respond; the caller retries until its deadline.
        """
        ...

    async def close(self) -> None:
        """Delete the created data, and close all connections."""
        ...


@runtime_checkable
class TokenClient(Protocol):
    """Traffic client that authenticates with bearer tokens."""

    def use_token_key(self, key: str) -> None:
        """Sign the tokens of new attempts with this key."""
        ...
