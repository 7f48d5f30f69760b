"""Push of an image to a registry through its API."""

from __future__ import annotations

import hashlib
import io
import json
import ssl
import tarfile
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from infra.zones.registry import RegistryAccess

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def push(archive: bytes, access: RegistryAccess, repository: str) -> str:
    """Push an archive in `docker save` format; return the reference by digest.

    Args:
        archive: the image.
        access: write access to the registry.
        repository: name of the image.
    """
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        parts = {name: tar.extractfile(name).read() for name in ("config.json", "layer.tar")}  # type: ignore[union-attr]  # files
    kinds = {"config.json": "config.v1+json", "layer.tar": "layer.v1.tar"}
    descriptors = {
        name: {
            "mediaType": f"application/vnd.oci.image.{kinds[name]}",
            "size": len(content),
            "digest": _digest(content),
        }
        for name, content in parts.items()
    }
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": descriptors["config.json"],
            "layers": [descriptors["layer.tar"]],
        }
    ).encode()
    context = ssl.create_default_context(cafile=str(access.ca))
    context.load_cert_chain(access.certificate, access.key)
    with httpx.Client(base_url=f"https://{access.address}/v2/{repository}", verify=context) as client:
        for content in parts.values():
            upload_url = client.post("/blobs/uploads/").raise_for_status().headers["location"]
            url = httpx.URL(upload_url).copy_merge_params({"digest": _digest(content)})
            client.put(url, content=content).raise_for_status()
        response = client.put("/manifests/1", content=manifest, headers={"Content-Type": _MANIFEST})
        response.raise_for_status()
    return f"{access.address}/{repository}@{_digest(manifest)}"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
