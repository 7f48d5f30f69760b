"""The record of an environment: what it is bound to since its first deploy, kept with its stacks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from infra.environment_definition import PASSPHRASE
from infra.errors import Problem

OFFSITE_STORE = "offsite_store"
"""The field that a deploy may change."""
CLUSTER = "cluster_uid"
"""The field that a recovery may change."""
SECRETS_PROVIDER = "secrets_provider"
"""The field without which the stored record cannot be read."""
NO_CLUSTER = "no_cluster"
"""Instead of `CLUSTER`: the recorded environment was destroyed and its backups were kept."""

_CLUSTER_SETTING = {"local": "ESQ_LOCAL_CLUSTER"}
"""Where an environment without a definition takes its cluster from."""


class EnvironmentRecord(BaseModel):
    """Identity of a deployed environment.

    Attributes:
        environment: name of the environment.
        backend: Pulumi backend URL of its stacks.
        cluster_uid: UID of the namespace `kube-system`, which identifies a cluster; empty after a
            destroy that kept the backups.
        offsite_store: `URL/BUCKET` of its off-site store; None without one, and for the
            embedded cluster, which has its own.
        secrets_provider: what encrypts the secrets of its stacks.
        version: version of esq that deployed it last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: str
    backend: str
    cluster_uid: str
    offsite_store: str | None
    secrets_provider: str = PASSPHRASE
    version: str


def differences(recorded: EnvironmentRecord, current: EnvironmentRecord) -> dict[str, Problem]:
    """Return what an environment is bound to now, other than at its last deploy, by field of the record.

    Args:
        recorded: the record of the last deploy.
        current: what the definition and its cluster are now; its version does not matter.
    """
    name = recorded.environment
    setting = _CLUSTER_SETTING.get(name, "`cluster` in the definition")
    cluster = CLUSTER if recorded.cluster_uid else NO_CLUSTER
    remedies = {
        "environment": "Correct `backend` in the definition: it has the stacks of another environment.",
        "backend": "Set the recorded `backend` in the definition. If the stacks were moved: "
        f"`esq env rebind {name}`.",
        CLUSTER: f"Correct {setting}. If the recorded one is lost, `esq recover {name}` restores its data "
        f"into this one; `esq env rebind {name}` starts anew in it.",
        NO_CLUSTER: f"The environment was destroyed and its backups were kept: `esq recover {name}` restores "
        f"them, `esq env rebind {name}` starts anew.",
        OFFSITE_STORE: "Set the recorded `offsite_store` in the definition, or deploy the change: "
        f"`esq deploy {name}`.",
        SECRETS_PROVIDER: "Set the recorded `secrets_provider` in the definition: with another key the "
        "stacks and the credentials cannot be read.",
    }
    labels = {
        "environment": "environment",
        "backend": "backend",
        "cluster_uid": "cluster (UID of kube-system)",
        "offsite_store": "off-site store",
        "secrets_provider": "secrets provider",
    }
    problems = {}
    for field, label in labels.items():
        before, now = getattr(recorded, field), getattr(current, field)
        if before != now:
            key = cluster if field == CLUSTER else field
            problems[key] = Problem(
                f"recorded: {before or 'none'}, now: {now or 'none'}", label, remedies[key]
            )
    return problems
