"""The record of an environment: what it is bound to since its first deploy, kept with its stacks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from infra.errors import Problem

OFFSITE_STORE = "offsite_store"
"""The field that a deploy may change."""
CLUSTER = "cluster_uid"
"""The field that a recovery may change."""


class EnvironmentRecord(BaseModel):
    """Identity of a deployed environment.

    Attributes:
        environment: name of the environment.
        backend: Pulumi backend URL of its stacks.
        cluster_uid: UID of the namespace `kube-system`, which identifies a cluster.
        offsite_store: `URL/BUCKET` of its off-site store; None without one, and for the
            embedded cluster, which has its own.
        version: version of esq that deployed it last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: str
    backend: str
    cluster_uid: str
    offsite_store: str | None
    version: str


def differences(recorded: EnvironmentRecord, current: EnvironmentRecord) -> dict[str, Problem]:
    """Return what an environment is bound to now, other than at its last deploy, by field of the record.

    Args:
        recorded: the record of the last deploy.
        current: what the definition and its cluster are now; its version does not matter.
    """
    name = recorded.environment
    remedies = {
        "environment": "Correct `backend` in the definition: it has the stacks of another environment.",
        "backend": "Set the recorded `backend` in the definition. If the stacks were moved: "
        f"`esq env rebind {name}`.",
        "cluster_uid": "Correct `cluster` in the definition. If the recorded one is lost, "
        f"`esq recover {name}` restores its data into this one; `esq env rebind {name}` starts anew in it.",
        "offsite_store": "Set the recorded `offsite_store` in the definition, or deploy the change: "
        f"`esq deploy {name}`.",
    }
    labels = {
        "environment": "environment",
        "backend": "backend",
        "cluster_uid": "cluster (UID of kube-system)",
        "offsite_store": "off-site store",
    }
    return {
        field: Problem(
            f"recorded: {getattr(recorded, field) or 'none'}, now: {getattr(current, field) or 'none'}",
            labels[field],
            remedy,
        )
        for field, remedy in remedies.items()
        if getattr(recorded, field) != getattr(current, field)
    }
