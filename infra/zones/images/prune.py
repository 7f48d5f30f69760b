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
_USED_PREFIX = "used-"
"""Of tags for manifests that only running clusters refer to."""


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
        needed = current | {tag.key for tag in registry_tags(storage) if tag.digest in used_digests}
        local = [name for name in images.local_tags() if name.rpartition(":")[2] not in needed]
        tags = [tag for tag in registry_tags(storage) if tag.key not in needed]
        if not preview:
            _remove_local(images, local, needed)
            _tag_used(storage, used_digests)
            _remove_tags(storage, tags)
    return [
        *(name.removeprefix("localhost/esq/") for name in local),
        *(f"registry/{tag.image}:{tag.key}" for tag in tags),
    ]


def _tag_used(storage: Path, digests: AbstractSet[str]) -> None:
    """Tag used manifests whose tag has moved to another one: garbage collection deletes what has no tag."""
    tagged = {(tag.image, tag.digest) for tag in registry_tags(storage)}
    for revision in (storage / _REPOSITORIES).glob("*/_manifests/revisions/sha256/*"):
        manifests, digest = revision.parents[2], f"sha256:{revision.name}"
        if digest in digests and (manifests.parent.name, digest) not in tagged:
            tag = manifests / "tags" / f"{_USED_PREFIX}{revision.name[:16]}"
            for link in (tag / "current", tag / "index" / "sha256" / revision.name):
                link.mkdir(parents=True, exist_ok=True)
                (link / "link").write_text(digest)


def _remove_local(images: Images, names: list[str], needed: AbstractSet[str]) -> None:
    if names:
        images.buildah("rmi", "--force", *names)
    images.buildah("rmi", "--prune", "--force")
    for path in images.folder.glob("*.digest"):
        if path.name.partition(".")[0] not in needed:
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
