"""Objects: an S3 store with a copy of everything in each zone, and a bucket."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from infra.credentials import ObjectsCredentials  # noqa: TC001 - pydantic reads it when the class is made
from infra.defaults import Size  # noqa: TC001 - same
from infra.names import MEDIA_BUCKET


class ObjectsArgs(BaseModel):
    """What an object store needs to know. Safe by default: a copy in each of three zones.

    Attributes:
        namespace: where it lives.
        image: an image with Garage.
        tools: an image with Python, for the job that lays out zones and makes the bucket.
        storage_class: of the volumes.
        size: of each node.
        credentials: keys.
        bucket: made at the first deploy; never deleted by one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str
    image: str
    tools: str
    storage_class: str
    size: Size
    credentials: ObjectsCredentials = Field(repr=False)
    bucket: str = MEDIA_BUCKET


@dataclass(frozen=True)
class ObjectsEndpoints:
    """Where it can be reached.

    Attributes:
        url: of the S3 API. Buckets stand in the path, not in the host name.
        region: clients have to name it.
        bucket: name of the bucket.
        key_id: access key that may read and write the bucket.
    """

    url: str
    region: str
    bucket: str
    key_id: str
