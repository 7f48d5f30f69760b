"""Backups: taken on a schedule, verified continuously, restored daily to prove that they work."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from infra.certificate_authority import KeyPair  # noqa: TC001 - pydantic reads the annotations when the class is created
from infra.components.object_store import ObjectStoreEndpoints  # noqa: TC001 - same
from infra.components.postgres import PostgresEndpoints  # noqa: TC001 - same
from infra.config_files.pgbackrest import Repository  # noqa: TC001 - same
from infra.credentials import ObjectStoreCredentials, OffsiteStoreAccess  # noqa: TC001 - same
from infra.names import BACKUP_BUCKET
from infra.sizes import Size  # noqa: TC001 - same

VERIFIER = "backup-verifier"
FULL = "backup-full"
DIFFERENTIAL = "backup-diff"
DRILL = "backup-drill"
MEDIA = "backup-media"
MEDIA_RESTORE = "backup-media-restore"
"""Template without a schedule: restores the media after a loss."""
RESTORED_CLONE = "postgres-restored"
"""Template without a schedule: a restored Postgres for inspection. Its Service has the same name."""

SCHEDULES = {FULL: "20 2 * * *", DIFFERENTIAL: "50 */4 * * *", DRILL: "10 3 * * *", MEDIA: "35 * * * *"}
"""Cron schedules in UTC."""


class BackupArgs(BaseModel):
    """Inputs of the backups.

    Attributes:
        namespace: namespace of all objects.
        image: an image with Postgres 15, pgBackRest and psycopg2.
        job_size: resources of a pod that takes a backup.
        restore_size: resources of a pod that restores; its storage is on the node's disk.
        verifier_size: resources of the backup verifier.
        repositories: repositories of the backups, the nearest first.
        postgres: endpoints of the database.
        postgres_hosts: host names of its pods, as in their certificates.
        object_store: endpoints of the store with the first repository and the media.
        object_store_credentials: its keys.
        offsite_store: a store outside of the environment; without one, media are not copied.
        database_user: login role of the backup verifier.
        certificate: client certificate for the servers beside each Postgres.
        ca_bundle: PEM of the trusted certificate authorities.
        bucket: bucket of the first repository.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    namespace: str
    image: str
    job_size: Size
    restore_size: Size
    verifier_size: Size
    repositories: tuple[Repository, ...] = Field(repr=False)
    postgres: PostgresEndpoints
    postgres_hosts: tuple[str, ...]
    object_store: ObjectStoreEndpoints
    object_store_credentials: ObjectStoreCredentials = Field(repr=False)
    offsite_store: OffsiteStoreAccess | None = Field(default=None, repr=False)
    database_user: str
    certificate: KeyPair
    ca_bundle: str
    bucket: str = BACKUP_BUCKET
