"""Application processes with replicas in several zones, and the jobs that run before them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from infra.certificate_authority import KeyPair  # noqa: TC001 - pydantic reads the annotations when the class is created
from infra.sizes import Size  # noqa: TC001 - same


class ProgramArgs(BaseModel):
    """Inputs of every program of the services image.

    Attributes:
        name: name of its workload, Secrets and service account.
        namespace: namespace of these.
        image: the services image.
        argv: arguments of `python3`.
        size: resources of each replica.
        settings: environment variables that are not secret.
        secrets: environment variables that are secret.
        certificate: its TLS certificate.
        ca_certificate: PEM of the trusted certificate authorities.
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
    ca_certificate: str


class ServiceArgs(ProgramArgs):
    """Inputs of a long-running process. Safe by default: two replicas in two zones.

    Attributes:
        zones: zones of the replicas.
        replicas: number of replicas; at least two, so that losing a zone causes no outage.
        has_service: whether other processes call it; otherwise its port serves probes only.
        node_port: node port for the edge; None if the edge does not expose it.
    """

    zones: tuple[str, ...]
    replicas: int = Field(default=2, ge=2)
    has_service: bool = True
    node_port: int | None = None
