"""Build images with buildah and push them to a registry, both only if needed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import ssl
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from infra.subprocesses import run
from infra.zones.images.contexts import (
    FOLDER,
    BuildContext,
    build_contexts,
    copy_apt_settings,
    debian_packages,
    sources_file,
)
from infra.zones.images.package_versions import MAX_AGE_SECONDS, PackageVersions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from infra.progress import ProgressReporter, ProgressStep
    from infra.zones.control_plane import Tools
    from infra.zones.registry import RegistryAccess

_BUILD_TIMEOUT_SECONDS = 900.0
_PUSH_TIMEOUT_SECONDS = 300.0
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
)
_KEY_LENGTH = 16
_COMPRESSION = "zstd"
"""Three nodes decompress every image on the same cores; gzip takes three times as long."""
_LOCAL_PREFIX = "localhost/esq/"


@dataclass(frozen=True)
class ImageVersion:
    """The current version of an image.

    Attributes:
        context: its build context.
        key: hash of its content and of its parent; its tag.
        parent_key: that of its parent; empty without a parent.
    """

    context: BuildContext
    key: str
    parent_key: str

    @property
    def image(self) -> str:
        """Name of the image."""
        return self.context.image

    @property
    def local_tag(self) -> str:
        """Name in the store of buildah."""
        return f"{_LOCAL_PREFIX}{self.image}:{self.key}"


class Images:
    """The images of the platform.

    Args:
        cache: the user's cache folder.
        tools: the toolchain with Garage's binary and Kafka's jars.
    """

    def __init__(self, cache: Path, tools: Tools) -> None:
        self.folder = cache / "images"
        self._tools = tools

    def versions(self, max_age_seconds: float = MAX_AGE_SECONDS) -> list[ImageVersion]:
        """Return the current versions, parents first.

        Args:
            max_age_seconds: accepted age of the resolved versions of Debian packages.
        """
        package_versions = PackageVersions(self.folder / "apt", sources_file(), debian_packages())
        keys: dict[str | None, str] = {None: ""}
        versions = []
        for context in build_contexts(self._tools, package_versions.digest(max_age_seconds)):
            parent_key = keys[context.parent]
            keys[context.image] = _key(context, parent_key)
            versions.append(ImageVersion(context, keys[context.image], parent_key))
        return versions

    def build(self, steps: ProgressReporter) -> list[ImageVersion]:
        """Build images whose content or Debian packages have changed; return the built ones.

        Args:
            steps: progress reporter.

        Raises:
            CommandFailedError: a build fails; the error contains its output.
        """
        with steps.step("images") as step, self.locked():
            step.set_status("versions of Debian packages")
            missing = [version for version in self.versions(max_age_seconds=0) if not self.is_built(version)]
            for version in missing:
                self._build(version, step)
            step.set_result(f"{len(missing)} built" if missing else "unchanged")
        return missing

    def push(self, access: RegistryAccess, steps: ProgressReporter, names: Collection[str]) -> dict[str, str]:
        """Build and push missing images.

        Args:
            access: write access to the registry.
            steps: progress reporter.
            names: names of the images; their parents are pushed too.

        Returns:
            References with digests by image name.

        Raises:
            CommandFailedError: a build or a push fails; the error contains its output.
        """
        references: dict[str, str] = {}
        with steps.step("images") as step, self.locked(), registry_client(access) as client:
            pushed = 0
            for version in _with_parents(self.versions(), names):
                digest = self.digest(version)
                if digest is None or not self.is_pushed(version, client):
                    pushed += 1
                    digest = self._build_and_push(version, access, step)
                references[version.image] = _reference(access, version, digest)
            step.set_result(f"{pushed} of {len(references)} new" if pushed else "unchanged")
        return references

    def find(self, access: RegistryAccess, names: Collection[str]) -> dict[str, str | None]:
        """Return references with digests by image name; None for an image that the registry lacks.

        Args:
            access: access to the registry.
            names: the needed images.
        """
        references: dict[str, str | None] = {}
        with registry_client(access) as client:
            for version in self.versions():
                if version.image not in names:
                    continue
                digest = self.digest(version)
                pushed = digest is not None and self.is_pushed(version, client)
                references[version.image] = _reference(access, version, str(digest)) if pushed else None
        return references

    def is_built(self, version: ImageVersion) -> bool:
        """Return whether the store has a version."""
        return version.local_tag in self.local_tags()

    def is_pushed(self, version: ImageVersion, client: httpx.Client) -> bool:
        """Return whether a registry has a version.

        Args:
            version: the version.
            client: client of the registry.
        """
        url = f"/v2/esq/{version.image}/manifests/{self.digest(version)}"
        return client.head(url, headers={"Accept": _MANIFESTS}).is_success

    def digest(self, version: ImageVersion) -> str | None:
        """Return the digest of a version; None if it was never pushed."""
        path = self.digest_file(version.key)
        return path.read_text() if path.exists() else None

    def digest_file(self, key: str) -> Path:
        """Return the file that records the digest of a version; the digest depends on the compression."""
        return self.folder / f"{key}.{_COMPRESSION}.digest"

    def local_tags(self) -> list[str]:
        """Return the names of the images in the store of buildah."""
        images = json.loads(self.buildah("images", "--json"))
        return [name for image in images for name in image["names"] or ()]

    def buildah(self, *args: str) -> str:
        """Run buildah with the store of esq; return its output."""
        return run(
            [
                "buildah",
                f"--root={self.folder / 'store'}",
                f"--runroot={self.folder / 'run'}",
                "--storage-driver=overlay",
                *args,
            ],
            timeout=_BUILD_TIMEOUT_SECONDS if args[0] == "build" else _PUSH_TIMEOUT_SECONDS,
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the store and of the registry's files: one build, push or removal at a time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _build_and_push(self, version: ImageVersion, access: RegistryAccess, step: ProgressStep) -> str:
        if not self.is_built(version):
            self._build(version, step)
        step.set_status(f"pushing {version.image}")
        with tempfile.TemporaryDirectory() as cert_dir:  # readable by its owner only
            for name, path in {
                "ca.crt": access.ca,
                "client.cert": access.certificate,
                "client.key": access.key,
            }.items():
                (Path(cert_dir) / name).write_bytes(path.read_bytes())
            digest_file = Path(cert_dir) / "digest"
            self.buildah(
                *("push", "--quiet", f"--cert-dir={cert_dir}", f"--digestfile={digest_file}"),
                f"--compression-format={_COMPRESSION}",
                *(version.local_tag, f"docker://{access.address}/esq/{version.image}:{version.key}"),
            )
            digest = digest_file.read_text().strip()
        self.digest_file(version.key).write_text(digest)
        return digest

    def _build(self, version: ImageVersion, step: ProgressStep) -> None:
        step.set_status(f"building {version.image}")
        parent = version.context.parent
        parent_option = [f"--from={_LOCAL_PREFIX}{parent}:{version.parent_key}"] if parent else []
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            version.context.populate(Path(folder))
            copy_apt_settings(Path(folder) / "apt")
            self.buildah(
                *("build", "--quiet", "--isolation=chroot", "--network=host", "--layers=false"),
                *parent_option,
                f"--volume={folder}/apt:/etc/apt",
                *(f"--file={FOLDER / version.image / 'Containerfile'}", f"--tag={version.local_tag}", folder),
            )


def registry_client(access: RegistryAccess) -> httpx.Client:
    """Return a client of a registry."""
    context = ssl.create_default_context(cafile=str(access.ca))
    context.load_cert_chain(access.certificate, access.key)
    return httpx.Client(base_url=f"https://{access.address}", verify=context, timeout=10.0)


def _with_parents(versions: Sequence[ImageVersion], names: Collection[str]) -> list[ImageVersion]:
    parents = {version.image: version.context.parent for version in versions}
    needed = set(names)
    needed |= {parent for name in needed if (parent := parents.get(name)) is not None}
    return [version for version in versions if version.image in needed]


def _reference(access: RegistryAccess, version: ImageVersion, digest: str) -> str:
    return f"{access.address}/esq/{version.image}@{digest}"


def _key(context: BuildContext, parent: str) -> str:
    containerfile = (FOLDER / context.image / "Containerfile").read_text()
    return hashlib.sha256(f"{containerfile}\0{context.key}\0{parent}".encode()).hexdigest()[:_KEY_LENGTH]
