"""Objects: an S3 store with a copy of everything in each zone, a bucket for media and one for backups."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from infra.authority import KeyPair  # noqa: TC001 - pydantic reads the annotations when the class is made
from infra.credentials import ObjectsCredentials  # noqa: TC001 - same
from infra.defaults import Size  # noqa: TC001 - same
from infra.names import BACKUP_BUCKET, MEDIA_BUCKET


class ObjectsArgs(BaseModel):
    """What an object store needs to know. Safe by default: a copy in each of three zones.

    Attributes:
        namespace: where it lives.
        image: an image with Garage and HAProxy.
        tools: an image with Python, for the job that lays out zones and makes the bucket.
        storage_class: of the volumes.
        size: of each node.
        proxy: of the TLS in front of each node.
        credentials: keys.
        certificate: for the names of its Service.
        bucket: made at the first deploy; never deleted by one.
        backup_bucket: the same, with a key of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str
    image: str
    tools: str
    storage_class: str
    size: Size
    proxy: Size
    credentials: ObjectsCredentials = Field(repr=False)
    certificate: KeyPair
    bucket: str = MEDIA_BUCKET
    backup_bucket: str = BACKUP_BUCKET


@dataclass(frozen=True)
class ObjectsEndpoints:
    """Where it can be reached.

    Attributes:
        url: of the S3 API, HTTPS. Buckets stand in the path, not in the host name.
        region: clients have to name it.
        bucket: name of the bucket.
        key_id: access key that may read and write the bucket.
    """

    url: str
    region: str
    bucket: str
    key_id: str
