"""A process of the application in several replicas over the zones, and the jobs that go before it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from infra.authority import KeyPair  # noqa: TC001 - pydantic reads the annotations when the class is made
from infra.defaults import Size  # noqa: TC001 - same


class ProgramArgs(BaseModel):
    """What every program of the services image needs to know.

    Attributes:
        name: of its workload, Secrets and account.
        namespace: where it lives.
        image: the services image.
        argv: arguments of `python3`, e.g. `-m services.contacts api`.
        size: of each replica.
        settings: variables of its environment that may be seen.
        secrets: variables of its environment that may not.
        certificate: what it shows to others.
        authority: PEM of the authority that all trust.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    namespace: str
    image: str
    argv: tuple[str, ...]
    size: Size
    settings: dict[str, str] = Field(default_factory=dict)
    secrets: dict[str, str] = Field(default_factory=dict, repr=False)
    certificate: KeyPair
    authority: str


class ServiceArgs(ProgramArgs):
    """A process that stays. Safe by default: two replicas in two zones, replaced without a gap.

    Attributes:
        replicas: how many; at least two, so that no zone is missed.
        listens: whether others call it; else its port is for probes only.
        node_port: where the edge finds it on every node that runs it; None when the edge does not offer it.
    """

    replicas: int = Field(default=2, ge=2)
    listens: bool = True
    node_port: int | None = None
