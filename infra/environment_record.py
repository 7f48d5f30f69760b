"""The record of an environment: what it is bound to since its first deploy, kept with its stacks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class EnvironmentRecord(BaseModel):
    """Identity of a deployed environment.

    Attributes:
        environment: name of the environment.
        backend: Pulumi backend URL of its stacks.
        cluster_uid: UID of the namespace `kube-system`, which identifies a cluster.
        offsite_store: `URL/BUCKET` of its off-site store; None without one.
        version: version of esq that deployed it last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: str
    backend: str
    cluster_uid: str
    offsite_store: str | None
    version: str
