"""Backups: taken by the clock, watched all the time, restored once a day to prove that they can be."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from infra.authority import KeyPair  # noqa: TC001 - pydantic reads the annotations when the class is made
from infra.components.objects import ObjectsEndpoints  # noqa: TC001 - same
from infra.components.postgres import PostgresEndpoints  # noqa: TC001 - same
from infra.credentials import ObjectsCredentials, VaultAccess  # noqa: TC001 - same
from infra.defaults import Size  # noqa: TC001 - same
from infra.names import BACKUP_BUCKET
from infra.render.pgbackrest import Repository  # noqa: TC001 - same

WITNESS = "backup-witness"
FULL = "backup-full"
DIFFERENTIAL = "backup-diff"
DRILL = "backup-drill"
MEDIA = "backup-media"
MEDIA_BACK = "backup-media-back"
"""Never by the clock: after a loss."""
BESIDE = "postgres-restored"
"""Never by the clock: a restored Postgres to look at. Its Service is called the same."""

SCHEDULES = {FULL: "20 2 * * *", DIFFERENTIAL: "50 */4 * * *", DRILL: "10 3 * * *", MEDIA: "35 * * * *"}
"""When each runs, in the order of cron, UTC."""


class BackupArgs(BaseModel):
    """What backups need to know.

    Attributes:
        namespace: where they run.
        image: an image with Postgres 15, pgBackRest and psycopg2.
        job: size of a pod that backs up.
        restore: size of a pod that restores; its storage is on the node's disk.
        witness: size of the witness.
        repositories: where backups go, the nearest first.
        postgres: what is backed up.
        members: names of its pods, as certificates have them.
        objects: the store that holds the first repository, and the media.
        keys: its keys.
        vault: a store outside of the environment; without one, media are not copied.
        certificate: shown to the servers beside each Postgres.
        authority: PEM of the environment's authority.
        bucket: of the first repository.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    namespace: str
    image: str
    job: Size
    restore: Size
    witness: Size
    repositories: tuple[Repository, ...] = Field(repr=False)
    postgres: PostgresEndpoints
    members: tuple[str, ...]
    objects: ObjectsEndpoints
    keys: ObjectsCredentials = Field(repr=False)
    vault: VaultAccess | None = Field(default=None, repr=False)
    certificate: KeyPair
    authority: str
    bucket: str = BACKUP_BUCKET
