"""Removal of everything in the user's cache that neither this version of esq nor an environment uses."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.actions.deployment_target import cache_dir, open_toolchain
from cli.environment import state_dir
from infra.progress import RecordingProgress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.progress import ProgressReporter
    from infra.zones.images import Images
    from infra.zones.registry import RegistryAccess

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class PruneResult:
    """What was removed, or would be.

    Attributes:
        preview: whether nothing was removed.
        folders: sizes (bytes) by path.
        images: versions of images.
        freed_bytes: bytes freed on disk; of a preview those of the folders.
        skipped: why the images were not checked; empty when they were.
    """

    preview: bool
    folders: dict[str, int]
    images: list[str]
    freed_bytes: int
    skipped: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "preview": self.preview,
            "folders": [{"path": path, "bytes": size} for path, size in self.folders.items()],
            "images": self.images,
            "freed_bytes": self.freed_bytes,
            "images_skipped": self.skipped or None,
        }


@dataclass(frozen=True)
class ImageStatus:
    """The current version of an image.

    Attributes:
        image: name of the image.
        key: key of the version; None while tools are missing, whose programs are content of images.
        built: whether it is built.
        pushed: whether a running registry has it.
        digest: its digest; None if it was never pushed.
        missing_tools: tools that are missing.
    """

    image: str
    key: str | None = None
    built: bool = False
    pushed: bool = False
    digest: str | None = None
    missing_tools: Sequence[str] = ()


def open_images(progress: ProgressReporter) -> Images:
    """Return the images in the user's cache."""
    from infra.zones.images import Images  # noqa: PLC0415 - help needs none of it

    return Images(cache=cache_dir(), tools=open_toolchain(progress))


def image_statuses(registry: RegistryAccess | None) -> list[ImageStatus]:
    """Return the status of all images; builds nothing.

    Args:
        registry: access to the registry; None while it does not run.
    """
    from infra.zones.images import contexts  # noqa: PLC0415 - help needs none of it
    from infra.zones.images.images import registry_client  # noqa: PLC0415 - same

    if missing := _missing_tools():
        return [ImageStatus(name, missing_tools=missing) for name in contexts.image_names()]
    images = open_images(RecordingProgress())
    with registry_client(registry) if registry else nullcontext() as client:
        return [
            ImageStatus(
                version.image,
                version.key,
                images.is_built(version),
                client is not None and bool(images.digest(version)) and images.is_pushed(version, client),
                images.digest(version),
            )
            for version in images.versions()
        ]


def prune_cache(progress: ProgressReporter, *, preview: bool) -> PruneResult:
    """Remove outdated folders and images.

    Args:
        progress: reports steps.
        preview: whether nothing is removed.
    """
    from infra.zones.caches import outdated_folders, remove_folder  # noqa: PLC0415 - help needs none of it

    if missing := _missing_tools():
        images = PruneResult(
            preview, {}, [], 0, f"{' and '.join(missing)} is missing; build it: `esq toolchain build`"
        )
    else:
        # First, because it can fail: then nothing is removed.
        images = prune_images(progress, preview=preview)
    with progress.step("folders") as step:
        folders = []
        for folder in outdated_folders(cache_dir()):
            step.set_status(str(folder.path))
            if preview or remove_folder(cache_dir(), folder.path):
                folders.append(folder)
    return PruneResult(
        preview,
        {str(folder.path): folder.size_bytes for folder in folders},
        images.images,
        sum(folder.size_bytes for folder in folders) + images.freed_bytes,
        images.skipped,
    )


def _configured_digests() -> set[str]:
    """Return the digests that the last deploys of this user's environments used: a cluster may be stopped."""
    files = (state_dir() / "environments").glob("*/stacks/Pulumi.*.yaml")
    return {digest for file in files for digest in _DIGEST.findall(file.read_text(encoding="utf-8"))}


def _missing_tools() -> Sequence[str]:
    from infra.zones.images import contexts  # noqa: PLC0415 - help needs none of it

    return open_toolchain(RecordingProgress()).missing(contexts.TOOLS)


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
        } | _configured_digests()
        step.set_status("store and registry")
        before = disk_usage_bytes(images.folder) + disk_usage_bytes(storage)
        removed = prune(images, storage, used, preview=preview)
        freed = before - disk_usage_bytes(images.folder) - disk_usage_bytes(storage)
    return PruneResult(preview, {}, removed, max(freed, 0))
