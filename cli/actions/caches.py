"""Removal of everything in the user's cache that neither this version of esq nor a running process uses."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.actions.deployment_target import cache_dir, open_toolchain

if TYPE_CHECKING:
    from infra.progress import ProgressReporter
    from infra.zones.images import Images


@dataclass(frozen=True)
class PruneResult:
    """What was removed, or would be.

    Attributes:
        preview: whether nothing was removed.
        folders: sizes (bytes) by path.
        images: versions of images.
        freed_bytes: bytes freed on disk; of a preview those of the folders.
    """

    preview: bool
    folders: dict[str, int]
    images: list[str]
    freed_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "preview": self.preview,
            "folders": [{"path": path, "bytes": size} for path, size in self.folders.items()],
            "images": self.images,
            "freed_bytes": self.freed_bytes,
        }


def open_images(progress: ProgressReporter) -> Images:
    """Return the images in the user's cache."""
    from infra.zones.images import Images  # noqa: PLC0415 - help needs none of it

    return Images(cache=cache_dir(), tools=open_toolchain(progress))


def prune_cache(progress: ProgressReporter, *, preview: bool) -> PruneResult:
    """Remove outdated folders and images.

    Args:
        progress: reports steps.
        preview: whether nothing is removed.
    """
    from infra.zones.caches import outdated_folders  # noqa: PLC0415 - help needs none of it

    with progress.step("folders") as step:
        folders = outdated_folders(cache_dir())
        for folder in folders if not preview else ():
            step.set_status(str(folder.path))
            shutil.rmtree(folder.path)
    images = prune_images(progress, preview=preview)
    return PruneResult(
        preview,
        {str(folder.path): folder.size_bytes for folder in folders},
        images.images,
        sum(folder.size_bytes for folder in folders) + images.freed_bytes,
    )


def prune_images(progress: ProgressReporter, *, preview: bool) -> PruneResult:
    """Remove outdated images from the store of buildah and from the registry.

    Args:
        progress: reports steps.
        preview: whether nothing is removed.

    Raises:
        CommandFailedError: a running cluster does not respond, so that its images are not known.
    """
    from infra.zones import registry_storage, running_clusters  # noqa: PLC0415 - help needs none of it
    from infra.zones.caches import disk_usage_bytes  # noqa: PLC0415 - same
    from infra.zones.images.prune import prune  # noqa: PLC0415 - same

    images, storage = open_images(progress), registry_storage()
    with progress.step("images") as step:
        step.set_status("images of running clusters")
        used = {
            digest
            for cluster in running_clusters(open_toolchain(progress))
            for digest in cluster.image_digests()
        }
        step.set_status("store and registry")
        before = disk_usage_bytes(images.folder) + disk_usage_bytes(storage)
        removed = prune(images, storage, used, preview=preview)
        freed = before - disk_usage_bytes(images.folder) - disk_usage_bytes(storage)
    return PruneResult(preview, {}, removed, max(freed, 0))
