"""Object store: S3 with a copy of every object in each zone, a bucket for media and one for backups."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from infra.certificate_authority import KeyPair  # noqa: TC001 - pydantic reads the annotations when the class is created
from infra.credentials import ObjectStoreCredentials  # noqa: TC001 - same
from infra.names import BACKUP_BUCKET, MEDIA_BUCKET
from infra.sizes import Size  # noqa: TC001 - same


class ObjectStoreArgs(BaseModel):
    """Inputs of the object store. Safe by default: a copy in each of three zones.

    Attributes:
        namespace: namespace of all objects.
        image: an image with Garage and HAProxy.
        python_image: an image with Python, for the job that applies the layout and creates the buckets.
        storage_class: StorageClass of the volumes.
        zones: zones of the replicas.
        size: resources of each node.
        proxy: resources of each node's TLS proxy.
        credentials: keys of the used generation.
        accepted: keys of every accepted generation, the used one first; all may use their bucket.
        certificate: certificate with the names of its Services.
        admin_certificate: client certificate for the admin API.
        ca_bundle: PEM of the trusted certificate authorities.
        media_bucket: name of the media bucket; a deploy creates it if it is missing, and never deletes it.
        backup_bucket: name of the bucket of backups, likewise; it has its own key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str
    image: str
    python_image: str
    storage_class: str
    zones: tuple[str, ...]
    size: Size
    proxy: Size
    credentials: ObjectStoreCredentials = Field(repr=False)
    accepted: tuple[ObjectStoreCredentials, ...] = Field(repr=False)
    certificate: KeyPair
    admin_certificate: KeyPair
    ca_bundle: str
    media_bucket: str = MEDIA_BUCKET
    backup_bucket: str = BACKUP_BUCKET


@dataclass(frozen=True)
class ObjectStoreEndpoints:
    """Endpoints for clients.

    Attributes:
        url: HTTPS URL of the S3 API; buckets are addressed by path, not by host name.
        region: region that clients must use.
        bucket: name of the media bucket.
        key_id: access key that may read and write the bucket.
    """

    url: str
    region: str
    bucket: str
    key_id: str
