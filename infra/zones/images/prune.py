"""Removal of outdated images from the store of buildah and from the registry's files.

Deletion is impossible over the network, so that no account needs the permission: the registry's own garbage
collector works on its files. The lock of the images prevents a push at the same time.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.subprocesses import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from infra.zones.images.images import Images

_COLLECTION_TIMEOUT_SECONDS = 600.0
_REPOSITORIES = Path("docker/registry/v2/repositories/esq")


@dataclass(frozen=True)
class RegistryTag:
    """A version of an image in the registry.

    Attributes:
        image: name of the image.
        key: key of the version.
        digest: digest of its manifest.
        folder: its folder.
    """

    image: str
    key: str
    digest: str
    folder: Path


def registry_tags(storage: Path) -> Iterator[RegistryTag]:
    """Yield all versions in the registry whose files are in `storage`."""
    for link in sorted((storage / _REPOSITORIES).glob("*/_manifests/tags/*/current/link")):
        folder = link.parents[1]
        yield RegistryTag(folder.parents[2].name, folder.name, link.read_text().strip(), folder)


def prune(
    images: Images, storage: Path, used_digests: AbstractSet[str], *, preview: bool = False
) -> list[str]:
    """Remove the versions of images that are neither current nor used by a running cluster.

    Args:
        images: the images.
        storage: folder of the registry's files.
        used_digests: digests that running clusters refer to.
        preview: whether nothing is removed.

    Returns:
        The removed versions, as `image:key`, with `registry/` before those of the registry.

    Raises:
        CommandFailedError: buildah or the registry's garbage collector fails.
    """
    with images.locked():
        current = {version.key for version in images.versions(max_age_seconds=float("inf"))}
        local = [name for name in images.local_tags() if name.rpartition(":")[2] not in current]
        tags = [
            tag for tag in registry_tags(storage) if tag.key not in current and tag.digest not in used_digests
        ]
        if not preview:
            _remove_local(images, local, current)
            _remove_tags(storage, tags)
    return [
        *(name.removeprefix("localhost/esq/") for name in local),
        *(f"registry/{tag.image}:{tag.key}" for tag in tags),
    ]


def _remove_local(images: Images, names: list[str], current: AbstractSet[str]) -> None:
    if names:
        images.buildah("rmi", "--force", *names)
    images.buildah("rmi", "--prune", "--force")
    for path in images.folder.glob("*.digest"):
        if path.name.partition(".")[0] not in current:
            path.unlink()
    for folder in images.folder.glob("tmp*"):  # of a killed build
        shutil.rmtree(folder)


def _remove_tags(storage: Path, tags: list[RegistryTag]) -> None:
    if not (storage / _REPOSITORIES).is_dir():
        return
    for tag in tags:
        shutil.rmtree(tag.folder)
    config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(storage)}}}
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(json.dumps(config))
        file.flush()
        argv = ["docker-registry", "garbage-collect", "--delete-untagged", file.name]
        run(argv, timeout=_COLLECTION_TIMEOUT_SECONDS)
