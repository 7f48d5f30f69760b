"""Rotation of the certificate authority and of every key and password while the platform serves.

Invariant: at every moment, each server accepts what each client uses, and each client trusts the authority of
each server's certificate. A client or server that is still of the previous phase, or of the next one, keeps
the invariant, since two consecutive phases differ either in what is accepted or in what is used, not in both:

| phase | used by clients, issuer of certificates | accepted by servers, trusted authorities |
|---|---|---|
| before | old | old |
| accept | old | old, new |
| use | new | new, old |
| retire | new | new |

A phase starts when the previous one is deployed completely. The phase is part of the credentials: they are
saved before the deploy, so that a deploy in between keeps the phase and a repeated rotation resumes at it.
"""

from __future__ import annotations

from infra.credentials import (
    Credentials,
    KafkaCredentials,
    ObjectStoreCredentials,
    RotationPhase,
    complete_credentials,
)


def next_generation(credentials: Credentials) -> Credentials:
    """Return new credentials with the letter of the other generation.

    What identifies stored data or encrypts it is kept: the id of the Kafka cluster, the keys of the object
    store's nodes with the secret of their network, the passphrases of the backups, the off-site store.
    """
    object_store = credentials.object_store
    return complete_credentials(
        Credentials(
            generation="b" if credentials.generation == "a" else "a",
            kafka=KafkaCredentials(cluster_id=credentials.kafka.cluster_id),
            object_store=ObjectStoreCredentials(
                node_keys=object_store.node_keys, rpc_secret=object_store.rpc_secret
            ),
            backup=credentials.backup,
            offsite_store=credentials.offsite_store,
        )
    )


def next_phase(credentials: Credentials) -> Credentials:
    """Return the credentials of the phase that follows a completely deployed one.

    Without a rotation in progress, a new one starts. After the last phase none is in progress.
    """
    match credentials.rotation, credentials.alternate:
        case None, _:
            new = next_generation(credentials)
            return credentials.model_copy(update={"alternate": new, "rotation": RotationPhase.ACCEPT})
        case RotationPhase.ACCEPT, Credentials() as new:
            old = credentials.model_copy(update={"alternate": None, "rotation": None})
            changes = {"alternate": old, "rotation": RotationPhase.USE}
            return new.model_copy(update={**changes, "offsite_store": old.offsite_store})
        case RotationPhase.USE, _:
            return credentials.model_copy(update={"alternate": None, "rotation": RotationPhase.RETIRE})
        case _:
            return credentials.model_copy(update={"rotation": None})
